//! Names of imported accounts: finds names that have the same key, and reads new names for them from a file's text. No I/O.

use std::{collections::BTreeMap, fmt};

use super::{UserRow, name_owners::NameOwners};
use crate::port::{AccountName, KeyClash};

/// New usernames and emails of accounts.
///
/// A file has one line for each: the id of the account, `username` or `email`, and the new name, as in
/// `17 email account-17@renamed.invalid`. Empty lines are skipped, and ` #` starts a comment.
#[derive(Debug, Default)]
pub struct Renames(BTreeMap<(i64, &'static str), String>);

/// The number of a line that is not a rename, or that renames the same name again.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is not `ID username NAME` or `ID email NAME`, or says the same name again")]
pub struct InvalidRename(pub u64);

/// Finds accounts whose username or email has the key of an earlier account's.
#[derive(Default)]
pub struct Names {
    usernames: NameOwners,
    emails: NameOwners,
    clashes: Vec<KeyClash>,
}

/// Names that prevent an import, because older accounts of the same shop have them. The error's text has a line for each, in the
/// format of a file of [`Renames`].
#[derive(Debug, thiserror::Error)]
pub struct Clashes(pub Vec<KeyClash>);

/// The word for a kind of name in a file of [`Renames`].
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

    /// Gives an account its new names, and removes them from this list.
    pub fn apply(&mut self, user: &mut UserRow) {
        if let Some(name) = self.0.remove(&(user.id, field_name(AccountName::Username))) {
            user.username = name;
        }
        if let Some(name) = self.0.remove(&(user.id, field_name(AccountName::Email))) {
            user.email = name;
        }
    }

    /// The ids of the accounts whose new names have not been applied.
    pub fn unused(&self) -> impl Iterator<Item = i64> {
        self.0.keys().map(|(id, _)| *id)
    }
}

impl Names {
    pub fn add(&mut self, user: &UserRow) {
        for (owners, kind, name) in [
            (&mut self.usernames, AccountName::Username, &user.username),
            (&mut self.emails, AccountName::Email, &user.email),
        ] {
            if let Err(holder) = owners.take(user.id, name) {
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

    /// All clashes; `None` if there are none.
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
            disabled_at: None,
            tokens_valid_from: None,
            external_identity: None,
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
    fn lines_that_are_no_renames_are_refused() {
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
