//! Terms of a sale that change while it is open.

use flashsale::port::{
    CloseRequest, GateStatus, LoadStart, LoadStep, MovementId, MovementMode, ReserveOutcome,
    SaleSwitch, SaleTerms, SaleWindow, Standing, TermsOutcome, WithdrawOutcome,
};
use futures::future::join_all;
use uuid::Uuid;

use super::{
    Engine,
    scene::{
        LEASE, Scene, again, in_two_hours, new_shopper, new_token, open_window, terms,
        window_from_now,
    },
};

/// Version and units that are in force.
async fn in_force<E: Engine>(scene: &Scene<E>) -> (u64, i64) {
    match scene.gate.status(scene.sale).await.unwrap() {
        GateStatus::Open { version, total, .. } => (version, total),
        other => panic!("the sale is not open: {other:?}"),
    }
}

pub async fn newer_terms_add_and_take_units(engine: impl Engine) {
    let mut scene = Scene::open(engine, 10).await;
    for _ in 0..3 {
        scene.reserved().await;
    }
    let holders_epoch = scene.figures().await.2;
    assert_eq!(
        scene.set_terms(2, open_window(), 12).await,
        TermsOutcome::InForce
    );
    scene.remaining = 12;
    scene.check_balance().await;
    assert_eq!(in_force(&scene).await, (2, 12));
    let (available, pending, raised) = scene.figures().await;
    assert_eq!((available, pending), (9, 3));
    assert!(
        raised > holders_epoch,
        "a node that refuses by heart must look again"
    );

    // Versions may be left out: an operator changed the sale twice within a moment.
    assert_eq!(
        scene.set_terms(5, open_window(), 4).await,
        TermsOutcome::InForce
    );
    scene.remaining = 4;
    scene.check_balance().await;
    assert_eq!(scene.figures().await, (1, 3, raised));

    // More is given out than there is now.
    assert_eq!(
        scene.set_terms(6, open_window(), 2).await,
        TermsOutcome::InForce
    );
    scene.remaining = 2;
    scene.check_balance().await;
    assert_eq!(scene.figures().await.0, -1);
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::SoldOut);
}

pub async fn older_terms_change_nothing(engine: impl Engine) {
    let scene = Scene::open(engine, 10).await;
    let window = open_window();
    assert_eq!(scene.set_terms(3, window, 8).await, TermsOutcome::InForce);
    let before = scene.gate.status(scene.sale).await.unwrap();
    let ended = window_from_now(-7_200_000, -3_600_000);
    for version in [0, 1, 2, 3] {
        assert_eq!(
            scene.set_terms(version, ended, 20).await,
            TermsOutcome::OthersInForce { version: 3 }
        );
        assert_eq!(scene.gate.status(scene.sale).await.unwrap(), before);
    }
}

pub async fn other_terms_of_the_version_in_force_change_nothing(engine: impl Engine) {
    let scene = Scene::open(engine, 10).await;
    let (window, movement) = (open_window(), MovementId(Uuid::new_v4()));
    let paused = switched(3, SaleSwitch::Paused, window, 8);
    scene.apply(paused, &[]).await;
    let set_aside = scene
        .gate
        .withdraw(scene.sale, movement, 2, MovementMode::UpTo, 3);
    assert_eq!(set_aside.await.unwrap(), WithdrawOutcome::Withdrawn(2));
    let before = scene.gate.status(scene.sale).await.unwrap();
    let later = window_from_now(-3_600_000, 7_200_000);
    // Of a ledger that was set back, and then changed in another way: nobody may be told that these are in force.
    for others in [
        switched(3, SaleSwitch::On, window, 8),
        switched(3, SaleSwitch::Paused, later, 8),
        switched(3, SaleSwitch::Paused, window, 6),
    ] {
        let set = scene.set(others, &[movement]).await;
        assert_eq!(set, TermsOutcome::OthersInForce { version: 3 });
        assert_eq!(scene.gate.status(scene.sale).await.unwrap(), before);
    }
    scene.apply(paused, &[movement]).await;
    assert_eq!(scene.withdrawn().await, [].into());
}

pub async fn terms_are_in_force_in_an_open_sale_only(engine: impl Engine) {
    let mut scene = Scene::unknown(engine);
    assert_eq!(
        scene.set_terms(2, open_window(), 5).await,
        TermsOutcome::NotOpen,
        "unknown"
    );
    assert_eq!(
        scene.gate.status(scene.sale).await.unwrap(),
        GateStatus::Unknown
    );
    let (gate, sale, token) = (scene.gate.clone(), scene.sale, new_token());
    assert_eq!(
        gate.begin_load(sale, token, LEASE).await.unwrap(),
        LoadStart::Begun
    );
    assert_eq!(
        scene.set_terms(2, open_window(), 5).await,
        TermsOutcome::NotOpen,
        "being loaded"
    );
    let loaded = SaleTerms {
        switch: flashsale::port::SaleSwitch::On,
        version: 1,
        window: open_window(),
        total: 3,
    };
    let opened = gate.open(sale, token, loaded, 3, &[], in_two_hours()).await;
    assert_eq!(opened.unwrap(), LoadStep::Applied);
    assert_eq!(in_force(&scene).await, (1, 3));
    assert_eq!(
        scene.set_terms(2, open_window(), 5).await,
        TermsOutcome::InForce
    );
    scene.remaining = 5;
    scene.check_balance().await;

    gate.close(sale, CloseRequest::Unconditional).await.unwrap();
    assert_eq!(
        scene.set_terms(3, open_window(), 9).await,
        TermsOutcome::NotOpen,
        "closed"
    );
    // Loading brings terms and units from one snapshot, whatever version was in force before.
    scene.load(7, open_window(), &[]).await;
    assert_eq!(in_force(&scene).await, (1, 7));
}

