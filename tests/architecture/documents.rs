//! The documents: their links lead to files that exist, the glossary is in order, and the walks of `docs/ARCHITECTURE.md` go down
//! through the layers.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The layers that the walks pass, from the top.
const LAYERS: [&str; 3] = ["api", "order", "engine"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// Every document in a folder, and in those below it.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_ours =
            |name: &str| !name.starts_with('.') && !["target", "node_modules"].contains(&name);
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && is_ours(name) {
            found.extend(documents(&path));
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
    found
}

/// The targets of Markdown's links, without anchors.
fn links(markdown: &str) -> Vec<&str> {
    let behind = markdown.split("](").skip(1);
    let targets = behind.filter_map(|text| text.split_once(')'));
    targets
        .map(|(target, _)| target.split('#').next().unwrap_or(target))
        .collect()
}

fn leads_nowhere(document: &Path, link: &str) -> bool {
    let is_outside = link.is_empty() || link.contains("://") || link.starts_with("mailto:");
    !is_outside && !document.with_file_name(link).exists()
}

#[test]
fn every_link_leads_to_a_file() {
    let mut broken = Vec::new();
    for document in documents(repository()) {
        let text = fs::read_to_string(&document).unwrap();
        let wrong = links(&text)
            .into_iter()
            .filter(|link| leads_nowhere(&document, link));
        broken.extend(wrong.map(|link| format!("{}: {link}", document.display())));
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_link_to_no_file_is_found() {
    let document = repository().join("docs/ARCHITECTURE.md");
    let text = "[a](../src/lib.rs), [b](ADR.md#x) and [c](https://example.com)";
    let found: Vec<_> = links(text)
        .into_iter()
        .filter(|link| leads_nowhere(&document, link))
        .collect();
    assert_eq!(found, ["ADR.md"]);
}

#[test]
fn the_glossary_is_in_alphabetical_order() {
    let glossary = text("docs/GLOSSARY.md");
    let rows = glossary.lines().filter(|line| line.starts_with("| "));
    let terms: Vec<_> = rows.skip(2).map(str::to_lowercase).collect();
    assert!(terms.len() > 20 && terms.is_sorted(), "{terms:#?}");
}

/// The layer of each step of a walk: that of its first link.
fn layers(walk: &str) -> Vec<usize> {
    let steps = walk.split("\n\n").filter(|part| part.starts_with("1. "));
    let first = steps.flat_map(|steps| {
        steps
            .lines()
            .filter(|line| line.starts_with(char::is_numeric))
    });
    first
        .map(|step| {
            let link = links(step)[0].trim_start_matches("../src/");
            let layer = link.split(['/', '.']).next();
            LAYERS.iter().position(|name| Some(*name) == layer).unwrap()
        })
        .collect()
}

#[test]
fn no_step_of_a_walk_goes_back_up() {
    let architecture = text("docs/ARCHITECTURE.md");
    for title in ["One purchase", "One record"] {
        let section = architecture
            .split("\n## ")
            .find(|section| section.starts_with(title));
        let layers = layers(section.unwrap());
        assert!(
            layers.len() >= 5 && layers.is_sorted(),
            "{title}: {layers:?}"
        );
    }
}
