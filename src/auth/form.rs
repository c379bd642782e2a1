//! What shoppers send to register and to log in, and the rules for it. Pure.

use email_address::EmailAddress;
use serde::Deserialize;
use utoipa::ToSchema;

use super::guessable::is_reserved;
use crate::unicode::{opaque_string, unseen};

/// Longer ones are refused before they are hashed, so that nobody makes us hash megabytes. Lengths are counted in Unicode code
/// points throughout, as the `minLength` and `maxLength` of JSON Schema are.
pub(super) const PASSWORD_MAX_CHARS: usize = 128;
/// Of a password to log in with. The original service took longer ones, and its accounts came along.
const LOGIN_PASSWORD_MAX_CHARS: usize = 1024;
/// The same of names: whatever its accounts are called, they are found.
const LOGIN_NAME_MAX_CHARS: usize = 255;
/// What clients of the original service rely on.
const PASSWORD_MIN_CHARS: usize = 6;
const USERNAME_MIN_CHARS: usize = 3;
const USERNAME_MAX_CHARS: usize = 50;
const EMAIL_MAX_CHARS: usize = 255;
const FULL_NAME_MAX_CHARS: usize = 100;

/// What is wrong with a form. The text is for the shopper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("username, email, and password are required")]
    RegistrationIncomplete,
    #[error("username and password are required")]
    LoginIncomplete,
    #[error("currentPassword and newPassword are required")]
    PasswordChangeIncomplete,
    #[error("token and newPassword are required")]
    ResetIncomplete,
    #[error(
        "username must be {USERNAME_MIN_CHARS} to {USERNAME_MAX_CHARS} letters, digits, dots, underscores or hyphens"
    )]
    Username,
    #[error("username is reserved")]
    UsernameReserved,
    #[error("Invalid email format")]
    Email,
    #[error("email must not contain invisible, direction or control characters")]
    EmailUnseen,
    #[error("Password must be at least {PASSWORD_MIN_CHARS} characters long")]
    PasswordTooShort,
    #[error("Password must be at most {PASSWORD_MAX_CHARS} characters long")]
    PasswordTooLong,
    #[error("Password must not contain invisible, direction or control characters")]
    PasswordControls,
    #[error("Password is one of the first that are guessed; choose another one")]
    PasswordGuessable,
    #[error("fullName must be at most {FULL_NAME_MAX_CHARS} characters")]
    FullName,
    #[error("fullName must not contain invisible, direction or control characters")]
    FullNameUnseen,
}

// Without `Debug`, since it holds a password.
/// A request to register.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationForm {
    /// Letters, digits, dots, underscores and hyphens; unique whatever its case. Names like `admin` and `support` are reserved.
    #[schema(value_type = String, required = true, min_length = 3, max_length = 50, pattern = "^[A-Za-z0-9._-]+$", example = "newuser")]
    pub username: Option<String>,
    /// Unique whatever its case, also beyond ASCII, without invisible, direction or control characters.
    #[schema(value_type = String, required = true, max_length = 255, format = Email, example = "newuser@example.com")]
    pub email: Option<String>,
    /// 6 to 128 characters, without control, direction or invisible characters. Compared as RFC 8265 says (`OpaqueString`).
    #[schema(value_type = String, required = true, min_length = 6, max_length = 128, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", format = Password, example = "password123")]
    pub password: Option<String>,
    #[schema(
        max_length = 100,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        example = "New User"
    )]
    pub full_name: Option<String>,
}

// Without `Debug`, since it holds a password.
/// A request to log in.
#[derive(Deserialize, ToSchema)]
pub struct LoginForm {
    #[schema(value_type = String, required = true, min_length = 1, example = "admin")]
    pub username: Option<String>,
    #[schema(value_type = String, required = true, min_length = 1, format = Password, example = "admin123")]
    pub password: Option<String>,
}

/// A registration that keeps the rules.
pub(super) struct ValidRegistration {
    pub username: String,
    pub email: String,
    pub password: String,
    pub full_name: Option<String>,
}

