//! Which characters names and passwords may have, and the form in which passwords are compared.

use icu_normalizer::ComposingNormalizer;
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{
        CanonicalCombiningClass, DefaultIgnorableCodePoint, EnumeratedProperty, GeneralCategory,
        HangulSyllableType, JoiningType,
    },
};

/// The first character of a name that is invisible or has no meaning: control, direction and format characters, characters that
/// Unicode ignores by default, private, unassigned and blank ones. `None`: all characters are visible.
///
/// A joiner is allowed where the script needs it: some names in Sinhala or Persian cannot be written without one (RFC 5892, A.1
/// and A.2).
pub(crate) fn unseen(name: &str) -> Option<char> {
    let invisible = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let chars: Vec<char> = name.chars().collect();
    let is_unseen = |(at, c): (usize, &char)| match *c {
        ZWNJ | ZWJ => !is_joiner_needed(&chars, at),
        // The Braille pattern without dots, which looks like a blank.
        '\u{2800}' => true,
        c => {
            invisible.contains(c)
                || matches!(
                    GeneralCategory::for_char(c),
                    GeneralCategory::Control
                        | GeneralCategory::Format
                        | GeneralCategory::Unassigned
                        | GeneralCategory::PrivateUse
                        | GeneralCategory::Surrogate
                        | GeneralCategory::LineSeparator
                        | GeneralCategory::ParagraphSeparator
                )
        }
    };
    chars
        .iter()
        .enumerate()
        .find(|found| is_unseen(*found))
        .map(|(_, c)| *c)
}

/// The form of a password that is hashed and compared, the same whatever keyboard it was typed on: RFC 8265, profile
/// `OpaqueString`. All kinds of blanks become spaces, and letters with marks become composed (NFC). `None`: the password has a
/// character that the profile does not allow.
///
/// The profile is implemented here because its crate (PRECIS) has the tables of Unicode 6.3, of 2013, and refuses all newer
/// emoji. This program has newer tables.
pub(crate) fn opaque_string(password: &str) -> Option<String> {
    if password.is_ascii() {
        let controls = password.bytes().any(|byte| byte.is_ascii_control());
        return (!controls).then(|| password.to_owned());
    }
    let spaced: String = password
        .chars()
        .map(|c| match GeneralCategory::for_char(c) {
            GeneralCategory::SpaceSeparator => ' ',
            _ => c,
        })
        .collect();
    let composed = ComposingNormalizer::new_nfc()
        .normalize(&spaced)
        .into_owned();
    is_freeform(&composed).then_some(composed)
}

const ZWNJ: char = '\u{200C}';
const ZWJ: char = '\u{200D}';

/// Whether all characters are in the `FreeformClass` (RFC 8264, 4.3). The contextual rules for punctuation (RFC 5892, A.3 to A.9)
/// are left out, because they are made for names.
fn is_freeform(text: &str) -> bool {
    let invisible = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let chars: Vec<char> = text.chars().collect();
    chars.iter().enumerate().all(|(at, c)| match *c {
        ZWNJ | ZWJ => is_joiner_needed(&chars, at),
        c => {
            !invisible.contains(c)
                && !is_old_hangul_jamo(c)
                && !matches!(
                    GeneralCategory::for_char(c),
                    GeneralCategory::Control
                        | GeneralCategory::Format
                        | GeneralCategory::Unassigned
                        | GeneralCategory::PrivateUse
                        | GeneralCategory::Surrogate
                        | GeneralCategory::LineSeparator
                        | GeneralCategory::ParagraphSeparator
                )
        }
    })
}

/// Whether a character is in the category `OldHangulJamo` (RFC 8264, 9.9).
fn is_old_hangul_jamo(c: char) -> bool {
    matches!(
        HangulSyllableType::for_char(c),
        HangulSyllableType::LeadingJamo
            | HangulSyllableType::VowelJamo
            | HangulSyllableType::TrailingJamo
    )
}

