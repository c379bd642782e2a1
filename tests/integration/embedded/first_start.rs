//! The first minute: a directory that is not there yet, no server anywhere, and what is printed.

use crate::support::{
    api::Api,
    process::Process,
    system::{OneProcess, System},
};

/// What the process tells whoever started it.
async fn banner(api: &Api) -> String {
    api.process.wait_for_line("Ctrl-C").await;
    api.process.answer()
}

/// Accounts, products and sales.
async fn rows(system: &OneProcess) -> [i64; 3] {
    [
        system.number("SELECT count(*) FROM users").await,
        system.number("SELECT count(*) FROM products").await,
        system.number("SELECT count(*) FROM flash_sales").await,
    ]
}

#[tokio::test]
async fn a_new_directory_is_seeded_and_the_banner_says_where_to_look() {
    let system = OneProcess::on_nothing();
    let sale = [
        ("FLASH_SALE_TOTAL_STOCK", "37"),
        ("FLASH_SALE_END_TIME", "2031-02-03T04:05:06Z"),
    ];
    let api = system.serve_with(&[], &sale).await;
    let banner = banner(&api).await;
    let id = system.number("SELECT id FROM flash_sales").await;
    let file = system.file();
    let told = [
        &api.url,
        &format!("{}/api-docs", api.url),
        "admin / admin123",
        "user1 / password123",
        &format!("{id}: 37 of 37 units"),
        "2031-02-03T04:05:06Z",
        file.to_str().unwrap(),
        "demo accounts, products and a sale were made",
    ];
    for text in told {
        assert!(banner.contains(text), "{text:?} in {banner}");
    }
    assert_eq!(rows(&system).await, [4, 3, 1]);
}

/// The settings of the original service have a sale in 2024.
#[tokio::test]
async fn a_first_start_with_a_sale_that_is_over_makes_everything_else() {
    let system = OneProcess::on_nothing();
    let over = [
        ("FLASH_SALE_START_TIME", "2024-01-01T00:00:00Z"),
        ("FLASH_SALE_END_TIME", "2024-01-01T23:59:59Z"),
    ];
    let api = system.serve_with(&[], &over).await;
    let banner = banner(&api).await;
    for text in [
        "Sale           none",
        "demo accounts and products were made",
        "admin / admin123",
    ] {
        assert!(banner.contains(text), "{text:?} in {banner}");
    }
    assert_eq!(rows(&system).await, [4, 3, 0]);
}

#[tokio::test]
async fn a_demo_shopper_buys_with_every_server_out_of_reach() {
    let system = OneProcess::on_nothing();
    let nowhere = [
        ("POSTGRES_HOST", "127.0.0.1"),
        ("POSTGRES_PORT", "1"),
        ("REDIS_HOST", "127.0.0.1"),
        ("REDIS_PORT", "1"),
        ("KAFKA_BROKERS", "127.0.0.1:1"),
    ];
    let api = system.serve_with(&[], &nowhere).await;
    assert_eq!(api.get("/health/ready", None).await.0, 200);
    let shopper = api.login("user1", "password123").await;
    let id = system.number("SELECT id FROM flash_sales").await;
    let product = system.number("SELECT product_id FROM flash_sales").await;
    system.wait_until_open(id).await;
    assert_eq!(api.attempt(id, &shopper).await.0, 200);
    let balance = system.check_promises(id).await;
    assert_eq!((balance.orders, balance.remaining), (1, 999));
    let result = api.result(product, &shopper).await;
    assert_eq!(result.as_deref(), Some("SUCCESS"));
}

#[tokio::test]
async fn a_second_start_seeds_nothing() {
    let system = OneProcess::on_nothing();
    let first = system.serve_with(&[], &[]).await;
    assert!(banner(&first).await.contains("were made"));
    first.process.terminate();
    assert!(first.process.end().await.success());
    system
        .sql("DELETE FROM products WHERE sku = 'FLASH-003'")
        .await;

    let second = system.serve_with(&[], &[]).await;
    assert!(!banner(&second).await.contains("were made"));
    assert_eq!(rows(&system).await, [4, 2, 1]);
}

#[tokio::test]
async fn without_a_seed_a_new_file_stays_empty() {
    let system = OneProcess::on_nothing();
    let api = system.serve_with(&["--no-seed"], &[]).await;
    let banner = banner(&api).await;
    assert!(banner.contains(&api.url), "{banner}");
    for text in ["admin123", "password123", "were made"] {
        assert!(!banner.contains(text), "{text:?} in {banner}");
    }
    assert_eq!(rows(&system).await, [0, 0, 0]);
}

#[tokio::test]
async fn a_first_start_that_was_killed_is_made_up_for() {
    let system = OneProcess::on_nothing();
    // What is left of a process that died before its first transaction.
    std::fs::create_dir(system.directory()).unwrap();
    std::fs::write(system.file(), "").unwrap();
    let api = system.serve_with(&[], &[]).await;
    assert!(banner(&api).await.contains("were made"));
    assert_eq!(rows(&system).await, [4, 3, 1]);
}

#[tokio::test]
async fn the_addresses_are_printed_after_the_log_of_the_start_when_the_sale_is_open() {
    let system = OneProcess::on_nothing();
    let directory = system.directory();
    // Both streams in one, as on a terminal or in a file.
    let command = [
        "-c",
        "exec \"$0\" \"$@\" 2>&1",
        env!("CARGO_BIN_EXE_flashsale"),
        "serve",
        "--embedded",
        "--data-dir",
        directory.to_str().unwrap(),
    ];
    let environment = OneProcess::environment();
    let process = Process::start_program("/bin/sh".as_ref(), &command, &environment);
    let api = Api::of(process).await;
    api.process.wait_for_line("Ctrl-C").await;
    let shopper = api.login("user1", "password123").await;
    assert_eq!(
        api.attempt(1, &shopper).await.0,
        200,
        "it can be bought at once"
    );

    let output = api.process.output();
    let (start, rest) = output.split_once("\n  Shop ").unwrap();
    assert!(start.contains("the gate has the sale"), "{output}");
    let first = rest.lines().next().unwrap();
    assert!(first.trim().starts_with("http://"), "{output}");
    let (_, after) = rest.split_once("Ctrl-C").unwrap();
    let logged = after.lines().skip(1).filter(|line| !line.is_empty());
    let logged: Vec<_> = logged.filter(|line| !line.contains("security")).collect();
    assert_eq!(logged, Vec::<&str>::new(), "{output}");
}

#[tokio::test]
async fn a_first_start_that_was_killed_over_the_demo_data_is_completed() {
    let system = OneProcess::on_nothing();
    // Seconds for each password.
    let slow = [("PASSWORD_MEMORY_KIB", "262144"), ("PASSWORD_PASSES", "10")];
    let first = system.run_with(&["serve"], &slow);
    first.wait_for_line("about=\"admin\"").await;
    first.kill();
    assert_eq!(rows(&system).await, [1, 3, 0]);

    let api = system.serve_with(&[], &[]).await;
    assert!(banner(&api).await.contains("were made"));
    assert_eq!(rows(&system).await, [4, 3, 1]);
    let live = "SELECT count(*) FROM flash_sales WHERE state = 'LIVE'";
    assert_eq!(system.number(live).await, 1);
}
