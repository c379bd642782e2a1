//! The subject of an account: its identifier at the shop's issuer.

/// Most characters of a subject (`sub` of the `OpenID` Connect Core specification, section 2).
const SUBJECT_CHARS: usize = 255;

/// What [`is_subject`] demands, for answers that refuse a text: the name of its field stands before.
pub const SUBJECT_RULE: &str = "must be 1 to 255 characters without control characters";

/// Whether a text can be a subject.
#[must_use]
pub fn is_subject(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= SUBJECT_CHARS && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_1_to_255_characters_and_no_control_characters() {
        for good in [
            "7",
            "auth0|5f7c8ec7c33c6c004bbafe82",
            "Zoë",
            &"x".repeat(255),
        ] {
            assert!(is_subject(good), "{good}");
        }
        for bad in ["", "a\0b", "a\nb", &"x".repeat(256)] {
            assert!(!is_subject(bad), "{bad:?}");
        }
    }
}
