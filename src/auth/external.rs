//! Accounts that the shop keeps. Such an account is made for a subject of the shop's issuer, without a name, an address or a
//! password.
//!
//! An account is made when a token is exchanged, or with many others by a program of the shop, but never while its owner presses
//! "buy".

use std::collections::{BTreeMap, BTreeSet};

use metrics::counter;

use super::{Auth, AuthError, IssuerRefusal, LoginSession, TokenError, service::outcome_label};
use crate::{
    ids::UserId,
    limit::Network,
    port::{ExternalAccount, LedgerError, StoredUser},
    security::{self, Event},
    telemetry::metric,
};

/// Highest number of accounts that one transaction makes. Registrations and settlement wait for such a transaction, so it must be
/// short.
const AT_ONCE: usize = 500;

/// Why a token of the issuer was not exchanged.
struct Refused {
    error: AuthError,
    /// What is wrong with the token, for the security log. The answer does not say it. Empty if the cause is not the token.
    wrong: &'static str,
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Self {
        Self { error, wrong: "" }
    }
}

impl Auth {
    /// Gives a session for a token of the shop's issuer. The account is made if there is none for the token's subject.
    pub async fn exchange(&self, token: &str, from: Network) -> Result<LoginSession, AuthError> {
        let outcome = self.try_exchange(token, from).await;
        let wrong = outcome.as_ref().err().map_or("", |refused| refused.wrong);
        let outcome = outcome.map_err(|refused| refused.error);
        let label = outcome_label(outcome.as_ref().err());
        counter!(metric::EXCHANGES, "outcome" => label).increment(1);
        let who = outcome.as_ref().map(|session| session.user.to_string());
        let who = who.unwrap_or_default();
        security::note(Event::Exchange, label, &who, Some(from), wrong);
        outcome
    }

    async fn try_exchange(&self, token: &str, from: Network) -> Result<LoginSession, Refused> {
        let external = self.external.as_ref();
        let issuer = external.and_then(|external| external.tokens.as_ref());
        let issuer = issuer.ok_or(AuthError::IssuerAway)?;
        let charge = self.limits.exchange(from).map_err(AuthError::from)?;
        let subject = issuer.verify(token).await;
        if !matches!(subject, Err(IssuerRefusal::Token(..))) {
            charge.did_not_fail();
        }
        let subject = subject.map_err(|refusal| match refusal {
            IssuerRefusal::Token(error, wrong) => Refused {
                error: AuthError::TokenRefused(error),
                wrong,
            },
            IssuerRefusal::NoKeys => AuthError::IssuerAway.into(),
        })?;
        let accounts = self
            .accounts_of(self.external_issuer()?, &[subject])
            .await?;
        let account = accounts.into_values().next().ok_or_else(missing)?;
        let user = StoredUser::from(account);
        if !user.sessions.admits(i64::MAX) {
            return Err(Refused {
                error: AuthError::TokenRefused(TokenError::Invalid),
                wrong: "account_disabled",
            });
        }
        Ok(self.session(&user)?)
    }

    /// The accounts of these subjects, in their order. Accounts that are missing are made.
    pub async fn shoppers(&self, subjects: &[String]) -> Result<Vec<UserId>, AuthError> {
        let issuer = self.external_issuer()?;
        let accounts = self.accounts_of(issuer, subjects).await?;
        let id = |subject| accounts.get(subject).map(|account| account.user);
        subjects
            .iter()
            .map(id)
            .collect::<Option<_>>()
            .ok_or_else(missing)
    }

    /// The account of a subject, if there is one.
    pub async fn shopper(&self, subject: &str) -> Result<Option<ExternalAccount>, AuthError> {
        let issuer = self.external_issuer()?;
        let subjects = [subject.to_owned()];
        Ok(self.accounts.find_external(issuer, &subjects).await?.pop())
    }

    fn external_issuer(&self) -> Result<&str, AuthError> {
        let external = self.external.as_ref().ok_or(AuthError::IssuerAway)?;
        Ok(&external.issuer)
    }

    /// The accounts of these subjects, by subject; makes those that are missing. A call that fails may have made some of them, and
    /// can be repeated without harm.
    async fn accounts_of(
        &self,
        issuer: &str,
        subjects: &[String],
    ) -> Result<BTreeMap<String, ExternalAccount>, AuthError> {
        // All calls sort the subjects alike, so that two calls with the same subjects do not wait for each other.
        let wanted: BTreeSet<&String> = subjects.iter().collect();
        let wanted: Vec<String> = wanted.into_iter().cloned().collect();
        let mut accounts = BTreeMap::new();
        for wanted in wanted.chunks(AT_ONCE) {
            let mut found = self.accounts.find_external(issuer, wanted).await?;
            if found.len() < wanted.len() {
                let known: BTreeSet<&String> =
                    found.iter().map(|account| &account.subject).collect();
                let missing = wanted.iter().filter(|subject| !known.contains(subject));
                let missing: Vec<String> = missing.cloned().collect();
                let above = self.directory.ids_above().await?;
                let made = self.accounts.add_external(issuer, &missing, above).await?;
                if let Some(highest) = made.iter().map(|account| account.user).max() {
                    self.directory.note_made(highest).await;
                }
                found.extend(made);
            }
            let by_subject = |account: ExternalAccount| (account.subject.clone(), account);
            accounts.extend(found.into_iter().map(by_subject));
        }
        Ok(accounts)
    }
}

/// The error for an account that was deleted between two steps of a call.
fn missing() -> AuthError {
    AuthError::Ledger(LedgerError("an account that was made is gone".to_owned()))
}
