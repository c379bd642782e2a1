//! Accounts as operators make them and set their passwords: the rules of registration, but for the names that it reserves, and no
//! password that is guessed first. Pure.

use super::{
    form::{Invalid, checked_password, is_email, is_username},
    guessable::is_guessable,
};
use crate::unicode::unseen;

/// An account that an operator makes. All parts keep the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorsAccount {
    pub username: String,
    pub email: String,
}

impl OperatorsAccount {
    /// Checks both names.
    pub fn new(username: &str, email: &str) -> Result<Self, Invalid> {
        Self::named(username)?;
        if unseen(email).is_some() {
            return Err(Invalid::EmailUnseen);
        }
        if !is_email(email) {
            return Err(Invalid::Email);
        }
        Ok(Self {
            username: username.to_owned(),
            email: email.to_owned(),
        })
    }

    /// Checks the username alone.
    pub(super) fn named(username: &str) -> Result<(), Invalid> {
        if is_username(username) {
            Ok(())
        } else {
            Err(Invalid::Username)
        }
    }
}

/// The password as it is hashed, if an operator may give it to this account.
pub fn operators_password(password: &str, username: &str, email: &str) -> Result<String, Invalid> {
    let password = checked_password(password)?;
    if is_guessable(&password, username, email) {
        return Err(Invalid::PasswordGuessable);
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_gives_reserved_names_and_no_password_that_is_guessed_first() {
        assert!(OperatorsAccount::new("admin", "admin@example.com").is_ok());
        for (username, email, cause) in [
            ("a b", "a@b.c", Invalid::Username),
            ("admin", "admin", Invalid::Email),
            ("admin", "a\u{200b}@b.example", Invalid::EmailUnseen),
        ] {
            assert_eq!(OperatorsAccount::new(username, email), Err(cause));
        }
        let verdict = |password| operators_password(password, "ada-lovelace", "ada@b.c").err();
        assert_eq!(verdict("correct horse"), None);
        for (password, cause) in [
            ("admin123", Invalid::PasswordGuessable),
            ("ada-lovelace", Invalid::PasswordGuessable),
            ("short", Invalid::PasswordTooShort),
        ] {
            assert_eq!(verdict(password), Some(cause), "{password}");
        }
    }
}