/// A login with both fields. It may still be one that no account can have.
pub(super) struct CompleteLogin {
    pub username: String,
    pub password: String,
}

impl CompleteLogin {
    /// Whether an account with this name and password can exist at all, also one that registration would not make today.
    pub(super) fn is_possible(&self) -> bool {
        self.username.chars().count() <= LOGIN_NAME_MAX_CHARS
            && !self.username.contains('\0')
            && !self.spellings().is_empty()
    }

    /// The forms of the password that may have been hashed: composed and, if different, as sent, which accounts of earlier
    /// versions have. The number depends on the input only.
    pub(super) fn spellings(&self) -> Vec<String> {
        if self.password.chars().count() > LOGIN_PASSWORD_MAX_CHARS {
            return Vec::new();
        }
        let mut spellings: Vec<String> = opaque_string(&self.password).into_iter().collect();
        if !spellings.contains(&self.password) {
            spellings.push(self.password.clone());
        }
        spellings
    }
}

impl TryFrom<RegistrationForm> for ValidRegistration {
    type Error = Invalid;

    fn try_from(form: RegistrationForm) -> Result<Self, Invalid> {
        let (Some(username), Some(email), Some(password)) = (
            present(form.username),
            present(form.email),
            present(form.password),
        ) else {
            return Err(Invalid::RegistrationIncomplete);
        };
        let full_name = present(form.full_name);
        check(is_username(&username), Invalid::Username)?;
        check(!is_reserved(&username), Invalid::UsernameReserved)?;
        check(unseen(&email).is_none(), Invalid::EmailUnseen)?;
        check(is_email(&email), Invalid::Email)?;
        let password = checked_password(&password)?;
        if let Some(name) = full_name.as_deref() {
            check(
                name.chars().count() <= FULL_NAME_MAX_CHARS,
                Invalid::FullName,
            )?;
            check(unseen(name).is_none(), Invalid::FullNameUnseen)?;
        }
        Ok(Self {
            username,
            email,
            password,
            full_name,
        })
    }
}

impl TryFrom<LoginForm> for CompleteLogin {
    type Error = Invalid;

    fn try_from(form: LoginForm) -> Result<Self, Invalid> {
        match (present(form.username), present(form.password)) {
            (Some(username), Some(password)) => Ok(Self { username, password }),
            _ => Err(Invalid::LoginIncomplete),
        }
    }
}

pub(super) fn present(field: Option<String>) -> Option<String> {
    field.filter(|text| !text.is_empty())
}

fn check(holds: bool, otherwise: Invalid) -> Result<(), Invalid> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// ASCII only: every ledger folds its case alike.
pub(super) fn is_username(text: &str) -> bool {
    (USERNAME_MIN_CHARS..=USERNAME_MAX_CHARS).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// An address of RFC 5322 and 6531 at a domain of two or more labels, without quotes, blanks or a display name. Whether mail
/// arrives there, only mail can tell.
pub(super) fn is_email(text: &str) -> bool {
    let options = email_address::Options::default()
        .with_required_tld()
        .without_display_text()
        .without_domain_literal();
    text.chars().count() <= EMAIL_MAX_CHARS
        && !text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '"')
        && EmailAddress::parse_with_options(text, options).is_ok()
}

