//! From defaults, file and environment to a [`Config`](super::Config).
