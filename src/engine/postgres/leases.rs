//! The leases of partitions, and the offsets up to which partitions are settled. The database's clock decides when a lease
//! expires.
//!
//! Lock order, to avoid deadlocks: first rows of `consumer_partitions` in the order of their partitions, then the lock of the
//! group. A transaction that holds the lock of the group skips rows that others have locked.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Double, Integer, Nullable, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{
    PostgresLedger, Prepared,
    schema::{consumer_members, consumer_partitions},
};
use crate::{
    engine::{fair_share::fair_share, number::to_bigint},
    ids::AttemptId,
    port::{
        CommittedOffsets, ConsumerGroup, Lease, LedgerError, Member, Offset, Partition, Position,
        SeekOutcome,
    },
};

/// Waits while a batch of this member is being settled, and so must run before the lock of the group is taken.
const RENEW: &str = "
    UPDATE consumer_partitions SET lease_expires_at = clock_timestamp() + make_interval(secs => ?), updated_at = now()
    WHERE group_name = ? AND topic = ? AND partition IN (
        SELECT partition FROM consumer_partitions WHERE group_name = ? AND topic = ? AND owner = ?
        ORDER BY partition FOR NO KEY UPDATE)";

/// One member at a time distributes the partitions of a group.
const LOCK_GROUP: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('flashsale members of ' || ? || ' ' || ?, 0))";

const CHECK_IN: &str = "
    INSERT INTO consumer_members (group_name, topic, member_id, expires_at)
    VALUES (?, ?, ?, clock_timestamp() + make_interval(secs => ?))
    ON CONFLICT (group_name, topic, member_id) DO UPDATE SET expires_at = EXCLUDED.expires_at";

const FORGET_SILENT: &str = "
    DELETE FROM consumer_members WHERE group_name = ? AND topic = ? AND expires_at <= clock_timestamp()";

/// Inserts only rows that are missing. `ON CONFLICT` alone would wait for a transaction that is changing an existing row (a
/// batch or a renewal), which can be a deadlock while this transaction holds the lock of the group.
const ADD_MISSING: &str = "
    INSERT INTO consumer_partitions (group_name, topic, partition)
    SELECT m.group_name, m.topic, m.partition
    FROM (SELECT ? AS group_name, ? AS topic, generate_series(0, ? - 1) AS partition) m
    WHERE NOT EXISTS (SELECT 1 FROM consumer_partitions p
        WHERE p.group_name = m.group_name AND p.topic = m.topic AND p.partition = m.partition)
    ON CONFLICT DO NOTHING";

/// The member's index among the live members, from 0, and the number of live members.
const PLACE: &str = "
    SELECT count(*) FILTER (WHERE member_id COLLATE \"C\" < ? COLLATE \"C\") AS place, count(*) AS members
    FROM consumer_members WHERE group_name = ? AND topic = ?";

/// Skips locked rows. A batch of such a partition is being settled, so its owner is alive, or its transaction will end soon and
/// a later heartbeat takes the row.
const TAKE_FREE: &str = "
    UPDATE consumer_partitions SET owner = ?, lease_expires_at = clock_timestamp() + make_interval(secs => ?),
        updated_at = now()
    WHERE group_name = ? AND topic = ? AND partition IN (
        SELECT partition FROM consumer_partitions
        WHERE group_name = ? AND topic = ? AND partition < ?
            AND (owner IS NULL OR lease_expires_at <= clock_timestamp())
        ORDER BY partition LIMIT ? FOR UPDATE SKIP LOCKED)";

const RELEASE: &str = "
    UPDATE consumer_partitions SET owner = NULL, lease_expires_at = NULL, updated_at = now()
    WHERE group_name = ? AND topic = ? AND partition IN (
        SELECT partition FROM consumer_partitions WHERE group_name = ? AND topic = ? AND owner = ? AND partition = ANY(?)
        ORDER BY partition FOR NO KEY UPDATE)";

const RELEASE_ALL: &str = "
    UPDATE consumer_partitions SET owner = NULL, lease_expires_at = NULL, updated_at = now()
    WHERE group_name = ? AND topic = ? AND partition IN (
        SELECT partition FROM consumer_partitions WHERE group_name = ? AND topic = ? AND owner = ?
        ORDER BY partition FOR NO KEY UPDATE)";

/// Clears `last_attempt_id`, because the attempt before the new offset is not known.
const SEEK: &str = "
    UPDATE consumer_partitions SET next_offset = ?, last_attempt_id = NULL, updated_at = now()
    WHERE group_name = ? AND topic = ? AND partition = ? AND next_offset = ?";

const OWNERS: &str = "
    SELECT partition, CASE WHEN lease_expires_at > clock_timestamp() THEN owner END AS owner
    FROM consumer_partitions WHERE group_name = ? AND topic = ?";

#[derive(QueryableByName)]
struct OwnerRow {
    #[diesel(sql_type = Integer)]
    partition: i32,
    #[diesel(sql_type = Nullable<Text>)]
    owner: Option<String>,
}

#[derive(QueryableByName)]
struct PlaceRow {
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = BigInt)]
    members: i64,
}