/// The password as it is hashed.
pub(super) fn checked_password(text: &str) -> Result<String, Invalid> {
    let length = text.chars().count();
    check(length >= PASSWORD_MIN_CHARS, Invalid::PasswordTooShort)?;
    check(length <= PASSWORD_MAX_CHARS, Invalid::PasswordTooLong)?;
    let password = opaque_string(text).ok_or(Invalid::PasswordControls)?;
    let length = password.chars().count();
    check(length >= PASSWORD_MIN_CHARS, Invalid::PasswordTooShort)?;
    check(length <= PASSWORD_MAX_CHARS, Invalid::PasswordTooLong)?;
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unnecessary_wraps)] // what the forms hold
    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn form() -> RegistrationForm {
        RegistrationForm {
            username: some("new.user_1-x"),
            email: some("new@example.com"),
            password: some("secret"),
            full_name: some("Zoë Ångström"),
        }
    }

    fn verdict(change: impl FnOnce(&mut RegistrationForm)) -> Result<(), Invalid> {
        let mut form = form();
        change(&mut form);
        ValidRegistration::try_from(form).map(|_| ())
    }

    #[test]
    fn a_sound_registration_passes_as_it_is() {
        let valid = ValidRegistration::try_from(form()).ok().unwrap();
        assert_eq!(valid.username, "new.user_1-x");
        assert_eq!(valid.full_name.as_deref(), Some("Zoë Ångström"));
    }

    #[test]
    fn what_is_missing_or_empty_is_required() {
        for empty in [None, some("")] {
            let incomplete = Err(Invalid::RegistrationIncomplete);
            assert_eq!(verdict(|form| form.username = empty.clone()), incomplete);
            assert_eq!(verdict(|form| form.email = empty.clone()), incomplete);
            assert_eq!(verdict(|form| form.password = empty.clone()), incomplete);
            assert_eq!(verdict(|form| form.full_name = empty.clone()), Ok(()));
            let login = LoginForm {
                username: some("admin"),
                password: empty,
            };
            assert_eq!(
                CompleteLogin::try_from(login).err(),
                Some(Invalid::LoginIncomplete)
            );
        }
        assert_eq!(
            Invalid::RegistrationIncomplete.to_string(),
            "username, email, and password are required"
        );
        assert_eq!(
            Invalid::LoginIncomplete.to_string(),
            "username and password are required"
        );
    }

    #[test]
    fn usernames_keep_to_their_alphabet_and_length() {
        let long = "x".repeat(51);
        for wrong in [
            "ab",
            " abc",
            "abc ",
            "a b c",
            "zoë",
            "a\0bc",
            "a@bc",
            "'; --",
            long.as_str(),
        ] {
            assert_eq!(
                verdict(|form| form.username = some(wrong)),
                Err(Invalid::Username),
                "{wrong:?}"
            );
        }
        for right in ["abc", "A.b", "___", &long[1..]] {
            assert_eq!(
                verdict(|form| form.username = some(right)),
                Ok(()),
                "{right:?}"
            );
        }
    }

    #[test]
    fn emails_are_plausible() {
        let host = format!("{0}.{0}.{0}.b", "x".repeat(60));
        let long = format!("{}@{host}", "x".repeat(65));
        for wrong in [
            "x",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a b@c",
            "a@\u{a0}b",
            "a@b",
            "a@localhost",
            "a@b.",
            "a@.b",
            "a@b..c",
            "a@-b.c",
            "a@b-.c",
            ".a@b.c",
            "a..b@c.d",
            "a@[192.0.2.1]",
            "Ada <a@b.c>",
            "\"a b\"@c.d",
            "\"a\"@c.d",
            "a,b@c.d",
            "mailto:a@b.c",
            long.as_str(),
        ] {
            assert_eq!(
                verdict(|form| form.email = some(wrong)),
                Err(Invalid::Email),
                "{wrong:?}"
            );
        }
        for right in [
            "a@b.c",
            "a+b_c.d@e-f.example",
            "ä@ö.example",
            "o'neil@shop.co.uk",
            "1@2.example",
            &long[1..],
        ] {
            assert_eq!(
                verdict(|form| form.email = some(right)),
                Ok(()),
                "{right:?}"
            );
        }
    }

    #[test]
    fn passwords_have_6_to_128_characters() {
        use Invalid::{PasswordControls, PasswordTooLong, PasswordTooShort};
        for (wrong, cause) in [
            ("12345", PasswordTooShort),
            ("äääää", PasswordTooShort),
            ("12345\0", PasswordControls),
            ("tab\there", PasswordControls),
            (&"x".repeat(129), PasswordTooLong),
            (&"ä".repeat(129), PasswordTooLong),
        ] {
            assert_eq!(
                verdict(|form| form.password = some(wrong)),
                Err(cause),
                "{wrong:?}"
            );
        }
        for right in ["123456", "ääääää", &"ä".repeat(128), "correct horse"] {
            assert_eq!(
                verdict(|form| form.password = some(right)),
                Ok(()),
                "{right:?}"
            );
        }
    }

    #[test]
    fn full_names_are_measured_in_characters() {
        assert_eq!(
            verdict(|form| form.full_name = some(&"ä".repeat(101))),
            Err(Invalid::FullName)
        );
        for unseen in ["a\0", "a\nb", "a\u{1b}[2Jb", "a\u{202e}b", "a\u{200b}b"] {
            assert_eq!(
                verdict(|form| form.full_name = some(unseen)),
                Err(Invalid::FullNameUnseen),
                "{unseen:?}"
            );
        }
        assert_eq!(
            verdict(|form| form.full_name = some(&"ä".repeat(100))),
            Ok(())
        );
    }

    #[test]
    fn emails_have_no_characters_that_nobody_sees() {
        for c in [
            '\0', '\n', '\u{1b}', '\u{ad}', '\u{200b}', '\u{200d}', '\u{202e}', '\u{2060}',
            '\u{2066}', '\u{feff}',
        ] {
            for email in [format!("a{c}@b.example"), format!("a@b{c}.example")] {
                assert_eq!(
                    verdict(|form| form.email = some(&email)),
                    Err(Invalid::EmailUnseen),
                    "{email:?}"
                );
            }
        }
    }

    #[test]
    fn reserved_names_are_given_by_nobody() {
        for name in ["admin", "Root", "SUPPORT", "ad-min"] {
            assert_eq!(
                verdict(|form| form.username = some(name)),
                Err(Invalid::UsernameReserved),
                "{name}"
            );
        }
    }

    #[test]
    fn a_password_is_hashed_in_its_composed_form() {
        let hashed = |password: &str| {
            let mut form = form();
            form.password = some(password);
            ValidRegistration::try_from(form).map(|valid| valid.password)
        };
        assert_eq!(
            hashed("Pa\u{308}sswo\u{308}rd").ok().as_deref(),
            Some("Pässwörd")
        );
        // 64 letters of two bytes, typed as 64 letters and 64 marks.
        let long = hashed(&"a\u{308}".repeat(64)).ok();
        assert_eq!(long, Some("ä".repeat(64)));
        for (password, cause) in [
            ("a\u{308}".repeat(65), Invalid::PasswordTooLong),
            ("a\u{308}".repeat(3), Invalid::PasswordTooShort),
            ("secret\u{200b}".to_owned(), Invalid::PasswordControls),
            ("\u{202e}secret".to_owned(), Invalid::PasswordControls),
        ] {
            assert_eq!(hashed(&password).err(), Some(cause), "{password:?}");
        }
    }

    #[test]
    fn a_login_tries_two_spellings_at_most() {
        let spellings = |password: &str| {
            let login = CompleteLogin {
                username: "ada".to_owned(),
                password: password.to_owned(),
            };
            login.spellings()
        };
        assert_eq!(spellings("secret"), ["secret"]);
        assert_eq!(spellings("Pässwörd"), ["Pässwörd"]);
        assert_eq!(spellings("a\u{308}bc"), ["äbc", "a\u{308}bc"]);
        // Of an account of an earlier version.
        assert_eq!(spellings("❤\u{fe0f}"), ["❤\u{fe0f}"]);
        assert!(spellings(&"a\u{308}".repeat(1_000)).is_empty());
    }

    #[test]
    fn a_login_that_no_account_can_have_is_known_without_a_look() {
        let login = |username: &str, password: String| CompleteLogin {
            username: username.to_owned(),
            password,
        };
        for name in [
            "admin",
            "joe@shop.com",
            "ab",
            "Ada Lovelace",
            "ада",
            &"ä".repeat(255),
        ] {
            assert!(login(name, "x".repeat(1024)).is_possible(), "{name}");
        }
        assert!(!login("admin", "x".repeat(1025)).is_possible());
        assert!(!login(&"ä".repeat(256), "secret".to_owned()).is_possible());
        assert!(!login("adm\0in", "admin123".to_owned()).is_possible());
    }
}
