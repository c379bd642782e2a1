//! `flashsale dead-letters`: listed, shown, replayed and discarded, every decision noted.

use flashsale::{
    engine::kafka::KafkaLog,
    ids::{AttemptId, ProductId, SaleId, UserId},
    order::dead_letters::replay_id,
    port::{Attempt, AttemptLog},
};

use crate::support::{
    api::Shopper,
    process::{Process, complaint},
    system::{OneProcess, Servers, System},
    wait_until,
};

const GARBAGE: &str = "no attempt at all";

/// Whose attempt names a product that the sale is not of.
const STRANGER: i64 = 424_242;
/// That product, above the sale's own.
const OTHER_PRODUCT: i64 = 1_000;

fn stranger_s(attempt: AttemptId, sale: i64, product: i64) -> Attempt {
    Attempt {
        id: attempt,
        sale: SaleId::new(sale).unwrap(),
        product: ProductId::new(product + OTHER_PRODUCT).unwrap(),
        user: UserId::new(STRANGER).unwrap(),
        at: chrono::Utc::now(),
    }
}

/// What both systems can do.
trait DeadLetterCommands: System {
    fn dead_letters(&self, arguments: &[&str]) -> Process;

    async fn answer(&self, arguments: &[&str]) -> String {
        let (success, output) = self.dead_letters(arguments).outcome().await;
        assert!(success, "{output}");
        output
    }

    async fn refusal(&self, arguments: &[&str]) -> String {
        let (success, output) = self.dead_letters(arguments).outcome().await;
        assert!(!success, "{output}");
        complaint(&output).to_owned()
    }

    /// The id of the only letter whose entry in the list has this text.
    async fn letter(&self, text: &str) -> String {
        let list = self.answer(&["list"]).await;
        let mut id = None;
        let mut found = Vec::new();
        for line in list.lines() {
            if !line.starts_with(' ') {
                id = line.split_whitespace().next();
            }
            if line.contains(text) {
                found.push(id.unwrap().to_owned());
            }
        }
        found.dedup();
        assert_eq!(found.len(), 1, "{text} in {list}");
        found.remove(0)
    }

    async fn give_the_stranger_an_account(&self) {
        self.sql(&format!(
            "INSERT INTO users (id, username, email, password_hash) VALUES ({STRANGER}, 'stranger', 'stranger@example.com', '-')"
        ))
        .await;
    }

    /// What an operator does who finds that the letters are right and the sale is wrong.
    async fn give_the_sale_the_other_product(&self, sale: i64, product: i64) {
        let other = product + OTHER_PRODUCT;
        self.sql(&format!(
            "INSERT INTO products (id, sku, name, description, price_cents) VALUES ({other}, 'other', 'Other', '', 1)"
        ))
        .await;
        self.sql(&format!(
            "UPDATE flash_sales SET product_id = {other} WHERE id = {sale}"
        ))
        .await;
    }

    async fn decisions(&self) -> i64 {
        self.number("SELECT count(*) FROM dead_letter_decisions")
            .await
    }
}

impl DeadLetterCommands for Servers {
    fn dead_letters(&self, arguments: &[&str]) -> Process {
        let arguments = [&["dead-letters"], arguments].concat();
        self.run_with(&arguments, &[("LOGNAME", "ann")])
    }
}

impl DeadLetterCommands for OneProcess {
    fn dead_letters(&self, arguments: &[&str]) -> Process {
        let arguments = [&["dead-letters"], arguments].concat();
        self.run_with(&arguments, &[("LOGNAME", "ann")])
    }
}

