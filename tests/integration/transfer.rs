//! A shop moves from one machine to servers: export, import, and everything is there.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use flashsale::engine::{
    postgres::import::{self, Fed, Finish, Windows},
    transfer::Sealer,
};
use serde_json::json;

use crate::support::{
    api::{Api, Shopper},
    embedded,
    postgres::TestDatabase,
    process::Process,
    system::{OneProcess, System},
    wait_until,
};

/// A shop with two sales: one sold out with a loser, one with units left. What it exported, and its sales.
async fn a_shop_that_moves(system: &OneProcess, out: &Path) -> (i64, i64) {
    let api = system.serve().await;
    let (sold_out, _) = system.sale(2).await;
    api.wait_until_open(system, sold_out).await;
    let buyer = api.register("buyer").await;
    let shoppers = system.shoppers(2).await;
    for shopper in [&buyer, &shoppers[0]] {
        assert_eq!(api.attempt(sold_out, shopper).await.0, 200);
    }
    assert_eq!(api.attempt(sold_out, &shoppers[1]).await.0, 409);
    system.check_promises(sold_out).await;
    let (open, _) = system.sale(5).await;
    wait_until("the second sale sells", Duration::from_secs(10), || async {
        api.attempt(open, &buyer).await.0 == 200
    })
    .await;
    let shut_out = format!(
        "UPDATE users SET role = 'auditor', disabled_at = 5000, tokens_valid_from = 7000 WHERE id = {}",
        shoppers[1].id
    );
    system.sql(&shut_out).await;
    // Whatever it leaves unsettled, the export settles.
    api.process.kill();
    export(system, out).await;
    (sold_out, open)
}

async fn export(system: &OneProcess, out: &Path) {
    let directory = system.directory();
    let arguments = [
        "export",
        "--data-dir",
        directory.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    let mut environment = OneProcess::environment();
    environment.insert("ENABLE_CONSUMER".to_owned(), "false".to_owned());
    let export = Process::start(&arguments, &environment);
    assert!(export.end().await.success(), "{}", export.output());
}

/// The end of an import into a database, and what it said.
async fn import(database: &TestDatabase, file: &Path) -> (bool, String) {
    import_with(database, file, &[]).await
}

async fn import_with(database: &TestDatabase, file: &Path, more: &[&str]) -> (bool, String) {
    let mut arguments = vec!["import", file.to_str().unwrap()];
    arguments.extend(more);
    let import = Process::start(&arguments, &database.environment());
    (import.end().await.success(), import.output())
}

async fn number(database: &TestDatabase, query: &str) -> i64 {
    database.query(query).await[0].get(0)
}

#[tokio::test]
async fn a_shop_moves_to_postgresql_with_all_that_it_has() {
    let (system, out) = (OneProcess::start().await, tempfile::tempdir().unwrap());
    let file = out.path().join("shop.jsonl");
    let (sold_out, open) = a_shop_that_moves(&system, &file).await;
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "it holds password hashes");

    let database = TestDatabase::create().await;
    let (imported, said) = import(&database, &file).await;
    assert!(imported, "{said}");
    assert!(
        said.contains("3 users, 2 products, 2 sales, 3 orders"),
        "{said}"
    );
    let mut conn = embedded::connect(&system.directory());
    for query in [
        "SELECT count(*) FROM users",
        "SELECT CAST(sum(id) AS BIGINT) FROM users",
        "SELECT CAST(sum(id) AS BIGINT) FROM users WHERE role = 'auditor' AND disabled_at IS NOT NULL",
        "SELECT count(*) FROM orders WHERE status = 'SUCCESS'",
        "SELECT CAST(sum(user_id * 1000 + flash_sale_id) AS BIGINT) FROM orders",
        "SELECT CAST(sum(remaining_stock * id) AS BIGINT) FROM flash_sales",
        "SELECT CAST(sum(price_cents) AS BIGINT) FROM products",
    ] {
        let (there, here) = (
            number(&database, query).await,
            embedded::number(&mut conn, query),
        );
        assert_eq!(there, here, "{query}");
    }
    let remaining =
        format!("SELECT remaining_stock::bigint FROM flash_sales WHERE id = {sold_out}");
    assert_eq!(number(&database, &remaining).await, 0);
    let ended = "SELECT extract(epoch FROM sum(tokens_valid_from - 'epoch'))::bigint FROM users";
    assert_eq!(number(&database, ended).await, 7);
    // The next ids are new ones.
    database
        .query("INSERT INTO users (username, email, password_hash) VALUES ('new', 'new', '-')")
        .await;
    assert_eq!(open, 2);

    let (again, said) = import(&database, &file).await;
    assert!(!again && said.contains("is not empty (4 users"), "{said}");
}

