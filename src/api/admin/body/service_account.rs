//! A service account as operators see it.

use serde::Serialize;
use utoipa::ToSchema;

use super::UserBody;
use crate::port::{Scope, ServiceAccount};

/// A service account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountBody {
    #[serde(flatten)]
    user: UserBody,
    #[schema(example = "shop-backend")]
    client_id: String,
    #[schema(example = json!(["orders:settle", "events:read"]))]
    scopes: Vec<&'static str>,
    /// Shown once, in the answer to the request that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "5f1e7c3a9d523f6f0c2b8e115f1e7c3a9d523f6f0c2b8e115f1e7c3a9d523f6f")]
    client_secret: Option<String>,
}

impl ServiceAccountBody {
    #[must_use]
    pub fn of(account: &ServiceAccount, secret: Option<String>) -> Self {
        Self {
            user: UserBody::from(&account.user),
            client_id: account.user.username.clone(),
            scopes: account.scopes.iter().map(Scope::name).collect(),
            client_secret: secret,
        }
    }
}