/// With one letter of garbage and one of the stranger's attempt; nobody is at work. Ends with both decided, and the replay
/// in the log.
async fn decide_about_both(
    system: &impl DeadLetterCommands,
    attempt: AttemptId,
    sale: i64,
    product: i64,
) {
    let list = system.answer(&["list"]).await;
    assert!(list.contains("2 dead letters"), "{list}");
    assert_eq!(list.matches("nothing is decided").count(), 2, "{list}");
    assert!(
        list.contains(&format!(
            "sale {sale} is of product {product}, not of product"
        )),
        "{list}"
    );
    let (garbage, rejected) = (
        system.letter(GARBAGE).await,
        system.letter(&attempt.to_string()).await,
    );

    let shown = system.answer(&["show", &garbage]).await;
    assert!(
        shown.contains(GARBAGE) && shown.contains("not an attempt"),
        "{shown}"
    );
    let shown = system.answer(&["show", &rejected]).await;
    assert!(
        shown.contains(&format!("\"userId\":\"{STRANGER}\"")),
        "{shown}"
    );
    for missing in ["0:4711", "77:0"] {
        let refusal = system.refusal(&["show", missing]).await;
        assert!(refusal.contains("no such dead letter"), "{refusal}");
    }

    // Refusals leave no decision.
    let refusal = system.refusal(&["replay", &garbage]).await;
    assert!(refusal.contains("cannot be understood"), "{refusal}");
    for baseless in [
        &["discard", &garbage][..],
        &["discard", &garbage, "--reason", ""],
    ] {
        let (success, output) = system.dead_letters(baseless).outcome().await;
        assert!(!success && output.contains("--reason"), "{output}");
    }
    assert_eq!(system.decisions().await, 0);

    let reason = ["--reason", "a test's"];
    let output = system
        .answer(&[&["discard", &garbage], &reason[..]].concat())
        .await;
    let is_noted = |line: &str| {
        let parts = ["security", "dead_letter", "discarded", "ann", &garbage];
        parts.iter().all(|part| line.contains(part)) && line.contains("left_out")
    };
    assert!(output.lines().any(is_noted), "no line of it: {output}");
    let refusal = system
        .refusal(&[&["discard", &garbage], &reason[..]].concat())
        .await;
    assert!(refusal.contains("discarded before"), "{refusal}");

    // The outcome of the attempt is a rejection for ever: it is replayed under another id, always the same.
    system.give_the_sale_the_other_product(sale, product).await;
    let again = replay_id(attempt);
    for by in ["bob", "carol"] {
        let output = system.answer(&["replay", &rejected, "--by", by]).await;
        assert!(output.contains(&again.to_string()), "{output}");
    }
    let refusal = system
        .refusal(&[&["discard", &rejected], &reason[..]].concat())
        .await;
    assert!(refusal.contains("replayed before"), "{refusal}");

    let list = system.answer(&["list"]).await;
    assert!(
        list.contains("discarded by ann") && list.contains(": a test's"),
        "{list}"
    );
    assert!(
        list.contains(&format!("replayed as attempt {again} by carol")),
        "{list}"
    );
    let list = system.answer(&["list", "--open"]).await;
    assert!(list.contains("0 dead letters"), "{list}");
    let shown = system.answer(&["show", &rejected]).await;
    assert!(
        shown.contains("by bob") && shown.contains("by carol"),
        "{shown}"
    );
    assert_eq!(system.decisions().await, 3);
}

