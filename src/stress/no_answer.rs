//! Why there was no answer to a request.

/// Why there was no answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum NoAnswer {
    #[error("no connection")]
    NotConnected,
    #[error("the connection was closed")]
    Closed,
    #[error("no answer in time")]
    Timeout,
    #[error("an answer that is not HTTP")]
    NotHttp,
    #[error("an answer that is too large")]
    TooLarge,
}

impl NoAnswer {
    /// The name for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::NotHttp => "not_http",
            Self::TooLarge => "too_large",
        }
    }
}
