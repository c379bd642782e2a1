//! Names of accounts that are taken over: which of them are one by their key, and new names for them from a file. Pure.

use std::{collections::BTreeMap, fmt};

use super::{UserRow, holders::Holders};
use crate::port::{AccountName, KeyClash};

/// New names, each for a name of an account.
///
/// A file of them has a line for each: the id of the account, `username` or `email`, and the new name, as in
/// `17 email account-17@renamed.invalid`. Empty lines do not count, and neither does what follows ` #`.
#[derive(Debug, Default)]
pub struct Renames(BTreeMap<(i64, &'static str), String>);

/// A line that names no account, or one account twice.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is not `ID username NAME` or `ID email NAME`, or says the same name again")]
pub struct InvalidRename(pub u64);

/// Finds names that are one, as the accounts come.
#[derive(Default)]
pub struct Names {
    usernames: Holders,
    emails: Holders,
    clashes: Vec<KeyClash>,
}

/// Why accounts are not taken over: names that older accounts of the same shop have. Its text has a line for each, as a file of
/// [`Renames`] may have it.
#[derive(Debug, thiserror::Error)]
pub struct Clashes(pub Vec<KeyClash>);

/// A word of a file for a kind of name.
fn field_name(kind: AccountName) -> &'static str {
    match kind {
        AccountName::Username => "username",
        AccountName::Email => "email",
    }
}

impl Renames {
    pub fn parse(text: &str) -> Result<Self, InvalidRename> {
        let mut names = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split(" #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let (id, kind, name) = (words.next(), words.next(), words.next());
            let id: Option<i64> = id.and_then(|id| id.parse().ok());
            let kind = [AccountName::Username, AccountName::Email]
                .map(field_name)
                .into_iter()
                .find(|known| kind == Some(*known));
            let (Some(id), Some(kind), Some(name), None) = (id, kind, name, words.next()) else {
                return Err(InvalidRename(number));
            };
            if names.insert((id, kind), name.to_owned()).is_some() {
                return Err(InvalidRename(number));
            }
        }
        Ok(Self(names))
    }

    /// Gives an account its new names. Each is used once.
    pub fn apply(&mut self, user: &mut UserRow) {
        if let Some(name) = self.0.remove(&(user.id, field_name(AccountName::Username))) {
            user.username = name;
        }
        if let Some(name) = self.0.remove(&(user.id, field_name(AccountName::Email))) {
            user.email = name;
        }
    }

    /// The ids of accounts that did not come.
    pub fn unused(&self) -> impl Iterator<Item = i64> {
        self.0.keys().map(|(id, _)| *id)
    }
}

impl Names {
    pub fn add(&mut self, user: &UserRow) {
        for (holders, kind, name) in [
            (&mut self.usernames, AccountName::Username, &user.username),
            (&mut self.emails, AccountName::Email, &user.email),
        ] {
            if let Err(holder) = holders.take(user.id, name) {
                self.clashes.push(KeyClash {
                    kind,
                    holder,
                    other: (user.id, name.clone()),
                });
            }
        }
    }

    #[must_use]
    pub fn has_clashes(&self) -> bool {
        !self.clashes.is_empty()
    }

    /// All that were found.
    #[must_use]
    pub fn into_clashes(self) -> Option<Clashes> {
        Some(Clashes(self.clashes)).filter(|clashes| !clashes.0.is_empty())
    }
}

impl fmt::Display for Clashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} names are those of older accounts. Rename them: put lines like these into a file and give it as --rename FILE",
            self.0.len()
        )?;
        for clash in &self.0 {
            let (id, name) = &clash.other;
            let (holder, its_name) = &clash.holder;
            let domain = match clash.kind {
                AccountName::Username => "",
                AccountName::Email => "@renamed.invalid",
            };
            let kind = field_name(clash.kind);
            write!(
                f,
                "\n{id} {kind} account-{id}{domain} # {name:?} is {its_name:?} of account {holder}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn user(id: i64, username: &str, email: &str) -> UserRow {
        UserRow {
            id,
            username: username.to_owned(),
            email: email.to_owned(),
            password_hash: "-".to_owned(),
            full_name: None,
            role: "user".to_owned(),
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    fn users() -> Vec<UserRow> {
        vec![
            user(1, "Ada", "MÜLLER@x"),
            user(2, "ada", "müller@x"),
            user(3, "other", "Mu\u{308}ller@x"),
        ]
    }

    #[test]
    fn all_clashes_are_named_and_the_lines_resolve_them() {
        let mut names = Names::default();
        for user in &users() {
            names.add(user);
        }
        let text = names.into_clashes().unwrap().to_string();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "2 username account-2 # \"ada\" is \"Ada\" of account 1",
                "2 email account-2@renamed.invalid # \"müller@x\" is \"MÜLLER@x\" of account 1",
                "3 email account-3@renamed.invalid # \"Mu\\u{308}ller@x\" is \"MÜLLER@x\" of account 1",
            ]
        );
        let mut renames = Renames::parse(&lines.join("\n")).unwrap();
        let mut names = Names::default();
        for mut user in users() {
            renames.apply(&mut user);
            names.add(&user);
        }
        assert!(names.into_clashes().is_none() && renames.unused().count() == 0);
    }

    #[test]
    fn lines_that_name_no_account_are_refused() {
        for wrong in [
            "x email a@b",
            "1 phone 5",
            "1 email",
            "1 email a b",
            "1 email a\n1 email b",
        ] {
            assert!(Renames::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Renames::parse("# nothing\n\n").is_ok());
    }
}
