//! The pages of `web/` in Chromium, on both systems: `tests/pages/` has the scenarios, `tests/pages/README.md` says how to write one. And
//! the vendored libraries, byte for byte. The scenarios take longest of all tests: by the name of this module they are among the first that
//! the test runner starts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use flashsale::port::Role;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{
    api::Api,
    system::{OneProcess, Servers, System},
};

/// Of all scenarios of a page on one system, in seconds.
const LONGEST_RUN: &str = "900";

/// Passwords as people choose them, for accounts of nobody.
const PASSWORD: &str = "teal-Kettle-77";
/// Those who sign in to the console.
const STAFF: [(&str, &str); 4] = [
    ("ada", "operator"),
    ("grace", "operator"),
    ("sue", "support"),
    ("otto", "auditor"),
];

/// Registers, logs in and presses as often as scenarios like; hashes of passwords cost next to nothing.
const SETTINGS: [(&str, &str); 8] = [
    ("LIMIT_REGISTRATIONS_PER_ADDRESS", "0"),
    ("LIMIT_REGISTRATIONS_PER_ACCOUNT", "0"),
    ("LIMIT_LOGINS_PER_ADDRESS", "0"),
    ("LIMIT_FAILED_LOGINS_PER_ACCOUNT", "0"),
    ("LIMIT_ATTEMPTS_PER_USER", "0"),
    ("LIMIT_ATTEMPTS_PER_ADDRESS", "0"),
    ("PASSWORD_MEMORY_KIB", "64"),
    ("PASSWORD_PASSES", "1"),
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One folder after the other, since scenarios measure milliseconds. One test, so that it takes one thread of the test runner.
#[tokio::test]
async fn the_scenarios_of_the_pages_pass() {
    let runs = [
        run_scenarios(&OneProcess::start().await, "shop").await,
        run_scenarios(&OneProcess::start().await, "console").await,
        run_scenarios(&Servers::start().await, "shop").await,
        run_scenarios(&Servers::start().await, "console").await,
        // With fixed answers of the API: the same on any system.
        run_scenarios(&OneProcess::start().await, "states").await,
    ];
    let failed: Vec<_> = runs.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Runs the scenarios of a folder of `tests/pages/` against a system. What it printed, if one fails.
async fn run_scenarios<S: System>(system: &S, folder: &'static str) -> Result<(), String> {
    let api = system.serve_as(&SETTINGS).await;
    let _worker = system.worker().await;
    let operator = system.shoppers(1).await.remove(0).with_role(Role::Operator);
    let staff = staff(system, &api).await;
    let base = api.url.clone();
    let run = tokio::task::spawn_blocking(move || {
        let tools = tools();
        Command::new("timeout")
            .args(["--kill-after=10", LONGEST_RUN])
            .arg(tools.join("bin/node"))
            .arg(repository().join("tests/pages/run.mjs"))
            .args([folder, "--see"])
            .arg(repository().join("target/pages/failed"))
            .env("NODE_PATH", tools.join("node_modules"))
            .env("BASE", base)
            .env("OPERATOR", operator.token)
            .env("STAFF", staff.to_string())
            .output()
            .expect("timeout of coreutils starts")
    });
    let run = run.await.unwrap();
    let told = [run.stdout, run.stderr].concat();
    let told = format!("{folder}: {}", String::from_utf8_lossy(&told));
    run.status.success().then_some(()).ok_or(told)
}

/// The accounts of [`STAFF`], with their password, as JSON for the scenarios.
async fn staff(system: &impl System, api: &Api) -> Value {
    for (username, role) in STAFF {
        let account = json!({"username": username, "email": format!("{username}@example.com"), "password": PASSWORD});
        let (status, body) = api.post("/api/auth/register", None, Some(account)).await;
        assert_eq!(status, 201, "{body}");
        system
            .sql(&format!(
                "UPDATE users SET role = '{role}' WHERE username = '{username}'"
            ))
            .await;
    }
    let staff = STAFF
        .map(|(username, role)| json!({"username": username, "password": PASSWORD, "role": role}));
    json!(staff)
}

/// Node.js with the packages that the scenarios use, installed where they are missing.
fn tools() -> PathBuf {
    let installed = Command::new(repository().join("scripts/pages/tools.sh"))
        .output()
        .expect("the script starts");
    let told = String::from_utf8_lossy(&installed.stderr);
    assert!(installed.status.success(), "scripts/pages/tools.sh: {told}");
    repository().join("target/tools/node")
}

#[test]
fn vendored_libraries_are_those_of_their_packages() {
    let folder = repository().join("web/vendor");
    let notes = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut listed: Vec<String> = Vec::new();
    for row in notes.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        let (file, sum) = (cells[1], cells[5]);
        let content = fs::read(folder.join(file)).unwrap();
        let digest = flashsale::http::hex(&Sha256::digest(&content));
        assert_eq!(digest, sum, "{file}");
        listed.push(file.to_owned());
    }
    let there = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        // Notes, and types for the checker.
        .filter(|name| {
            !Path::new(name)
                .extension()
                .is_some_and(|end| end == "md" || end == "ts")
        });
    let mut there: Vec<String> = there.collect();
    there.sort();
    listed.sort();
    assert_eq!(there, listed, "every file is listed");
}
