//! Accounts, passwords and tokens.
//!
//! Knows the ledger's port and nothing of its engines. Whether an account exists is told by registering only: a failed
//! login answers the same, after the same work, in either case.

mod account_log;
#[cfg(test)]
pub(crate) mod accounts;
mod change_form;
mod client_credentials;
mod client_secret;
mod directory;
mod erase;
mod error;
mod external;
mod form;
mod guessable;
mod issuer;
mod limits;
mod operator_form;
mod passwords;
mod reset_token;
mod service;
mod service_accounts;
mod sessions;
mod subject;
mod tokens;

pub use account_log::note_account;
pub use change_form::{PasswordForm, ResetForm};
pub use client_credentials::{ClientCredentials, ServiceToken};
pub use client_secret::ClientSecret;
pub use directory::{AccountRefusal, Directory, DirectoryEngines, raise_lost_mark};
pub use erase::erase_person;
pub use error::AuthError;
pub use form::{Invalid, LoginForm, RegistrationForm};
pub use issuer::{ExternalAccounts, Issuer, IssuerRefusal};
pub use limits::AuthLimits;
pub use operator_form::{OperatorsAccount, operators_password};
pub use passwords::{BCRYPT_COSTS, Fit, PasswordError, Passwords, bcrypt_cost, is_comparable};
pub use reset_token::{RESET_LIFETIME, ResetToken, random_password};
pub use service::{Account, Auth, LoginSession};
pub use service_accounts::{ServiceAccountDesk, ServiceAccountError};
pub use subject::{SUBJECT_RULE, is_subject};
pub use tokens::{Identity, TokenError, Tokens};
