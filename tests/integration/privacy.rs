//! What is stored of a person is given out and taken out: tables, Redis, the topic, the action log.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use flashsale::{engine::kafka::create_topics, port::Role};
use serde_json::{Value, json};

use crate::{
    services::{WithPrograms, command},
    support::{
        api::{Api, Shopper},
        issuer::{NAME, SigningKey, TestIssuer},
        system::{OneProcess, Servers, System},
        wait_until,
    },
};

/// Within which every node refuses a token that was ended.
const EVERYWHERE: Duration = Duration::from_secs(5);

/// A system in which everything that is stored can be searched. It records events.
trait Searched: WithPrograms {
    async fn with_events(self) -> Self;

    async fn serve_with_events(&self) -> Api;

    /// Has a worker write a dead letter, where these are a topic.
    fn produce_dead_letter(&self) {}

    /// Where a text is stored.
    async fn places_with(&self, text: &str) -> Vec<String>;

    /// A second node, where there can be one.
    async fn another_node(&self) -> Option<Api>;
}

impl Searched for Servers {
    async fn with_events(mut self) -> Self {
        let system = &mut self;
        let topic = format!("{}.events", system.topic.config.topic);
        system.topic.config.events_topic = Some(topic.clone());
        create_topics(&system.topic.config).await.unwrap();
        let on = [
            ("KAFKA_TOPIC_EVENTS", topic.as_str()),
            ("EVENTS_ENABLED", "true"),
        ];
        let on = on.map(|(name, value)| (name.to_owned(), value.to_owned()));
        system.environment.extend(on);
        self
    }

    async fn serve_with_events(&self) -> Api {
        self.serve().await
    }

    fn produce_dead_letter(&self) {
        let garbage = [("1", "no attempt at all")];
        self.topic.produce_with_apache_s_client(&garbage);
    }

    async fn another_node(&self) -> Option<Api> {
        Some(self.serve().await)
    }

    async fn places_with(&self, text: &str) -> Vec<String> {
        let mut places = Vec::new();
        // Every column of every table, whatever its type, as text and its bytes as Latin-1.
        let columns = "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns \
             WHERE table_schema NOT IN ('pg_catalog', 'information_schema')";
        for row in self.database.query(columns).await {
            let (table, column, kind): (String, String, String) =
                (row.get(0), row.get(1), row.get(2));
            let value = match kind.as_str() {
                "bytea" => format!("encode(\"{column}\", 'escape')"),
                _ => format!("\"{column}\"::text"),
            };
            let found = format!(
                "SELECT count(*) FROM \"{table}\" WHERE strpos(lower({value}), lower('{text}')) > 0"
            );
            if self.number(&found).await > 0 {
                places.push(format!("{table}.{column}"));
            }
        }
        let redis = self.redis.as_ref().expect("a Redis of its own");
        if contains(&redis.contents(), text) {
            places.push("Redis".to_owned());
        }
        let config = &self.topic.config;
        let events = config.events_topic.as_ref().expect("events are published");
        for topic in [&config.topic, &config.dead_letter_topic, events] {
            let records = self.topic.records(topic).await;
            assert!(!records.is_empty(), "nothing to search in {topic}");
            if records.iter().any(|(_, entry)| has(&entry.record, text)) {
                places.push(topic.clone());
            }
        }
        places
    }
}

fn has(record: &rskafka::record::Record, text: &str) -> bool {
    let parts = [&record.key, &record.value].into_iter().flatten();
    let mut parts = parts.chain(record.headers.values());
    parts.any(|bytes| contains(bytes, text))
}

impl Searched for OneProcess {
    async fn with_events(self) -> Self {
        self
    }

    async fn serve_with_events(&self) -> Api {
        self.serve_as(&[("EVENTS_ENABLED", "true")]).await
    }

    async fn another_node(&self) -> Option<Api> {
        None
    }

