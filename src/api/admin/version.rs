//! Which version a change is meant for.

use crate::{
    http::{ApiError, IfMatch},
    port::AdminError,
};

/// The version that the caller saw, or 412. The current one is asked for only if the caller names several or any.
pub async fn expected(
    seen: &IfMatch,
    current: impl AsyncFnOnce() -> Result<u64, ApiError>,
) -> Result<u64, ApiError> {
    match seen {
        IfMatch::Versions(versions) if versions.len() == 1 => {
            Ok(versions.first().copied().unwrap_or_default())
        }
        IfMatch::Any => current().await,
        IfMatch::Versions(versions) => {
            let current = current().await?;
            if versions.contains(&current) {
                Ok(current)
            } else {
                Err(AdminError::Stale { current }.into())
            }
        }
    }
}
