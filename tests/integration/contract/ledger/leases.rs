//! Leases: who reads what.

use std::{collections::BTreeSet, time::Duration};

use flashsale::port::{Ledger, Member, Offset, Partition};
use futures::future::join_all;

use super::{
    TestBed,
    bed::{attempt, make_partitions, member, settle},
};

const LONG: Duration = Duration::from_mins(1);

async fn beat(
    ledger: &dyn Ledger,
    who: &Member,
    partitions: i32,
    ttl: Duration,
) -> (Vec<i32>, usize) {
    let (leases, share) = ledger.heartbeat(who, partitions, ttl).await.unwrap();
    (
        leases.iter().map(|lease| lease.partition.0).collect(),
        share,
    )
}

/// A heartbeat after which the member hands back what is above its share.
async fn beat_fairly(
    ledger: &dyn Ledger,
    who: &Member,
    partitions: i32,
    ttl: Duration,
) -> Vec<i32> {
    let (mut held, share) = beat(ledger, who, partitions, ttl).await;
    let surplus: Vec<Partition> = held.drain(share.min(held.len())..).map(Partition).collect();
    ledger.release(who, &surplus).await.unwrap();
    held
}

pub async fn every_partition_has_one_owner_and_shares_are_fair(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    for (members, partitions) in
        (1..=5).flat_map(|members| (1..=7).map(move |partitions| (members, partitions)))
    {
        let group: Vec<Member> = (0..members)
            .map(|number| Member {
                topic: format!("{members}/{partitions}"),
                ..member(&format!("m{number}"))
            })
            .collect();
        // They come one after the other; two more rounds settle who hands back and who takes.
        for _ in 0..3 {
            for who in &group {
                beat_fairly(&*ledger, who, partitions, LONG).await;
            }
        }
        let mut all = Vec::new();
        for (place, who) in (0..).zip(&group) {
            let (held, share) = beat(&*ledger, who, partitions, LONG).await;
            assert_eq!(held.len(), share);
            let expected = partitions / members + i32::from(place < partitions % members);
            assert_eq!(
                share,
                usize::try_from(expected).unwrap(),
                "{members} members, {partitions} partitions"
            );
            all.extend(held);
        }
        all.sort_unstable();
        assert_eq!(
            all,
            (0..partitions).collect::<Vec<_>>(),
            "{members} members"
        );
    }
}

pub async fn a_silent_members_partitions_are_taken_over(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let (silent, alive) = (member("a"), member("b"));
    assert_eq!(
        beat(&*ledger, &silent, 4, Duration::from_millis(400)).await,
        (vec![0, 1, 2, 3], 4)
    );
    assert_eq!(beat(&*ledger, &alive, 4, LONG).await, (vec![], 2));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while beat(&*ledger, &alive, 4, LONG).await != (vec![0, 1, 2, 3], 4) {
        assert!(tokio::time::Instant::now() < deadline, "never taken over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn a_paused_member_finds_its_partitions_gone(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(2).await;
    let sale = bed.sale(5).await;
    let (paused, alive) = (member("a"), member("b"));
    beat(&*ledger, &paused, 2, Duration::from_millis(1)).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(beat(&*ledger, &alive, 2, LONG).await, (vec![0, 1], 2));
    settle(&*ledger, 0, 0, &[attempt(sale, users[0])])
        .await
        .unwrap();
    // It wakes up and goes on where it was.
    settle(&*ledger, 0, 0, &[attempt(sale, users[1])])
        .await
        .unwrap_err();
    assert_eq!(beat(&*ledger, &paused, 2, LONG).await, (vec![], 1));
}

pub async fn a_partition_handed_back_is_free_for_others(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let (one, other) = (member("a"), member("b"));
    beat(&*ledger, &one, 3, LONG).await;
    assert_eq!(beat(&*ledger, &other, 3, LONG).await, (vec![], 1));
    assert_eq!(beat(&*ledger, &one, 3, LONG).await, (vec![0, 1, 2], 2));
    ledger.release(&one, &[Partition(1)]).await.unwrap();
    assert_eq!(beat(&*ledger, &one, 3, LONG).await, (vec![0, 2], 2));
    assert_eq!(beat(&*ledger, &other, 3, LONG).await, (vec![1], 1));
}

pub async fn who_leaves_hands_everything_back(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let (one, other) = (member("a"), member("b"));
    beat(&*ledger, &one, 3, LONG).await;
    ledger.leave(&one).await.unwrap();
    assert_eq!(beat(&*ledger, &other, 3, LONG).await, (vec![0, 1, 2], 3));
}

pub async fn a_member_hands_back_only_what_is_its_own(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let (one, other) = (member("a"), member("b"));
    beat(&*ledger, &one, 2, LONG).await;
    ledger
        .release(&other, &[Partition(0), Partition(1)])
        .await
        .unwrap();
    ledger.leave(&other).await.unwrap();
    assert_eq!(beat(&*ledger, &one, 2, LONG).await, (vec![0, 1], 2));
}

pub async fn heartbeats_at_the_same_moment_do_not_lease_twice(bed: &impl TestBed) {
    let ledgers = join_all((0..5).map(|_| bed.ledger())).await;
    let members: Vec<Member> = (0..5).map(|number| member(&format!("m{number}"))).collect();
    for _ in 0..20 {
        let held = join_all(
            ledgers
                .iter()
                .zip(&members)
                .map(|(ledger, who)| beat_fairly(&**ledger, who, 7, LONG)),
        )
        .await;
        let all: Vec<i32> = held.concat();
        assert_eq!(
            all.iter().collect::<BTreeSet<_>>().len(),
            all.len(),
            "leased twice: {held:?}"
        );
    }
    let held = join_all(
        ledgers
            .iter()
            .zip(&members)
            .map(|(ledger, who)| beat(&**ledger, who, 7, LONG)),
    )
    .await;
    assert_eq!(
        held.iter().map(|(held, _)| held.len()).collect::<Vec<_>>(),
        [2, 2, 1, 1, 1]
    );
}

pub async fn a_lease_says_where_to_read_on(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(2).await;
    let sale = bed.sale(5).await;
    make_partitions(&*ledger, 1).await;
    let batch = [attempt(sale, users[0]), attempt(sale, users[1])];
    settle(&*ledger, 0, 0, &batch).await.unwrap();
    let (leases, _) = ledger.heartbeat(&member("a"), 1, LONG).await.unwrap();
    assert_eq!(
        (leases[0].next, leases[0].last),
        (Offset(2), Some(batch[1].id))
    );
}

pub async fn groups_do_not_see_each_other(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let stranger = Member {
        group: "others".into(),
        ..member("a")
    };
    assert_eq!(beat(&*ledger, &member("a"), 2, LONG).await, (vec![0, 1], 2));
    assert_eq!(beat(&*ledger, &stranger, 2, LONG).await, (vec![0, 1], 2));
}
