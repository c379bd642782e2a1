//! Tests of the rules themselves on small sources: each rule finds a breach of it, and reports nothing for correct sources.

use crate::{
    rules::{self, Breaches},
    sources::Sources,
};

const ALLOWED: &[(&str, &[&str])] = &[("order", &["auth"])];

/// Sources with these files, and with default ones for `lib.rs`, `order.rs`, `auth.rs` and an engine.
fn with(files: &[(&str, &str)]) -> Sources {
    let mut all = vec![
        (
            "lib.rs",
            "//! Root.\npub mod auth; pub mod order; pub mod engine;",
        ),
        (
            "auth.rs",
            "//! Accounts.\nmod user; pub use user::User; pub struct Token;",
        ),
        ("auth/user.rs", "//! One account.\npub struct User;"),
        ("engine/redis.rs", "//! Redis.\npub struct Gate;"),
    ];
    if !files.iter().any(|(name, _)| *name == "order.rs") {
        all.push(("order.rs", "//! Orders.\nuse crate::auth::Token;"));
    }
    all.retain(|(name, _)| !files.iter().any(|(other, _)| other == name));
    all.extend_from_slice(files);
    let owned = all
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.to_owned()));
    Sources::parse(owned.collect())
}

fn imports_of(name: &str, text: &str) -> Breaches {
    rules::imports_outside_the_table(&with(&[(name, text)]), ALLOWED, &[])
}

#[track_caller]
fn assert_found(breaches: &Breaches, place: &str) {
    assert!(
        breaches.len() == 1 && breaches[0].starts_with(place),
        "{place} is not the one breach of {breaches:?}"
    );
}

#[test]
fn correct_sources_have_no_breach() {
    assert_eq!(
        imports_of("auth/other.rs", "//! Fine.\nuse super::User;"),
        Breaches::new()
    );
    let sources = with(&[]);
    assert_eq!(
        rules::lines_without_an_import(&sources, ALLOWED, false),
        Breaches::new()
    );
    assert_eq!(rules::circles_of_files(&sources), Breaches::new());
    assert_eq!(rules::circles_of_units(&sources), Breaches::new());
    assert_eq!(rules::files_without_a_purpose(&sources), Breaches::new());
}

#[test]
fn a_plain_import_against_the_table_is_found() {
    let breaches = imports_of("auth.rs", "//! A.\nuse crate::engine::redis::Gate;");
    assert_found(&breaches, "auth.rs:2:");
}

#[test]
fn a_nested_import_is_found() {
    let breaches = imports_of(
        "auth.rs",
        "//! A.\nuse crate::{\n    engine::{redis::{Gate}},\n};",
    );
    assert_found(&breaches, "auth.rs:2:");
}

#[test]
fn an_import_by_super_and_under_another_name_is_found() {
    let breaches = imports_of(
        "auth/user.rs",
        "//! A.\nuse super::super::engine::redis as r;",
    );
    assert_found(&breaches, "auth/user.rs:2:");
}

#[test]
fn a_path_in_code_is_found() {
    let breaches = imports_of(
        "auth.rs",
        "//! A.\nfn f() { let _ = crate::engine::redis::Gate; }",
    );
    assert_found(&breaches, "auth.rs:2:");
}

#[test]
fn a_path_in_the_arguments_of_a_macro_is_found() {
    let breaches = imports_of(
        "auth.rs",
        "//! A.\nfn f() { log!(x, crate::engine::redis::Gate); }",
    );
    assert_found(&breaches, "auth.rs:2:");
}

#[test]
fn a_path_in_the_arguments_of_an_attribute_is_found() {
    for text in [
        "//! A.\nstruct S { #[schema(value_type = crate::engine::redis::Gate)] gate: u8 }",
        "//! A.\n#[derive(crate::engine::redis::Gate)] struct S;",
    ] {
        assert_found(&imports_of("auth.rs", text), "auth.rs:2:");
    }
}

#[test]
fn a_re_export_is_an_import() {
    let breaches = imports_of("auth.rs", "//! A.\npub use crate::engine::redis::Gate;");
    assert_found(&breaches, "auth.rs:2:");
}

#[test]
fn an_import_in_a_test_is_found() {
    let text = "//! A.\n#[cfg(test)]\nmod tests {\n    use crate::engine::redis::Gate;\n}";
    assert_found(&imports_of("auth.rs", text), "auth.rs:4:");
}

#[test]
fn an_import_that_only_tests_may_have_is_a_breach_in_other_code() {
    let sources = with(&[("auth.rs", "//! A.\nuse crate::engine::redis::Gate;")]);
    let for_tests: &[(&str, &[&str])] = &[("auth", &["engine::redis"])];
    let breaches = rules::imports_outside_the_table(&sources, ALLOWED, for_tests);
    assert_found(&breaches, "auth.rs:2:");
}

#[test]
fn an_entry_of_the_table_that_no_import_needs_is_found() {
    let table: &[(&str, &[&str])] = &[("auth", &["order"])];
    let breaches = rules::lines_without_an_import(&with(&[]), table, false);
    assert_found(&breaches, "auth imports nothing from order");
}

