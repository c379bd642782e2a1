//! Sales are loaded from the ledger and opened, while settlements go on being recorded.

use std::time::Duration;

use flashsale::port::{
    GateStatus, Holder, LoadStart, LoadStep, Outcome, ReleaseOutcome, ReserveOutcome, Standing,
};

use super::{
    Engine,
    scene::{LEASE, Scene, again, in_two_hours, new_shopper, new_token, open_window, terms},
};

pub async fn a_loaded_sale_knows_its_holders(engine: impl Engine) {
    let mut scene = Scene::unknown(engine);
    let holders: Vec<Holder> = (0..2_500).map(|_| new_shopper()).collect();
    scene.load(7, open_window(), &holders).await;
    for holder in [holders[0], holders[2_499]] {
        let held = ReserveOutcome::AlreadyHeld {
            attempt: holder.attempt,
            standing: Standing::Success,
        };
        assert_eq!(scene.reserve(again(holder)).await, held);
        scene.record_twice(holder, Outcome::Ordered).await;
    }
    assert_eq!(scene.gate.holders(scene.sale).await.unwrap().len(), 2_500);
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (7, 0));
}

pub async fn a_sale_that_is_being_loaded_is_closed(engine: impl Engine) {
    let mut scene = Scene::unknown(engine);
    let token = new_token();
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, token, LEASE)
            .await
            .unwrap(),
        LoadStart::Begun
    );
    let closed = GateStatus::Closed { pending: 0 };
    assert_eq!(scene.gate.status(scene.sale).await.unwrap(), closed);
    let holder = new_shopper();
    assert_eq!(
        scene
            .gate
            .load_holders(scene.sale, token, &[holder])
            .await
            .unwrap(),
        LoadStep::Applied
    );
    for shopper in [holder, new_shopper()] {
        assert_eq!(scene.reserve(shopper).await, ReserveOutcome::Closed);
        assert_eq!(
            scene.gate.release(scene.sale, shopper).await.unwrap(),
            ReleaseOutcome::NotHeld
        );
    }
    scene
        .gate
        .set_terms(scene.sale, terms(open_window(), 9), &[], in_two_hours())
        .await
        .unwrap();
    assert_eq!(scene.gate.status(scene.sale).await.unwrap(), closed);
    assert_eq!(
        scene
            .gate
            .open(
                scene.sale,
                token,
                terms(open_window(), 4),
                3,
                &[],
                in_two_hours()
            )
            .await
            .unwrap(),
        LoadStep::Applied
    );
    scene.remaining = 3;
    scene.check_balance().await;
}

pub async fn an_open_sale_is_not_loaded_again(engine: impl Engine) {
    let scene = Scene::open(engine, 3).await;
    scene.reserved().await;
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, new_token(), Duration::ZERO)
            .await
            .unwrap(),
        LoadStart::OpenOrLoading
    );
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (2, 1));
}

pub async fn a_load_within_its_lease_keeps_others_out(engine: impl Engine) {
    let scene = Scene::unknown(engine);
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, new_token(), LEASE)
            .await
            .unwrap(),
        LoadStart::Begun
    );
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, new_token(), LEASE)
            .await
            .unwrap(),
        LoadStart::OpenOrLoading
    );
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, new_token(), Duration::ZERO)
            .await
            .unwrap(),
        LoadStart::Begun
    );
}

