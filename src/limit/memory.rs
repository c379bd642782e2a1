//! What a limiter remembers: for every key the time until which its uses reach. Bounded, whatever comes.

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

/// Parts that are locked apart from each other.
const SHARDS: usize = 16;
/// Keys of one shard; some 25 bytes each.
const SHARD_MOST: usize = 8_192;
/// With fewer it is not worth looking for any that can be forgotten.
const SHARD_FEW: usize = 128;
/// Keys at most; it may be one more for each thread that adds one at the same moment.
#[cfg(test)]
pub(super) const MOST_KEYS: usize = SHARDS * SHARD_MOST;

/// Shared by the limiter, which decides, and by who gives back.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Shards>);

#[derive(Default)]
struct Shards {
    shards: [Mutex<Shard>; SHARDS],
    /// A shard has so many keys that it is time to forget some.
    crowded: AtomicBool,
}

struct Shard {
    /// A key whose time is over is as good as one that never came.
    until: HashMap<u64, Nanos>,
    /// With so many keys it is looked for those that can be forgotten.
    crowded_at: usize,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            until: HashMap::new(),
            crowded_at: SHARD_FEW,
        }
    }
}

impl Memory {
    /// True for one caller, who is to have the memory shrunk.
    pub(super) fn is_crowded(&self) -> bool {
        self.0.crowded.load(Ordering::Relaxed) && self.0.crowded.swap(false, Ordering::Relaxed)
    }

    /// Lets a key's uses reach less far.
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

    /// Keys are hashes: any four bits are as good as others. Not the lowest and highest, which the map uses.
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
    fn retain_recent(&self, over: Nanos) {
        for shard in &self.0.shards {
            lock(shard).forget(over);
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
    /// Forgets the keys whose time is over; if that leaves many, also the half with the least to answer for. The next look
    /// comes when there are twice as many, so that it costs every new key the same, however many there are.
    fn forget(&mut self, over: Nanos) {
        self.until.retain(|_, until| *until > over);
        if self.until.len() > SHARD_MOST / 2 {
            let mut all: Vec<Nanos> = self.until.values().copied().collect();
            let half = all.len() / 2;
            let median = *all.select_nth_unstable(half).1;
            self.until.retain(|_, until| *until > median);
        }
        self.crowded_at = (self.until.len() * 2).clamp(SHARD_FEW, SHARD_MOST);
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
