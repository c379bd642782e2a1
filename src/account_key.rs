//! The key that identifies an account: one for all spellings of a username or an email that count as the same name.
//!
//! Both ledgers store the key, and compute it with this module: the case rules of a database depend on its locale, and SQLite
//! knows those of ASCII only.

use std::fmt;

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use icu_properties::{CodePointSetData, props::DefaultIgnorableCodePoint};

/// `NFKC_Casefold` of a username or an email: case folded in full (`STRASSE` is `straße`), compatibility forms as their plain
/// ones (`ｆｕｌｌ` is `full`, `ﬁ` is `fi`), letters with their marks in one form, invisible characters left out.
///
/// By Unicode's stability policy, a later version of its tables does not change the key of a text whose characters were all
/// assigned before. (Unicode Standard, chapter 3.13, D146; the policy on case folding and normalization.)
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey(String);

impl AccountKey {
    #[must_use]
    pub fn of(name: &str) -> Self {
        if name.is_ascii() {
            return Self(name.to_ascii_lowercase());
        }
        let invisible = CodePointSetData::new::<DefaultIgnorableCodePoint>();
        let (nfkc, fold) = (ComposingNormalizer::new_nfkc(), CaseMapper::new());
        let visible: String = name.chars().filter(|c| !invisible.contains(*c)).collect();
        let visible = DecomposingNormalizer::new_nfd().normalize(&visible);
        // Folded twice: a plain form may have a case, which its compatibility form did not have.
        let folded = nfkc.normalize(&fold.fold_string(&visible)).into_owned();
        let key = nfkc.normalize(&fold.fold_string(&folded)).into_owned();
        Self(key)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<AccountKey> for String {
    fn from(key: AccountKey) -> Self {
        key.0
    }
}

#[cfg(test)]
mod tests {
    use super::AccountKey;

    fn same(one: &str, other: &str) {
        assert_eq!(AccountKey::of(one), AccountKey::of(other), "{one} {other}");
    }

    #[test]
    fn spellings_of_a_name_have_one_key() {
        same("Admin", "aDMIN");
        same("MÜLLER@x", "müller@x");
        same("müller@x", "mu\u{308}ller@x");
        same("MU\u{308}LLER@X", "müller@x");
        same("straße", "STRASSE");
        same("ΌΣΟΣ", "όσος");
        same("ＦＵＬＬ", "full");
        same("ﬁsh", "FISH");
        same("\u{212A}elvin", "kelvin");
        same("a\u{200B}d\u{AD}min", "admin");
        same("ǅ", "ǆ");
        same("㎭", "RAD");
        same("ᾼ", "αι");
        same("\u{1D400}dmin", "admin");
        same("І\u{308}ван", "їван");
    }

    #[test]
    fn other_names_have_other_keys() {
        for (one, other) in [
            ("müller", "muller"),
            ("ı", "i"),
            ("İ", "i"),
            ("user1", "user2"),
            ("аdmin", "admin"),
        ] {
            assert_ne!(AccountKey::of(one), AccountKey::of(other), "{one} {other}");
        }
    }

    #[test]
    fn the_key_of_a_key_is_itself() {
        for code in (0..=0x2_FFFF).filter_map(char::from_u32) {
            let key = AccountKey::of(&format!("a{code}b"));
            assert_eq!(AccountKey::of(key.as_str()), key, "{:x}", u32::from(code));
        }
    }

    #[test]
    fn an_ascii_name_has_the_key_that_the_tables_give_it() {
        let ascii: String = (0..128).filter_map(char::from_u32).collect();
        let with_tables = AccountKey::of(&format!("{ascii}ä"));
        assert_eq!(format!("{}ä", AccountKey::of(&ascii)), with_tables.as_str());
    }
}
