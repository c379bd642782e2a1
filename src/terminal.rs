//! What commands print: the only place that writes to standard output and standard error, apart from logs and progress bars.
//!
//! Names of products, records of the log and texts of servers come from outside. A terminal obeys the control characters in them
//! (ESC moves the cursor, sets the title or answers for the user, CR overwrites the line), and direction characters show a text in
//! another order than it has. Here they are shown as Rust writes them, as in `\u{1b}`. Other text is shown as it is.

use std::{
    fmt::{self, Display, Write as _},
    io::{self, Write as _},
};

use serde::Serialize;

/// A text from outside on one line: also its line breaks and tabs are shown, so that it cannot pass for a line of ours.
pub struct Plain<T>(pub T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping { to: f, keeps: "" }, "{}", self.0)
    }
}

/// True for a character that a terminal obeys rather than shows: control characters (of ASCII and of Latin-1), line and paragraph
/// separators, direction characters (Unicode's `Bidi_Control`), and those that tag or annotate text without being seen.
#[must_use]
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// Prints a line, or several, to standard output: the answer of a command.
macro_rules! say {
    ($($argument:tt)*) => { $crate::terminal::print(&format!($($argument)*)) };
}
pub(crate) use say;

/// Prints lines to standard output. Whoever reads it may have gone, as `head` does; that is no failure of the command.
pub fn print(lines: &str) {
    let _ = writeln!(io::stdout(), "{}", shown(lines));
}

/// Prints lines to standard error.
pub fn complain(lines: &str) {
    let _ = writeln!(io::stderr(), "{}", shown(lines));
}

/// Prints a document of JSON. Characters that a terminal obeys are escaped as JSON does.
pub fn print_json(document: &impl Serialize) -> serde_json::Result<()> {
    let text = serde_json::to_string_pretty(document)?;
    let _ = writeln!(io::stdout(), "{}", shown_json(&text));
    Ok(())
}

/// JSON as it may be printed: in its strings, what a terminal obeys is escaped as JSON does. The line breaks are those between them.
#[must_use]
pub fn shown_json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) && c != '\n' {
            // Outside of its strings JSON has no such characters.
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Lines as they may be printed. Line breaks and tabs are ours.
#[must_use]
pub fn shown(lines: &str) -> String {
    let mut safe = String::with_capacity(lines.len());
    let _ = write!(
        Escaping {
            to: &mut safe,
            keeps: "\n\t"
        },
        "{lines}"
    );
    safe
}

/// Passes on what is written, with what a terminal obeys escaped.
struct Escaping<'a, W> {
    to: &'a mut W,
    keeps: &'static str,
}

impl<W: fmt::Write> fmt::Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        let escaped = |c: char| is_obeyed(c) && !self.keeps.contains(c);
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| escaped(*c)) {
            let (before, after) = rest.split_at(at);
            self.to.write_str(before)?;
            match c {
                '\n' | '\r' | '\t' => write!(self.to, "{}", c.escape_default())?,
                _ => write!(self.to, "{}", c.escape_unicode())?,
            }
            rest = after.strip_prefix(c).unwrap_or_default();
        }
        self.to.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        let hostile = "a\u{1b}]0;title\u{7}b\rc\u{9b}2Jd\u{202e}e\u{2066}f\u{200f}g\u{8}h\u{7f}i\u{feff}j\u{e0041}k";
        let shown = shown(hostile);
        assert_eq!(
            shown,
            "a\\u{1b}]0;title\\u{7}b\\rc\\u{9b}2Jd\\u{202e}e\\u{2066}f\\u{200f}g\\u{8}h\\u{7f}i\\u{feff}j\\u{e0041}k"
        );
        assert!(!shown.chars().any(is_obeyed));
        let json = serde_json::to_string(&hostile).unwrap();
        assert!(json.contains('\u{202e}'), "JSON alone leaves them");
    }

    #[test]
    fn text_is_shown_as_it_is_and_stays_on_its_line() {
        assert_eq!(
            shown("größer ❤\u{fe0f} שלום\n\tx"),
            "größer ❤\u{fe0f} שלום\n\tx"
        );
        assert_eq!(
            Plain("one\nBROKEN two\tthree\r").to_string(),
            "one\\nBROKEN two\\tthree\\r"
        );
        assert_eq!(format!("{:>8}|", Plain("a")), "a|");
    }
}