#[tokio::test]
async fn states_of_sales_and_details_of_products_move_along() {
    let (system, out) = (OneProcess::start().await, tempfile::tempdir().unwrap());
    let file = out.path().join("shop.jsonl");
    let api = system.serve().await;
    system.sale(5).await;
    let (sale, product) = system.sale(7).await;
    api.process.kill();
    // Cancelled while it was a draft, and seen by nobody.
    system
        .sql(&format!(
            "INSERT INTO flash_sales (id, product_id, start_time, end_time, initial_stock, remaining_stock, state) \
             VALUES (77, {product}, 1, 2, 5, 5, 'DRAFT')"
        ))
        .await;
    system
        .sql("UPDATE flash_sales SET state = 'CANCELLED' WHERE id = 77")
        .await;
    system
        .sql(&format!(
            "UPDATE flash_sales SET state = 'CANCELLED', paused_at = 1800000000123, note = 'over' WHERE id = {sale}"
        ))
        .await;
    system
        .sql(&format!(
            "UPDATE products SET currency = 'EUR', image_url = 'https://example.com/a.png', prior_price_cents = 200 \
             WHERE id = {product}"
        ))
        .await;
    export(&system, &file).await;
    let database = TestDatabase::create().await;
    let (imported, said) = import(&database, &file).await;
    assert!(imported, "{said}");
    for (query, expected) in [
        (
            "SELECT count(*) FROM flash_sales WHERE state = 'CANCELLED' AND paused_at = '2027-01-15T08:00:00.123Z' AND note = 'over'",
            1,
        ),
        (
            "SELECT count(*) FROM flash_sales WHERE state = 'CANCELLED' AND admitted_from > admitted_until AND id = 77",
            1,
        ),
        (
            "SELECT count(*) FROM flash_sales WHERE state = 'CANCELLED' AND admitted_from < admitted_until",
            1,
        ),
        (
            "SELECT count(*) FROM flash_sales WHERE state = 'LIVE' AND paused_at IS NULL AND note = ''",
            1,
        ),
        (
            "SELECT count(*) FROM products WHERE currency = 'EUR' AND image_url LIKE 'https:%' AND prior_price_cents = 200",
            1,
        ),
        (
            "SELECT count(*) FROM products WHERE currency = 'USD' AND image_url IS NULL",
            1,
        ),
    ] {
        assert_eq!(number(&database, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn the_moved_shop_goes_on_selling_on_servers() {
    let (system, out) = (OneProcess::start().await, tempfile::tempdir().unwrap());
    let file = out.path().join("shop.jsonl");
    let (sold_out, open) = a_shop_that_moves(&system, &file).await;
    let product = system
        .number(&format!(
            "SELECT product_id FROM flash_sales WHERE id = {sold_out}"
        ))
        .await;

    let servers = crate::support::system::Servers::start().await;
    let (imported, said) = import(&servers.database, &file).await;
    assert!(imported, "{said}");
    let (api, _worker): (Api, Process) = (servers.serve().await, servers.work().await);
    let login = json!({"username": "buyer", "password": "password123"});
    let (status, body) = api.post("/api/auth/login", None, Some(login)).await;
    assert_eq!(status, 200, "{body}");
    let buyer = Shopper {
        id: body["data"]["userId"].as_str().unwrap().parse().unwrap(),
        token: body["data"]["token"].as_str().unwrap().to_owned(),
    };
    for sale in [sold_out, open] {
        wait_until("the sale is open", Duration::from_secs(20), || async {
            servers.gate_balance(sale).await.is_some()
        })
        .await;
        let (status, body) = api.attempt(sale, &buyer).await;
        assert_eq!(
            (status, &body["data"]["status"]),
            (200, &json!("SUCCESS")),
            "the order came along"
        );
    }
    let newcomer = api.register("newcomer").await;
    assert_eq!(api.attempt(sold_out, &newcomer).await.0, 409);
    assert_eq!(api.attempt(open, &newcomer).await.0, 200);
    assert_eq!(servers.check_promises(open).await.orders, 2);
    assert_eq!(servers.check_promises(sold_out).await.orders, 2);
    let result = api.result(product, &buyer).await;
    assert_eq!(result.as_deref(), Some("SUCCESS"), "never told here before");
}

#[tokio::test]
async fn buyers_of_a_sale_that_is_over_are_told_so_after_the_move() {
    let (system, out) = (OneProcess::start().await, tempfile::tempdir().unwrap());
    let file = out.path().join("shop.jsonl");
    let (sale, _) = a_shop_that_moves(&system, &file).await;
    let servers = crate::support::system::Servers::start().await;
    let (imported, said) = import(&servers.database, &file).await;
    assert!(imported, "{said}");
    servers
        .sql(&format!(
            "UPDATE flash_sales SET end_time = now() - interval '1 minute', start_time = now() - interval '1 hour' WHERE id = {sale}"
        ))
        .await;
    let (api, _worker) = (servers.serve().await, servers.work().await);
    let buyer = api.login("buyer", "password123").await;
    let product = format!("SELECT product_id FROM flash_sales WHERE id = {sale}");
    let product = servers.number(&product).await;
    wait_until("the buyer is told", Duration::from_secs(20), || async {
        api.result(product, &buyer).await.as_deref() == Some("SUCCESS")
    })
    .await;
}

#[tokio::test]
async fn an_export_that_was_changed_or_cut_off_is_not_taken() {
    let (system, out) = (OneProcess::start().await, tempfile::tempdir().unwrap());
    let file = out.path().join("shop.jsonl");
    a_shop_that_moves(&system, &file).await;
    let whole = fs::read_to_string(&file).unwrap();
    let database = TestDatabase::create().await;
    let lines: Vec<&str> = whole.lines().collect();
    let cut = lines[..lines.len() - 1].join("\n");
    let stolen = whole.replace("\"status\":\"SUCCESS\"", "\"status\":\"FAILED\"");
    for (text, cause) in [
        (cut, "cut off"),
        (stolen, "the orders are not those that were exported"),
        ("{}".to_owned(), "line 1 is not one of an export"),
    ] {
        fs::write(&file, text).unwrap();
        let (imported, said) = import(&database, &file).await;
        assert!(!imported && said.contains(cause), "{said}");
        assert_eq!(number(&database, "SELECT count(*) FROM users").await, 0);
    }
}

#[tokio::test]
async fn accounts_with_one_name_are_all_named_and_a_file_renames_them() {
    let (system, out) = (OneProcess::start().await, tempfile::tempdir().unwrap());
    let file = out.path().join("shop.jsonl");
    for (name, email) in [
        ("owner", "MÜLLER@example.com"),
        ("stranger", "müller@example.com"),
        ("straße", "one@example.com"),
        ("STRASSE", "ONE@EXAMPLE.com\u{200b}"),
    ] {
        system
            .sql(&format!(
                "INSERT INTO users (username, email, password_hash) VALUES ('{name}', '{email}', '-')"
            ))
            .await;
    }
    export(&system, &file).await;
    let database = TestDatabase::create().await;
    let (imported, said) = import(&database, &file).await;
    assert!(!imported, "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| line.contains(" # ")).collect();
    assert_eq!(
        lines,
        [
            "2 email account-2@renamed.invalid # \"müller@example.com\" is \"MÜLLER@example.com\" of account 1",
            "4 username account-4 # \"STRASSE\" is \"straße\" of account 3",
            "4 email account-4@renamed.invalid # \"ONE@EXAMPLE.com\\u{200b}\" is \"one@example.com\" of account 3",
        ],
        "{said}"
    );
    assert_eq!(number(&database, "SELECT count(*) FROM users").await, 0);

    // As they are printed, the lines are a file of new names.
    let renames = out.path().join("renames");
    let renames_path = renames.to_str().unwrap();
    fs::write(&renames, format!("{}\n99 email x@y", lines.join("\n"))).unwrap();
    let (imported, said) = import_with(&database, &file, &["--rename", renames_path]).await;
    assert!(
        !imported && said.contains("not in the export: 99"),
        "{said}"
    );
    fs::write(&renames, lines.join("\n")).unwrap();
    let (imported, said) = import_with(&database, &file, &["--rename", renames_path]).await;
    assert!(imported, "{said}");
    let named = "SELECT count(*) FROM users WHERE email = 'MÜLLER@example.com' AND id = 1
        OR email = 'account-2@renamed.invalid' AND username = 'stranger' OR username = 'account-4'";
    assert_eq!(number(&database, named).await, 3);
}

#[tokio::test]
async fn what_cannot_be_exported_or_imported_is_said_in_one_line() {
    let environment: BTreeMap<_, _> = OneProcess::environment();
    let empty = tempfile::tempdir().unwrap();
    let nothing = empty.path().to_str().unwrap();
    for (arguments, cause) in [
        (
            vec!["export", "--data-dir", nothing],
            "there is no data file in",
        ),
        (
            vec!["import", "/nowhere/shop.jsonl"],
            "cannot read /nowhere/shop.jsonl",
        ),
    ] {
        let process = Process::start(&arguments, &environment);
        assert!(!process.end().await.success());
        let said = process.output();
        assert!(said.contains(cause) && said.lines().count() == 1, "{said}");
    }
}

#[tokio::test]
async fn an_import_that_waits_for_rows_is_not_taken_for_one_that_stopped() {
    let database = TestDatabase::create().await;
    let (rows, fed) = tokio::sync::mpsc::channel(1);
    let importing = import::import(&database.config, fed, Windows::OfNow, Finish::Commit);
    let waiting = async {
        // Silent since its last statement; the server ends one that is silent for a minute.
        let heard = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND state = 'idle in transaction' AND state_change > xact_start + interval '2 s'";
        wait_until(
            "it gives a sign of life",
            Duration::from_secs(30),
            || async { database.query(heard).await[0].get::<_, i64>(0) == 1 },
        )
        .await;
        let end = Fed::End(Sealer::default().seals());
        assert!(rows.send(end).await.is_ok());
    };
    let (imported, ()) = tokio::join!(importing, waiting);
    assert_eq!(imported.unwrap(), Sealer::default().seals());
}
