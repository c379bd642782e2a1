//! Parses the content of `.env`: lines of `NAME=value`. It reads no file itself.
//!
//! Values are literal, and no part of a value appears in a problem. This is why no crate such as dotenvy is used: these crates
//! replace `$NAME` in values, which silently changes passwords, continue an unclosed quote to the end of the file, and show a
//! line that they cannot parse.

use std::collections::BTreeMap;

/// Returns the variables of a file, and the problems of its lines. A problem has the line's number, and the variable's name if it
/// `is_known`.
///
/// - `NAME=value`, also `export NAME=value`. Blanks around name and value are ignored. A comment begins with `#` at the beginning
///   of a line or after a blank.
/// - `'value'`: everything between the quotes. `"value"`: the same, where `\"`, `\\`, `\$`, `\n`, `\r` and `\t` stand for a
///   quote, a backslash, a dollar sign, a line feed, a carriage return and a tab; any other backslash is literal. A quoted value
///   must end on its line.
/// - `$` has no special meaning. If two lines have the same name, the last one counts.
pub(super) fn read(
    content: &[u8],
    origin: &str,
    is_known: impl Fn(&str) -> bool,
) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut variables, mut problems) = (BTreeMap::new(), Vec::new());
    let content = content
        .strip_prefix("\u{FEFF}".as_bytes())
        .unwrap_or(content);
    for (number, line) in (1..).zip(content.split(|byte| *byte == b'\n')) {
        let (name, value) = match entry(line) {
            Ok(None) => continue,
            Ok(Some((name, value))) => (name, Ok(value)),
            Err((name, what)) => (name, Err(what)),
        };
        match value {
            Ok(value) => drop(variables.insert(name, value)),
            // An unknown name is not shown: it may be a piece of a value that has a line break.
            Err(what) if is_known(&name) => {
                problems.push(format!("  {origin}, line {number}: {name} {what}"));
            }
            Err(what) => problems.push(format!("  {origin}, line {number} {what}")),
        }
    }
    (variables, problems)
}

/// The problem of a line: the name of its variable, empty if it has none, and the cause. Contains nothing else of the line.
type Problem = (String, &'static str);

/// The name and the value of a line's variable; `None` for an empty line or a comment.
fn entry(line: &[u8]) -> Result<Option<(String, String)>, Problem> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(None);
    }
    let Some(at) = line.iter().position(|byte| *byte == b'=') else {
        let word = line.split(u8::is_ascii_whitespace).next();
        let word = String::from_utf8_lossy(word.unwrap_or_default()).into_owned();
        return Err((word, "is not NAME=value"));
    };
    let (name, value) = line.split_at(at);
    let name = name.strip_prefix(b"export ").unwrap_or(name).trim_ascii();
    let is_name = !name.is_empty()
        && !name.first().is_some_and(u8::is_ascii_digit)
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if !is_name {
        return Err((String::new(), "has no name of a variable before ="));
    }
    let name = String::from_utf8_lossy(name).into_owned();
    let wrong = |what| (name.clone(), what);
    let value = std::str::from_utf8(value.get(1..).unwrap_or_default())
        .map_err(|_| wrong("is not UTF-8"))?
        .trim();
    let value = match value.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted(value, quote).map_err(wrong)?,
        _ => bare(value).to_owned(),
    };
    if value.contains('\0') {
        return Err(wrong("has a NUL character"));
    }
    Ok(Some((name, value)))
}

/// The part of a value without quotes that comes before a comment.
fn bare(value: &str) -> &str {
    let mut blank = true;
    for (at, c) in value.char_indices() {
        if c == '#' && blank {
            return value.get(..at).unwrap_or_default().trim_end();
        }
        blank = c.is_whitespace();
    }
    value
}

/// The text of a value that begins with `quote`. Only blanks and a comment may follow the closing quote.
fn quoted(value: &str, quote: char) -> Result<String, &'static str> {
    let mut text = String::new();
    let mut chars = value.get(1..).unwrap_or_default().chars();
    loop {
        match chars.next() {
            None => return Err("has a quote that is not closed on its line"),
            Some(c) if c == quote => break,
            Some('\\') if quote == '"' => match chars.next() {
                None => return Err("has a quote that is not closed on its line"),
                Some(c @ ('"' | '\\' | '$')) => text.push(c),
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some(c) => text.extend(['\\', c]),
            },
            Some(c) => text.push(c),
        }
    }
    let rest = chars.as_str();
    if rest.trim_start().is_empty()
        || rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#')
    {
        Ok(text)
    } else {
        Err("has something behind its closing quote")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(line: &str) -> String {
        let (variables, problems) = read(format!("NAME={line}\n").as_bytes(), ".env", |_| true);
        assert!(problems.is_empty(), "{line}: {problems:?}");
        variables["NAME"].clone()
    }

    #[test]
    fn values_are_literal() {
        for (line, expected) in [
            ("secret", "secret"),
            ("  pa$$word$HOME${PATH}  ", "pa$$word$HOME${PATH}"),
            ("a#b # comment", "a#b"),
            ("# comment", ""),
            ("", ""),
            ("a b", "a b"),
            ("a\\nb", "a\\nb"),
            ("a=b=c", "a=b=c"),
            ("it's", "it's"),
            ("'a # b $x \\n \"'", "a # b $x \\n \""),
            ("\"a # b $x 'y'\" # comment", "a # b $x 'y'"),
            ("\"\\\" \\\\ \\$ \\n \\t \\q\"", "\" \\ $ \n \t \\q"),
            ("''", ""),
            ("größer", "größer"),
        ] {
            assert_eq!(value(line), expected, "{line}");
        }
    }

    #[test]
    fn files_of_every_editor_are_read() {
        let content = "\u{FEFF}A=1\r\n\r\n# x\r\n  export B = '2' \r\nA=3";
        let (variables, problems) = read(content.as_bytes(), ".env", |_| true);
        assert!(problems.is_empty(), "{problems:?}");
        let expected =
            [("A", "3"), ("B", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables, BTreeMap::from(expected));
    }

    #[test]
    fn a_broken_line_is_named_and_nothing_of_any_value_is_shown() {
        let content = b"GOOD=1\nJWT_SECRET=\"hunter2\nPOSTGRES_PASSWORD='hunter2\nhunter2\nhunter2 = 5\n=hunter2\n\
            REDIS_PASSWORD=\"hunter2\"hunter2\nKAFKA_SASL_PASSWORD=hunter2\xff\nBETTER='2'\nNUL=hunter2\0\n1A=hunter2\n\
            hunter2=\"x\nJWT_SECRET hunter2\n";
        let (variables, problems) = read(content, ".env", |name| {
            name.ends_with("_SECRET") || name.ends_with("_PASSWORD")
        });
        assert_eq!(
            problems,
            [
                "  .env, line 2: JWT_SECRET has a quote that is not closed on its line",
                "  .env, line 3: POSTGRES_PASSWORD has a quote that is not closed on its line",
                "  .env, line 4 is not NAME=value",
                "  .env, line 6 has no name of a variable before =",
                "  .env, line 7: REDIS_PASSWORD has something behind its closing quote",
                "  .env, line 8: KAFKA_SASL_PASSWORD is not UTF-8",
                "  .env, line 10 has a NUL character",
                "  .env, line 11 has no name of a variable before =",
                "  .env, line 12 has a quote that is not closed on its line",
                "  .env, line 13: JWT_SECRET is not NAME=value",
            ]
        );
        assert!(variables.contains_key("GOOD") && variables.contains_key("BETTER"));
    }
}
