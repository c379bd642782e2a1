//! The source files and their modules: which file holds which module, and which modules are compiled for tests only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::imports::{Import, imports};
use syn::{Item, ItemUse, UseTree, Visibility};

/// The path of a module from the root of the crate, as in `order::worker`; empty for the root.
pub type ModulePath = Vec<String>;

/// One source file.
pub struct Source {
    /// The path from the root of the sources, as in `order/worker.rs`.
    pub name: String,
    pub text: String,
    pub module: ModulePath,
    pub imports: BTreeSet<Import>,
}

/// All source files of one crate.
pub struct Sources {
    pub files: Vec<Source>,
    /// The index in `files` of each module's file.
    by_module: BTreeMap<ModulePath, usize>,
    /// Modules with a file of their own that are declared by `#[cfg(test)] mod name;`.
    tests: BTreeSet<ModulePath>,
    /// A map from `(module, name)` to the path that a `use` in this module gives this name. Names of a `use` without a visibility
    /// are in it too: the code of the module and of its children can name them.
    uses: BTreeMap<(ModulePath, String), Vec<String>>,
}

impl Sources {
    /// Reads every `.rs` file below `root`.
    pub fn read(root: &Path) -> Self {
        let mut files = Vec::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                    files.push((name.to_owned(), fs::read_to_string(&path).unwrap()));
                }
            }
        }
        files.sort();
        Self::parse(files)
    }

    /// Parses files that are given as `(name, text)`.
    pub fn parse(files: Vec<(String, String)>) -> Self {
        let (files, syntax): (Vec<Source>, Vec<syn::File>) = files
            .into_iter()
            .map(|(name, text)| {
                let syntax =
                    syn::parse_file(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
                let module = module_of(&name);
                let imports = BTreeSet::new();
                (
                    Source {
                        name,
                        text,
                        module,
                        imports,
                    },
                    syntax,
                )
            })
            .unzip();
        let by_module = files
            .iter()
            .enumerate()
            .map(|(index, file)| (file.module.clone(), index))
            .collect();
        let mut sources = Self {
            files,
            by_module,
            tests: BTreeSet::new(),
            uses: BTreeMap::new(),
        };
        for (index, syntax) in syntax.iter().enumerate() {
            sources.add_declarations(index, syntax);
        }
        for (index, syntax) in syntax.iter().enumerate() {
            let module = &sources.files[index].module;
            sources.files[index].imports = imports(&sources, module, syntax);
        }
        sources
    }

    /// Stores a file's modules for tests and the names that its `use` items give.
    fn add_declarations(&mut self, index: usize, syntax: &syn::File) {
        let module = self.files[index].module.clone();
        for item in &syntax.items {
            match item {
                Item::Mod(child) if child.content.is_none() && is_test(&child.attrs) => {
                    let mut path = module.clone();
                    path.push(child.ident.to_string());
                    self.tests.insert(path);
                }
                Item::Use(item) => {
                    let export = !matches!(item.vis, Visibility::Inherited);
                    for (path, name) in names(item) {
                        assert!(
                            name != "*" || !export,
                            "{module:?} re-exports by glob: not followed here"
                        );
                        let path = self.absolute(&module, &path);
                        self.uses.insert((module.clone(), name), path);
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether the module, or one above it, is compiled for tests only.
    pub fn is_test(&self, module: &[String]) -> bool {
        (0..=module.len()).any(|end| self.tests.contains(&module[..end]))
    }

    /// Converts a path in the code of `module` to a path from the root of the crate. A path in another crate gets [`OUTSIDE`] as
    /// its first segment.
    pub fn absolute(&self, module: &[String], path: &[String]) -> Vec<String> {
        let mut base = module.to_vec();
        let mut rest = path;
        match rest.first().map(String::as_str) {
            Some("crate") => return rest[1..].to_vec(),
            Some("self") => rest = &rest[1..],
            Some("super") => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            Some(first) if self.is_child(module, first) => {}
            Some(first) if self.uses.contains_key(&(module.to_vec(), first.to_owned())) => {
                base.clone_from(&self.uses[&(module.to_vec(), first.to_owned())]);
                rest = &rest[1..];
            }
            _ => {
                let mut outside = vec![OUTSIDE.to_owned()];
                outside.extend_from_slice(path);
                return outside;
            }
        }
        base.extend_from_slice(rest);
        base
    }

    fn is_child(&self, module: &[String], name: &str) -> bool {
        let mut child = module.to_vec();
        child.push(name.to_owned());
        self.by_module.contains_key(&child)
    }

    /// The index of the file that defines the item of an absolute path. Follows up to 8 `use` items.
    pub fn definition(&self, path: &[String]) -> Option<usize> {
        self.resolve(path, 8)
    }

    fn resolve(&self, path: &[String], depth: usize) -> Option<usize> {
        if depth == 0 || path.first().is_some_and(|part| part == OUTSIDE) {
            return None;
        }
        // The longest prefix that is a module with a file.
        let end = (0..=path.len())
            .rev()
            .find(|end| self.by_module.contains_key(&path[..*end]))?;
        let (module, rest) = path.split_at(end);
        if let Some(name) = rest.first()
            && let Some(target) = self.uses.get(&(module.to_vec(), name.clone()))
        {
            let mut target = target.clone();
            target.extend_from_slice(&rest[1..]);
            if let Some(found) = self.resolve(&target, depth - 1) {
                return Some(found);
            }
        }
        self.by_module.get(module).copied()
    }
}

/// The first segment of paths in other crates.
pub const OUTSIDE: &str = "::";

fn module_of(name: &str) -> ModulePath {
    let path = name.strip_suffix(".rs").unwrap_or(name);
    if path == "lib" || path == "main" {
        return if path == "lib" {
            Vec::new()
        } else {
            vec!["main".to_owned()]
        };
    }
    path.split('/').map(str::to_owned).collect()
}

pub fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

/// All paths of a `use`, each with the name under which it is imported.
pub fn names(item: &ItemUse) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    flatten(&item.tree, &mut Vec::new(), &mut found);
    found
}

fn flatten(tree: &UseTree, before: &mut Vec<String>, found: &mut Vec<(Vec<String>, String)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, found);
            before.pop();
        }
        UseTree::Name(name) => found.push(leaf(before, &name.ident.to_string(), None)),
        UseTree::Rename(rename) => {
            found.push(leaf(
                before,
                &rename.ident.to_string(),
                Some(rename.rename.to_string()),
            ));
        }
        UseTree::Glob(_) => found.push((before.clone(), "*".to_owned())),
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before, found);
            }
        }
    }
}

fn leaf(before: &[String], name: &str, renamed: Option<String>) -> (Vec<String>, String) {
    let mut path = before.to_vec();
    if name != "self" {
        path.push(name.to_owned());
    }
    let known = renamed.unwrap_or_else(|| path.last().cloned().unwrap_or_default());
    (path, known)
}