    /// Every column of every table.
    async fn places_with(&self, text: &str) -> Vec<String> {
        let mut places = Vec::new();
        for table in self.texts("SELECT name FROM sqlite_master WHERE type = 'table'") {
            for column in self.texts(&format!("SELECT name FROM pragma_table_info('{table}')")) {
                let found = format!(
                    "SELECT count(*) FROM \"{table}\" WHERE instr(lower(CAST(\"{column}\" AS TEXT)), lower('{text}')) > 0"
                );
                if self.number(&found).await > 0 {
                    places.push(format!("{table}.{column}"));
                }
            }
        }
        places
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    let lower = bytes.to_ascii_lowercase();
    lower
        .windows(text.len())
        .any(|window| window == text.to_lowercase().as_bytes())
}

async fn is_good(api: &Api, shopper: &Shopper) -> bool {
    let (status, body) = api.get("/api/orders/status/99999", Some(shopper)).await;
    assert!([400, 401].contains(&status), "{body}");
    status == 400
}

/// By the command line, in a reason and as the person whose account is changed.
async fn operators_write_of_the_person(system: &impl WithPrograms) {
    command(
        system,
        &[
            "user",
            "passwd",
            "ada-lovelace",
            "--reset-token",
            "--reason",
            "asked by ada.lovelace@EXAMPLE.com",
        ],
    )
    .await;
    command(system, &["user", "disable", "ada-lovelace"]).await;
    command(system, &["user", "enable", "ada-lovelace"]).await;
}

/// Over HTTP, with an answer that is kept with its key. The second reason names another person.
async fn an_operator_gives_reasons(api: &Api, admin: &Shopper, sale: i64) {
    let pause = json!({"reason": "complaint of ada.lovelace@example.com"});
    let paused = api
        .http
        .post(format!("{}/api/admin/sales/{sale}/pause", api.url));
    let paused = paused
        .bearer_auth(&admin.token)
        .header("Idempotency-Key", "\"ada.lovelace@example.com\"");
    assert!(
        paused
            .json(&pause)
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    let note = json!({"reason": "no word of joada.lovelace@example.com"});
    let resumed = api
        .post(
            &format!("/api/admin/sales/{sale}/resume"),
            Some(admin),
            Some(note),
        )
        .await;
    assert!([200, 202].contains(&resumed.0), "{resumed:?}");
}

/// What the ledger has after an erasure.
async fn what_stays(system: &impl System, ada: &Shopper) {
    let reasons = "SELECT count(*) FROM admin_actions WHERE reason LIKE '%lovelace%'";
    assert_eq!(system.number(reasons).await, 1, "that of the other person");
    let erased = format!(
        "SELECT count(*) FROM users WHERE id = {} AND username = 'erased:{}' AND disabled_at IS NOT NULL",
        ada.id, ada.id
    );
    assert_eq!(system.number(&erased).await, 1);
    assert_eq!(
        system
            .number(&format!(
                "SELECT count(*) FROM orders WHERE user_id = {} AND status = 'SUCCESS'",
                ada.id
            ))
            .await,
        1
    );
    let entries = "SELECT count(*) FROM admin_actions WHERE action = 'erase_user'";
    assert_eq!(system.number(entries).await, 1);
}

on_systems! {
    an_erased_person_is_in_no_table_key_or_record_and_their_order_stays,
    attempts_of_a_sale_are_removed_once_it_is_over_and_the_order_stays,
}

async fn an_erased_person_is_in_no_table_key_or_record_and_their_order_stays<S: Searched>(
    system: S,
) {
    let system = system.with_events().await;
    let (here, other) = (
        system.serve_with_events().await,
        system.another_node().await,
    );
    let there = other.as_ref().unwrap_or(&here);
    let worker = system.worker().await;
    system.produce_dead_letter();
    let (sale, product) = system.sale(5).await;
    here.wait_until_open(&system, sale).await;
    let form = json!({"username": "ada-lovelace", "email": "Ada.Lovelace@example.com", "password": "correct horse", "fullName": "Ada King"});
    assert_eq!(
        here.post("/api/auth/register", None, Some(form)).await.0,
        201
    );
    for name in ["ada.lovelace@example.com", "Ada.Lovelace@EXAMPLE.com "] {
        let form = json!({"username": name, "password": "correct horse"});
        let (status, body) = here.post("/api/auth/login", None, Some(form)).await;
        assert_eq!(status, 401, "an e-mail address is no user name: {body}");
    }
    let ada = here.login("ada-lovelace", "correct horse").await;
    let bob = here.register("bob").await;
    for buyer in [&ada, &bob] {
        assert_eq!(here.attempt(sale, buyer).await.0, 200);
        wait_until("the order is told", Duration::from_secs(10), || async {
            here.result(product, buyer).await.as_deref() == Some("SUCCESS")
        })
        .await;
    }
    operators_write_of_the_person(&system).await;
    let ada = here.login("ada-lovelace", "correct horse").await;
    let admin = system.shoppers(1).await.remove(0).with_role(Role::Admin);
    an_operator_gives_reasons(&here, &admin, sale).await;

    let export = command(&system, &["user", "export", "ada-lovelace"]).await;
    assert_eq!(export["user"]["email"], "Ada.Lovelace@example.com");
    assert_eq!(export["fullName"], "Ada King");
    assert_eq!(export["attempts"][0]["order"]["status"], "SUCCESS");
    assert!(export["actions"].as_array().unwrap().len() >= 3, "{export}");
    for text in ["Ada.Lovelace@example.com", "ada-lovelace", "Ada King"] {
        assert!(!system.places_with(text).await.is_empty(), "{text}");
    }

    let url = format!("{}/api/admin/users/{}", here.url, ada.id);
    let erase = async |token: &str| {
        here.http
            .delete(&url)
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(erase(&bob.token).await, 403);
    let operator = system.shoppers(1).await.remove(0).with_role(Role::Operator);
    assert_eq!(erase(&operator.token).await, 403);
    assert!(is_good(there, &ada).await);
    assert_eq!(erase(&admin.token).await, 204);
    assert!(!is_good(&here, &ada).await, "this node knows at once");
    wait_until("the token is refused everywhere", EVERYWHERE, || async {
        !is_good(there, &ada).await
    })
    .await;
    assert_eq!(erase(&admin.token).await, 204, "again: nothing is done");

    for text in ["ada.lovelace@example.com", "ada-lovelace", "Ada King"] {
        let mut places = system.places_with(text).await;
        // Another person's address that ends alike.
        places
            .retain(|place| place != "admin_actions.reason" || text != "ada.lovelace@example.com");
        assert!(places.is_empty(), "{text}: {places:?}");
    }
    what_stays(&system, &ada).await;
    let mut outputs = vec![here.process.output(), system.worker_output(&here, &worker)];
    outputs.extend(other.as_ref().map(|node| node.process.output()));
    for output in &outputs {
        assert!(
            !contains(output.as_bytes(), "ada.lovelace@example.com"),
            "{output}"
        );
    }
    assert!(outputs[0].contains("(an e-mail address)"), "{}", outputs[0]);
    // The chain is whole, and the name is free again.
    let (_, audit) = here.get("/api/admin/audits", Some(&admin)).await;
    assert_eq!(audit["data"]["actionLog"]["broken"], Value::Null, "{audit}");
    here.register("ada-lovelace").await;
    drop(worker);
    system.check_promises(sale).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_subject_is_gone_and_comes_back_as_a_new_person() {
    let key = SigningKey::ed("1");
    let issuer = TestIssuer::start(&[&key]).await;
    let system = OneProcess::start().await;
    let api = system.serve_as(&issuer.environment()).await;
    let exchange = async || {
        let form = json!({"token": key.token("grace@example.com")});
        api.post("/api/auth/exchange", None, Some(form)).await
    };
    wait_until("the keys are read", Duration::from_secs(15), || async {
        exchange().await.0 == 200
    })
    .await;
    let (_, body) = exchange().await;
    let id = body["data"]["userId"].as_str().unwrap().to_owned();
    let name = format!("external:{id}");
    let export = command(&system, &["user", "export", &name]).await;
    assert_eq!(export["externalIdentity"]["subject"], "grace@example.com");
    assert_eq!(export["externalIdentity"]["issuer"], NAME);
    let shopper = Shopper {
        id: 0,
        token: body["data"]["token"].as_str().unwrap().to_owned(),
    };
    let erased = command(&system, &["user", "erase", &name]).await;
    assert_eq!(
        (&erased["userId"], &erased["isNew"]),
        (&json!(id), &json!(true))
    );
    wait_until("the token is refused", EVERYWHERE, || async {
        !is_good(&api, &shopper).await
    })
    .await;
    assert!(system.places_with("grace@example.com").await.is_empty());
    let (_, body) = exchange().await;
    assert_ne!(body["data"]["userId"], json!(id), "a new account");
}

async fn attempts_of_a_sale_are_removed_once_it_is_over_and_the_order_stays<S: Searched>(
    system: S,
) {
    let api = system.serve().await;
    let _worker = system.worker().await;
    let (sale, product) = system.sale(1).await;
    api.wait_until_open(&system, sale).await;
    let buyers = system.shoppers(2).await;
    for buyer in &buyers {
        api.attempt(sale, buyer).await;
    }
    wait_until("the order is told", Duration::from_secs(10), || async {
        api.result(product, &buyers[0]).await.as_deref() == Some("SUCCESS")
    })
    .await;
    let attempts = format!("SELECT count(*) FROM purchase_attempts WHERE flash_sale_id = {sale}");
    let month = Utc::now().format("%Y-%m").to_string();
    let remove = ["attempts", "remove", "--before", &month];
    let removed = command(&system, &remove).await;
    assert_eq!(removed["attempts"], 0, "the sale is not over");
    assert_eq!(system.number(&attempts).await, 1);

    let end = Utc::now() - TimeDelta::days(40);
    let [start, end] = [end - TimeDelta::hours(1), end].map(|at| system.instant(at));
    system
        .sql(&format!(
            "UPDATE flash_sales SET start_time = '{start}', end_time = '{end}' WHERE id = {sale}"
        ))
        .await;
    let listed = command(&system, &[&remove[..], &["--dry-run"]].concat()).await;
    assert_eq!(
        (&listed["sales"], &listed["attempts"]),
        (&json!([sale]), &json!(0))
    );
    assert_eq!(system.number(&attempts).await, 1);
    let removed = command(&system, &remove).await;
    assert_eq!(
        (&removed["sales"], &removed["attempts"]),
        (&json!([sale]), &json!(1))
    );
    assert_eq!(system.number(&attempts).await, 0);
    let orders = format!("SELECT count(*) FROM orders WHERE flash_sale_id = {sale}");
    assert_eq!(system.number(&orders).await, 1);
    let again = command(&system, &remove).await;
    assert_eq!(
        (&again["sales"], &again["attempts"]),
        (&json!([]), &json!(0))
    );
}
