//! The invariants of docs/ARCHITECTURE.md that the compiler does not check, checked on the parsed sources.
//!
//! [`ALLOWED`] is the complete list of imports between modules: an import that it lacks fails, and so does a line that no
//! import needs. `planted` puts a breach of every rule into the sources and sees it found.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod imports;
mod planted;
mod rules;
mod sources;

use std::{path::Path, sync::LazyLock};

use sources::Sources;

/// Which module may import which. Engines are modules of their own; `engine` is what they share.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "api",
        &[
            "auth",
            "clock",
            "config",
            "http",
            "ids",
            "lifecycle",
            "limit",
            "order",
            "port",
            "sale",
            "telemetry",
        ],
    ),
    (
        "auth",
        &[
            "account_key",
            "clock",
            "config",
            "ids",
            "lifecycle",
            "limit",
            "port",
            "security",
            "telemetry",
            "unicode",
        ],
    ),
    (
        "commands",
        &[
            "api",
            "auth",
            "clock",
            "config",
            "engine",
            "engine::embedded",
            "engine::kafka",
            "engine::postgres",
            "engine::redis",
            "http",
            "ids",
            "lifecycle",
            "order",
            "port",
            "security",
            "simulation",
            "stress",
            "telemetry",
            "terminal",
        ],
    ),
    ("engine", &["account_key", "config", "ids", "port"]),
    (
        "engine::embedded",
        &[
            "account_key",
            "clock",
            "config",
            "engine",
            "ids",
            "port",
            "rules",
        ],
    ),
    (
        "engine::kafka",
        &["config", "engine", "ids", "port", "telemetry"],
    ),
    (
        "engine::model",
        &["account_key", "clock", "engine", "ids", "port", "rules"],
    ),
    (
        "engine::postgres",
        &[
            "account_key",
            "clock",
            "config",
            "engine",
            "ids",
            "port",
            "rules",
            "telemetry",
        ],
    ),
    (
        "engine::redis",
        &["clock", "config", "engine", "ids", "port"],
    ),
    ("http", &["config", "lifecycle", "limit", "telemetry"]),
    (
        "order",
        &[
            "auth",
            "clock",
            "config",
            "ids",
            "lifecycle",
            "limit",
            "port",
            "sale",
            "telemetry",
        ],
    ),
    ("port", &["clock", "ids"]),
    ("rules", &["ids", "port"]),
    ("sale", &["clock", "ids", "port"]),
    ("security", &["limit"]),
    (
        "simulation",
        &[
            "auth",
            "clock",
            "engine::model",
            "ids",
            "lifecycle",
            "order",
            "port",
            "rules",
        ],
    ),
    ("stress", &["ids"]),
    ("telemetry", &["config", "terminal"]),
];

/// What code that is compiled for tests may import besides.
const ALLOWED_IN_TESTS: &[(&str, &[&str])] =
    &[("auth", &["engine::model"]), ("order", &["engine::model"])];

/// Crates that belong to one place: `(path, files that may name it)`.
const CRATES: &[(&[&str], &[&str])] = &[
    (&["actix_web"], &["api", "http"]),
    (&["actix_http"], &["http"]),
    (&["fred"], &["engine/redis"]),
    (&["hyper"], &["stress/"]),
    (&["hyper_util"], &["stress/"]),
    (&["http_body_util"], &["stress/"]),
    (&["rskafka"], &["engine/kafka"]),
    (&["kafka_protocol"], &["engine/kafka"]),
    (
        &["diesel"],
        &["engine/postgres", "engine/embedded", "engine/prepared.rs"],
    ),
    (&["diesel_async"], &["engine/postgres"]),
    (&["tokio_postgres"], &["engine/postgres"]),
    (&["deadpool"], &["engine/postgres"]),
    (&["anyhow"], &["commands", "api/assemble.rs", "main.rs"]),
    (&["clap"], &["commands", "main.rs"]),
    (&["dotenvy"], &["config/"]),
    (&["std", "env"], &["config/"]),
];

static SOURCES: LazyLock<Sources> =
    LazyLock::new(|| Sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")));

#[track_caller]
fn assert_none(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn modules_import_what_the_table_allows() {
    assert_none(&rules::imports_outside_the_table(
        &SOURCES,
        ALLOWED,
        ALLOWED_IN_TESTS,
    ));
}

#[test]
fn every_line_of_the_table_is_needed() {
    assert_none(&rules::lines_without_an_import(&SOURCES, ALLOWED, false));
    assert_none(&rules::lines_without_an_import(
        &SOURCES,
        ALLOWED_IN_TESTS,
        true,
    ));
}

#[test]
fn crates_stay_in_their_places() {
    for (name, places) in CRATES {
        assert_none(&rules::crate_outside_its_places(&SOURCES, name, places));
    }
}

#[test]
fn every_file_says_what_it_holds_and_none_is_called_mod() {
    assert_none(&rules::files_without_a_purpose(&SOURCES));
}

#[test]
fn modules_do_not_import_each_other_in_circles() {
    assert_none(&rules::circles_of_units(&SOURCES));
}