#[async_trait]
impl ConsumerGroup for PostgresLedger {
    async fn heartbeat(
        &self,
        member: &Member,
        partitions: i32,
        ttl: Duration,
    ) -> Result<(Vec<Lease>, usize), LedgerError> {
        Ok(heartbeat(&mut *self.pool.take().await?, member, partitions, ttl).await?)
    }

    async fn release(&self, member: &Member, partitions: &[Partition]) -> Result<(), LedgerError> {
        Ok(release(&mut *self.pool.take().await?, member, partitions).await?)
    }

    async fn leave(&self, member: &Member) -> Result<(), LedgerError> {
        Ok(leave(&mut *self.pool.take().await?, member).await?)
    }

    async fn seek(
        &self,
        position: &Position,
        from: Offset,
        to: Offset,
    ) -> Result<SeekOutcome, LedgerError> {
        Ok(seek(&mut *self.pool.take().await?, position, from, to).await?)
    }
}

#[async_trait]
impl CommittedOffsets for PostgresLedger {
    async fn committed_offsets(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Offset>, LedgerError> {
        Ok(committed_offsets(&mut *self.pool.take().await?, group, topic).await?)
    }
}

pub(super) async fn heartbeat(
    conn: &mut AsyncPgConnection,
    member: &Member,
    partitions: i32,
    ttl: Duration,
) -> QueryResult<(Vec<Lease>, usize)> {
    let ttl = ttl.as_secs_f64();
    conn.build_transaction()
        .read_committed()
        .run(async |conn| {
            Prepared::new(RENEW)
                .bind::<Double, _>(ttl)
                .bind_group_of(member)
                .bind_group_of(member)
                .bind::<Text, _>(member.id.clone())
                .execute(conn)
                .await?;
            Prepared::new(LOCK_GROUP)
                .bind_group_of(member)
                .execute(conn)
                .await?;
            Prepared::new(CHECK_IN)
                .bind_group_of(member)
                .bind::<Text, _>(member.id.clone())
                .bind::<Double, _>(ttl)
                .execute(conn)
                .await?;
            Prepared::new(FORGET_SILENT)
                .bind_group_of(member)
                .execute(conn)
                .await?;
            Prepared::new(ADD_MISSING)
                .bind_group_of(member)
                .bind::<Integer, _>(partitions)
                .execute(conn)
                .await?;

            let place: PlaceRow = Prepared::new(PLACE)
                .bind::<Text, _>(member.id.clone())
                .bind_group_of(member)
                .get_result(conn)
                .await?;
            let share = fair_share(i64::from(partitions), place.place, place.members);
            let held = to_bigint(leases(conn, member, partitions).await?.len());
            if held < share {
                Prepared::new(TAKE_FREE)
                    .bind::<Text, _>(member.id.clone())
                    .bind::<Double, _>(ttl)
                    .bind_group_of(member)
                    .bind_group_of(member)
                    .bind::<Integer, _>(partitions)
                    .bind::<BigInt, _>(share - held)
                    .execute(conn)
                    .await?;
            }
            Ok((
                leases(conn, member, partitions).await?,
                usize::try_from(share).unwrap_or(0),
            ))
        })
        .await
}

async fn leases(
    conn: &mut AsyncPgConnection,
    member: &Member,
    partitions: i32,
) -> QueryResult<Vec<Lease>> {
    use consumer_partitions::dsl;
    let rows = dsl::consumer_partitions
        .filter(
            dsl::group_name
                .eq(&member.group)
                .and(dsl::topic.eq(&member.topic))
                .and(dsl::owner.eq(&member.id)),
        )
        .filter(dsl::partition.lt(partitions))
        .order(dsl::partition)
        .select((dsl::partition, dsl::next_offset, dsl::last_attempt_id))
        .load::<(i32, i64, Option<Uuid>)>(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(partition, next, last)| Lease {
            partition: Partition(partition),
            next: Offset(next),
            last: last.map(AttemptId),
        })
        .collect())
}

