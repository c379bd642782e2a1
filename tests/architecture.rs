//! The invariants of docs/ARCHITECTURE.md that the compiler does not check, checked on the sources.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every source file with its path from `src`, without comments and without what follows `#[cfg(test)]`.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let name = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                // Of tests only, as its `mod` line says.
                if name != "auth/accounts.rs" {
                    files.push((name, text));
                }
            }
        }
    }
    assert!(files.len() > 50, "the sources are where they are expected");
    files
}

fn code(text: &str) -> String {
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Fails for every file outside `places` whose code speaks of `words`.
fn only_in(words: &[&str], places: &[&str]) {
    let mut found = Vec::new();
    for (name, text) in sources() {
        if places
            .iter()
            .any(|place| name.starts_with(place) || name.ends_with(place))
        {
            continue;
        }
        let code = code(&text);
        found.extend(
            words
                .iter()
                .filter(|word| code.contains(**word))
                .map(|word| format!("{name}: {word}")),
        );
    }
    assert!(
        found.is_empty(),
        "only {places:?} may:\n{}",
        found.join("\n")
    );
}

/// Fails for every file in `places` whose code speaks of `words`.
fn never_in(words: &[&str], places: &[&str]) {
    let mut found = Vec::new();
    for (name, text) in sources() {
        if places.iter().any(|place| name.starts_with(place)) {
            let code = code(&text);
            found.extend(
                words
                    .iter()
                    .filter(|word| code.contains(**word))
                    .map(|word| format!("{name}: {word}")),
            );
        }
    }
    assert!(
        found.is_empty(),
        "in {places:?} nothing may:\n{}",
        found.join("\n")
    );
}

#[test]
fn actix_is_known_to_http_and_routes_only() {
    only_in(
        &["actix_"],
        &["http.rs", "http/", "/routes.rs", "telemetry.rs"],
    );
}

#[test]
fn every_server_s_client_is_known_to_its_engine_only() {
    only_in(&["fred::"], &["engine/redis"]);
    only_in(&["rskafka"], &["engine/kafka", "telemetry.rs"]);
    only_in(
        &["diesel", "tokio_postgres", "deadpool"],
        &[
            "engine/postgres",
            "engine/embedded",
            "engine/prepared.rs",
            "telemetry.rs",
        ],
    );
}

#[test]
fn the_domain_knows_ports_and_no_engine() {
    never_in(
        &["engine::"],
        &[
            "auth", "sale", "order", "http", "port", "ids.rs", "clock.rs", "app.rs",
        ],
    );
}

#[test]
fn a_load_knows_the_system_by_its_answers_only() {
    never_in(
        &[
            "crate::auth",
            "crate::sale",
            "crate::order",
            "crate::http",
            "crate::port",
            "crate::engine",
            "crate::config",
        ],
        &["stress"],
    );
}

#[test]
fn features_depend_on_each_other_in_one_direction() {
    never_in(&["crate::sale", "crate::order"], &["auth"]);
    never_in(&["crate::order"], &["sale"]);
    never_in(
        &[
            "crate::auth",
            "crate::sale",
            "crate::order",
            "crate::http",
            "crate::config",
        ],
        &["port", "ids.rs"],
    );
}

#[test]
fn the_environment_is_read_by_the_configuration_only() {
    only_in(&["env::var", "env::vars"], &["config/"]);
}

#[test]
fn what_is_printed_passes_the_terminal_s_filter() {
    only_in(
        &["println!", "print!(", "stdout()", "stderr()"],
        &["terminal.rs", "telemetry.rs", "commands/stress/progress.rs"],
    );
}

#[test]
fn anyhow_stays_on_the_command_line() {
    only_in(&["anyhow"], &["commands", "app.rs", "main.rs"]);
}

#[test]
fn every_file_says_what_it_holds_and_none_is_called_mod() {
    for (name, text) in sources() {
        assert!(
            text.starts_with("//!"),
            "{name} does not begin with what it holds"
        );
        for vague in ["mod.rs", "utils.rs", "helpers.rs", "common.rs"] {
            assert!(!name.ends_with(vague), "{name}");
        }
    }
}
