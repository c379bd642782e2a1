//! What is left out of scripts and style sheets before they are compressed: comments and indentation, which only their authors
//! read. It is a third of the shopper page.

/// The text without lines that are comments, without indentation and empty lines. What stands beside code in a line stays.
///
/// It reads lines, not the language: a template literal over several lines loses its indentation, and must hold no line that begins
/// as a comment does. A test of the pages compares the syntax of what is served with that of the files.
pub(super) fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut in_comment = false;
    for line in text.lines() {
        let mut code = line.trim();
        if !in_comment && code.starts_with("/*") {
            // With code behind it, it is the type of that code.
            in_comment = !code.contains("*/") || code.ends_with("*/");
        }
        if in_comment {
            let Some((_, behind)) = code.split_once("*/") else {
                continue;
            };
            in_comment = false;
            code = behind.trim();
        }
        if !code.is_empty() && !code.starts_with("//") {
            kept.push_str(code);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_are_comments_are_left_out() {
        let source = "\
/** What it holds. */

/**
 * @param {string} a
 */
export function f(a) {
  // A reason.
  const url = \"http://example.com\"; // beside code
  /** @type {Map<string, number>} */
  const map = /** @type {any} */ (a);
  /* one */ g(map);
  return url;
} /* the
end */ h();
";
        let served = "\
export function f(a) {
const url = \"http://example.com\"; // beside code
const map = /** @type {any} */ (a);
/* one */ g(map);
return url;
} /* the
end */ h();
";
        assert_eq!(without_comments(source), served);
    }

    #[test]
    fn code_behind_the_end_of_a_comment_stays() {
        assert_eq!(without_comments("/* a\n b */ c {\n}"), "c {\n}\n");
    }
}
