//! Metrics have one table, `src/telemetry/metric.rs`: no other file writes a name, every metric of it is used, and
//! `docs/METRICS.md` is made from it.

use std::{collections::BTreeSet, fs, path::PathBuf};

use flashsale::telemetry::metric;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::{SOURCES, assert_none, rules::Breaches, sources::Sources};

/// The file with the table.
const TABLE: &str = "telemetry/metric.rs";

/// Uses of the macros of `metrics` with a name that is no constant.
fn names_outside_the_table(sources: &Sources) -> Breaches {
    let mut breaches = Breaches::new();
    for file in &sources.files {
        let tokens: TokenStream = file.text.parse().unwrap();
        for line in named_in_place(tokens) {
            breaches.push(format!(
                "{}:{line}: a metric is named here and not in {TABLE}",
                file.name
            ));
        }
    }
    breaches
}

/// The lines of such uses.
fn named_in_place(tokens: TokenStream) -> Vec<usize> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut lines = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else {
            continue;
        };
        if is_of_metrics(&tokens[..index])
            && let Some(TokenTree::Literal(name)) = group.stream().into_iter().next()
        {
            lines.push(name.span().start().line);
        }
        if group.delimiter() != Delimiter::None || !group.stream().is_empty() {
            lines.extend(named_in_place(group.stream()));
        }
    }
    lines
}

/// Whether a call of such a macro ends here, before its arguments.
fn is_of_metrics(tokens: &[TokenTree]) -> bool {
    let [.., TokenTree::Ident(name), TokenTree::Punct(mark)] = tokens else {
        return false;
    };
    let name = name.to_string();
    let name = name.strip_prefix("describe_").unwrap_or(&name);
    mark.as_char() == '!' && ["counter", "gauge", "histogram"].contains(&name)
}

/// Names of constants `metric::NAME` in the sources.
fn used(sources: &Sources) -> BTreeSet<&str> {
    let other = sources.files.iter().filter(|file| file.name != TABLE);
    let after = other.flat_map(|file| file.text.split("metric::").skip(1));
    let names = after.map(|text| {
        let end = text.find(|c: char| !c.is_ascii_uppercase() && c != '_');
        &text[..end.unwrap_or(text.len())]
    });
    names.collect()
}

fn document() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md")
}

#[test]
fn metrics_are_named_in_their_table_only() {
    assert_none(&names_outside_the_table(&SOURCES));
}

#[test]
fn every_metric_of_the_table_is_used() {
    let used = used(&SOURCES);
    let table = SOURCES
        .files
        .iter()
        .find(|file| file.name == TABLE)
        .unwrap();
    let declared = table.text.lines().filter_map(|line| {
        let (name, rest) = line.trim_start().split_once(" = \"")?;
        rest.contains("\" ").then_some(name)
    });
    let declared: Vec<&str> = declared.collect();
    assert_eq!(declared.len(), metric::all().count(), "{declared:?}");
    let unused: Breaches = declared
        .into_iter()
        .filter(|name| !used.contains(name))
        .map(|name| format!("metric::{name} is not used"))
        .collect();
    assert_none(&unused);
}

#[test]
fn a_name_outside_the_table_is_found() {
    let planted =
        "//! A.\nfn f() {\n    if true { metrics::counter!(\"a_total\").increment(1); }\n}";
    let sources = Sources::parse(vec![("lib.rs".to_owned(), planted.to_owned())]);
    let breaches = names_outside_the_table(&sources);
    assert!(
        breaches.len() == 1 && breaches[0].starts_with("lib.rs:3:"),
        "{breaches:?}"
    );
    let by_constant = "//! A.\nfn f() { counter!(metric::A, \"outcome\" => \"ok\"); }";
    let sources = Sources::parse(vec![("lib.rs".to_owned(), by_constant.to_owned())]);
    assert_none(&names_outside_the_table(&sources));
}

/// With `WRITE=1`, as in `make metrics-doc`, it writes the document instead.
#[test]
fn the_document_is_that_of_the_table() {
    let expected = metric::document();
    if std::env::var_os("WRITE").is_some() {
        fs::write(document(), expected).unwrap();
        return;
    }
    let written = fs::read_to_string(document()).unwrap_or_default();
    assert!(
        written == expected,
        "docs/METRICS.md is stale: run `make metrics-doc`"
    );
}