/// Whether the script needs the joiner or non-joiner at `at` (RFC 5892, A.1 and A.2): both after a virama, a non-joiner also
/// between letters that would otherwise join.
fn is_joiner_needed(chars: &[char], at: usize) -> bool {
    let classes = CodePointMapData::<CanonicalCombiningClass>::new();
    let (before, after) = (chars.get(..at), chars.get(at + 1..));
    let (Some(before), Some(after)) = (before, after) else {
        return false;
    };
    let virama = before
        .last()
        .is_some_and(|c| classes.get(*c) == CanonicalCombiningClass::Virama);
    if virama || chars.get(at) == Some(&ZWJ) {
        return virama;
    }
    let joining = CodePointMapData::<JoiningType>::new();
    let is_not_transparent = |c: &&char| joining.get(**c) != JoiningType::Transparent;
    let (left, right) = (
        before.iter().rev().find(is_not_transparent),
        after.iter().find(is_not_transparent),
    );
    left.is_some_and(|c| {
        matches!(
            joining.get(*c),
            JoiningType::LeftJoining | JoiningType::DualJoining
        )
    }) && right.is_some_and(|c| {
        matches!(
            joining.get(*c),
            JoiningType::RightJoining | JoiningType::DualJoining
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_found_in_a_name() {
        for c in [
            '\0',
            '\u{7}',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{AD}',
            '\u{34F}',
            '\u{61C}',
            '\u{115F}',
            '\u{180E}',
            '\u{200B}',
            '\u{200C}',
            '\u{200D}',
            '\u{200E}',
            '\u{200F}',
            '\u{2028}',
            '\u{202A}',
            '\u{202E}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{2800}',
            '\u{3164}',
            '\u{E000}',
            '\u{FE0F}',
            '\u{FEFF}',
            '\u{FFA0}',
            '\u{FFF9}',
            '\u{FFFF}',
            '\u{E0041}',
            '\u{E0100}',
            '\u{10FFFF}',
            '\u{378}',
        ] {
            assert_eq!(
                unseen(&format!("Ada{c} Lovelace")),
                Some(c),
                "{:x}",
                u32::from(c)
            );
        }
    }

    #[test]
    fn names_are_written_in_their_script() {
        for name in [
            "Zoë Ångström",
            "O'Neil-Łukasz Jr.",
            "张伟",
            "محمد",
            "דוד",
            "ශ්\u{200D}රියානි",
            "می\u{200C}خواهم",
            "नेपाली क्\u{200C}ष",
            "がっき",
            "각하",
            "🫠",
        ] {
            assert_eq!(unseen(name), None, "{name}");
        }
    }

    #[test]
    fn a_password_is_the_same_however_it_is_typed() {
        let same = |one: &str, other: &str| {
            assert_eq!(opaque_string(one).unwrap(), opaque_string(other).unwrap());
        };
        same("Pässwörd-é1", "Pa\u{308}sswo\u{308}rd-e\u{301}1");
        same("a\u{A0}b\u{3000}c", "a b c");
        same("\u{212B}", "Å");
        same("각", "\u{1100}\u{1161}\u{11A8}");
        let other = |one: &str, other: &str| {
            assert_ne!(opaque_string(one).unwrap(), opaque_string(other).unwrap());
        };
        // The profile keeps case, width and compatibility characters (RFC 8265, 4.2.2).
        other("Secret", "secret");
        other("ｓecret", "secret");
        other("ﬁsh", "fish");
        for same in [
            "correct horse battery staple",
            "Πάσσωορδ",
            "🫠🫠🫠🫠🫠🫠",
            "π²=9.87",
            "١٢٣٤٥٦",
        ] {
            assert_eq!(opaque_string(same).as_deref(), Some(same));
        }
    }

    #[test]
    fn a_password_that_the_profile_refuses_has_no_form() {
        for wrong in [
            "abc\0def",
            "tab\there",
            "abc\u{200B}def",
            "❤\u{fe0f}❤",
            "\u{202E}secret",
            "\u{378}äöü",
            "👩\u{200D}🚀",
        ] {
            assert_eq!(opaque_string(wrong), None, "{wrong:?}");
        }
    }
}