pub async fn a_superseded_load_can_do_nothing(engine: impl Engine) {
    let mut scene = Scene::unknown(engine);
    let (old, new) = (new_token(), new_token());
    assert_eq!(
        scene
            .gate
            .open(
                scene.sale,
                old,
                terms(open_window(), 9),
                9,
                &[],
                in_two_hours()
            )
            .await
            .unwrap(),
        LoadStep::Superseded
    );
    assert_eq!(
        scene.gate.begin_load(scene.sale, old, LEASE).await.unwrap(),
        LoadStart::Begun
    );
    let stale = new_shopper();
    assert_eq!(
        scene
            .gate
            .load_holders(scene.sale, old, &[stale])
            .await
            .unwrap(),
        LoadStep::Applied
    );
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, new, Duration::ZERO)
            .await
            .unwrap(),
        LoadStart::Begun
    );
    assert_eq!(
        scene
            .gate
            .load_holders(scene.sale, old, &[new_shopper()])
            .await
            .unwrap(),
        LoadStep::Superseded
    );
    assert_eq!(
        scene.gate.load_holders(scene.sale, old, &[]).await.unwrap(),
        LoadStep::Superseded
    );
    assert_eq!(
        scene
            .gate
            .open(
                scene.sale,
                old,
                terms(open_window(), 9),
                9,
                &[],
                in_two_hours()
            )
            .await
            .unwrap(),
        LoadStep::Superseded
    );
    assert_eq!(
        scene.gate.load_holders(scene.sale, new, &[]).await.unwrap(),
        LoadStep::Applied
    );
    assert_eq!(
        scene
            .gate
            .open(
                scene.sale,
                new,
                terms(open_window(), 3),
                3,
                &[],
                in_two_hours()
            )
            .await
            .unwrap(),
        LoadStep::Applied
    );
    assert_eq!(
        scene
            .gate
            .load_holders(scene.sale, new, &[new_shopper()])
            .await
            .unwrap(),
        LoadStep::Superseded
    );
    assert_eq!(scene.gate.holders(scene.sale).await.unwrap(), []);
    scene.remaining = 3;
    scene.check_balance().await;
}

pub async fn repeated_steps_of_a_load_change_nothing(engine: impl Engine) {
    let mut scene = Scene::unknown(engine);
    let token = new_token();
    let (recorded, loaded) = (new_shopper(), new_shopper());
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, token, LEASE)
            .await
            .unwrap(),
        LoadStart::Begun
    );
    scene.record(recorded, Outcome::Ordered).await;
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, token, LEASE)
            .await
            .unwrap(),
        LoadStart::Begun,
        "the same load, sent again"
    );
    for _ in 0..2 {
        assert_eq!(
            scene
                .gate
                .load_holders(scene.sale, token, &[recorded, loaded, recorded])
                .await
                .unwrap(),
            LoadStep::Applied
        );
    }
    assert_eq!(
        scene
            .gate
            .open(
                scene.sale,
                token,
                terms(open_window(), 7),
                5,
                &[],
                in_two_hours()
            )
            .await
            .unwrap(),
        LoadStep::Applied
    );
    scene.remaining = 5;
    scene.check_balance().await;
    let holders_epoch = scene.figures().await.2;
    scene.reserved().await;
    assert_eq!(
        scene
            .gate
            .open(
                scene.sale,
                token,
                terms(open_window(), 7),
                5,
                &[],
                in_two_hours()
            )
            .await
            .unwrap(),
        LoadStep::Applied
    );
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, token, LEASE)
            .await
            .unwrap(),
        LoadStart::OpenOrLoading
    );
    let (available, pending, now) = scene.figures().await;
    assert_eq!((available, pending, now), (4, 1, holders_epoch));
}

/// The ledger sells to one shopper after another; each record reaches the gate at another step.
pub async fn a_record_at_any_step_of_a_load_keeps_the_balance(engine: impl Engine) {
    let mut scene = Scene::unknown(engine);
    let shoppers: Vec<Holder> = (0..8).map(|_| new_shopper()).collect();
    let [
        before,
        early,
        crossed,
        loaded,
        afterwards,
        beyond,
        beyond_open,
        bought,
    ] = shoppers[..]
    else {
        unreachable!()
    };
    let token = new_token();

    scene.record(before, Outcome::Ordered).await; // of a sale that the gate does not know
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, token, LEASE)
            .await
            .unwrap(),
        LoadStart::Begun
    );
    scene.record(early, Outcome::Ordered).await;

    // The snapshot: twenty units, five of them sold.
    let snapshot = [before, early, crossed, loaded, afterwards];
    let remaining = 20 - 5;
    scene.record(crossed, Outcome::Ordered).await; // in the snapshot, recorded before it is loaded
    assert_eq!(
        scene
            .gate
            .load_holders(scene.sale, token, &snapshot[..3])
            .await
            .unwrap(),
        LoadStep::Applied
    );
    assert_eq!(
        scene
            .gate
            .load_holders(scene.sale, token, &snapshot[3..])
            .await
            .unwrap(),
        LoadStep::Applied
    );
    scene.record(loaded, Outcome::Ordered).await; // in the snapshot, recorded after it was loaded
    scene.record(beyond, Outcome::Ordered).await; // sold after the snapshot, recorded before the opening
    scene.record(beyond, Outcome::Ordered).await;
    assert_eq!(
        scene
            .gate
            .open(
                scene.sale,
                token,
                terms(open_window(), 20),
                remaining,
                &[],
                in_two_hours()
            )
            .await
            .unwrap(),
        LoadStep::Applied
    );

    scene.remaining = 20 - 6;
    scene.check_balance().await;
    scene.record_twice(afterwards, Outcome::Ordered).await; // in the snapshot, recorded after the opening
    scene.remaining -= 1;
    scene.record_twice(beyond_open, Outcome::Ordered).await; // sold after the snapshot, recorded after the opening
    assert_eq!(scene.reserve(bought).await, ReserveOutcome::Reserved);
    scene.remaining -= 1;
    scene.record_twice(bought, Outcome::Ordered).await;

    for shopper in shoppers {
        scene.record_twice(shopper, Outcome::Ordered).await;
        let held = ReserveOutcome::AlreadyHeld {
            attempt: shopper.attempt,
            standing: Standing::Success,
        };
        assert_eq!(scene.reserve(again(shopper)).await, held);
    }
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (12, 0));
}