#[test]
fn a_crate_is_found_outside_its_files_and_not_inside() {
    let sources = with(&[
        ("auth.rs", "//! A.\nuse fred::{prelude::*, types};"),
        ("engine/redis.rs", "//! A.\nuse fred::prelude::*;"),
    ]);
    let breaches = rules::crate_outside_its_places(&sources, &["fred"], &["engine/redis"]);
    assert!(!breaches.is_empty(), "fred in auth is found");
    assert!(
        breaches
            .iter()
            .all(|breach| breach.starts_with("auth.rs:2:"))
    );
}

#[test]
fn the_environment_read_outside_the_configuration_is_found() {
    let sources = with(&[("auth.rs", "//! A.\nfn f() { std::env::var(\"X\").ok(); }")]);
    let breaches = rules::crate_outside_its_places(&sources, &["std", "env"], &["config/"]);
    assert_found(&breaches, "auth.rs:2:");
}

#[test]
fn a_circle_of_files_is_found_through_a_re_export() {
    let sources = with(&[
        (
            "auth.rs",
            "//! A.\nmod user; pub use user::User; mod other;",
        ),
        (
            "auth/user.rs",
            "//! A.\nuse super::other::Other; pub struct User;",
        ),
        (
            "auth/other.rs",
            "//! A.\nuse super::User; pub struct Other;",
        ),
    ]);
    let breaches = rules::circles_of_files(&sources);
    assert_found(&breaches, "auth/other.rs auth/user.rs");
}

#[test]
fn a_circle_of_files_is_found_through_the_name_of_a_module() {
    let sources = with(&[
        (
            "auth.rs",
            "//! A.\npub mod user; pub mod keys; pub struct Token;",
        ),
        (
            "auth/user.rs",
            "//! A.\nuse super::keys; fn f() { keys::read(); } pub struct User;",
        ),
        (
            "auth/keys.rs",
            "//! A.\nmod key; pub use key::read; pub struct Keys;",
        ),
        ("auth/keys/key.rs", "//! A.\nuse crate::auth::user::User;"),
    ]);
    let breaches = rules::circles_of_files(&sources);
    assert_found(&breaches, "auth/keys/key.rs auth/user.rs");
}

#[test]
fn a_name_that_a_file_imports_for_itself_and_its_children_is_not_its_own() {
    let sources = with(&[
        (
            "auth.rs",
            "//! A.\nmod user; mod key; use key::Key; use user::User; pub struct Token(Key, User);",
        ),
        ("auth/user.rs", "//! A.\nuse super::Key; pub struct User;"),
        ("auth/key.rs", "//! A.\npub struct Key;"),
    ]);
    assert_eq!(rules::circles_of_files(&sources), Breaches::new());
}

#[test]
fn the_path_of_a_visibility_is_no_import() {
    let sources = with(&[
        (
            "auth.rs",
            "//! A.\npub mod user; use user::User; pub struct Token(User);",
        ),
        (
            "auth/user.rs",
            "//! A.\npub(in super::super) struct User { pub(in crate::auth) id: u64 }",
        ),
    ]);
    assert_eq!(rules::circles_of_files(&sources), Breaches::new());
}

#[test]
fn a_circle_of_modules_is_found() {
    let sources = with(&[("auth/user.rs", "//! A.\nuse crate::order; pub struct User;")]);
    assert_found(&rules::circles_of_units(&sources), "auth order");
}

#[test]
fn a_file_without_a_purpose_and_a_file_called_mod_are_found() {
    let sources = with(&[("auth/user.rs", "pub struct User;")]);
    assert_found(&rules::files_without_a_purpose(&sources), "auth/user.rs:1:");
    let sources = with(&[("auth/common.rs", "//! Common.")]);
    assert_found(
        &rules::files_without_a_purpose(&sources),
        "auth/common.rs:1:",
    );
}

#[test]
fn a_path_of_another_crate_against_the_table_is_found() {
    let table: &[&[&str]] = &[&["flashsale", "port"]];
    let named =
        |text| rules::paths_outside_the_table(&with(&[("order.rs", text)]), "flashsale", table);
    let fine = named("//! O.\nuse flashsale::port::{Ports, Ledger};");
    assert_eq!(fine, Breaches::new());
    let breaches = named("//! O.\nuse flashsale::{api::App, port::Ports};");
    assert_found(&breaches, "order.rs:2: flashsale::api::App");
    let breaches = named("//! O.");
    assert_found(&breaches, "no file names flashsale::port");
}

#[test]
fn a_source_of_the_library_in_a_test_is_found() {
    let text = "//! O.\n#[path = \"../../src/order/limit.rs\"]\nmod limit;";
    let breaches = rules::sources_of_the_library(&with(&[("order.rs", text)]));
    assert_found(&breaches, "order.rs:2:");
    let text = "//! O.\n#[path = \"../integration/support\"]\nmod support {}";
    let fine = rules::sources_of_the_library(&with(&[("order.rs", text)]));
    assert_eq!(fine, Breaches::new());
}

#[test]
fn an_import_of_a_unit_that_is_to_have_none_is_found() {
    assert_eq!(rules::imports_of(&with(&[]), "auth"), Breaches::new());
    let breaches = rules::imports_of(&with(&[]), "order");
    assert_found(&breaches, "order.rs:2:");
}
