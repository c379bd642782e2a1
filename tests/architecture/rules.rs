//! The rules about imports between modules, files that may name a crate, and headers of files. Each function returns the breaches
//! of one rule.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::Sources;

/// One line for each breach, in most rules `file:line: problem`.
pub type Breaches = Vec<String>;

/// All imports from one unit to another: a map from `(from, to)` to the lines that have such an import.
type Edges = BTreeMap<(String, String), Vec<String>>;

/// The unit of a file: its first module, or its engine, since each engine is a unit of its own.
pub fn unit(name: &str) -> String {
    let path = name.strip_suffix(".rs").unwrap_or(name);
    let mut parts = path.split('/');
    let first = parts.next().unwrap_or_default();
    match (first, parts.next()) {
        ("engine", Some(child)) if ENGINES.contains(&child) => format!("engine::{child}"),
        _ => first.to_owned(),
    }
}

const ENGINES: [&str; 4] = ["embedded", "kafka", "postgres", "redis"];

fn edges(sources: &Sources, test: bool) -> Edges {
    let mut edges = Edges::new();
    for file in &sources.files {
        for import in &file.imports {
            let Some(target) = sources.definition(&import.path) else {
                continue;
            };
            let (from, to) = (unit(&file.name), unit(&sources.files[target].name));
            if from != to && import.test == test {
                let place = format!("{}:{}: {}", file.name, import.line, import.path.join("::"));
                edges.entry((from, to)).or_default().push(place);
            }
        }
    }
    edges
}

fn is_allowed(table: &[(&str, &[&str])], from: &str, to: &str) -> bool {
    table
        .iter()
        .any(|(unit, allowed)| *unit == from && allowed.contains(&to))
}

/// Imports that the table does not allow, in code (`test` false) or in code that is compiled for tests only.
pub fn imports_outside_the_table(
    sources: &Sources,
    table: &[(&str, &[&str])],
    for_tests: &[(&str, &[&str])],
) -> Breaches {
    let code = edges(sources, false)
        .into_iter()
        .filter(|((from, to), _)| !is_allowed(table, from, to));
    let tests = edges(sources, true)
        .into_iter()
        .filter(|((from, to), _)| !is_allowed(table, from, to) && !is_allowed(for_tests, from, to));
    code.chain(tests)
        .flat_map(|((from, to), places)| {
            places
                .into_iter()
                .map(move |place| format!("{place} ({from} may not import {to})"))
        })
        .collect()
}

/// Entries of the table that no import needs. They must be removed, so that the table is exactly the list of imports.
pub fn lines_without_an_import(
    sources: &Sources,
    table: &[(&str, &[&str])],
    test: bool,
) -> Breaches {
    let edges = edges(sources, test);
    let mut breaches = Breaches::new();
    for (from, allowed) in table {
        for to in *allowed {
            if !edges.contains_key(&((*from).to_owned(), (*to).to_owned())) {
                breaches.push(format!("{from} imports nothing from {to}"));
            }
        }
    }
    breaches
}

/// Uses of the crate or path `name` in files whose name does not begin with one of `places`. Files for tests are not checked.
pub fn crate_outside_its_places(sources: &Sources, name: &[&str], places: &[&str]) -> Breaches {
    let mut breaches = Breaches::new();
    for file in &sources.files {
        if places.iter().any(|place| file.name.starts_with(place)) || sources.is_test(&file.module)
        {
            continue;
        }
        for import in &file.imports {
            if import.outside().is_some_and(|path| path.starts_with(name)) {
                breaches.push(format!(
                    "{}:{}: {}",
                    file.name,
                    import.line,
                    name.join("::")
                ));
            }
        }
    }
    breaches
}

/// Modules whose file is one of the library's, `#[path = "…/src/…"]`. Such a file is compiled a second time, with all that is
/// private in it.
pub fn sources_of_the_library(sources: &Sources) -> Breaches {
    let mut breaches = Breaches::new();
    for file in &sources.files {
        for (line, text) in (1..).zip(file.text.lines()) {
            if text.trim_start().starts_with("#[path") && text.contains("src/") {
                breaches.push(format!("{}:{line}: {}", file.name, text.trim()));
            }
        }
    }
    breaches
}

