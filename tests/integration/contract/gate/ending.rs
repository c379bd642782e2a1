//! Orders that the ledger has ended are taken out of the gate.

use flashsale::port::{
    CloseRequest, EndOrdersOutcome, Holder, LoadStart, LoadStep, Outcome, PurchaseResult,
    ReserveOutcome,
};

use super::{
    Engine,
    scene::{LEASE, Scene, again, in_two_hours, new_shopper, new_token, open_window, terms},
};

async fn end<E: Engine>(scene: &Scene<E>, ended: &[Holder]) -> EndOrdersOutcome {
    let ending = scene.gate.end_orders(scene.sale, scene.product, ended);
    ending.await.unwrap()
}

/// A shopper with an order.
async fn ordered<E: Engine>(scene: &mut Scene<E>) -> Holder {
    let holder = scene.reserved().await;
    scene.remaining -= 1;
    scene.record_twice(holder, Outcome::Ordered).await;
    holder
}

pub async fn an_ended_order_frees_its_unit_and_its_shopper(engine: impl Engine) {
    let mut scene = Scene::open(engine, 2).await;
    let (ended, stays) = (ordered(&mut scene).await, ordered(&mut scene).await);
    let holders_epoch = scene.figures().await.2;
    assert_eq!(end(&scene, &[ended]).await, EndOrdersOutcome::TakenOut);
    scene.remaining += 1;
    scene.check_balance().await;
    assert!(scene.figures().await.2 > holders_epoch);
    assert!(!scene.is_holder(ended.user).await && scene.is_holder(stays.user).await);
    assert_eq!(scene.result(ended.user).await, None);
    assert_eq!(
        scene.result(stays.user).await,
        Some(PurchaseResult::Success)
    );

    // The shopper buys again; that the first order ended, told once more, does not touch the second.
    let second = again(ended);
    assert_eq!(scene.reserve(second).await, ReserveOutcome::Reserved);
    assert_eq!(end(&scene, &[ended]).await, EndOrdersOutcome::TakenOut);
    scene.check_balance().await;
    assert!(scene.is_holder(second.user).await);
    scene.remaining -= 1;
    scene.record_twice(second, Outcome::Ordered).await;
    assert_eq!(end(&scene, &[ended]).await, EndOrdersOutcome::TakenOut);
    scene.check_balance().await;
    assert!(scene.is_holder(second.user).await);
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::SoldOut);
}

pub async fn an_ended_order_that_is_recorded_later_takes_no_unit(engine: impl Engine) {
    let scene = Scene::open(engine, 3).await;
    // Settled by a worker that was paused before it told the gate; the gate does not know the shopper.
    let unknown = new_shopper();
    assert_eq!(end(&scene, &[unknown]).await, EndOrdersOutcome::TakenOut);
    scene.record_twice(unknown, Outcome::Ordered).await;
    assert!(!scene.is_holder(unknown.user).await);
    assert_eq!(scene.result(unknown.user).await, None);

    // The same of a pending attempt: it ends, and its unit comes back, once.
    let pending = scene.reserved().await;
    assert_eq!(end(&scene, &[pending]).await, EndOrdersOutcome::TakenOut);
    scene.check_balance().await;
    scene.record_twice(pending, Outcome::Ordered).await;
    assert!(!scene.is_holder(pending.user).await);

    // An attempt that lost to an order that has ended since.
    let (first, second) = (new_shopper(), scene.reserved().await);
    let by = first.attempt;
    let first = Holder {
        user: second.user,
        attempt: by,
    };
    assert_eq!(end(&scene, &[first]).await, EndOrdersOutcome::TakenOut);
    scene
        .record_twice(second, Outcome::AlreadyOrdered { by })
        .await;
    assert!(!scene.is_holder(second.user).await);
    assert_eq!(scene.figures().await.0, 3);
}

pub async fn orders_end_in_an_open_sale_only(engine: impl Engine) {
    let mut scene = Scene::unknown(engine);
    let holder = new_shopper();
    assert_eq!(
        end(&scene, &[holder]).await,
        EndOrdersOutcome::NotOpen,
        "unknown"
    );
    let (gate, sale, token) = (scene.gate.clone(), scene.sale, new_token());
    assert_eq!(
        gate.begin_load(sale, token, LEASE).await.unwrap(),
        LoadStart::Begun
    );
    assert_eq!(
        end(&scene, &[holder]).await,
        EndOrdersOutcome::NotOpen,
        "being loaded"
    );
    // The snapshot is older than the end of the order.
    let loaded = gate.load_holders(sale, token, &[holder]).await;
    assert_eq!(loaded.unwrap(), LoadStep::Applied);
    assert_eq!(end(&scene, &[holder]).await, EndOrdersOutcome::NotOpen);
    let opened = gate.open(sale, token, terms(open_window(), 5), 4, &[], in_two_hours());
    assert_eq!(opened.await.unwrap(), LoadStep::Applied);
    assert!(scene.is_holder(holder.user).await);
    // Sent again, as the answers asked for.
    assert_eq!(end(&scene, &[holder]).await, EndOrdersOutcome::TakenOut);
    scene.remaining = 5;
    scene.check_balance().await;
    assert!(!scene.is_holder(holder.user).await);

    gate.close(sale, CloseRequest::Unconditional).await.unwrap();
    assert_eq!(
        end(&scene, &[new_shopper()]).await,
        EndOrdersOutcome::NotOpen,
        "closed"
    );
}

pub async fn an_order_that_ended_before_a_load_can_come_back_with_its_snapshot(
    engine: impl Engine,
) {
    let mut scene = Scene::open(engine, 5).await;
    let holder = ordered(&mut scene).await;
    assert_eq!(end(&scene, &[holder]).await, EndOrdersOutcome::TakenOut);
    // The ledger was set back to before the end: the order stands again, and its snapshot is younger than the end.
    scene
        .gate
        .close(scene.sale, CloseRequest::Unconditional)
        .await
        .unwrap();
    scene.load(4, open_window(), &[holder]).await;
    assert!(scene.is_holder(holder.user).await);
    scene.record_twice(holder, Outcome::Ordered).await;
    assert_eq!(
        scene.result(holder.user).await,
        Some(PurchaseResult::Success)
    );
}

pub async fn a_thousand_orders_end_in_one_call(engine: impl Engine) {
    let mut scene = Scene::unknown(engine);
    let holders: Vec<Holder> = (0..1_000).map(|_| new_shopper()).collect();
    scene.load(7, open_window(), &holders).await;
    assert_eq!(end(&scene, &holders).await, EndOrdersOutcome::TakenOut);
    scene.remaining = 1_007;
    scene.check_balance().await;
    assert_eq!(scene.gate.holders(scene.sale).await.unwrap(), []);
}

pub async fn a_released_attempt_gives_its_unit_back_and_says_nothing(engine: impl Engine) {
    let mut scene = Scene::open(engine, 2).await;
    let (pending, stays) = (scene.reserved().await, ordered(&mut scene).await);
    scene.record_twice(pending, Outcome::Released).await;
    assert!(!scene.is_holder(pending.user).await);
    assert_eq!(scene.result(pending.user).await, None, "they may buy again");
    // Of an order that stands, and of somebody who holds nothing, it changes nothing.
    for holder in [stays, again(stays), new_shopper()] {
        scene.record_twice(holder, Outcome::Released).await;
    }
    assert!(scene.is_holder(stays.user).await);
    assert_eq!(
        scene.reserve(again(pending)).await,
        ReserveOutcome::Reserved
    );
}
