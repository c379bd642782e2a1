//! Which worker reads which partition, and how far each partition is settled. All times are the database's.

use std::{collections::BTreeMap, time::Duration};

use diesel::{
    QueryResult, QueryableByName, sql_query,
    sql_types::{Array, BigInt, Integer, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::{
    ids::AttemptId,
    port::{Lease, Member, Offset, Partition, Position},
};

#[derive(QueryableByName)]
struct MemberRow {
    #[diesel(sql_type = Text)]
    member_id: String,
}

#[derive(QueryableByName)]
struct LeaseRow {
    #[diesel(sql_type = Integer)]
    partition: i32,
    #[diesel(sql_type = BigInt)]
    next_offset: i64,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    last_attempt_id: Option<Uuid>,
}

/// One heartbeat of a worker; one at a time for a group and topic.
pub(super) async fn heartbeat(
    connection: &mut AsyncPgConnection,
    member: &Member,
    partitions: i32,
    ttl: Duration,
) -> QueryResult<(Vec<Lease>, usize)> {
    connection
        .transaction(async |connection| {
            sql_query("SELECT pg_advisory_xact_lock(hashtextextended('flashsale leases ' || $1 || ' ' || $2, 0))")
                .bind::<Text, _>(&member.group)
                .bind::<Text, _>(&member.topic)
                .execute(connection)
                .await?;
            let share = share(connection, member, partitions, ttl).await?;
            renew(connection, member, partitions, ttl).await?;
            let mut leases = held(connection, member).await?;
            if leases.len() < share {
                claim(connection, member, partitions, ttl, share - leases.len()).await?;
                leases = held(connection, member).await?;
            }
            Ok((leases, share))
        })
        .await
}

/// Says that this member lives, and counts its fair share of the partitions among all that do.
async fn share(
    connection: &mut AsyncPgConnection,
    member: &Member,
    partitions: i32,
    ttl: Duration,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO consumer_members (group_name, topic, member_id, expires_at) \
         VALUES ($1, $2, $3, clock_timestamp() + $4 * interval '1 millisecond') \
         ON CONFLICT (group_name, topic, member_id) DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind::<Text, _>(&member.group)
    .bind::<Text, _>(&member.topic)
    .bind::<Text, _>(&member.id)
    .bind::<BigInt, _>(millis(ttl))
    .execute(connection)
    .await?;
    sql_query("DELETE FROM consumer_members WHERE group_name = $1 AND topic = $2 AND expires_at < clock_timestamp()")
        .bind::<Text, _>(&member.group)
        .bind::<Text, _>(&member.topic)
        .execute(connection)
        .await?;
    let members = sql_query("SELECT member_id FROM consumer_members WHERE group_name = $1 AND topic = $2 ORDER BY member_id")
        .bind::<Text, _>(&member.group)
        .bind::<Text, _>(&member.topic)
        .load::<MemberRow>(connection)
        .await?;
    let place = members
        .iter()
        .position(|row| row.member_id == member.id)
        .unwrap_or(0);
    let partitions = usize::try_from(partitions).unwrap_or(0);
    let count = members.len().max(1);
    Ok(partitions / count + usize::from(place < partitions % count))
}

/// Renews what the member holds, and makes rows for partitions that have none.
async fn renew(
    connection: &mut AsyncPgConnection,
    member: &Member,
    partitions: i32,
    ttl: Duration,
) -> QueryResult<()> {
    sql_query(
        "INSERT INTO consumer_partitions (group_name, topic, partition) \
         SELECT $1, $2, n FROM generate_series(0, $3 - 1) AS n ON CONFLICT DO NOTHING",
    )
    .bind::<Text, _>(&member.group)
    .bind::<Text, _>(&member.topic)
    .bind::<Integer, _>(partitions)
    .execute(connection)
    .await?;
    sql_query(
        "UPDATE consumer_partitions SET lease_expires_at = clock_timestamp() + $4 * interval '1 millisecond' \
         WHERE group_name = $1 AND topic = $2 AND owner = $3",
    )
    .bind::<Text, _>(&member.group)
    .bind::<Text, _>(&member.topic)
    .bind::<Text, _>(&member.id)
    .bind::<BigInt, _>(millis(ttl))
    .execute(connection)
    .await
    .map(|_| ())
}

/// Takes up to `wanted` partitions that nobody holds, or whose lease ran out.
async fn claim(
    connection: &mut AsyncPgConnection,
    member: &Member,
    partitions: i32,
    ttl: Duration,
    wanted: usize,
) -> QueryResult<()> {
    sql_query(
        "UPDATE consumer_partitions SET owner = $3, lease_expires_at = clock_timestamp() + $4 * interval '1 millisecond' \
         WHERE group_name = $1 AND topic = $2 AND partition IN ( \
             SELECT partition FROM consumer_partitions WHERE group_name = $1 AND topic = $2 AND partition < $5 \
                 AND (owner IS NULL OR lease_expires_at < clock_timestamp()) \
             ORDER BY partition LIMIT $6)",
    )
    .bind::<Text, _>(&member.group)
    .bind::<Text, _>(&member.topic)
    .bind::<Text, _>(&member.id)
    .bind::<BigInt, _>(millis(ttl))
    .bind::<Integer, _>(partitions)
    .bind::<BigInt, _>(i64::try_from(wanted).unwrap_or(i64::MAX))
    .execute(connection)
    .await
    .map(|_| ())
}

async fn held(connection: &mut AsyncPgConnection, member: &Member) -> QueryResult<Vec<Lease>> {
    let rows = sql_query(
        "SELECT partition, next_offset, last_attempt_id FROM consumer_partitions \
         WHERE group_name = $1 AND topic = $2 AND owner = $3 ORDER BY partition",
    )
    .bind::<Text, _>(&member.group)
    .bind::<Text, _>(&member.topic)
    .bind::<Text, _>(&member.id)
    .load::<LeaseRow>(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Lease {
            partition: Partition(row.partition),
            next: Offset(row.next_offset),
            last: row.last_attempt_id.map(AttemptId),
        })
        .collect())
}

pub(super) async fn hand_back(
    connection: &mut AsyncPgConnection,
    member: &Member,
    partitions: &[i32],
) -> QueryResult<()> {
    sql_query(
        "UPDATE consumer_partitions SET owner = NULL, lease_expires_at = NULL \
         WHERE group_name = $1 AND topic = $2 AND owner = $3 AND partition = ANY($4)",
    )
    .bind::<Text, _>(&member.group)
    .bind::<Text, _>(&member.topic)
    .bind::<Text, _>(&member.id)
    .bind::<Array<Integer>, _>(partitions)
    .execute(connection)
    .await
    .map(|_| ())
}

pub(super) async fn leave(connection: &mut AsyncPgConnection, member: &Member) -> QueryResult<()> {
    connection
        .transaction(async |connection| {
            sql_query(
                "UPDATE consumer_partitions SET owner = NULL, lease_expires_at = NULL \
                 WHERE group_name = $1 AND topic = $2 AND owner = $3",
            )
            .bind::<Text, _>(&member.group)
            .bind::<Text, _>(&member.topic)
            .bind::<Text, _>(&member.id)
            .execute(connection)
            .await?;
            sql_query("DELETE FROM consumer_members WHERE group_name = $1 AND topic = $2 AND member_id = $3")
                .bind::<Text, _>(&member.group)
                .bind::<Text, _>(&member.topic)
                .bind::<Text, _>(&member.id)
                .execute(connection)
                .await
                .map(|_| ())
        })
        .await
}

pub(super) async fn progress(
    connection: &mut AsyncPgConnection,
    group: &str,
    topic: &str,
) -> QueryResult<BTreeMap<Partition, Offset>> {
    let rows = sql_query(
        "SELECT partition, next_offset, last_attempt_id FROM consumer_partitions WHERE group_name = $1 AND topic = $2",
    )
    .bind::<Text, _>(group)
    .bind::<Text, _>(topic)
    .load::<LeaseRow>(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (Partition(row.partition), Offset(row.next_offset)))
        .collect())
}

/// Moves a partition's offset if it stands at `from`: the compare-and-set that fences out every other worker. True if it
/// did.
pub(super) async fn reposition(
    connection: &mut AsyncPgConnection,
    position: &Position,
    from: Offset,
    to: Offset,
    last: Option<AttemptId>,
) -> QueryResult<bool> {
    let moved = sql_query(
        "UPDATE consumer_partitions SET next_offset = $5, last_attempt_id = $6, updated_at = now() \
         WHERE group_name = $1 AND topic = $2 AND partition = $3 AND next_offset = $4",
    )
    .bind::<Text, _>(&position.group)
    .bind::<Text, _>(&position.topic)
    .bind::<Integer, _>(position.partition.0)
    .bind::<BigInt, _>(from.0)
    .bind::<BigInt, _>(to.0)
    .bind::<Nullable<SqlUuid>, _>(last.map(|attempt| attempt.0))
    .execute(connection)
    .await?;
    Ok(moved == 1)
}

fn millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)
}