/// Imports that a unit has from the others.
pub fn imports_of(sources: &Sources, unit: &str) -> Breaches {
    let edges = edges(sources, false).into_iter();
    edges
        .filter(|((from, _), _)| from == unit)
        .flat_map(|(_, places)| places)
        .collect()
}

/// Paths of the crate `name` that are not in the table, and entries of the table that no file needs.
pub fn paths_outside_the_table(sources: &Sources, name: &str, table: &[&[&str]]) -> Breaches {
    let mut breaches = Breaches::new();
    let mut needed = BTreeSet::new();
    for file in &sources.files {
        for import in &file.imports {
            let Some(path) = import.outside().filter(|path| path.starts_with(&[name])) else {
                continue;
            };
            match table.iter().position(|allowed| path.starts_with(allowed)) {
                Some(entry) => drop(needed.insert(entry)),
                None => breaches.push(format!(
                    "{}:{}: {} may not be named here",
                    file.name,
                    import.line,
                    path.join("::")
                )),
            }
        }
    }
    let unneeded = (0..table.len()).filter(|entry| !needed.contains(entry));
    breaches.extend(unneeded.map(|entry| format!("no file names {}", table[entry].join("::"))));
    breaches
}

/// Groups of units that import each other in a circle, not counting code for tests.
pub fn circles_of_units(sources: &Sources) -> Breaches {
    let edges = edges(sources, false);
    let pairs = edges.keys().cloned().collect::<BTreeSet<_>>();
    circles(&pairs)
}

/// Groups of files that import each other in a circle, not counting code for tests, each with its imports. A re-export is not an
/// import of its own: an import of a re-exported name counts as an import of the file that defines it.
pub fn circles_of_files(sources: &Sources) -> Breaches {
    let mut imports = Edges::new();
    for file in &sources.files {
        for import in &file.imports {
            if import.test || import.export {
                continue;
            }
            if let Some(target) = sources.definition(&import.path) {
                let target = &sources.files[target].name;
                if *target != file.name {
                    let place =
                        format!("{}:{}: {}", file.name, import.line, import.path.join("::"));
                    let pair = (file.name.clone(), target.clone());
                    imports.entry(pair).or_default().push(place);
                }
            }
        }
    }
    let pairs = imports.keys().cloned().collect();
    let mut groups = circles(&pairs);
    for group in &mut groups {
        let members: BTreeSet<String> = group.split(' ').map(str::to_owned).collect();
        for ((from, to), places) in &imports {
            if members.contains(from) && members.contains(to) {
                group.extend(
                    places
                        .iter()
                        .map(|place| format!("\n    {place} (in {to})")),
                );
            }
        }
    }
    groups
}

/// Groups in which each member can reach every other one through `pairs`.
fn circles(pairs: &BTreeSet<(String, String)>) -> Breaches {
    let mut targets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in pairs {
        targets.entry(from).or_default().push(to);
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = targets
        .keys()
        .map(|name| (*name, reachable(name, &targets)))
        .collect();
    let mut groups = BTreeSet::new();
    for (name, others) in &reached {
        let group: Vec<&str> = others
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(name)))
            .copied()
            .collect();
        if group.len() > 1 {
            groups.insert(group.join(" "));
        }
    }
    groups.into_iter().collect()
}

fn reachable<'a>(from: &'a str, targets: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(name) = next.pop() {
        for to in targets.get(name).into_iter().flatten() {
            if reached.insert(*to) {
                next.push(to);
            }
        }
    }
    reached
}

/// Files that do not begin with a `//!` header, and files with an unspecific name.
pub fn files_without_a_purpose(sources: &Sources) -> Breaches {
    let vague = ["mod", "utils", "helpers", "common"];
    sources
        .files
        .iter()
        .filter(|file| {
            let stem = file.name.rsplit('/').next().unwrap_or_default();
            !file.text.starts_with("//!") || vague.contains(&stem.trim_end_matches(".rs"))
        })
        .map(|file| format!("{}:1: does not say what it holds", file.name))
        .collect()
}
