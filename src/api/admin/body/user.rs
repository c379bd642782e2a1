//! An account as operators see it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::timestamp,
    port::{Access, StoredUser},
};

/// An account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserBody {
    #[schema(example = "2")]
    user_id: String,
    #[schema(example = "user1")]
    username: String,
    #[schema(example = "user1@example.com")]
    email: String,
    /// `user` for a shopper, else `admin`, `operator`, `support`, `auditor` or `service`.
    #[schema(example = "user")]
    role: &'static str,
    /// Nobody can log in to it.
    #[schema(example = false)]
    disabled: bool,
    #[schema(format = DateTime, example = "2030-11-01T08:00:00.000Z")]
    created_at: String,
}

impl From<&StoredUser> for UserBody {
    fn from(user: &StoredUser) -> Self {
        Self {
            user_id: user.id.to_string(),
            username: user.username.clone(),
            email: user.email.clone(),
            role: user.role.to_sql(),
            disabled: user.sessions.access == Access::Disabled,
            created_at: timestamp(user.created_at),
        }
    }
}
