//! A sale is closed until it is loaded anew.

use std::time::Duration;

use flashsale::port::{
    ClaimOutcome, CloseReason, CloseRequest, GateStatus, LoadStart, Outcome, ReleaseOutcome,
    ReserveOutcome, StockGate,
};

use super::{
    Engine,
    scene::{LEASE, Scene, new_sale, new_shopper, new_token, open_window},
};

pub async fn a_sound_sale_is_closed_only_if_told(engine: impl Engine) {
    let scene = Scene::open(engine, 5).await;
    let gate: &dyn StockGate = scene.gate.as_ref();
    scene.reserved().await;
    assert_eq!(
        gate.close(scene.sale, CloseRequest::IfInconsistent)
            .await
            .unwrap(),
        None
    );
    assert_eq!(scene.figures().await.0, 4, "it is open");
    let told = gate
        .close(scene.sale, CloseRequest::Unconditional)
        .await
        .unwrap();
    assert_eq!(told, Some(CloseReason::Requested));
    assert_eq!(
        gate.status(scene.sale).await.unwrap(),
        GateStatus::Closed { pending: 1 }
    );
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Closed);
    assert_eq!(
        gate.close(scene.sale, CloseRequest::Unconditional)
            .await
            .unwrap(),
        None,
        "again"
    );

    let unknown = new_sale();
    assert_eq!(
        gate.close(unknown, CloseRequest::Unconditional)
            .await
            .unwrap(),
        None
    );
    assert_eq!(gate.relist(unknown).await.unwrap(), 0);
    assert_eq!(gate.status(unknown).await.unwrap(), GateStatus::Unknown);
}

pub async fn a_closed_sale_keeps_its_pending_attempts_until_they_are_settled(engine: impl Engine) {
    let mut scene = Scene::open(engine, 5).await;
    let gate = scene.gate.clone();
    let (ordered, failed, released) = (
        scene.reserved().await,
        scene.reserved().await,
        scene.reserved().await,
    );
    gate.close(scene.sale, CloseRequest::Unconditional)
        .await
        .unwrap();
    // All are listed already.
    assert_eq!(gate.relist(scene.sale).await.unwrap(), 0);
    let overdue = gate.overdue(scene.sale, Duration::ZERO, 10).await.unwrap();
    let mut pending: Vec<_> = overdue.iter().map(|entry| entry.attempt).collect();
    let mut all = [ordered.attempt, failed.attempt, released.attempt];
    pending.sort_unstable();
    all.sort_unstable();
    assert_eq!(pending, all);
    assert_eq!(
        gate.release(scene.sale, released).await.unwrap(),
        ReleaseOutcome::Released
    );
    assert_eq!(
        gate.claim(scene.sale, &[failed]).await.unwrap(),
        [ClaimOutcome::Claimed]
    );
    scene.record(failed, Outcome::SoldOut).await;
    scene.record(ordered, Outcome::Ordered).await;
    let closed = GateStatus::Closed { pending: 0 };
    assert_eq!(gate.status(scene.sale).await.unwrap(), closed);
    assert!(scene.is_holder(ordered.user).await);

    scene.load(4, open_window(), &[ordered]).await;
    assert_eq!(gate.holders(scene.sale).await.unwrap(), [ordered.user]);
    // A loading that came too late does nothing to it.
    let late = gate.begin_load(scene.sale, new_token(), LEASE).await;
    assert_eq!(late.unwrap(), LoadStart::OpenOrLoading);
}
