//! Checks invariants of docs/ARCHITECTURE.md that the compiler does not check, on the parsed sources.
//!
//! [`ALLOWED`] is the complete list of imports between modules. A test fails if the sources have an import that is not in the
//! list, or if the list has an entry that no import needs. The tests in `planted` check that each rule finds a breach.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod alerts;
mod documents;
mod imports;
mod logging;
mod metrics;
mod planted;
mod rules;
mod sources;

use std::{path::Path, sync::LazyLock};

use sources::Sources;

/// The modules that each module may import. Each engine counts as a module of its own; `engine` holds the parts that they share.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "api",
        &[
            "auth",
            "clock",
            "config",
            "events",
            "http",
            "ids",
            "lifecycle",
            "limit",
            "order",
            "port",
            "push",
            "rules",
            "sale",
            "security",
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
            "outgoing",
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
            "demo",
            "engine",
            "engine::embedded",
            "engine::kafka",
            "engine::postgres",
            "engine::redis",
            "events",
            "http",
            "ids",
            "lifecycle",
            "order",
            "outgoing",
            "port",
            "rules",
            "sale",
            "security",
            "stress",
            "telemetry",
            "terminal",
        ],
    ),
    ("demo", &["auth", "config", "ids", "port", "sale"]),
    ("engine", &["account_key", "config", "ids", "port", "rules"]),
    (
        "engine::embedded",
        &["account_key", "clock", "engine", "ids", "port", "rules"],
    ),
    (
        "engine::kafka",
        &["config", "engine", "ids", "port", "telemetry"],
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
        &[
            "clock",
            "config",
            "engine",
            "ids",
            "port",
            "rules",
            "telemetry",
        ],
    ),
    ("events", &["clock", "ids", "outgoing", "port", "telemetry"]),
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
    ("push", &["ids", "lifecycle", "port", "sale", "telemetry"]),
    ("rules", &["ids", "port"]),
    (
        "sale",
        &["clock", "ids", "port", "rules", "telemetry", "unicode"],
    ),
    ("security", &["limit"]),
    ("stress", &["ids"]),
    ("telemetry", &["config", "outgoing", "terminal"]),
];

/// Additional imports that are allowed in code that is compiled for tests only.
const ALLOWED_IN_TESTS: &[(&str, &[&str])] = &[];

/// The modules of the library that the simulator may name: the domain and what it stands on, and the parts that engines share.
const ALLOWED_IN_SIMULATOR: &[&[&str]] = &[
    &["flashsale", "account_key"],
    &["flashsale", "auth"],
    &["flashsale", "clock"],
    &["flashsale", "engine", "announcer"],
    &["flashsale", "engine", "fair_share"],
    &["flashsale", "engine", "movement"],
    &["flashsale", "engine", "record"],
    &["flashsale", "ids"],
    &["flashsale", "lifecycle"],
    &["flashsale", "order"],
    &["flashsale", "port"],
    &["flashsale", "rules"],
    &["flashsale", "sale"],
];

/// The modules of the library that tests, programs that test it, and benchmarks may name, each with the folder of these.
const ALLOWED_OUTSIDE: &[(&str, &[&[&str]])] = &[
    (
        "tests/integration",
        &[
            &["flashsale", "api"],
            &["flashsale", "auth"],
            &["flashsale", "clock"],
            &["flashsale", "config"],
            &["flashsale", "demo"],
            &["flashsale", "engine"],
            &["flashsale", "http"],
            &["flashsale", "ids"],
            &["flashsale", "order"],
            &["flashsale", "port"],
            &["flashsale", "rules"],
        ],
    ),
    (
        "tests/faults",
        &[&["flashsale", "config"], &["flashsale", "port"]],
    ),
    ("tests/rolling", &[]),
    (
        "tests/simulation",
        &[
            &["flashsale", "auth"],
            &["flashsale", "clock"],
            &["flashsale", "events"],
            &["flashsale", "ids"],
            &["flashsale", "order"],
            &["flashsale", "outgoing"],
            &["flashsale", "port"],
            &["flashsale", "telemetry"],
        ],
    ),
    (
        "benches",
        &[
            &["flashsale", "auth"],
            &["flashsale", "clock"],
            &["flashsale", "config"],
            &["flashsale", "engine"],
            &["flashsale", "ids"],
            &["flashsale", "port"],
            &["flashsale", "stress"],
        ],
    ),
];

