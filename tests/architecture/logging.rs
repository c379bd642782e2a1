//! `docs/LOGGING.md` lists every field that the program writes into its log, and no other.

use std::{collections::BTreeSet, fs, path::Path};

use proc_macro2::{TokenStream, TokenTree};

use crate::{SOURCES, sources::Sources};

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Names of the fields in the arguments of `tracing::error!` and the like.
fn fields(sources: &Sources) -> BTreeSet<String> {
    let mut fields = BTreeSet::from(["message".to_owned()]);
    for file in &sources.files {
        let tokens: TokenStream = file.text.parse().unwrap();
        add_fields(tokens, &mut fields);
    }
    fields
}

fn add_fields(tokens: TokenStream, fields: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else {
            continue;
        };
        if writes_a_line(&tokens[..index]) {
            let arguments: Vec<TokenTree> = group.stream().into_iter().collect();
            let is_comma = |token: &TokenTree| is_punct(token, ',');
            // Behind the text are what it names in braces.
            let before_text = arguments.split(is_comma).take_while(|argument| {
                !matches!(argument.first(), None | Some(TokenTree::Literal(_)))
            });
            fields.extend(before_text.filter_map(field));
        }
        add_fields(group.stream(), fields);
    }
}

/// The name of the field of one argument. `target: …` is none.
fn field(argument: &[TokenTree]) -> Option<String> {
    let skip = usize::from(is_punct(&argument[0], '%') || is_punct(&argument[0], '?'));
    let TokenTree::Ident(name) = argument.get(skip)? else {
        return None;
    };
    let is_target = argument
        .get(skip + 1)
        .is_some_and(|token| is_punct(token, ':'));
    (!is_target).then(|| name.to_string())
}

/// Whether `tracing::info!` or the like ends here.
fn writes_a_line(tokens: &[TokenTree]) -> bool {
    let [
        ..,
        TokenTree::Ident(of),
        _,
        _,
        TokenTree::Ident(level),
        mark,
    ] = tokens
    else {
        return false;
    };
    of == "tracing" && LEVELS.contains(&level.to_string().as_str()) && is_punct(mark, '!')
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

#[test]
fn the_document_lists_the_fields_of_the_log() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/LOGGING.md");
    let document = fs::read_to_string(path).unwrap();
    let (_, table) = document.split_once("\n## Fields\n").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed = rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()));
    assert_eq!(listed.collect::<BTreeSet<_>>(), fields(&SOURCES));
}

#[test]
fn fields_are_found_wherever_a_line_is_written() {
    let planted = "//! A.\nfn f() {\n    if let Err(error) = g() { tracing::warn!(target: \"x\", %error, sale = 7, n = a.len(), \"{b}\", b = 1); }\n}";
    let sources = Sources::parse(vec![("lib.rs".to_owned(), planted.to_owned())]);
    let expected = ["error", "message", "n", "sale"].map(str::to_owned);
    assert_eq!(fields(&sources), BTreeSet::from(expected));
}
