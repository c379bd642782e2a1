//! The command line: migrations, seeding, and what people read when something is wrong.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use crate::support::{
    kafka::{self, Topic},
    postgres::TestDatabase,
    process::{Process, complaint, free_port},
    system::{Servers, System},
    wait_until,
};

async fn run(arguments: &[&str], environment: &BTreeMap<String, String>) -> (bool, String) {
    Process::start(arguments, environment).outcome().await
}

/// How many migrations a kind of ledger has.
pub fn migrations(ledger: &str) -> usize {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    fs::read_dir(Path::new(folder).join(ledger))
        .unwrap()
        .count()
}

const TABLES: i64 = 23;

#[tokio::test]
async fn migrations_go_up_and_down_and_up() {
    let database = TestDatabase::empty().await.past_pooler();
    let environment = database.environment();
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '\\_\\_%'";
    let count = || async { database.query(tables).await[0].get::<_, i64>(0) };

    let (up, output) = run(&["migrate", "status"], &environment).await;
    assert!(
        !up && output.contains("missing") && complaint(&output).contains("flashsale migrate"),
        "{output}"
    );
    assert!(run(&["migrate", "--no-topics"], &environment).await.0);
    assert_eq!(count().await, TABLES);
    let (up, output) = run(&["migrate", "status"], &environment).await;
    assert!(up && !output.contains("missing"), "{output}");

    let (reverted, output) = run(&["migrate", "revert"], &environment).await;
    assert!(reverted && output.contains("taken back"), "{output}");
    let (up, output) = run(&["migrate", "status"], &environment).await;
    let missing = output.lines().filter(|line| line.starts_with("missing "));
    assert!(!up && missing.count() == 1, "{output}");
    for _ in 1..migrations("postgres") {
        assert!(run(&["migrate", "revert"], &environment).await.0);
    }
    assert_eq!(count().await, 0);
    let (nothing, output) = run(&["migrate", "revert"], &environment).await;
    assert!(nothing && output.contains("nothing taken back"), "{output}");

    assert!(
        run(&["migrate", "run", "--no-topics"], &environment)
            .await
            .0
    );
    assert_eq!(count().await, TABLES);
    let (again, output) = run(&["migrate", "--no-topics"], &environment).await;
    assert!(again && output.contains("nothing applied"), "{output}");

    let (reset, output) = run(&["migrate", "reset"], &environment).await;
    assert!(!reset && complaint(&output).contains("--yes"), "{output}");
    let (reset, output) = run(&["migrate", "reset", "--yes"], &environment).await;
    assert!(reset, "{output}");
    assert_eq!(count().await, TABLES);
}

#[tokio::test]
async fn a_process_of_the_version_before_knows_a_taken_name_by_its_index() {
    let database = TestDatabase::create().await;
    let client = database.client().await;
    let insert = "INSERT INTO users (username, email, password_hash) VALUES ($1, $2, '-')";
    client
        .execute(insert, &[&"Joe", &"joe@example.com"])
        .await
        .unwrap();
    for (username, email, index) in [
        ("JOE", "other@example.com", "users_username_lower_key"),
        ("other", "JOE@example.com", "users_email_lower_key"),
    ] {
        let refused = client.execute(insert, &[&username, &email]).await;
        let refused = refused.unwrap_err();
        let violated = refused.as_db_error().and_then(|error| error.constraint());
        assert_eq!(violated, Some(index));
    }
}

#[tokio::test]
async fn longer_usernames_build_no_index_anew_and_leave_no_session_with_the_old_type() {
    let database = TestDatabase::create().await.past_pooler();
    let environment = database.environment();
    let is_longer = async || {
        let length = "SELECT atttypmod - 4 FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'username'";
        database.query(length).await[0].get::<_, i32>(0) == 255
    };
    // By their files, which change when they are written anew; a name may change.
    let files = async || {
        let files = "SELECT oid, relfilenode FROM pg_class
            WHERE oid = 'users'::regclass OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'users'::regclass)";
        let rows = database.query(files).await;
        rows.iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect::<BTreeMap<u32, u32>>()
    };
    for _ in 0..migrations("postgres") {
        if is_longer().await {
            assert!(run(&["migrate", "revert"], &environment).await.0);
        }
    }
    let before = files().await;
    // As a process of the version before, whose prepared statements select the column.
    let [old, other] = [database.client().await, database.client().await];
    let name = "SET application_name = 'flashsale'";
    old.batch_execute(name).await.unwrap();
    assert!(run(&["migrate", "--no-topics"], &environment).await.0);
    assert!(old.simple_query("SELECT 1").await.is_err(), "it is ended");
    assert!(other.simple_query("SELECT 1").await.is_ok());
    assert!(is_longer().await);
    let after = files().await;
    let kept = before
        .iter()
        .filter(|(oid, _)| after.contains_key(oid))
        .collect::<Vec<_>>();
    // The table and its three unique indexes are still there.
    assert!(kept.len() >= 4, "{before:?} {after:?}");
    for (oid, file) in kept {
        assert_eq!(after[oid], *file, "relation {oid}");
    }
}