pub async fn terms_sent_by_many_at_once_end_as_the_newest(engine: impl Engine) {
    let mut scene = Scene::open(engine, 100).await;
    let total = |version| 101 + version * 7 % 13;
    let newest = total(39);
    let window = open_window();
    let setting = (2..40).map(|version| scene.set_terms(version, window, total(version)));
    assert!(
        join_all(setting)
            .await
            .into_iter()
            .all(|set| set != TermsOutcome::NotOpen)
    );
    assert_eq!(in_force(&scene).await, (39, i64::try_from(newest).unwrap()));
    scene.remaining = i64::try_from(newest).unwrap();
    scene.check_balance().await;
}

fn switched(version: u64, switch: SaleSwitch, window: SaleWindow, total: u64) -> SaleTerms {
    SaleTerms {
        version,
        switch,
        ..terms(window, total)
    }
}

pub async fn a_paused_sale_refuses_everyone_but_its_holders(engine: impl Engine) {
    let scene = Scene::open(engine, 10).await;
    let (window, holder) = (open_window(), scene.reserved().await);
    let paused = switched(2, SaleSwitch::Paused, window, 10);
    scene.apply(paused, &[]).await;
    scene.check_balance().await;
    let GateStatus::Open { switch, .. } = scene.gate.status(scene.sale).await.unwrap() else {
        panic!("the sale is not open");
    };
    assert_eq!(switch, SaleSwitch::Paused);
    for _ in 0..2 {
        assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Paused);
        let told = ReserveOutcome::AlreadyHeld {
            attempt: holder.attempt,
            standing: Standing::Pending,
        };
        assert_eq!(scene.reserve(again(holder)).await, told);
    }
    assert_eq!(scene.figures().await.0, 9);

    // Terms of before do not resume it; nor does a repetition of these.
    let older = scene.set(terms(window, 10), &[]).await;
    assert_eq!(older, TermsOutcome::OthersInForce { version: 2 });
    scene.apply(paused, &[]).await;
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Paused);
    let paused = scene.figures().await.2;
    scene
        .apply(switched(3, SaleSwitch::On, window, 10), &[])
        .await;
    assert!(
        scene.figures().await.2 > paused,
        "a node that refuses by heart must look again"
    );
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Reserved);
    scene.check_balance().await;
}

pub async fn a_cancelled_sale_answers_as_one_that_has_ended(engine: impl Engine) {
    let scene = Scene::open(engine, 10).await;
    let holder = scene.reserved().await;
    let next = window_from_now(60_000, 120_000);
    for (version, window) in [(2, open_window()), (3, next)] {
        let cancelled = switched(version, SaleSwitch::Cancelled, window, 10);
        scene.apply(cancelled, &[]).await;
        assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Ended);
        let told = scene.reserve(again(holder)).await;
        assert!(
            matches!(told, ReserveOutcome::AlreadyHeld { attempt, .. } if attempt == holder.attempt)
        );
    }
    scene.check_balance().await;
}

pub async fn a_pause_is_told_within_the_window_only_and_before_sold_out(engine: impl Engine) {
    let mut scene = Scene::open(engine, 1).await;
    scene.reserved().await;
    let (next, over) = (
        window_from_now(60_000, 120_000),
        window_from_now(-120_000, -60_000),
    );
    for (version, window, told) in [
        (2, next, ReserveOutcome::NotStarted),
        (3, over, ReserveOutcome::Ended),
        (4, open_window(), ReserveOutcome::Paused),
    ] {
        let paused = switched(version, SaleSwitch::Paused, window, 1);
        scene.apply(paused, &[]).await;
        assert_eq!(scene.reserve(new_shopper()).await, told);
    }
    scene
        .apply(switched(5, SaleSwitch::On, open_window(), 1), &[])
        .await;
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::SoldOut);

    // A sale is loaded as the snapshot has it.
    scene
        .gate
        .close(scene.sale, CloseRequest::Unconditional)
        .await
        .unwrap();
    scene
        .load_with(switched(6, SaleSwitch::Paused, open_window(), 1), 1, &[])
        .await;
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Paused);
}
