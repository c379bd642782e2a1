//! The leases of partitions, and the offsets up to which partitions are settled. The clock of this process decides when a lease
//! expires: no other process has the file, although the contract of the port is for many processes.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use diesel::{SqliteConnection, prelude::*};

use super::{
    SqliteLedger,
    schema::{consumer_members, consumer_partitions},
    values::{attempt_id, millis},
};
use crate::{
    engine::{fair_share::fair_share, number::to_bigint},
    port::{
        CommittedOffsets, ConsumerGroup, Lease, LedgerError, Member, Offset, Partition, Position,
        SeekOutcome,
    },
};

#[async_trait]
impl ConsumerGroup for SqliteLedger {
    async fn heartbeat(
        &self,
        member: &Member,
        partitions: i32,
        ttl: Duration,
    ) -> Result<(Vec<Lease>, usize), LedgerError> {
        let (member, now, until) = (
            member.clone(),
            millis(self.clock.now()),
            self.millis_after_now(ttl),
        );
        self.write(move |conn| heartbeat(conn, &member, partitions, now, until))
            .await
    }

    async fn release(&self, member: &Member, partitions: &[Partition]) -> Result<(), LedgerError> {
        let (member, partitions) = (member.clone(), partitions.to_vec());
        self.write(move |conn| release(conn, &member, Some(&partitions)))
            .await
    }

    async fn leave(&self, member: &Member) -> Result<(), LedgerError> {
        let member = member.clone();
        self.write(move |conn| leave(conn, &member)).await
    }

    async fn seek(
        &self,
        position: &Position,
        from: Offset,
        to: Offset,
    ) -> Result<SeekOutcome, LedgerError> {
        let position = position.clone();
        self.write(move |conn| seek(conn, &position, from, to))
            .await
    }
}

