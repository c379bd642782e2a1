//! What the ledger decided is recorded: every rule twice, with the balance checked after each.

use flashsale::port::{
    ClaimOutcome, GateStatus, Holder, Outcome, ReleaseOutcome, ReserveOutcome, Standing,
};

use super::{
    Engine,
    scene::{Scene, again, new_shopper, open_window},
};

fn ordered(holder: Holder) -> ReserveOutcome {
    ReserveOutcome::AlreadyHeld {
        attempt: holder.attempt,
        standing: Standing::Success,
    }
}

pub async fn an_order_of_the_pending_attempt_keeps_its_unit(engine: impl Engine) {
    let mut scene = Scene::open(engine, 5).await;
    let holder = scene.reserved().await;
    scene.remaining -= 1;
    scene.record_twice(holder, Outcome::Ordered).await;
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (4, 0));
    assert_eq!(scene.reserve(again(holder)).await, ordered(holder));
    assert_eq!(
        scene.gate.release(scene.sale, holder).await.unwrap(),
        ReleaseOutcome::NotHeld
    );
    assert_eq!(
        scene.gate.claim(scene.sale, &[holder]).await.unwrap(),
        [ClaimOutcome::NotPending]
    );
    scene.check_balance().await;
}

pub async fn an_order_of_a_claimed_attempt_keeps_its_unit(engine: impl Engine) {
    let mut scene = Scene::open(engine, 5).await;
    let holder = scene.reserved().await;
    scene.gate.claim(scene.sale, &[holder]).await.unwrap();
    scene.remaining -= 1;
    scene.record_twice(holder, Outcome::Ordered).await;
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (4, 0));
}

pub async fn an_order_of_an_unknown_shopper_takes_a_unit(engine: impl Engine) {
    let mut scene = Scene::open(engine, 1).await;
    let (first, second) = (new_shopper(), new_shopper());
    scene.remaining -= 1;
    scene.record_twice(first, Outcome::Ordered).await;
    assert_eq!(scene.figures().await.0, 0);
    assert_eq!(scene.reserve(again(first)).await, ordered(first));
    // The ledger may have had more than the gate knew of.
    scene.remaining -= 1;
    scene.record_twice(second, Outcome::Ordered).await;
    assert_eq!(scene.figures().await.0, -1);
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::SoldOut);
    assert!(scene.is_holder(second.user).await);
}

pub async fn an_order_of_another_attempt_takes_over_the_unit(engine: impl Engine) {
    let mut scene = Scene::open(engine, 5).await;
    for claimed in [false, true] {
        let holder = scene.reserved().await;
        if claimed {
            scene.gate.claim(scene.sale, &[holder]).await.unwrap();
        }
        let other = again(holder);
        scene.remaining -= 1;
        scene.record_twice(other, Outcome::Ordered).await;
        assert_eq!(scene.reserve(again(holder)).await, ordered(other));
        // The pending attempt is settled in its turn.
        scene
            .record_twice(holder, Outcome::AlreadyOrdered { by: other.attempt })
            .await;
        assert_eq!(scene.reserve(again(holder)).await, ordered(other));
    }
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (3, 0));
}

pub async fn a_failed_attempt_gives_its_unit_back(engine: impl Engine) {
    let scene = Scene::open(engine, 4).await;
    for (outcome, claimed) in [
        (Outcome::SoldOut, false),
        (Outcome::SoldOut, true),
        (Outcome::Rejected, false),
        (Outcome::Rejected, true),
    ] {
        let holder = scene.reserved().await;
        if claimed {
            scene.gate.claim(scene.sale, &[holder]).await.unwrap();
        }
        scene.record_twice(holder, outcome).await;
        let (available, pending, _) = scene.figures().await;
        assert_eq!(
            (available, pending),
            (4, 0),
            "{outcome:?}, claimed: {claimed}"
        );
        assert!(!scene.is_holder(holder.user).await);
    }
}

pub async fn a_failure_of_another_attempt_changes_nothing(engine: impl Engine) {
    let scene = Scene::open(engine, 4).await;
    let holder = scene.reserved().await;
    for outcome in [Outcome::SoldOut, Outcome::Rejected] {
        scene.record_twice(again(holder), outcome).await;
        scene.record_twice(new_shopper(), outcome).await;
    }
    scene
        .record_twice(
            again(holder),
            Outcome::AlreadyOrdered {
                by: new_shopper().attempt,
            },
        )
        .await;
    scene
        .record_twice(
            new_shopper(),
            Outcome::AlreadyOrdered {
                by: new_shopper().attempt,
            },
        )
        .await;
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (3, 1));
    // Still the first attempt, still pending, still unclaimed.
    assert_eq!(
        scene.gate.release(scene.sale, holder).await.unwrap(),
        ReleaseOutcome::Released
    );
    scene.check_balance().await;
}