/// Once the replays are settled.
async fn check_the_replay(system: &impl DeadLetterCommands, sale: i64) {
    let orders = format!("SELECT count(*) FROM orders WHERE user_id = {STRANGER}");
    assert_eq!(
        system.number(&orders).await,
        1,
        "replayed twice, it counts once"
    );
    assert_eq!(system.balance(sale).await.remaining, 9);
    assert_eq!(system.dead_letter_causes().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_on_servers_are_decided_about() {
    let system = Servers::start().await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(10).await;
    api.wait_until_open(&system, sale).await;
    system.give_the_stranger_an_account().await;
    let attempt = AttemptId::generate();
    let log = KafkaLog::connect(&system.topic.config).await.unwrap();
    let logged = log.append(&[stranger_s(attempt, sale, product)]).await;
    assert!(logged[0].is_ok());
    system.topic.produce_with_apache_s_client(&[("1", GARBAGE)]);
    wait_until_buried(&system).await;
    worker.terminate();
    assert!(worker.end().await.success());

    let audited = system.run(&["audit"]);
    assert_eq!(audited.end().await.code(), Some(0), "{}", audited.output());
    assert!(
        audited
            .output()
            .contains("Dead letters without a decision: 2")
    );
    decide_about_both(&system, attempt, sale, product).await;
    let audited = system.run(&["audit"]);
    assert_eq!(audited.end().await.code(), Some(0), "{}", audited.output());
    assert!(
        audited
            .output()
            .contains("Dead letters without a decision: 0")
    );
    assert!(audited.output().contains("2 records not settled yet"));

    let _worker = system.work().await;
    system.check_promises(sale).await;
    check_the_replay(&system, sale).await;
    let stranger = Shopper::with_account(STRANGER);
    assert_eq!(
        api.result(product + OTHER_PRODUCT, &stranger)
            .await
            .as_deref(),
        Some("SUCCESS")
    );
    let rejected = system.letter(&attempt.to_string()).await;
    let output = system.answer(&["replay", &rejected]).await;
    assert!(output.contains("is settled: Ordered"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_of_a_data_directory_are_decided_about() {
    let system = OneProcess::start().await;
    let api = system.serve().await;
    let (sale, product) = system.sale(10).await;
    api.wait_until_open(&system, sale).await;
    api.process.terminate();
    assert!(api.process.end().await.success());
    system.give_the_stranger_an_account().await;
    let attempt = AttemptId::generate();
    let engines =
        crate::support::embedded::open(&system.directory(), std::time::Duration::from_mins(1));
    let logged = engines
        .log
        .append(&[stranger_s(attempt, sale, product)])
        .await;
    assert!(logged[0].is_ok());
    engines.close().await;
    system
        .sql(&format!(
            "INSERT INTO attempt_log (log_offset, record, appended_at) \
             SELECT max(log_offset) + 1, CAST('{GARBAGE}' AS BLOB), 0 FROM attempt_log"
        ))
        .await;
    let api = system.serve().await;
    wait_until_buried(&system).await;
    let refusal = system.refusal(&["list"]).await;
    assert!(refusal.contains("in use by another flashsale"), "{refusal}");
    api.process.terminate();
    assert!(api.process.end().await.success());

    decide_about_both(&system, attempt, sale, product).await;
    let api = system.serve().await;
    api.wait_until_open(&system, sale).await;
    system.check_promises(sale).await;
    check_the_replay(&system, sale).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_decides_says_who_they_are() {
    let system = OneProcess::start().await;
    system
        .sql("INSERT INTO dead_letters (partition, log_offset, cause, buried_at) VALUES (0, 3, 'a test''s', 0)")
        .await;
    let (success, output) = system
        .run(&["dead-letters", "discard", "0:3", "--reason", "x"])
        .outcome()
        .await;
    assert!(!success && complaint(&output).contains("--by"), "{output}");
    assert_eq!(system.decisions().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_too_large_to_be_kept_is_said_and_cannot_be_replayed() {
    use flashsale::port::{DeadLetter, Offset, Partition, RawRecord};

    let system = Servers::start().await;
    let log = KafkaLog::connect(&system.topic.config).await.unwrap();
    let letter = DeadLetter {
        partition: Partition(0),
        offset: Offset(5),
        cause: "not an attempt".to_owned(),
        raw: RawRecord {
            key: None,
            value: Some(vec![b'x'; 1_048_500]),
        },
        buried_at: chrono::Utc::now(),
    };
    log.dead_letter(&[letter]).await.unwrap();
    let list = system.answer(&["list"]).await;
    assert!(
        list.contains("1048500 bytes, too large to be kept"),
        "{list}"
    );
    let shown = system.answer(&["show", "0:0"]).await;
    assert!(
        shown.contains("of record 0:5") && shown.contains("1048500 bytes"),
        "{shown}"
    );
    let refusal = system.refusal(&["replay", "0:0"]).await;
    assert!(refusal.contains("too large"), "{refusal}");
    assert_eq!(system.decisions().await, 0);
}

async fn wait_until_buried(system: &impl System) {
    wait_until(
        "both are buried and settled",
        std::time::Duration::from_secs(20),
        || async { system.dead_letter_causes().await.len() == 2 && system.log_is_settled().await },
    )
    .await;
}