#[async_trait]
impl CommittedOffsets for SqliteLedger {
    async fn committed_offsets(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Offset>, LedgerError> {
        let (group, topic) = (group.to_owned(), topic.to_owned());
        Ok(self
            .store
            .read(move |conn| committed_offsets(conn, &group, &topic))
            .await?)
    }
}

/// Deletes all members and leases. They are of earlier processes, since only one process at a time has the file.
pub(super) fn clear(conn: &mut SqliteConnection) -> QueryResult<()> {
    diesel::delete(consumer_members::table).execute(conn)?;
    diesel::update(consumer_partitions::table)
        .set((
            consumer_partitions::owner.eq(None::<String>),
            consumer_partitions::lease_expires_at.eq(None::<i64>),
        ))
        .execute(conn)
        .map(drop)
}

/// `now`, and the expiry of the new leases, `until`, are in milliseconds since 1970.
pub(super) fn heartbeat(
    conn: &mut SqliteConnection,
    member: &Member,
    partitions: i32,
    now: i64,
    until: i64,
) -> QueryResult<(Vec<Lease>, usize)> {
    let owned = || {
        consumer_partitions::group_name
            .eq(&member.group)
            .and(consumer_partitions::topic.eq(&member.topic))
            .and(consumer_partitions::owner.eq(&member.id))
    };
    diesel::update(consumer_partitions::table.filter(owned()))
        .set(consumer_partitions::lease_expires_at.eq(until))
        .execute(conn)?;
    diesel::insert_into(consumer_members::table)
        .values((
            consumer_members::group_name.eq(&member.group),
            consumer_members::topic.eq(&member.topic),
            consumer_members::member_id.eq(&member.id),
            consumer_members::expires_at.eq(until),
        ))
        .on_conflict((
            consumer_members::group_name,
            consumer_members::topic,
            consumer_members::member_id,
        ))
        .do_update()
        .set(consumer_members::expires_at.eq(until))
        .execute(conn)?;
    let group = || {
        consumer_members::group_name
            .eq(&member.group)
            .and(consumer_members::topic.eq(&member.topic))
    };
    diesel::delete(
        consumer_members::table
            .filter(group())
            .filter(consumer_members::expires_at.le(now)),
    )
    .execute(conn)?;
    for partition in 0..partitions {
        diesel::insert_or_ignore_into(consumer_partitions::table)
            .values((
                consumer_partitions::group_name.eq(&member.group),
                consumer_partitions::topic.eq(&member.topic),
                consumer_partitions::partition.eq(partition),
            ))
            .execute(conn)?;
    }

    let members = consumer_members::table
        .filter(group())
        .order(consumer_members::member_id)
        .select(consumer_members::member_id)
        .load::<String>(conn)?;
    let index = members.iter().position(|id| *id == member.id).unwrap_or(0);
    let share = fair_share(
        i64::from(partitions),
        to_bigint(index),
        to_bigint(members.len()),
    );
    let held = to_bigint(leases(conn, member, partitions)?.len());
    for partition in free_partitions(conn, member, partitions, now, share - held)? {
        let row = (member.group.as_str(), member.topic.as_str(), partition);
        diesel::update(consumer_partitions::table.find(row))
            .set((
                consumer_partitions::owner.eq(&member.id),
                consumer_partitions::lease_expires_at.eq(until),
            ))
            .execute(conn)?;
    }
    Ok((
        leases(conn, member, partitions)?,
        usize::try_from(share).unwrap_or(0),
    ))
}

/// The partitions without a valid lease, at most `limit`.
fn free_partitions(
    conn: &mut SqliteConnection,
    member: &Member,
    partitions: i32,
    now: i64,
    limit: i64,
) -> QueryResult<Vec<i32>> {
    if limit <= 0 {
        return Ok(Vec::new());
    }
    consumer_partitions::table
        .filter(consumer_partitions::group_name.eq(&member.group))
        .filter(consumer_partitions::topic.eq(&member.topic))
        .filter(consumer_partitions::partition.lt(partitions))
        .filter(
            consumer_partitions::lease_expires_at.is_null().or(
                consumer_partitions::lease_expires_at
                    .assume_not_null()
                    .le(now),
            ),
        )
        .order(consumer_partitions::partition)
        .limit(limit)
        .select(consumer_partitions::partition)
        .load(conn)
}

fn leases(
    conn: &mut SqliteConnection,
    member: &Member,
    partitions: i32,
) -> QueryResult<Vec<Lease>> {
    let rows = consumer_partitions::table
        .filter(consumer_partitions::group_name.eq(&member.group))
        .filter(consumer_partitions::topic.eq(&member.topic))
        .filter(consumer_partitions::owner.eq(&member.id))
        .filter(consumer_partitions::partition.lt(partitions))
        .order(consumer_partitions::partition)
        .select((
            consumer_partitions::partition,
            consumer_partitions::next_offset,
            consumer_partitions::last_attempt_id,
        ))
        .load::<(i32, i64, Option<Vec<u8>>)>(conn)?;
    Ok(rows
        .into_iter()
        .map(|(partition, next, last)| Lease {
            partition: Partition(partition),
            next: Offset(next),
            last: last.and_then(|bytes| attempt_id(&bytes)),
        })
        .collect())
}

/// Releases these partitions, or all that the member holds.
pub(super) fn release(
    conn: &mut SqliteConnection,
    member: &Member,
    partitions: Option<&[Partition]>,
) -> QueryResult<()> {
    let rows = consumer_partitions::table
        .filter(consumer_partitions::group_name.eq(&member.group))
        .filter(consumer_partitions::topic.eq(&member.topic))
        .filter(consumer_partitions::owner.eq(&member.id))
        .select(consumer_partitions::partition)
        .load::<i32>(conn)?;
    for partition in rows {
        if partitions.is_some_and(|named| !named.contains(&Partition(partition))) {
            continue;
        }
        let row = (member.group.as_str(), member.topic.as_str(), partition);
        diesel::update(consumer_partitions::table.find(row))
            .set((
                consumer_partitions::owner.eq(None::<String>),
                consumer_partitions::lease_expires_at.eq(None::<i64>),
            ))
            .execute(conn)?;
    }
    Ok(())
}

pub(super) fn leave(conn: &mut SqliteConnection, member: &Member) -> QueryResult<()> {
    release(conn, member, None)?;
    let row = (
        member.group.as_str(),
        member.topic.as_str(),
        member.id.as_str(),
    );
    diesel::delete(consumer_members::table.find(row))
        .execute(conn)
        .map(drop)
}

pub(super) fn committed_offsets(
    conn: &mut SqliteConnection,
    group: &str,
    topic: &str,
) -> QueryResult<BTreeMap<Partition, Offset>> {
    let rows = consumer_partitions::table
        .filter(consumer_partitions::group_name.eq(group))
        .filter(consumer_partitions::topic.eq(topic))
        .select((
            consumer_partitions::partition,
            consumer_partitions::next_offset,
        ))
        .load::<(i32, i64)>(conn)?;
    Ok(rows
        .into_iter()
        .map(|(partition, next)| (Partition(partition), Offset(next)))
        .collect())
}

/// The owner of each partition, if its lease is valid.
pub(super) fn owners(
    conn: &mut SqliteConnection,
    group: &str,
    topic: &str,
    now: i64,
) -> QueryResult<BTreeMap<Partition, Option<String>>> {
    let rows = consumer_partitions::table
        .filter(consumer_partitions::group_name.eq(group))
        .filter(consumer_partitions::topic.eq(topic))
        .select((
            consumer_partitions::partition,
            consumer_partitions::owner,
            consumer_partitions::lease_expires_at,
        ))
        .load::<(i32, Option<String>, Option<i64>)>(conn)?;
    Ok(rows
        .into_iter()
        .map(|(partition, owner, until)| {
            let is_valid = until.is_some_and(|until| until > now);
            (Partition(partition), owner.filter(|_| is_valid))
        })
        .collect())
}

/// Clears `last_attempt_id`, because the attempt before the new offset is not known.
pub(super) fn seek(
    conn: &mut SqliteConnection,
    position: &Position,
    from: Offset,
    to: Offset,
) -> QueryResult<SeekOutcome> {
    let moved = diesel::update(
        consumer_partitions::table
            .find((&position.group, &position.topic, position.partition.0))
            .filter(consumer_partitions::next_offset.eq(from.0)),
    )
    .set((
        consumer_partitions::next_offset.eq(to.0),
        consumer_partitions::last_attempt_id.eq(None::<Vec<u8>>),
    ))
    .execute(conn)?;
    Ok(match moved {
        1 => SeekOutcome::Moved,
        _ => SeekOutcome::Fenced,
    })
}
