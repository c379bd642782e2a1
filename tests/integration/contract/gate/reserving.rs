//! Units are taken, given back and claimed.

use std::time::Duration;

use flashsale::port::{
    ClaimOutcome, CloseRequest, GateStatus, Holder, LoadStart, LoadStep, ReleaseOutcome,
    ReserveOutcome, Standing,
};
use futures::future::join_all;

use super::{
    Engine,
    scene::{
        Scene, again, in_two_hours, new_sale, new_shopper, new_token, open_window, terms,
        wait_until, window_from_now,
    },
};

fn held(holder: Holder) -> ReserveOutcome {
    ReserveOutcome::AlreadyHeld {
        attempt: holder.attempt,
        standing: Standing::Pending,
    }
}

pub async fn exactly_the_stock_is_reserved_under_concurrency(engine: impl Engine) {
    let scene = Scene::open(engine, 500).await;
    let batches: Vec<Vec<Holder>> = (0..24)
        .map(|_| (0..50).map(|_| new_shopper()).collect())
        .collect();
    let outcomes = join_all(
        batches
            .iter()
            .map(|batch| scene.gate.reserve(scene.sale, batch)),
    )
    .await;
    let outcomes: Vec<_> = outcomes.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == ReserveOutcome::Reserved)
            .count(),
        500
    );
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == ReserveOutcome::SoldOut)
            .count(),
        700
    );
    assert_eq!(scene.gate.holders(scene.sale).await.unwrap().len(), 500);
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (0, 500));
}

pub async fn a_shopper_gets_one_unit_whatever_the_calls(engine: impl Engine) {
    let scene = Scene::open(engine, 10).await;
    // In one batch.
    let first = new_shopper();
    let batch: Vec<Holder> = std::iter::once(first)
        .chain((0..4).map(|_| again(first)))
        .collect();
    let outcomes = scene.gate.reserve(scene.sale, &batch).await.unwrap();
    assert_eq!(
        outcomes,
        [
            ReserveOutcome::Reserved,
            held(first),
            held(first),
            held(first),
            held(first)
        ]
    );
    assert_eq!(
        scene.gate.release(scene.sale, first).await.unwrap(),
        ReleaseOutcome::Claimed
    );
    // In calls at once: one wins, and all others name that one.
    let presses: Vec<Holder> = std::iter::repeat_with(|| again(first)).take(5).collect();
    let shopper = new_shopper();
    let presses: Vec<Holder> = presses
        .iter()
        .map(|press| Holder {
            user: shopper.user,
            ..*press
        })
        .collect();
    let outcomes = join_all(presses.iter().map(|press| scene.reserve(*press))).await;
    let winner = outcomes
        .iter()
        .position(|outcome| *outcome == ReserveOutcome::Reserved)
        .expect("one wins");
    for (press, outcome) in outcomes.iter().enumerate() {
        assert!(
            press == winner || *outcome == held(presses[winner]),
            "{outcome:?}"
        );
    }
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (8, 2));
}

pub async fn a_resent_reservation_stays_releasable(engine: impl Engine) {
    let scene = Scene::open(engine, 3).await;
    let holder = scene.reserved().await;
    assert_eq!(scene.reserve(holder).await, held(holder));
    let twice = new_shopper();
    let outcomes = scene
        .gate
        .reserve(scene.sale, &[twice, twice])
        .await
        .unwrap();
    assert_eq!(outcomes, [ReserveOutcome::Reserved, held(twice)]);
    for holder in [holder, twice] {
        assert_eq!(
            scene.gate.release(scene.sale, holder).await.unwrap(),
            ReleaseOutcome::Released
        );
    }
    assert_eq!(scene.figures().await.0, 3);
}

pub async fn a_second_press_makes_release_impossible(engine: impl Engine) {
    let scene = Scene::open(engine, 3).await;
    let holder = scene.reserved().await;
    for _ in 0..2 {
        assert_eq!(scene.reserve(again(holder)).await, held(holder));
        assert_eq!(
            scene.gate.release(scene.sale, holder).await.unwrap(),
            ReleaseOutcome::Claimed
        );
    }
    // A resend now does not take the claim away either.
    assert_eq!(scene.reserve(holder).await, held(holder));
    assert_eq!(
        scene.gate.release(scene.sale, holder).await.unwrap(),
        ReleaseOutcome::Claimed
    );
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (2, 1));
}

pub async fn a_claim_makes_release_impossible(engine: impl Engine) {
    let scene = Scene::open(engine, 3).await;
    let (claimed, released) = (scene.reserved().await, scene.reserved().await);
    scene.gate.release(scene.sale, released).await.unwrap();
    let asked = [claimed, released, again(claimed), claimed];
    for _ in 0..2 {
        assert_eq!(
            scene.gate.claim(scene.sale, &asked).await.unwrap(),
            [
                ClaimOutcome::Claimed,
                ClaimOutcome::NotPending,
                ClaimOutcome::NotPending,
                ClaimOutcome::Claimed
            ]
        );
    }
    assert_eq!(
        scene.gate.release(scene.sale, claimed).await.unwrap(),
        ReleaseOutcome::Claimed
    );
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (2, 1));
}

