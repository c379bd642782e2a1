//! The output of commands. Only this module writes to standard output and standard error, apart from logs and progress bars.
//!
//! Names of products, records of the log and messages of servers come from outside. A terminal obeys the control characters in
//! them (ESC moves the cursor, sets the title or makes the terminal send input; CR overwrites the line), and direction characters
//! change the order in which a text appears. This module prints such characters as Rust escapes, as in `\u{1b}`. Other characters
//! are printed as they are.

use std::{
    fmt::{self, Display, Write as _},
    io::{self, Write as _},
};

use serde::Serialize;

/// Prints a text from outside on one line. Its line breaks and tabs are escaped too, so that it cannot imitate a line of this
/// program.
pub struct Plain<T>(pub T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping { to: f, keeps: "" }, "{}", self.0)
    }
}

/// True for a character that a terminal obeys rather than shows: control characters (of ASCII and of Latin-1), line and paragraph
/// separators, direction characters (Unicode's `Bidi_Control`), and invisible characters that tag or annotate text.
#[must_use]
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// Prints one or more lines to standard output: the result of a command.
macro_rules! say {
    ($($argument:tt)*) => { $crate::terminal::print(&format!($($argument)*)) };
}
pub(crate) use say;

/// Prints lines to standard output. Errors are ignored: if a reader such as `head` has closed the pipe, the command has not
/// failed.
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

/// JSON that is safe to print: characters that a terminal obeys are escaped as in JSON. Line breaks are kept, since JSON has them
/// only outside of strings.
#[must_use]
pub fn shown_json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) && c != '\n' {
            // JSON has such characters in strings only, where this escape is valid.
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Lines that are safe to print. Line breaks and tabs are kept, since this program wrote them.
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

/// A writer that escapes the characters which a terminal obeys, except for those in `keeps`.
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
