//! `migrate` and `seed` on a data directory.

use crate::{
    cli::migrations,
    support::{
        process::{Process, complaint},
        system::{OneProcess, System},
    },
};

const TABLES: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' \
                      AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_\\_%' ESCAPE '\\'";

#[tokio::test]
async fn migrations_of_a_file_go_up_and_down_and_up() {
    let (system, migrations) = (OneProcess::on_nothing(), migrations("sqlite"));
    let run = async |arguments: &[&str]| system.run(arguments).outcome().await;

    let (up, output) = run(&["migrate"]).await;
    assert!(up, "{output}");
    assert_eq!(output.matches("applied: ").count(), migrations, "{output}");
    assert_eq!(system.number(TABLES).await, 26);
    let (up, output) = run(&["migrate", "status"]).await;
    assert!(up && !output.contains("missing"), "{output}");
    let (up, output) = run(&["migrate", "run"]).await;
    assert!(up && output.contains("nothing applied"), "{output}");

    let (reverted, output) = run(&["migrate", "revert"]).await;
    assert!(reverted && output.contains("taken back"), "{output}");
    let (up, output) = run(&["migrate", "status"]).await;
    assert!(!up && output.contains("missing"), "{output}");
    assert!(
        complaint(&output).contains("flashsale migrate --embedded"),
        "{output}"
    );
    // Down to any step and up again.
    for steps in 1..migrations {
        for _ in 0..steps {
            assert!(run(&["migrate", "revert"]).await.0);
        }
        let (up, output) = run(&["migrate"]).await;
        assert!(up, "{output}");
    }
    for _ in 0..migrations {
        assert!(run(&["migrate", "revert"]).await.0);
    }
    assert_eq!(system.number(TABLES).await, 0);
    let (nothing, output) = run(&["migrate", "revert"]).await;
    assert!(nothing && output.contains("nothing taken back"), "{output}");

    assert!(run(&["migrate"]).await.0);
    system.shoppers(1).await;
    let (reset, output) = run(&["migrate", "reset"]).await;
    assert!(!reset && complaint(&output).contains("--yes"), "{output}");
    assert_eq!(system.number("SELECT count(*) FROM users").await, 1);
    let (reset, output) = run(&["migrate", "reset", "--yes"]).await;
    assert!(reset, "{output}");
    assert_eq!(system.number(TABLES).await, 26);
    assert_eq!(system.number("SELECT count(*) FROM users").await, 0);
}

#[tokio::test]
async fn only_what_makes_a_file_makes_one() {
    let system = OneProcess::on_nothing();
    for arguments in [
        &["migrate", "status"][..],
        &["migrate", "revert"],
        &["migrate", "reset", "--yes"],
    ] {
        let (done, output) = system.run(arguments).outcome().await;
        assert!(!done, "{output}");
        assert!(complaint(&output).contains("no data file in"), "{output}");
        assert!(!system.directory().exists());
    }
    // Before the subcommand and behind it.
    let directory = system.directory();
    let directory = directory.to_str().unwrap();
    for arguments in [
        ["migrate", "--embedded", "run", "--data-dir", directory],
        ["migrate", "status", "--embedded", "--data-dir", directory],
    ] {
        let process = Process::start(&arguments, &OneProcess::environment());
        let (done, output) = process.outcome().await;
        assert!(done, "{output}");
    }
    let process = Process::start(
        &["seed", "--data-dir", directory],
        &OneProcess::environment(),
    );
    let (done, output) = process.outcome().await;
    assert!(!done && output.contains("--embedded only"), "{output}");
}

#[tokio::test]
async fn seeding_a_file_twice_changes_nothing() {
    let system = OneProcess::on_nothing();
    let content = "SELECT group_concat(username || id) FROM users UNION ALL \
                   SELECT group_concat(sku || id) FROM products UNION ALL \
                   SELECT group_concat(id || ' ' || start_time || ' ' || remaining_stock) FROM flash_sales";
    let mut contents = Vec::new();
    for word in ["made", "there"] {
        let seed = system.run_with(&["seed"], &[("FLASH_SALE_TOTAL_STOCK", "3")]);
        let (seeded, output) = seed.outcome().await;
        assert!(seeded, "{output}");
        assert_eq!(
            output.lines().filter(|line| line.ends_with(word)).count(),
            8,
            "{output}"
        );
        contents.push(system.texts(content));
    }
    assert_eq!(contents[0], contents[1]);
    assert_eq!(system.number("SELECT count(*) FROM users").await, 4);
}
