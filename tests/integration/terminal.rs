//! Text from outside reaches no terminal with anything that it would obey: ESC, BEL, CR, and what turns text around.

use std::fmt::Write as _;

use chrono::{TimeDelta, Utc};

use crate::support::system::{OneProcess, System};

/// Clears the screen, sets the title, rings, overwrites the line, turns the text around, and looks like a line of ours.
const HOSTILE: &str =
    "Phone\u{1b}[2J\u{1b}]0;owned\u{7}\r\u{202e}x\u{2066}y\u{9b}2J\nEvery promise holds.";

/// Fails if a terminal would obey anything of an output, or took a piece of a text for a line.
fn is_safe(command: &[&str], output: &str) {
    for c in ['\u{1b}', '\u{7}', '\r', '\u{9b}', '\u{202e}', '\u{2066}'] {
        assert!(!output.contains(c), "{command:?} {c:?}: {output:?}");
    }
    let forged = output
        .lines()
        .filter(|line| *line == "Every promise holds.");
    let own = usize::from(command.contains(&"audit") || command.contains(&"--audit"));
    assert!(forged.count() <= own, "{command:?}: {output}");
}

/// The text as SQL takes it, whatever is in it.
fn sql(text: &str) -> String {
    let hex = text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!("CAST(X'{hex}' AS TEXT)")
}

/// A system whose product, dead letter and decision have hostile texts, and the id of its sale.
async fn hostile_system() -> (OneProcess, i64) {
    let system = OneProcess::start().await;
    let (sale, product) = system.sale(5).await;
    let text = sql(HOSTILE);
    system
        .sql(&format!(
            "UPDATE products SET name = {text}, description = {text} WHERE id = {product}"
        ))
        .await;
    let buried = (Utc::now() - TimeDelta::minutes(1)).timestamp_millis();
    system
        .sql(&format!(
            "INSERT INTO dead_letters (partition, log_offset, cause, record_key, record, buried_at)
             VALUES (0, 1000, {text}, CAST({text} AS BLOB), CAST({text} AS BLOB), {buried})"
        ))
        .await;
    (system, sale)
}

#[tokio::test]
async fn what_commands_print_of_a_data_directory_is_safe() {
    let (system, _) = hostile_system().await;
    let operator = [("FLASHSALE_OPERATOR", HOSTILE)];
    for command in [
        &["dead-letters", "list"][..],
        &["dead-letters", "show", "0:1000"],
        &["dead-letters", "discard", "0:1000", "--reason", HOSTILE],
        &["dead-letters", "list"],
        &["dead-letters", "show", "0:1000"],
        &["audit"],
        &["audit", "--json"],
        &["doctor"],
        &["doctor", "--json"],
    ] {
        let (_, output) = system.run_with(command, &operator).outcome().await;
        is_safe(command, &output);
        if matches!(command, ["audit"] | ["dead-letters", "list"]) {
            assert!(
                output.contains("\\u{1b}[2J"),
                "{command:?} shows it: {output}"
            );
        }
        if command.contains(&"--json") {
            let document = output.get(output.find(['{', '[']).unwrap()..).unwrap();
            let end = document.rfind(['}', ']']).unwrap();
            let document = serde_json::from_str::<serde_json::Value>(&document[..=end]);
            assert!(document.is_ok(), "{command:?}: {output}");
        }
    }
}

#[tokio::test]
async fn what_a_server_and_its_client_print_is_safe() {
    let (system, sale) = hostile_system().await;
    let api = system.serve().await;
    api.wait_until_open(&system, sale).await;
    let environment = OneProcess::environment();
    for more in [&[][..], &["--json"]] {
        let command = [&["stress", "--url", &api.url, "--users", "3"], more].concat();
        let stress = crate::support::process::Process::start(&command, &environment);
        let (_, output) = stress.outcome().await;
        assert!(output.contains("owned"), "{output}");
        is_safe(&command, &output);
    }
    is_safe(&["serve"], &api.process.output());
}

#[tokio::test]
async fn names_of_files_and_settings_are_safe() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(HOSTILE.replace('/', ""));
    let path = path.to_str().unwrap();
    let environment = OneProcess::environment();
    for command in [
        &["import", path][..],
        &["export", "--data-dir", path],
        &["serve", "--config", path],
        &["stress", "--url", HOSTILE],
    ] {
        let process = crate::support::process::Process::start(command, &environment);
        let (success, output) = process.outcome().await;
        assert!(!success);
        for c in ['\u{1b}', '\u{7}', '\r', '\u{202e}'] {
            assert!(!output.contains(c), "{command:?} {c:?}: {output:?}");
        }
    }
}
