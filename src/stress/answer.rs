//! One answer of a server, as far as it is of use here.

use bytes::{Bytes, BytesMut};
use hyper::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};

use super::no_answer::NoAnswer;

/// A longer body is refused.
const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;

/// An answer that is there to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// In seconds, as `Retry-After` says it.
    pub retry_after_secs: Option<u64>,
    pub body: Bytes,
}

impl Answer {
    /// An answer of which only the head is there. `length` is that of the body, if the head says it.
    pub(super) fn of_head(
        status: StatusCode,
        headers: &HeaderMap,
        length: Option<u64>,
    ) -> Result<Self, NoAnswer> {
        if length.is_some_and(|length| length > BODY_MAX_BYTES as u64) {
            return Err(NoAnswer::TooLarge);
        }
        let retry_after = headers.get(RETRY_AFTER);
        Ok(Self {
            status: status.as_u16(),
            retry_after_secs: retry_after
                .and_then(|value| value.to_str().ok()?.trim().parse().ok()),
            body: Bytes::new(),
        })
    }

    /// Adds a piece of the body. The first is not copied.
    pub(super) fn add(&mut self, piece: Bytes) -> Result<(), NoAnswer> {
        if piece.len() > BODY_MAX_BYTES - self.body.len() {
            return Err(NoAnswer::TooLarge);
        }
        if self.body.is_empty() {
            self.body = piece;
        } else {
            let mut all = BytesMut::from(std::mem::take(&mut self.body));
            all.extend_from_slice(&piece);
            self.body = all.freeze();
        }
        Ok(())
    }
}
