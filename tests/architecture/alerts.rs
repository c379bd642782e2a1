//! The alerts of `config/prometheus/rules.yml` have a section in `docs/RUNBOOK.md` and a test in `rules_test.yml`, and they and the
//! dashboard use metrics that exist.

use std::{collections::BTreeSet, fs, path::Path};

use flashsale::telemetry::metric;

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What stands behind `key` in the lines of a YAML file.
fn values<'a>(yaml: &'a str, key: &str) -> Vec<&'a str> {
    let behind = |line: &'a str| {
        let line = line.trim_start().trim_start_matches("- ");
        line.strip_prefix(key)?.strip_prefix(": ")
    };
    yaml.lines().filter_map(behind).collect()
}

/// Anchors of the headings of the second level, as GitHub makes them of single words.
fn anchors(markdown: &str) -> Vec<String> {
    let headings = markdown.lines().filter_map(|line| line.strip_prefix("## "));
    headings.map(str::to_lowercase).collect()
}

#[test]
fn every_alert_links_to_its_section_of_the_runbook() {
    let rules = text("config/prometheus/rules.yml");
    let (alerts, links) = (values(&rules, "alert"), values(&rules, "runbook_url"));
    let expected = |alert: &&str| format!("docs/RUNBOOK.md#{}", alert.to_lowercase());
    assert_eq!(links, alerts.iter().map(expected).collect::<Vec<_>>());
    let names: BTreeSet<_> = alerts.iter().map(|alert| alert.to_lowercase()).collect();
    assert_eq!(
        BTreeSet::from_iter(anchors(&text("docs/RUNBOOK.md"))),
        names
    );
}

#[test]
fn every_alert_has_a_test() {
    let (rules, tests) = (
        "config/prometheus/rules.yml",
        "config/prometheus/rules_test.yml",
    );
    let (rules, tests) = (text(rules), text(tests));
    assert_eq!(values(&rules, "alert"), values(&tests, "name"));
}

#[test]
fn rules_and_dashboard_use_metrics_that_exist() {
    let known: BTreeSet<&str> = metric::all().map(|metric| metric.name).collect();
    for file in [
        "config/prometheus/rules.yml",
        "config/grafana/flashsale.json",
    ] {
        let text = text(file);
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let words = text.split(|c| !is_of_name(c));
        let names = words.filter(|word| {
            // Names of rules have colons.
            !word.contains(':') && (word.starts_with("flashsale_") || word.starts_with("process_"))
        });
        for name in names {
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            let is_known = known.contains(name) || base.is_some_and(|base| known.contains(base));
            assert!(is_known, "{file} names {name}, which does not exist");
        }
    }
}