pub async fn a_failure_recorded_while_loading_changes_nothing(engine: impl Engine) {
    let mut scene = Scene::unknown(engine);
    let token = new_token();
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, token, LEASE)
            .await
            .unwrap(),
        LoadStart::Begun
    );
    let holder = new_shopper();
    assert_eq!(
        scene
            .gate
            .load_holders(scene.sale, token, &[holder])
            .await
            .unwrap(),
        LoadStep::Applied
    );
    for shopper in [holder, again(holder), new_shopper()] {
        for outcome in [
            Outcome::SoldOut,
            Outcome::Rejected,
            Outcome::AlreadyOrdered { by: holder.attempt },
        ] {
            scene.record(shopper, outcome).await;
        }
    }
    assert_eq!(
        scene
            .gate
            .open(
                scene.sale,
                token,
                terms(open_window(), 5),
                4,
                &[],
                in_two_hours()
            )
            .await
            .unwrap(),
        LoadStep::Applied
    );
    scene.remaining = 4;
    scene.check_balance().await;
    assert_eq!(scene.gate.holders(scene.sale).await.unwrap(), [holder.user]);
}

/// Records of orders inside and outside the snapshot run beside the load itself, in whatever order it comes out.
pub async fn records_race_a_load_without_harm(engine: impl Engine) {
    let mut scene = Scene::unknown(engine);
    let sold: Vec<Holder> = (0..300).map(|_| new_shopper()).collect();
    let (snapshot, beyond) = sold.split_at(200);
    let token = new_token();
    let recording = async {
        // Inside and outside the snapshot by turns.
        for (inside, outside) in snapshot.iter().step_by(2).zip(beyond) {
            scene.record(*inside, Outcome::Ordered).await;
            // The order was made after the snapshot, so its record cannot come before begin_load.
            if scene.gate.status(scene.sale).await.unwrap() != GateStatus::Unknown {
                scene.record(*outside, Outcome::Ordered).await;
            }
        }
    };
    let loading = async {
        tokio::task::yield_now().await;
        assert_eq!(
            scene
                .gate
                .begin_load(scene.sale, token, LEASE)
                .await
                .unwrap(),
            LoadStart::Begun
        );
        for part in snapshot.chunks(10) {
            assert_eq!(
                scene
                    .gate
                    .load_holders(scene.sale, token, part)
                    .await
                    .unwrap(),
                LoadStep::Applied
            );
        }
        assert_eq!(
            scene
                .gate
                .open(
                    scene.sale,
                    token,
                    terms(open_window(), 500),
                    300,
                    &[],
                    in_two_hours()
                )
                .await
                .unwrap(),
            LoadStep::Applied
        );
    };
    tokio::join!(recording, loading);
    for holder in &sold {
        scene.record(*holder, Outcome::Ordered).await;
    }
    scene.remaining = 300 - 100;
    scene.check_balance().await;
    assert_eq!(scene.gate.holders(scene.sale).await.unwrap().len(), 300);
}
