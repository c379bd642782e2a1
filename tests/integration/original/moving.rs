//! A shop of the original service moves here, step by step as docs/COMPATIBILITY.md says: its database, its topic, its Redis
//! and its tokens.

use std::{fs, path::Path, time::Duration};

use chrono::{SecondsFormat, Utc};
use serde_json::json;

use super::database::{USERS, contents, empty, shop};
use crate::support::{
    api::{Api, JWT_SECRET, Shopper},
    postgres::TestDatabase,
    process::complaint,
    system::{Servers, System},
    wait_until,
};

/// An import of a database into that of the system. What it said.
async fn import(system: &Servers, from: &TestDatabase, more: &[&str]) -> (bool, String) {
    let name = from.config.database.as_str();
    let arguments = [&["import", "--from-original", name], more].concat();
    system.run(&arguments).outcome().await
}

/// A token of the original for one of its accounts, from an hour ago.
fn token_of_the_original(id: i64) -> Shopper {
    use jsonwebtoken::{EncodingKey, Header, encode};

    let now = Utc::now().timestamp();
    let claims =
        json!({"userId": id.to_string(), "username": "x", "iat": now - 3600, "exp": now + 3600});
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    Shopper {
        id,
        token: encode(&Header::default(), &claims, &key).unwrap(),
    }
}

async fn hash_of(system: &Servers, id: i64) -> String {
    let query = format!("SELECT password_hash FROM users WHERE id = {id}");
    system.database.query(&query).await[0].get(0)
}

/// Accepted by the original's API and not seen by its worker, or seen long ago: before the sale's window was cut.
fn log_as_the_original(system: &Servers) {
    let at = Utc::now() - chrono::Duration::minutes(30);
    let text = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let texts = |user: i64| {
        json!({"userId": user.to_string(), "productId": "1", "saleId": "1", "timestamp": text})
            .to_string()
    };
    let numbers =
        json!({"userId": 7, "productId": 1, "saleId": 1, "timestamp": at.timestamp_millis()});
    let records = [
        ("2", texts(2)),
        ("8", texts(8)),
        ("9", texts(9)),
        ("7", numbers.to_string()),
        ("9", texts(9)),
    ];
    let records: Vec<_> = records
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    system.topic.produce_with_apache_s_client(&records);
}

/// What it keeps in Redis, by products.
fn fill_redis_as_the_original(system: &Servers) {
    let redis = system.redis.as_ref().unwrap();
    redis.cli(&["SET", "flashsale:stock:1", "2"]);
    redis.cli(&["SADD", "flashsale:attempted:1", "2", "8", "9", "7", "99"]);
    for (key, value) in [
        ("flashsale:result:2:1", "1"),
        ("flashsale:result:8:1", "0"),
        ("flashsale:result:4:2", "1"),
        ("flashsale:result:6:2", "0"),
    ] {
        redis.cli(&["SET", key, value, "EX", "86400"]);
    }
}

