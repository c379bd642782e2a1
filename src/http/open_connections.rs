//! Counts the open connections, and those of them that carry a stream of events.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The numbers of a server's open connections. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct OpenConnections(Arc<OpenCounts>);

#[derive(Debug, Default)]
struct OpenCounts {
    all: AtomicU64,
    listeners: AtomicU64,
}

/// Counts one connection until it is dropped.
pub(super) struct CountedConnection(OpenConnections);

/// Counts one connection as that of a listener until it is dropped.
pub(super) struct CountedListener(OpenConnections);

impl OpenConnections {
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.all.load(Ordering::Relaxed)
    }

    /// Number of open connections that carry a stream of events.
    #[must_use]
    pub fn listeners(&self) -> u64 {
        self.0.listeners.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self) -> CountedConnection {
        self.0.all.fetch_add(1, Ordering::Relaxed);
        CountedConnection(self.clone())
    }

    pub(super) fn listen(&self) -> CountedListener {
        self.0.listeners.fetch_add(1, Ordering::Relaxed);
        CountedListener(self.clone())
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let Self(OpenConnections(counts)) = self;
        counts.all.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for CountedListener {
    fn drop(&mut self) {
        let Self(OpenConnections(counts)) = self;
        counts.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}