/// A shopper who is told that the unit was given back must not be answered for by somebody else.
pub async fn a_release_beside_a_press_or_a_claim_excludes_it(engine: impl Engine) {
    let scene = Scene::open(engine, 1_000).await;
    for _ in 0..40 {
        let holder = scene.reserved().await;
        let press = again(holder);
        let (released, pressed) = tokio::join!(
            scene.gate.release(scene.sale, holder),
            scene.gate.reserve(scene.sale, std::slice::from_ref(&press)),
        );
        match released.unwrap() {
            ReleaseOutcome::Released => assert_eq!(pressed.unwrap(), [ReserveOutcome::Reserved]),
            ReleaseOutcome::Claimed => assert_eq!(pressed.unwrap(), [held(holder)]),
            ReleaseOutcome::NotHeld => panic!("it was held"),
        }
        let holder = scene.reserved().await;
        let (claimed, released) = tokio::join!(
            scene.gate.claim(scene.sale, std::slice::from_ref(&holder)),
            scene.gate.release(scene.sale, holder),
        );
        let expected = if claimed.unwrap() == [ClaimOutcome::Claimed] {
            ReleaseOutcome::Claimed
        } else {
            ReleaseOutcome::Released
        };
        assert_eq!(released.unwrap(), expected);
    }
    let (available, pending, _) = scene.figures().await;
    assert_eq!(available + pending, 1_000);
}

pub async fn a_released_unit_can_be_bought_again_once(engine: impl Engine) {
    let scene = Scene::open(engine, 1).await;
    let holder = scene.reserved().await;
    let refused = new_shopper();
    assert_eq!(scene.reserve(refused).await, ReserveOutcome::SoldOut);
    let holders_epoch = scene.figures().await.2;
    assert_eq!(
        scene.gate.release(scene.sale, holder).await.unwrap(),
        ReleaseOutcome::Released
    );
    assert_eq!(
        scene.gate.release(scene.sale, holder).await.unwrap(),
        ReleaseOutcome::NotHeld
    );
    scene.check_balance().await;
    assert_eq!(scene.figures().await.2, holders_epoch + 1);
    assert_eq!(scene.reserve(refused).await, ReserveOutcome::Reserved);
    assert_eq!(scene.reserve(holder).await, ReserveOutcome::SoldOut);
}

pub async fn release_by_another_attempt_changes_nothing(engine: impl Engine) {
    let scene = Scene::open(engine, 2).await;
    let holder = scene.reserved().await;
    assert_eq!(
        scene.gate.release(scene.sale, again(holder)).await.unwrap(),
        ReleaseOutcome::NotHeld
    );
    assert_eq!(
        scene.gate.release(scene.sale, new_shopper()).await.unwrap(),
        ReleaseOutcome::NotHeld
    );
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (1, 1));
}

pub async fn nobody_gets_a_unit_outside_the_window(engine: impl Engine) {
    let scene = Scene::with_window(engine, 5, window_from_now(600_000, 1_200_000)).await;
    assert_eq!(
        scene.reserve(new_shopper()).await,
        ReserveOutcome::NotStarted
    );
    scene.set_window(window_from_now(-1_200_000, -1)).await;
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Ended);
    scene.check_balance().await;
    // The window comes before the stock: what is sold out and over is over.
    let (sale, token) = (new_sale(), new_token());
    assert_eq!(
        scene
            .gate
            .begin_load(sale, token, Duration::ZERO)
            .await
            .unwrap(),
        LoadStart::Begun
    );
    assert_eq!(
        scene
            .gate
            .open(
                sale,
                token,
                terms(window_from_now(-2, -1), 0),
                0,
                &[],
                in_two_hours()
            )
            .await
            .unwrap(),
        LoadStep::Applied
    );
    assert_eq!(
        scene.gate.reserve(sale, &[new_shopper()]).await.unwrap(),
        [ReserveOutcome::Ended]
    );
}

pub async fn a_sale_opens_by_the_gates_clock(engine: impl Engine) {
    let window = window_from_now(400, 1_200);
    let scene = Scene::with_window(engine, 5, window).await;
    assert_eq!(
        scene.reserve(new_shopper()).await,
        ReserveOutcome::NotStarted
    );
    wait_until("the sale opens", || async {
        scene.reserve(new_shopper()).await == ReserveOutcome::Reserved
    })
    .await;
    wait_until("the sale ends", || async {
        scene.reserve(new_shopper()).await == ReserveOutcome::Ended
    })
    .await;
    scene.check_balance().await;
}

pub async fn a_holder_is_told_so_after_the_end(engine: impl Engine) {
    let scene = Scene::open(engine, 5).await;
    let holder = scene.reserved().await;
    scene.set_window(window_from_now(-1_200_000, -1)).await;
    assert_eq!(scene.reserve(again(holder)).await, held(holder));
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Ended);
    let other = again(holder);
    assert_eq!(
        scene.gate.release(scene.sale, other).await.unwrap(),
        ReleaseOutcome::NotHeld
    );
    scene.check_balance().await;
}