/// Paths of crates that only some files may name: `(path, beginnings of these files' names)`.
const CRATES: &[(&[&str], &[&str])] = &[
    (&["actix_web"], &["api", "http"]),
    (&["actix_http"], &["http"]),
    (&["fred"], &["engine/redis"]),
    (&["hyper"], &["stress/"]),
    (&["hyper_util"], &["stress/"]),
    (&["http_body_util"], &["stress/"]),
    (&["reqwest"], &["outgoing"]),
    (&["rskafka"], &["engine/kafka"]),
    (&["kafka_protocol"], &["engine/kafka"]),
    (
        &["diesel"],
        &[
            "engine/postgres",
            "engine/embedded",
            "engine/migration.rs",
            "engine/prepared.rs",
            "engine/erasure.rs",
        ],
    ),
    (&["diesel_async"], &["engine/postgres"]),
    (&["tokio_postgres"], &["engine/postgres"]),
    (&["deadpool"], &["engine/postgres"]),
    (&["anyhow"], &["commands", "api/assemble", "main.rs"]),
    (&["clap"], &["commands", "main.rs"]),
    (&["std", "env"], &["config/"]),
];

static SOURCES: LazyLock<Sources> = LazyLock::new(|| read("src"));

/// The member of the workspace with the models and the simulator.
static SIMULATOR: LazyLock<Sources> = LazyLock::new(|| read("tests/simulator/src"));

/// The sources in a folder of the repository.
fn read(folder: &str) -> Sources {
    Sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
}

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
fn every_entry_of_the_table_is_needed() {
    assert_none(&rules::lines_without_an_import(&SOURCES, ALLOWED, false));
    assert_none(&rules::lines_without_an_import(
        &SOURCES,
        ALLOWED_IN_TESTS,
        true,
    ));
}

#[test]
fn crates_are_named_only_in_their_files() {
    for (name, files) in CRATES {
        assert_none(&rules::crate_outside_its_places(&SOURCES, name, files));
    }
}

#[test]
fn every_file_has_a_header_and_a_specific_name() {
    assert_none(&rules::files_without_a_purpose(&SOURCES));
    assert_none(&rules::files_without_a_purpose(&SIMULATOR));
}

#[test]
fn modules_do_not_import_each_other_in_circles() {
    assert_none(&rules::circles_of_units(&SOURCES));
}

#[test]
fn the_simulator_names_what_the_table_allows() {
    assert_none(&rules::paths_outside_the_table(
        &SIMULATOR,
        "flashsale",
        ALLOWED_IN_SIMULATOR,
    ));
}

#[test]
fn the_library_does_not_name_the_simulator() {
    let name = &["flashsale_simulator"];
    assert_none(&rules::crate_outside_its_places(&SOURCES, name, &[]));
}

#[test]
fn models_do_not_import_the_simulator() {
    assert_none(&rules::imports_of(&SIMULATOR, "model"));
}

#[test]
fn files_do_not_import_each_other_in_circles() {
    assert_none(&rules::circles_of_files(&SOURCES));
    assert_none(&rules::circles_of_files(&SIMULATOR));
}

#[test]
fn tests_and_benchmarks_use_the_public_library_as_the_table_allows() {
    for (folder, allowed) in ALLOWED_OUTSIDE {
        let sources = read(folder);
        assert_none(&rules::files_without_a_purpose(&sources));
        assert_none(&rules::sources_of_the_library(&sources));
        assert_none(&rules::paths_outside_the_table(
            &sources,
            "flashsale",
            allowed,
        ));
    }
}

#[test]
fn the_support_of_tests_imports_none_of_them() {
    assert_none(&rules::imports_of(&read("tests/integration"), "support"));
}