#[tokio::test]
async fn migrate_makes_the_database_and_the_topics_and_two_at_once_agree() {
    let topic = Topic::create().await;
    let database = TestDatabase::missing().past_pooler();
    let mut environment = database.environment();
    environment.extend(kafka::environment(&topic.config));
    environment.insert(
        "KAFKA_TOPIC_FLASH_SALE_ATTEMPTS".to_owned(),
        format!("{}.new", topic.config.topic),
    );
    environment.insert("KAFKA_PARTITIONS".to_owned(), "5".to_owned());
    let at_once = [
        Process::start(&["migrate"], &environment),
        Process::start(&["migrate"], &environment),
    ];
    for migrate in &at_once {
        assert!(migrate.end().await.success(), "{}", migrate.output());
        assert!(
            migrate.output().contains("5 partitions"),
            "{}",
            migrate.output()
        );
    }
    let outputs = format!("{}\n{}", at_once[0].output(), at_once[1].output());
    assert_eq!(
        outputs.matches("applied: ").count(),
        migrations("postgres"),
        "each migration is applied once: {outputs}"
    );
    assert!(
        outputs.contains(&format!("topic {}.new.dlq", topic.config.topic)),
        "{outputs}"
    );
    topic.delete_others(&[".new", ".new.dlq"]).await;
}

#[tokio::test]
async fn seeding_twice_changes_nothing() {
    let database = TestDatabase::create().await;
    let mut environment = database.environment();
    environment.insert("FLASH_SALE_TOTAL_STOCK".to_owned(), "3".to_owned());
    let count = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM products), (SELECT count(*) FROM flash_sales), \
                 (SELECT sum(remaining_stock) FROM flash_sales)";
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (seeded, output) = run(&["seed"], &environment).await;
        assert!(seeded, "{output}");
        let row = &database.query(count).await[0];
        seen.push(
            (0..4)
                .map(|column| row.get::<_, i64>(column))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(seen, [[4, 3, 1, 3], [4, 3, 1, 3]]);
}

#[tokio::test]
async fn the_seeded_sale_can_be_set_and_a_wrong_product_is_named() {
    let database = TestDatabase::create().await;
    let mut environment = database.environment();
    environment.insert("FLASH_SALE_PRODUCT_ID".to_owned(), "FLASH-002".to_owned());
    environment.insert(
        "FLASH_SALE_START_TIME".to_owned(),
        "2030-01-01T12:00:00Z".to_owned(),
    );
    let (seeded, output) = run(&["seed"], &environment).await;
    assert!(seeded && output.contains("2030-01-02T12:00:00"), "{output}");
    environment.insert("FLASH_SALE_PRODUCT_ID".to_owned(), "FLASH-9".to_owned());
    let (seeded, output) = run(&["seed"], &environment).await;
    assert!(
        !seeded && complaint(&output).contains("FLASH_SALE_PRODUCT_ID"),
        "{output}"
    );
}

