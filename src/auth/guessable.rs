//! Passwords that are guessed first, and usernames that nobody may take. Pure.

use std::{collections::HashSet, sync::LazyLock};

use crate::account_key::AccountKey;

/// Where the list comes from stands in it. NIST SP 800-63B, section 3.1.1.2, asks for one that is compared with the whole password.
static COMMON: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("common_passwords.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect()
});

/// Names that pass for the shop's own, or for nothing. RFC 2142, the roles of the system, and what others reserve.
const RESERVED: &[&str] = &[
    "abuse",
    "admin",
    "administrator",
    "anonymous",
    "auditor",
    "billing",
    "everyone",
    "flashsale",
    "help",
    "helpdesk",
    "hostmaster",
    "moderator",
    "noc",
    "noreply",
    "null",
    "official",
    "operator",
    "postmaster",
    "root",
    "security",
    "service",
    "staff",
    "superuser",
    "support",
    "sysadmin",
    "system",
    "undefined",
    "webmaster",
];

/// True for a password that is among the commonest, whatever its case, or that is the account's name or address.
pub(super) fn is_guessable(password: &str, username: &str, email: &str) -> bool {
    let password = AccountKey::of(password);
    let mailbox = email.rsplit_once('@').map_or(email, |(mailbox, _)| mailbox);
    COMMON.contains(password.as_str())
        || [username, email, mailbox]
            .map(AccountKey::of)
            .contains(&password)
}

/// True for a username that only an operator gives, whatever its case and with dots, hyphens and underscores anywhere.
pub(super) fn is_reserved(username: &str) -> bool {
    let mut letters = AccountKey::of(username).to_string();
    letters.retain(|c| !"._-".contains(c));
    RESERVED.contains(&letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_passwords_and_ones_own_name_are_guessable() {
        for password in [
            "123456",
            "password",
            "Password1",
            "QWERTY",
            "password123",
            "admin123",
            "iloveyou",
            "ada.l",
            "ADA.L",
            "ada@example.com",
            "Ada@Example.com",
            "ada.mail",
        ] {
            let email = if password.contains("mail") {
                "ada.mail@example.com"
            } else {
                "ada@example.com"
            };
            assert!(is_guessable(password, "Ada.L", email), "{password}");
        }
        for password in [
            "correct horse battery staple",
            "secret-word-1",
            "Pässwörd-é1",
            "# The 10",
        ] {
            assert!(
                !is_guessable(password, "Ada.L", "ada@example.com"),
                "{password}"
            );
        }
        assert_eq!(COMMON.len(), 10_000);
    }

    #[test]
    fn reserved_names_are_reserved_in_every_spelling() {
        for name in [
            "admin",
            "ADMIN",
            "Root",
            "_support_",
            "a.d.m.i.n",
            "sys-admin",
            "no-reply",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["admin1", "rooted", "user1", "newuser", "supporter", "___"] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