pub(super) async fn release(
    conn: &mut AsyncPgConnection,
    member: &Member,
    partitions: &[Partition],
) -> QueryResult<()> {
    let partitions: Vec<i32> = partitions.iter().map(|partition| partition.0).collect();
    Prepared::new(RELEASE)
        .bind_group_of(member)
        .bind_group_of(member)
        .bind::<Text, _>(member.id.clone())
        .bind::<Array<Integer>, _>(partitions)
        .execute(conn)
        .await
        .map(drop)
}

pub(super) async fn leave(conn: &mut AsyncPgConnection, member: &Member) -> QueryResult<()> {
    conn.build_transaction()
        .read_committed()
        .run(async |conn| {
            Prepared::new(RELEASE_ALL)
                .bind_group_of(member)
                .bind_group_of(member)
                .bind::<Text, _>(member.id.clone())
                .execute(conn)
                .await?;
            let row = (
                member.group.as_str(),
                member.topic.as_str(),
                member.id.as_str(),
            );
            diesel::delete(consumer_members::table.find(row))
                .execute(conn)
                .await
                .map(drop)
        })
        .await
}

pub(super) async fn committed_offsets(
    conn: &mut AsyncPgConnection,
    group: &str,
    topic: &str,
) -> QueryResult<BTreeMap<Partition, Offset>> {
    let rows = consumer_partitions::table
        .filter(
            consumer_partitions::group_name
                .eq(group)
                .and(consumer_partitions::topic.eq(topic)),
        )
        .select((
            consumer_partitions::partition,
            consumer_partitions::next_offset,
        ))
        .load::<(i32, i64)>(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(partition, next)| (Partition(partition), Offset(next)))
        .collect())
}

/// The owner of each partition, if its lease is valid.
pub(super) async fn owners(
    conn: &mut AsyncPgConnection,
    group: &str,
    topic: &str,
) -> QueryResult<BTreeMap<Partition, Option<String>>> {
    let rows: Vec<OwnerRow> = Prepared::new(OWNERS)
        .bind::<Text, _>(group.to_owned())
        .bind::<Text, _>(topic.to_owned())
        .load(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| (Partition(row.partition), row.owner))
        .collect())
}

pub(super) async fn seek(
    conn: &mut AsyncPgConnection,
    position: &Position,
    from: Offset,
    to: Offset,
) -> QueryResult<SeekOutcome> {
    let moved = Prepared::new(SEEK)
        .bind::<BigInt, _>(to.0)
        .bind::<Text, _>(position.group.clone())
        .bind::<Text, _>(position.topic.clone())
        .bind::<Integer, _>(position.partition.0)
        .bind::<BigInt, _>(from.0)
        .execute(conn)
        .await?;
    Ok(match moved {
        1 => SeekOutcome::Moved,
        _ => SeekOutcome::Fenced,
    })
}

impl Prepared {
    /// Binds the member's group and topic.
    fn bind_group_of(self, member: &Member) -> Self {
        self.bind::<Text, _>(member.group.clone())
            .bind::<Text, _>(member.topic.clone())
    }
}
