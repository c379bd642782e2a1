//! Who reads which partition, and how far each has come, as a model. The rules are those of the real ledgers.

use std::collections::BTreeMap;

use flashsale::{
    engine::fair_share::fair_share,
    ids::AttemptId,
    port::{Lease, Member, Offset, Partition, Position},
};

/// A group's reading of a log.
type Reading = (String, String);

/// Members and partitions of every reading.
#[derive(Default, Clone)]
pub(super) struct Leases {
    /// When each member's time runs out, in milliseconds.
    members: BTreeMap<Reading, BTreeMap<String, i64>>,
    partitions: BTreeMap<Reading, BTreeMap<Partition, PartitionState>>,
}

#[derive(Clone)]
struct PartitionState {
    next: Offset,
    last: Option<AttemptId>,
    owner: Option<Owner>,
}

#[derive(Clone)]
struct Owner {
    member: String,
    until: i64,
}

impl Leases {
    pub(super) fn heartbeat(
        &mut self,
        member: &Member,
        count: i32,
        now: i64,
        until: i64,
    ) -> (Vec<Lease>, usize) {
        let reading = (member.group.clone(), member.topic.clone());
        let members = self.members.entry(reading.clone()).or_default();
        members.insert(member.id.clone(), until);
        members.retain(|_, until| *until > now);
        let place = members.keys().position(|id| *id == member.id).unwrap_or(0);
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let share = fair_share(i64::from(count), number(place), number(members.len()));

        let partitions = self.partitions.entry(reading).or_default();
        for partition in (0..count).map(Partition) {
            partitions.entry(partition).or_insert(PartitionState {
                next: Offset(0),
                last: None,
                owner: None,
            });
        }
        let mut held = 0;
        let there = |partition: &Partition| partition.0 < count;
        for (_, progress) in partitions.iter_mut().filter(|(it, _)| there(it)) {
            if let Some(owner) = &mut progress.owner
                && owner.member == member.id
            {
                owner.until = until;
                held += 1;
            }
        }
        for (_, progress) in partitions.iter_mut().filter(|(it, _)| there(it)) {
            let free = progress
                .owner
                .as_ref()
                .is_none_or(|owner| owner.until <= now);
            if free && held < share {
                progress.owner = Some(Owner {
                    member: member.id.clone(),
                    until,
                });
                held += 1;
            }
        }
        let leases = partitions
            .iter()
            .filter(|(partition, progress)| there(partition) && progress.is_of(&member.id))
            .map(|(partition, progress)| Lease {
                partition: *partition,
                next: progress.next,
                last: progress.last,
            })
            .collect();
        (leases, usize::try_from(share).unwrap_or(0))
    }

    /// Releases these partitions, or all that the member holds.
    pub(super) fn release(&mut self, member: &Member, named: Option<&[Partition]>) {
        let reading = (member.group.clone(), member.topic.clone());
        for (partition, progress) in self.partitions.entry(reading).or_default() {
            if progress.is_of(&member.id) && named.is_none_or(|named| named.contains(partition)) {
                progress.owner = None;
            }
        }
    }

    pub(super) fn leave(&mut self, member: &Member) {
        self.release(member, None);
        let reading = (member.group.clone(), member.topic.clone());
        if let Some(members) = self.members.get_mut(&reading) {
            members.remove(&member.id);
        }
    }

    /// Whoever held anything is gone.
    pub(super) fn clear(&mut self) {
        self.members.clear();
        for progress in self.partitions.values_mut().flat_map(BTreeMap::values_mut) {
            progress.owner = None;
        }
    }

    pub(super) fn committed_offsets(
        &self,
        group: &str,
        topic: &str,
    ) -> BTreeMap<Partition, Offset> {
        let reading = (group.to_owned(), topic.to_owned());
        self.partitions
            .get(&reading)
            .into_iter()
            .flatten()
            .map(|(partition, progress)| (*partition, progress.next))
            .collect()
    }

    /// True if every reading has come this far.
    pub(super) fn all_have_reached(&self, ends: &BTreeMap<Partition, Offset>) -> bool {
        let reached = |partitions: &BTreeMap<Partition, PartitionState>| {
            ends.iter().all(|(partition, end)| {
                let progress = partitions.get(partition);
                progress.map_or(Offset(0), |progress| progress.next) >= *end
            })
        };
        self.partitions.values().all(reached)
    }

    /// True if the partition stands at `from`.
    pub(super) fn is_at(&self, position: &Position, from: Offset) -> bool {
        let reading = (position.group.clone(), position.topic.clone());
        self.partitions
            .get(&reading)
            .and_then(|partitions| partitions.get(&position.partition))
            .is_some_and(|progress| progress.next == from)
    }

    pub(super) fn move_to(&mut self, position: &Position, to: Offset, last: Option<AttemptId>) {
        let reading = (position.group.clone(), position.topic.clone());
        if let Some(progress) = self
            .partitions
            .get_mut(&reading)
            .and_then(|partitions| partitions.get_mut(&position.partition))
        {
            progress.next = to;
            progress.last = last;
        }
    }
}

impl PartitionState {
    fn is_of(&self, member: &str) -> bool {
        self.owner
            .as_ref()
            .is_some_and(|owner| owner.member == member)
    }
}