pub async fn an_attempt_beside_an_order_passes_its_unit_on(engine: impl Engine) {
    let mut scene = Scene::open(engine, 4).await;
    for claimed in [false, true] {
        let holder = scene.reserved().await;
        if claimed {
            scene.gate.claim(scene.sale, &[holder]).await.unwrap();
        }
        let other = again(holder);
        // The ledger made the other attempt's order; the gate hears of the loser first.
        scene.remaining -= 1;
        scene
            .record_twice(holder, Outcome::AlreadyOrdered { by: other.attempt })
            .await;
        assert_eq!(scene.reserve(again(holder)).await, ordered(other));
        scene.record_twice(other, Outcome::Ordered).await;
        assert_eq!(scene.reserve(again(holder)).await, ordered(other));
    }
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (2, 0));
}

pub async fn an_order_stands_whatever_is_recorded_later(engine: impl Engine) {
    let mut scene = Scene::open(engine, 4).await;
    let holder = scene.reserved().await;
    scene.remaining -= 1;
    scene.record_twice(holder, Outcome::Ordered).await;
    let by = holder.attempt;
    for (late, outcome) in [
        (holder, Outcome::AlreadyOrdered { by }),
        (holder, Outcome::Ordered),
        (holder, Outcome::Released),
        (again(holder), Outcome::AlreadyOrdered { by }),
        (again(holder), Outcome::Ordered),
        (again(holder), Outcome::Released),
        (again(holder), Outcome::SoldOut),
        (again(holder), Outcome::NoAccount),
        (again(holder), Outcome::Rejected),
    ] {
        scene.record_twice(late, outcome).await;
        let answer = scene.reserve(again(holder)).await;
        assert_eq!(answer, ordered(holder), "{outcome:?}");
    }
}

pub async fn a_sale_is_closed_when_the_ledger_takes_an_order_back(engine: impl Engine) {
    let mut scene = Scene::open(engine, 4).await;
    for outcome in [Outcome::SoldOut, Outcome::NoAccount, Outcome::Rejected] {
        let (holder, pending) = (scene.reserved().await, scene.reserved().await);
        scene.record(holder, Outcome::Ordered).await;
        scene.record(holder, outcome).await;
        let status = scene.gate.status(scene.sale).await.unwrap();
        assert_eq!(status, GateStatus::Closed { pending: 1 }, "{outcome:?}");
        let asked = scene.reserve(new_shopper()).await;
        assert_eq!(asked, ReserveOutcome::Closed, "{outcome:?}");
        // Told once more, it does not close the sale that was loaded anew.
        scene.record(pending, Outcome::SoldOut).await;
        scene.load(4, open_window(), &[]).await;
        scene.record_twice(holder, outcome).await;
    }
}

pub async fn settlements_of_one_shopper_in_one_call_add_up(engine: impl Engine) {
    let mut scene = Scene::open(engine, 6).await;
    let (first, second, third) = (
        scene.reserved().await,
        scene.reserved().await,
        new_shopper(),
    );
    let other = again(second);
    let settlements = [
        scene.settlement(first, Outcome::SoldOut),
        scene.settlement(first, Outcome::SoldOut),
        scene.settlement(second, Outcome::AlreadyOrdered { by: other.attempt }),
        scene.settlement(other, Outcome::Ordered),
        scene.settlement(third, Outcome::Ordered),
        scene.settlement(third, Outcome::Ordered),
        scene.settlement(again(third), Outcome::SoldOut),
    ];
    scene.remaining -= 2;
    for _ in 0..2 {
        scene.gate.record(scene.sale, &settlements).await.unwrap();
        scene.check_balance().await;
    }
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (4, 0));
    // More than one call of the engine's takes.
    let many: Vec<Holder> = (0..4_500).map(|_| new_shopper()).collect();
    let settlements: Vec<_> = many
        .iter()
        .map(|holder| scene.settlement(*holder, Outcome::Ordered))
        .collect();
    scene.remaining -= 4_500;
    scene.gate.record(scene.sale, &settlements).await.unwrap();
    scene.check_balance().await;
}

pub async fn returns_tell_when_a_refused_shopper_may_hope_again(engine: impl Engine) {
    let mut scene = Scene::open(engine, 2).await;
    let (first, second) = (scene.reserved().await, scene.reserved().await);
    let start = scene.figures().await.2;
    scene.remaining -= 1;
    scene.record_twice(first, Outcome::Ordered).await;
    assert_eq!(scene.figures().await.2, start, "no unit came back");
    scene.record_twice(second, Outcome::SoldOut).await;
    assert_eq!(scene.figures().await.2, start + 1);
    let returning = scene.reserved().await;
    scene.gate.release(scene.sale, returning).await.unwrap();
    assert_eq!(scene.figures().await.2, start + 2);
    // A new holder who did not come through reserve: those refused by heart must be looked at again.
    scene.remaining -= 1;
    scene.record_twice(new_shopper(), Outcome::Ordered).await;
    assert_eq!(scene.figures().await.2, start + 3);
}