pub async fn a_moved_window_counts_at_once(engine: impl Engine) {
    let scene = Scene::open(engine, 5).await;
    let holder = scene.reserved().await;
    let window = window_from_now(600_000, 1_200_000);
    scene.set_window(window).await;
    let GateStatus::Open { window: seen, .. } = scene.gate.status(scene.sale).await.unwrap() else {
        panic!("not open");
    };
    assert_eq!(seen, window);
    assert_eq!(
        scene.reserve(new_shopper()).await,
        ReserveOutcome::NotStarted
    );
    // Units come back whatever the window says.
    assert_eq!(
        scene.gate.release(scene.sale, holder).await.unwrap(),
        ReleaseOutcome::Released
    );
    scene.set_window(open_window()).await;
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Reserved);
    scene.check_balance().await;
}

pub async fn an_unknown_sale_is_closed(engine: impl Engine) {
    let scene = Scene::unknown(engine);
    let shopper = new_shopper();
    assert_eq!(
        scene.gate.status(scene.sale).await.unwrap(),
        GateStatus::Unknown
    );
    assert_eq!(scene.reserve(shopper).await, ReserveOutcome::Closed);
    assert_eq!(
        scene.gate.release(scene.sale, shopper).await.unwrap(),
        ReleaseOutcome::NotHeld
    );
    assert_eq!(
        scene.gate.claim(scene.sale, &[shopper]).await.unwrap(),
        [ClaimOutcome::NotPending]
    );
    assert_eq!(
        scene
            .gate
            .overdue(scene.sale, Duration::ZERO, 10)
            .await
            .unwrap(),
        []
    );
    assert_eq!(scene.gate.holders(scene.sale).await.unwrap(), []);
    assert!(
        scene
            .gate
            .close(scene.sale, CloseRequest::Unconditional)
            .await
            .unwrap()
            .is_none()
    );
    scene.set_window(open_window()).await;
    assert_eq!(scene.gate.reserve(scene.sale, &[]).await.unwrap(), []);
    assert_eq!(
        scene.gate.status(scene.sale).await.unwrap(),
        GateStatus::Unknown
    );
}

pub async fn pending_attempts_become_overdue_until_claimed(engine: impl Engine) {
    let scene = Scene::open(engine, 5).await;
    let first = scene.reserved().await;
    tokio::time::sleep(Duration::from_millis(5)).await; // so that the order is known
    let second = scene.reserved().await;
    let overdue = |age, limit| {
        scene
            .gate
            .overdue(scene.sale, Duration::from_millis(age), limit)
    };
    assert_eq!(overdue(60_000, 10).await.unwrap(), []);
    let entries = overdue(0, 10).await.unwrap();
    let attempts: Vec<_> = entries
        .iter()
        .map(|entry| (entry.user, entry.attempt))
        .collect();
    assert_eq!(
        attempts,
        [(first.user, first.attempt), (second.user, second.attempt)]
    );
    assert!(entries[0].since < entries[1].since);
    assert_eq!(overdue(0, 1).await.unwrap(), entries[..1]);

    let age = Duration::from_millis(150);
    wait_until("both are overdue", || async {
        scene.gate.overdue(scene.sale, age, 10).await.unwrap().len() == 2
    })
    .await;
    // A press does not make an entry young, or a shopper could keep the relay off; a claim does.
    scene.reserve(again(first)).await;
    assert_eq!(
        scene.gate.overdue(scene.sale, age, 10).await.unwrap().len(),
        2
    );
    scene.gate.claim(scene.sale, &[first]).await.unwrap();
    let entries = overdue(0, 10).await.unwrap();
    assert_eq!(
        entries
            .iter()
            .map(|entry| entry.attempt)
            .collect::<Vec<_>>(),
        [second.attempt, first.attempt]
    );
    assert!(entries[1].since - entries[0].since >= chrono::TimeDelta::milliseconds(140));
}

pub async fn a_large_batch_is_one_decision(engine: impl Engine) {
    let scene = Scene::open(engine, 9_000).await;
    let mut batch: Vec<Holder> = (0..10_000).map(|_| new_shopper()).collect();
    batch.push(again(batch[0])); // in another part of the batch than the first
    let outcomes = scene.gate.reserve(scene.sale, &batch).await.unwrap();
    assert!(
        outcomes[..9_000]
            .iter()
            .all(|outcome| *outcome == ReserveOutcome::Reserved)
    );
    assert!(
        outcomes[9_000..10_000]
            .iter()
            .all(|outcome| *outcome == ReserveOutcome::SoldOut)
    );
    assert_eq!(outcomes[10_000], held(batch[0]));
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (0, 9_000));
    let mut users: Vec<_> = batch[..9_000].iter().map(|holder| holder.user).collect();
    users.sort_unstable();
    let mut holders = scene.gate.holders(scene.sale).await.unwrap();
    holders.sort_unstable();
    assert_eq!(holders, users);
}
