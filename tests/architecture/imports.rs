//! Finds what each file imports: `use` items, also nested ones, and full paths in code and in the arguments of macros and
//! attributes.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    ItemMod, ItemUse, Macro, MetaList, Path, VisRestricted,
    visit::{self, Visit},
};

use crate::sources::{OUTSIDE, Sources, is_test, names};

/// One path that a file names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Import {
    /// The path from the root of the crate. Paths in other crates begin with [`OUTSIDE`].
    pub path: Vec<String>,
    pub line: usize,
    /// Whether the import is in code that is compiled for tests only.
    pub test: bool,
    /// Whether the import is a `use` with a visibility, which re-exports the name.
    pub export: bool,
}

/// All imports of the file that holds `module`.
pub fn imports(sources: &Sources, module: &[String], syntax: &syn::File) -> BTreeSet<Import> {
    let mut visitor = Visitor {
        sources,
        module: module.to_vec(),
        inline: Vec::new(),
        test: sources.is_test(module),
        found: BTreeSet::new(),
    };
    visitor.visit_file(syntax);
    visitor.found
}

struct Visitor<'a> {
    sources: &'a Sources,
    module: Vec<String>,
    /// The inline modules that contain the current position, such as `mod tests { … }`.
    inline: Vec<String>,
    test: bool,
    found: BTreeSet<Import>,
}

impl Visitor<'_> {
    fn add(&mut self, path: &[String], line: usize, export: bool) {
        let module = [self.module.clone(), self.inline.clone()].concat();
        let path = self.sources.absolute(&module, path);
        self.found.insert(Import {
            path,
            line,
            test: self.test,
            export,
        });
    }

    /// Finds paths in the arguments of a macro or an attribute: identifiers that are separated by `::`.
    fn visit_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.add_code_path(&path, line);
                        path.clear();
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                }
                TokenTree::Group(group) => {
                    self.add_code_path(&path, line);
                    path.clear();
                    colons = 0;
                    self.visit_tokens(group.stream());
                }
                _ => {
                    self.add_code_path(&path, line);
                    path.clear();
                    colons = 0;
                }
            }
        }
        self.add_code_path(&path, line);
    }

    /// Adds a path in code. A path of one segment is no import: it names an item of this file, or one that a `use` imports.
    fn add_code_path(&mut self, path: &[String], line: usize) {
        if path.len() > 1 {
            self.add(path, line, false);
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let line = item.use_token.span.start().line;
        let export = !matches!(item.vis, syn::Visibility::Inherited);
        for (path, _) in names(item) {
            self.add(&path, line, export);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if module.content.is_none() {
            return;
        }
        let before = self.test;
        self.test |= is_test(&module.attrs);
        self.inline.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.inline.pop();
        self.test = before;
    }

    /// The path of `pub(in path)` says who may import the item. It is no import.
    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}

    fn visit_path(&mut self, path: &'ast Path) {
        let segments: Vec<String> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        let line = path.segments[0].ident.span().start().line;
        self.add_code_path(&segments, line);
        visit::visit_path(self, path);
    }

    /// An attribute with arguments, such as `#[schema(value_type = crate::ids::SaleId)]`.
    fn visit_meta_list(&mut self, list: &'ast MetaList) {
        self.visit_path(&list.path);
        self.visit_tokens(list.tokens.clone());
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.visit_path(&called.path);
        self.visit_tokens(called.tokens.clone());
    }
}

impl Import {
    /// The path in another crate; `None` for a path in this one.
    pub fn outside(&self) -> Option<Vec<&str>> {
        let (first, rest) = self.path.split_first()?;
        (first == OUTSIDE).then(|| rest.iter().map(String::as_str).collect())
    }
}
