//! What the owner of an account sends to set another password. Pure.

use serde::Deserialize;
use utoipa::ToSchema;

use super::form::{CompleteLogin, Invalid, checked_password, present};

// Without `Debug`, since it holds passwords.
/// A request to change one's own password.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasswordForm {
    #[schema(value_type = String, required = true, min_length = 1, format = Password, example = "password123")]
    pub current_password: Option<String>,
    /// 6 to 128 characters, without control, direction or invisible characters. Compared as RFC 8265 says (`OpaqueString`).
    #[schema(value_type = String, required = true, min_length = 6, max_length = 128, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", format = Password, example = "another password")]
    pub new_password: Option<String>,
}

// Without `Debug`, since it holds a password and a token.
/// A request to set another password with a one-time token.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResetForm {
    /// As it was sent to the owner of the account. Good for an hour, and once.
    #[schema(value_type = String, required = true, min_length = 1, example = "4f1c…")]
    pub token: Option<String>,
    /// 6 to 128 characters, without control, direction or invisible characters. Compared as RFC 8265 says (`OpaqueString`).
    #[schema(value_type = String, required = true, min_length = 6, max_length = 128, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", format = Password, example = "another password")]
    pub new_password: Option<String>,
}

/// A change of a password that keeps the rules.
pub(super) struct ValidChange {
    current: String,
    /// As it is hashed.
    pub new: String,
}

/// A reset that keeps the rules.
pub(super) struct ValidReset {
    pub token: String,
    /// As it is hashed.
    pub new: String,
}

impl ValidChange {
    /// The login to the account with this name that the current password would be.
    pub(super) fn login(&self, username: &str) -> CompleteLogin {
        CompleteLogin {
            username: username.to_owned(),
            password: self.current.clone(),
        }
    }
}

impl TryFrom<PasswordForm> for ValidChange {
    type Error = Invalid;

    fn try_from(form: PasswordForm) -> Result<Self, Invalid> {
        match (present(form.current_password), present(form.new_password)) {
            (Some(current), Some(new)) => {
                let new = checked_password(&new)?;
                Ok(Self { current, new })
            }
            _ => Err(Invalid::PasswordChangeIncomplete),
        }
    }
}

impl TryFrom<ResetForm> for ValidReset {
    type Error = Invalid;

    fn try_from(form: ResetForm) -> Result<Self, Invalid> {
        match (present(form.token), present(form.new_password)) {
            (Some(token), Some(new)) => {
                let new = checked_password(&new)?;
                Ok(Self { token, new })
            }
            _ => Err(Invalid::ResetIncomplete),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_required_and_new_passwords_keep_the_rules() {
        let some = |text: &str| Some(text.to_owned());
        let change = |current: &str, new: &str| {
            let form = PasswordForm {
                current_password: some(current),
                new_password: some(new),
            };
            ValidChange::try_from(form).err()
        };
        let reset = |token: &str, new: &str| {
            let form = ResetForm {
                token: some(token),
                new_password: some(new),
            };
            ValidReset::try_from(form).err()
        };
        for (current, new) in [("", "secret"), ("secret", "")] {
            assert_eq!(
                change(current, new),
                Some(Invalid::PasswordChangeIncomplete)
            );
            assert_eq!(reset(current, new), Some(Invalid::ResetIncomplete));
        }
        for verdict in [change("x", "short"), reset("x", "short")] {
            assert_eq!(verdict, Some(Invalid::PasswordTooShort));
        }
        // Of an account that came along, a current password may have broken them.
        assert_eq!((change("x", "secret"), reset("x", "secret")), (None, None));
    }
}
