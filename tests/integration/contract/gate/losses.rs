//! A server that loses one key of a sale: the sale is closed, and what is known of pending attempts is settled before it is
//! loaded anew.

use std::time::Duration;

use flashsale::{
    ids::AttemptId,
    port::{
        CloseReason, CloseRequest, GateStatus, Holder, Outcome, PurchaseResult, ReserveOutcome,
        ResultEntry,
    },
    rules::sale::Part,
};

use super::{
    Server,
    scene::{Scene, new_shopper, open_window},
};

/// A sale of five with one order and two pending attempts, that lost a key and was closed for it.
async fn closed_without<E: Server>(
    engine: E,
    part: Part,
    found: CloseReason,
) -> (Scene<E>, [Holder; 3]) {
    let mut scene = Scene::open(engine, 5).await;
    let holders = [
        scene.reserved().await,
        scene.reserved().await,
        scene.reserved().await,
    ];
    scene.remaining -= 1;
    scene.record_twice(holders[0], Outcome::Ordered).await;
    let gate = scene.gate.clone();
    scene.engine.lose(scene.sale, part);
    // Nobody is told that they got nothing while nobody can know it.
    let refused = new_shopper();
    let failed = ResultEntry {
        sale: scene.sale,
        product: scene.product,
        user: refused.user,
        result: PurchaseResult::Failed,
    };
    gate.write_results(&[failed]).await.unwrap();
    assert_eq!(scene.result(refused.user).await, None);
    let status = gate.status(scene.sale).await.unwrap();
    let suspicious = matches!(status, GateStatus::Closed { .. }) || status.is_contradictory();
    assert!(suspicious, "{status:?}");
    assert_eq!(
        gate.close(scene.sale, CloseRequest::IfInconsistent)
            .await
            .unwrap(),
        Some(found)
    );
    assert_eq!(
        gate.close(scene.sale, CloseRequest::IfInconsistent)
            .await
            .unwrap(),
        None,
        "again"
    );
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Closed);
    (scene, holders)
}

/// What is listed as pending.
async fn pending<E: Server>(scene: &Scene<E>) -> Vec<AttemptId> {
    let overdue = scene.gate.overdue(scene.sale, Duration::ZERO, 10).await;
    let mut attempts: Vec<_> = overdue.unwrap().iter().map(|entry| entry.attempt).collect();
    attempts.sort_unstable();
    attempts
}

/// Settles the two pending ones, the first as an order, and loads the sale from the ledger.
async fn settled_and_loaded<E: Server>(mut scene: Scene<E>, [first, second, third]: [Holder; 3]) {
    let mut both = [second.attempt, third.attempt];
    both.sort_unstable();
    assert_eq!(pending(&scene).await, both);
    scene.record(second, Outcome::Ordered).await;
    scene.record(third, Outcome::SoldOut).await;
    assert_eq!(pending(&scene).await, []);
    scene.load(3, open_window(), &[first, second]).await;
    let mut users = [first.user, second.user];
    users.sort_unstable();
    let mut holders = scene.gate.holders(scene.sale).await.unwrap();
    holders.sort_unstable();
    assert_eq!(holders, users);
}

pub async fn a_sale_that_lost_its_stock_is_closed(engine: impl Server) {
    let (scene, holders) = closed_without(engine, Part::Stock, CloseReason::StockLost).await;
    assert_eq!(scene.gate.relist(scene.sale).await.unwrap(), 0);
    settled_and_loaded(scene, holders).await;
}

pub async fn a_sale_that_lost_its_holders_is_closed(engine: impl Server) {
    let (mut scene, [first, second, _]) =
        closed_without(engine, Part::Holders, CloseReason::OffBalance).await;
    // Without a holder nobody can tell which attempt an entry was of.
    assert_eq!(scene.gate.relist(scene.sale).await.unwrap(), 0);
    assert_eq!(pending(&scene).await, []);
    let closed = GateStatus::Closed { pending: 0 };
    assert_eq!(scene.gate.status(scene.sale).await.unwrap(), closed);
    scene.load(3, open_window(), &[first, second]).await;
}

pub async fn a_sale_that_lost_its_pending_attempts_lists_them_again(engine: impl Server) {
    let (scene, holders) = closed_without(engine, Part::Pending, CloseReason::PendingLost).await;
    assert_eq!(pending(&scene).await, []);
    assert_eq!(scene.gate.relist(scene.sale).await.unwrap(), 2);
    assert_eq!(scene.gate.relist(scene.sale).await.unwrap(), 0, "again");
    settled_and_loaded(scene, holders).await;
}

pub async fn a_sale_that_lost_its_meta_lists_its_pending_attempts_again(engine: impl Server) {
    let (scene, holders) = closed_without(engine, Part::Meta, CloseReason::MetaLost).await;
    // They are listed still; nobody can be sure that all are.
    assert_eq!(scene.gate.relist(scene.sale).await.unwrap(), 0);
    settled_and_loaded(scene, holders).await;
}