/// All problems are told at once, solved by the proposals, and the rows are there.
async fn move_database(system: &Servers, original: &TestDatabase, changes: &Path) {
    let before = contents(original).await;
    let (imported, said) = import(system, original, &[]).await;
    assert!(!imported, "{said}");
    for problem in [
        r#"user 5: the username "ADA" is that of user 4, "Ada""#,
        r#"user 7: the username "müller" is that of user 6, "Müller""#,
        r#"user 7: the email "müller@example.com" is that of user 6, "MÜLLER@example.com""#,
        "order 3: user 99 does not exist",
        "order 4: it names product 2, and its sale product 1",
        "sale 2: 2 SUCCESS orders of 1 units: it was oversold",
        "sales 2 and 3 of product 2: the one ends at",
    ] {
        assert!(said.contains(problem), "{problem} in {said}");
    }
    assert!(
        complaint(&said).contains("7 things are in the way"),
        "{said}"
    );

    let file = changes.to_str().unwrap();
    let (imported, said) = import(system, original, &["--propose", file]).await;
    assert!(!imported && complaint(&said).contains(file), "{said}");
    let proposed = fs::read_to_string(changes).unwrap();
    assert!(
        proposed.contains(r#"{"user":{"id":5,"username":"ADA-5"}}"#),
        "{proposed}"
    );
    let (again, said) = import(system, original, &["--propose", file]).await;
    assert!(
        !again && said.contains("cannot write"),
        "a file that was looked at stays: {said}"
    );
    let looked_at = proposed.replace("ADA-5", "ada.two");
    fs::write(
        changes,
        looked_at + "{\"user\":{\"id\":1,\"role\":\"admin\"}}\n",
    )
    .unwrap();

    let users = "SELECT count(*) FROM users";
    let (dry, said) = import(system, original, &["--changes", file, "--dry-run"]).await;
    assert!(dry && said.contains("dry run"), "{said}");
    assert!(
        said.contains("11 users, 2 products, 3 sales, 7 orders"),
        "{said}"
    );
    assert_eq!(system.number(users).await, 0);

    // Whatever fails in the middle takes all of it back.
    system
        .sql("ALTER TABLE orders ADD CONSTRAINT test_refuses CHECK (user_id <> 4)")
        .await;
    let (imported, said) = import(system, original, &["--changes", file]).await;
    assert!(
        !imported && complaint(&said).contains("nothing was taken over"),
        "{said}"
    );
    assert_eq!(system.number(users).await, 0);
    system
        .sql("ALTER TABLE orders DROP CONSTRAINT test_refuses")
        .await;

    let (imported, said) = import(system, original, &["--changes", file]).await;
    assert!(
        imported && said.contains("11 users, 2 products, 3 sales, 7 orders"),
        "{said}"
    );
    assert!(
        said.contains("PENDING orders: 1") && said.contains("FAILED orders: 1"),
        "{said}"
    );
    assert!(
        said.contains("accounts with neither a bcrypt nor an argon2 hash: 2"),
        "{said}"
    );
    assert_eq!(contents(original).await, before, "nothing is changed there");
    let (again, said) = import(system, original, &["--changes", file]).await;
    assert!(
        !again && complaint(&said).contains("is not empty (11 users"),
        "{said}"
    );
}

#[tokio::test]
async fn a_shop_moves_with_its_database_its_topic_its_redis_and_its_tokens() {
    let (system, original) = (Servers::start().await, shop().await);
    let directory = tempfile::tempdir().unwrap();
    log_as_the_original(&system);
    fill_redis_as_the_original(&system);
    move_database(&system, &original, &directory.path().join("changes.jsonl")).await;

    let stock = "SELECT remaining_stock::bigint FROM flash_sales WHERE id = 1";
    assert_eq!(system.number(stock).await, 3, "recomputed from the orders");
    let uuid = "SELECT order_uuid::text FROM orders WHERE user_id = 2";
    let theirs: String = original.query(uuid).await[0].get(0);
    let ours = "SELECT id::text FROM orders WHERE user_id = 2";
    assert_eq!(
        system.database.query(ours).await[0].get::<_, String>(0),
        theirs
    );

    let (api, _worker): (Api, _) = (system.serve().await, system.work().await);
    system.wait_until_open(1).await;
    // The topic is gone on with: two of its records had no order yet, and one unit is left.
    let orders = "SELECT count(*) FROM orders WHERE flash_sale_id = 1 AND status = 'SUCCESS'";
    wait_until("the log is settled", Duration::from_secs(20), || async {
        system.log_is_settled().await && system.number(orders).await == 5
    })
    .await;
    let failed = "SELECT count(*) FROM orders WHERE user_id = 8 AND status = 'FAILED'";
    assert_eq!(
        system.number(failed).await,
        1,
        "who was told FAILED gets no order"
    );

    assert!(
        system.dead_letter_causes().await.is_empty(),
        "nobody noted when the sale was open before"
    );

    // Its tokens and its results.
    for (user, product, result) in [
        (2, 1, Some("SUCCESS")),
        (8, 1, Some("FAILED")),
        (9, 1, Some("SUCCESS")),
        (7, 1, Some("SUCCESS")),
        (4, 2, Some("SUCCESS")),
        (6, 2, Some("FAILED")),
        (1, 1, None),
    ] {
        let shopper = token_of_the_original(user);
        let what = format!("user {user} is told {result:?} of product {product}");
        wait_until(&what, Duration::from_secs(10), || async {
            api.result(product, &shopper).await.as_deref() == result
        })
        .await;
    }
    // An account that orders named and that nobody had is new: a token from before is not its.
    let stranger = token_of_the_original(99);
    assert_eq!(
        api.get("/api/orders/status/1", Some(&stranger)).await.0,
        401
    );

    let again = api.attempt(1, &token_of_the_original(2)).await;
    assert_eq!(
        (again.0, &again.1["data"]["status"]),
        (200, &json!("SUCCESS"))
    );
    assert_eq!(again.1["data"]["attemptId"], theirs);

    log_in_with_the_old_passwords(&system, &api).await;
    let buyer = api.login("ab", "x").await;
    assert_eq!(api.attempt(1, &buyer).await.0, 200, "the last unit");
    let late = api.login("ada.two", "ADA password").await;
    assert_eq!(api.attempt(1, &late).await.0, 409);
    let newcomer = api.register("newcomer").await;
    assert_eq!(newcomer.id, 100, "ids go on behind the last one");
    assert_eq!(system.check_promises(1).await.orders, 6);
}

/// By names that registration would not give today, with bcrypt hashes that are replaced by ours.
async fn log_in_with_the_old_passwords(system: &Servers, api: &Api) {
    for name in ["joe@shop.com", "nobody", "waiting"] {
        let login = json!({"username": name, "password": "wrong password"});
        let (status, body) = api.post("/api/auth/login", None, Some(login)).await;
        assert_eq!(
            (status, &body["code"]),
            (401, &json!("invalid_credentials")),
            "{name}"
        );
    }
    for (id, (name, _, password)) in (1..).zip(USERS) {
        if password.is_empty() {
            continue;
        }
        assert!(hash_of(system, id).await.starts_with("$2b$"), "{name}");
        let name = match *name {
            "ADA" => "ada.two",
            "müller" => "müller-7",
            name => name,
        };
        assert_eq!(api.login(name, password).await.id, id, "{name}");
        let hash = hash_of(system, id).await;
        assert!(hash.starts_with("$argon2id$"), "{name}: {hash}");
        assert_eq!(api.login(&name.to_uppercase(), password).await.id, id);
        assert_eq!(hash_of(system, id).await, hash, "once");
    }
}

#[tokio::test]
async fn on_a_database_of_the_original_every_command_says_what_to_do() {
    let system = Servers::start().await;
    // `migrate` needs a session of its own.
    let original = shop().await.past_pooler();
    let before = contents(&original).await;
    let mut environment = original.environment();
    environment.insert("POSTGRES_POOLER".to_owned(), "none".to_owned());
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let count = original.query(tables).await[0].get::<_, i64>(0);
    for command in [
        &["migrate", "--no-topics"][..],
        &["migrate", "status"],
        &["migrate", "revert"],
        &["migrate", "reset", "--yes"],
        &["seed"],
        &["work"],
        &["audit"],
    ] {
        let process = system.run_with(command, &environment);
        let (done, said) = process.outcome().await;
        assert!(!done, "{command:?}: {said}");
        let complaint = complaint(&said);
        assert!(
            complaint.contains("is one of the original service")
                && complaint.contains("import --from-original"),
            "{command:?}: {said}"
        );
    }
    assert_eq!(contents(&original).await, before);
    assert_eq!(original.query(tables).await[0].get::<_, i64>(0), count);
}

#[tokio::test]
async fn what_is_no_database_of_the_original_is_not_imported() {
    let (system, ours, nothing) = (
        Servers::start().await,
        TestDatabase::create().await,
        TestDatabase::missing(),
    );
    let (imported, said) = import(&system, &ours, &[]).await;
    assert!(
        !imported && complaint(&said).contains("it lacks flash_sales.start_at"),
        "{said}"
    );
    let (imported, said) = import(&system, &nothing, &[]).await;
    assert!(
        !imported && complaint(&said).contains("ORIGINAL_POSTGRES_HOST"),
        "{said}"
    );

    let directory = tempfile::tempdir().unwrap();
    let changes = directory.path().join("changes.jsonl");
    let file = changes.to_str().unwrap();
    let original = empty().await;
    for (text, cause) in [
        (
            "{\"user\":{\"id\":8,\"name\":\"x\"}}",
            "line 1 is not a change",
        ),
        (
            "{\"order\":{\"id\":8,\"skip\":true}}",
            "the changes name order 8, which does not exist",
        ),
        (
            "{\"user\":{\"id\":8,\"username\":\"x\"}}",
            "the changes name user 8, which does not exist",
        ),
    ] {
        fs::write(&changes, text).unwrap();
        let (imported, said) = import(&system, &original, &["--changes", file]).await;
        assert!(!imported && said.contains(cause), "{said}");
    }
    let (imported, said) = import(&system, &original, &[]).await;
    assert!(
        imported && said.contains("0 users, 0 products, 0 sales, 0 orders"),
        "{said}"
    );
}

#[tokio::test]
async fn a_proposed_account_whose_names_are_taken_is_solved_by_the_next_proposal() {
    let (system, original) = (Servers::start().await, empty().await);
    let rows = "
        INSERT INTO users (username, email, password_hash) VALUES ('user-99', 'user-99@invalid', 'none');
        INSERT INTO products (sku, name) VALUES ('A', 'a');
        INSERT INTO flash_sales (product_id, start_at, end_at, initial_stock, remaining_stock)
            VALUES (1, now() - interval '2 hours', now() - interval '1 hour', 6, 6);
        INSERT INTO orders (sale_id, product_id, user_id, status) VALUES (1, 1, 99, 'SUCCESS')";
    original.client().await.batch_execute(rows).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = |name| directory.path().join(name).display().to_string();
    let (first, second) = (file("first"), file("second"));

    let (imported, said) = import(&system, &original, &["--propose", &first]).await;
    assert!(
        !imported && said.contains("user 99 does not exist"),
        "{said}"
    );
    let both = ["--changes", &first, "--propose", &second];
    let (imported, said) = import(&system, &original, &both).await;
    let clash = r#"user 99: the username "user-99" is that of user 1, "user-99""#;
    assert!(!imported && said.contains(clash), "{said}");
    let (imported, said) = import(&system, &original, &["--changes", &second]).await;
    assert!(imported && said.contains("2 users"), "{said}");
    let made = "SELECT username || ' ' || email FROM users WHERE id = 99";
    let made: String = system.database.query(made).await[0].get(0);
    assert_eq!(made, "user-99-99 user-99+99@invalid");
}