#[tokio::test]
async fn every_wrong_setting_is_named_at_once() {
    let wrong = [
        ("PORT", "x"),
        ("REDIS_PORT", "0"),
        ("JWT_EXPIRES_IN", "soon"),
    ];
    let environment = wrong
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let (success, output) = run(&["serve"], &environment).await;
    assert!(!success);
    for (name, _) in wrong {
        assert!(output.contains(name), "{name} in {output}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_one_clear_line_and_no_waiting() {
    // A pooler does not tell a wrong password from a server that is away.
    let database = TestDatabase::create().await.past_pooler();
    let mut environment = database.environment();
    environment.insert("POSTGRES_PASSWORD".to_owned(), "wrong-secret".to_owned());
    environment.insert("PORT".to_owned(), "0".to_owned());
    for command in [&["migrate"][..], &["seed"], &["serve"], &["work"]] {
        let (success, output) = run(command, &environment).await;
        assert!(!success, "{command:?}");
        let complaint = complaint(&output);
        assert!(
            complaint.contains("POSTGRES_PASSWORD") && complaint.contains("authentication"),
            "{complaint}"
        );
        assert!(
            !output.contains("wrong-secret") && !output.contains("panicked"),
            "{output}"
        );
    }
}

#[tokio::test]
async fn a_missing_database_and_a_missing_schema_name_the_command_that_makes_them() {
    let missing = TestDatabase::missing().past_pooler();
    let empty = TestDatabase::empty().await.past_pooler();
    for environment in [missing.environment(), empty.environment()] {
        let (success, output) = run(&["work"], &environment).await;
        assert!(
            !success && complaint(&output).contains("flashsale migrate"),
            "{output}"
        );
    }
}

#[tokio::test]
async fn a_taken_port_is_one_clear_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let environment = BTreeMap::from([
        ("HOST".to_owned(), "127.0.0.1".to_owned()),
        ("PORT".to_owned(), port),
    ]);
    let (success, output) = run(&["serve"], &environment).await;
    assert!(
        !success && complaint(&output).contains("HOST and PORT"),
        "{output}"
    );
}

#[tokio::test]
async fn serve_and_work_wait_for_their_servers_with_bounded_patience() {
    let nowhere = [
        ("POSTGRES_PORT", "1"),
        ("REDIS_PORT", "1"),
        ("KAFKA_BROKERS", "127.0.0.1:1"),
        ("PORT", "0"),
        ("STARTUP_TIMEOUT_SECS", "2"),
    ];
    let environment = nowhere
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    for command in ["serve", "work"] {
        let (success, output) = run(&[command], &environment).await;
        assert!(!success);
        for server in ["PostgreSQL", "Kafka", "Redis"] {
            assert!(
                output.contains(&format!("waiting up to 2 s for {server}")),
                "{output}"
            );
        }
        assert!(
            complaint(&output).contains("STARTUP_TIMEOUT_SECS"),
            "{output}"
        );
    }
}

#[tokio::test]
async fn an_api_started_before_redis_serves_once_redis_is_there() {
    let mut system = Servers::start().await;
    system.redis.as_mut().unwrap().kill();
    let port = free_port();
    let process = system.run(&["serve", "--port", &port.to_string()]);
    process.wait_for_line("waiting up to 20 s for Redis").await;
    // Rather than left without an answer.
    let refused = std::net::TcpStream::connect(("127.0.0.1", port));
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    system.redis.as_mut().unwrap().restart();
    process.wait_for_line("serving http://").await;
}

#[tokio::test]
async fn an_api_recovers_when_redis_comes_back() {
    let mut system = Servers::start().await;
    let (api, _worker) = (system.serve().await, system.work().await);
    let (sale, _) = system.sale(5).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(2).await;
    assert_eq!(api.attempt(sale, &shoppers[0]).await.0, 200);

    system.redis.as_mut().unwrap().kill();
    let (status, body) = api.attempt(sale, &shoppers[1]).await;
    assert_eq!(status, 503, "{body}");
    assert_eq!(api.get("/health", None).await.0, 200);
    wait_until(
        "the API says that it is not ready",
        Duration::from_secs(5),
        || async { api.get("/health/ready", None).await.0 == 503 },
    )
    .await;

    system.redis.as_mut().unwrap().restart();
    wait_until("the sale goes on", Duration::from_secs(15), || async {
        api.attempt(sale, &shoppers[1]).await.0 == 200
    })
    .await;
    assert_eq!(system.check_promises(sale).await.orders, 2);
}

#[tokio::test]
async fn an_api_that_is_asked_to_stop_finishes_and_ends_well() {
    let system = Servers::start().await;
    let (api, _worker) = (system.serve().await, system.work().await);
    api.process.terminate();
    assert!(
        api.process.end().await.success(),
        "{}",
        api.process.output()
    );
}
