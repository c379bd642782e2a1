//! The state of a limiter: for each key, the time at which all of its uses will have come back. The number of keys is bounded.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use governor::{
    nanos::Nanos,
    state::{StateStore, keyed::ShrinkableKeyedStateStore},
};

/// The number of parts, each with a lock of its own.
const SHARDS: usize = 16;
/// Most keys of one shard. A key takes some 25 bytes.
const SHARD_MAX_KEYS: usize = 8_192;
/// With fewer keys, a shard is not searched for keys to drop.
const SHARD_MIN_KEYS: usize = 128;
/// Most keys of all shards. Each thread that adds a key at the same moment can exceed it by one.
#[cfg(test)]
pub(super) const MAX_KEYS: usize = SHARDS * SHARD_MAX_KEYS;

/// The state, shared by `governor`, which admits uses, and by [`Limiter::give_back`](super::Limiter::give_back).
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Shards>);

#[derive(Default)]
struct Shards {
    shards: [Mutex<Shard>; SHARDS],
    /// Set when a shard has reached its `crowded_at`.
    crowded: AtomicBool,
}

struct Shard {
    /// A key whose time has passed can be dropped: like a new key, it has all of its uses.
    until: HashMap<u64, Nanos>,
    /// The number of keys at which the shard is searched for keys to drop.
    crowded_at: usize,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            until: HashMap::new(),
            crowded_at: SHARD_MIN_KEYS,
        }
    }
}

impl Memory {
    /// Clears the flag `crowded`. Returns true to one caller if it was set; this caller must have keys dropped.
    pub(super) fn take_crowded(&self) -> bool {
        self.0.crowded.load(Ordering::Relaxed) && self.0.crowded.swap(false, Ordering::Relaxed)
    }

    /// Moves a key's time back by `uses`, the time in which these uses would have come back.
    pub(super) fn give_back(&self, key: u64, uses: Duration) {
        if let Some(until) = self.shard(key).until.get_mut(&key) {
            let uses = Nanos::from(uses).as_u64();
            *until = Nanos::new(until.as_u64().saturating_sub(uses));
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.len()
    }

    /// Chooses a shard by four bits of the key, which is a hash. The lowest and the highest bits are left to the map, which uses
    /// them.
    #[allow(clippy::indexing_slicing, clippy::cast_possible_truncation)] // below the number of shards
    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        lock(&self.0.shards[(key >> 32) as usize % SHARDS])
    }
}

impl StateStore for Memory {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut shard = self.shard(*key);
        let (answer, until) = decide(shard.until.get(key).copied())?;
        shard.until.insert(*key, until);
        if shard.until.len() >= shard.crowded_at {
            self.0.crowded.store(true, Ordering::Relaxed);
        }
        Ok(answer)
    }
}

impl ShrinkableKeyedStateStore<u64> for Memory {
    fn retain_recent(&self, drop_until: Nanos) {
        for shard in &self.0.shards {
            lock(shard).drop_keys(drop_until);
        }
    }

    fn len(&self) -> usize {
        let shards = self.0.shards.iter();
        shards.map(|shard| lock(shard).until.len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shard {
    /// Drops the keys whose time is not after `drop_until`. If more than half of the largest number remain, also drops the half
    /// whose uses come back first. The next search is due when the number of keys has doubled, so that its cost per new key is
    /// constant.
    fn drop_keys(&mut self, drop_until: Nanos) {
        self.until.retain(|_, until| *until > drop_until);
        if self.until.len() > SHARD_MAX_KEYS / 2 {
            let mut all: Vec<Nanos> = self.until.values().copied().collect();
            let half = all.len() / 2;
            let median = *all.select_nth_unstable(half).1;
            self.until.retain(|_, until| *until > median);
        }
        self.crowded_at = (self.until.len() * 2).clamp(SHARD_MIN_KEYS, SHARD_MAX_KEYS);
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
