//! One server beside two ledgers, whose sale and account numbers coincide.

use std::{sync::Arc, time::Duration};

use flashsale::{
    ids::LedgerId,
    port::{
        ClaimOutcome, CloseRequest, EndOrdersOutcome, GateStatus, Holder, LoadStart, LoadStep,
        Outcome, PurchaseResult, ReleaseOutcome, ReserveOutcome, ResultEntry, StockGate,
        TermsOutcome,
    },
};
use uuid::Uuid;

use super::{
    Server,
    scene::{LEASE, Scene, again, in_two_hours, new_shopper, new_token, open_window, terms},
};

/// The gate as two ledgers' nodes have it.
async fn two_ledgers(engine: &impl Server) -> [Arc<dyn StockGate>; 2] {
    let ledger = || LedgerId(Uuid::new_v4());
    [
        engine.of_ledger(ledger()).await,
        engine.of_ledger(ledger()).await,
    ]
}

pub async fn the_note_of_account_ids_only_rises(engine: impl Server) {
    let [gate, _] = two_ledgers(&engine).await;
    assert_eq!(gate.account_mark().await.unwrap(), None);
    for (to, expected) in [(0, 0), (7, 7), (3, 7), (7, 7), (i64::MAX, i64::MAX)] {
        gate.raise_account_mark(to).await.unwrap();
        assert_eq!(gate.account_mark().await.unwrap(), Some(expected));
    }
}

pub async fn the_note_of_account_ids_is_each_ledger_s_own(engine: impl Server) {
    let [one, other] = two_ledgers(&engine).await;
    one.raise_account_mark(40).await.unwrap();
    assert_eq!(other.account_mark().await.unwrap(), None);
    other.raise_account_mark(2).await.unwrap();
    assert_eq!(one.account_mark().await.unwrap(), Some(40));
    assert_eq!(other.account_mark().await.unwrap(), Some(2));
}

pub async fn a_result_of_another_ledger_reads_as_none(engine: impl Server) {
    let [one, other] = two_ledgers(&engine).await;
    let scene = Scene::unknown(engine);
    for result in [PurchaseResult::Success, PurchaseResult::Failed] {
        let user = new_shopper().user;
        let entry = ResultEntry {
            sale: scene.sale,
            product: scene.product,
            user,
            result,
        };
        let read = |gate: Arc<dyn StockGate>| async move {
            let read = gate.read_result(user, entry.product, Some(entry.sale));
            let users = [user];
            let stored = gate.stored_results(entry.sale, entry.product, &users);
            (read.await.unwrap(), stored.await.unwrap()[0])
        };
        one.write_results(&[entry]).await.unwrap();
        assert_eq!(read(one.clone()).await, (Some(result), Some(result)));
        assert_eq!(read(other.clone()).await, (None, None), "{result:?}");
        // An audit of the other one does not touch it.
        other.forget_results(&[entry]).await.unwrap();
        assert_eq!(read(one.clone()).await.0, Some(result));
        // It is in nobody's way: even a FAILED takes the place of another ledger's SUCCESS.
        let failed = ResultEntry {
            result: PurchaseResult::Failed,
            ..entry
        };
        other.write_results(&[failed]).await.unwrap();
        assert_eq!(read(other.clone()).await.0, Some(PurchaseResult::Failed));
    }
}

pub async fn a_sale_of_another_ledger_is_unknown_until_it_is_loaded(engine: impl Server) {
    let [one, other] = two_ledgers(&engine).await;
    let scene = Scene::unknown(engine);
    let sale = scene.sale;
    let load = |gate: Arc<dyn StockGate>, units: u64, holders: Vec<Holder>| async move {
        let (token, total) = (new_token(), units + holders.len() as u64);
        let begun = gate.begin_load(sale, token, LEASE).await.unwrap();
        let loaded = gate.load_holders(sale, token, &holders).await.unwrap();
        let opened = gate
            .open(
                sale,
                token,
                terms(open_window(), total),
                units,
                &[],
                in_two_hours(),
            )
            .await
            .unwrap();
        begun == LoadStart::Begun && [loaded, opened] == [LoadStep::Applied; 2]
    };
    let (buyer, holder) = (new_shopper(), new_shopper());
    assert!(load(one.clone(), 5, vec![buyer]).await);
    let reserved = one.reserve(sale, &[holder]).await.unwrap();
    assert_eq!(reserved, [ReserveOutcome::Reserved]);

    // To the other ledger's nodes it does not exist, and nothing that they do changes it.
    assert_eq!(other.status(sale).await.unwrap(), GateStatus::Unknown);
    assert_eq!(other.holders(sale).await.unwrap(), []);
    assert_eq!(other.held_units(sale).await.unwrap(), []);
    let asked = [again(buyer), new_shopper()];
    let closed = [ReserveOutcome::Closed; 2];
    assert_eq!(other.reserve(sale, &asked).await.unwrap(), closed);
    assert_eq!(
        other.release(sale, holder).await.unwrap(),
        ReleaseOutcome::NotHeld
    );
    assert_eq!(
        other.claim(sale, &[holder]).await.unwrap(),
        [ClaimOutcome::NotPending]
    );
    assert_eq!(other.overdue(sale, Duration::ZERO, 9).await.unwrap(), []);
    assert_eq!(
        other
            .close(sale, CloseRequest::Unconditional)
            .await
            .unwrap(),
        None
    );
    assert_eq!(other.relist(sale).await.unwrap(), 0);
    let ended = other.end_orders(sale, scene.product, &[buyer]).await;
    assert_eq!(ended.unwrap(), EndOrdersOutcome::NotOpen);
    let set = other.set_terms(sale, terms(open_window(), 9), &[], in_two_hours());
    assert_eq!(set.await.unwrap(), TermsOutcome::NotOpen);
    let settlement = scene.settlement(holder, Outcome::SoldOut);
    other.record(sale, &[settlement]).await.unwrap();
    let told = other.read_result(buyer.user, scene.product, Some(sale));
    assert_eq!(told.await.unwrap(), None);
    match one.status(sale).await.unwrap() {
        GateStatus::Open {
            available: 4,
            pending: 1,
            holders: 2,
            ..
        } => {}
        changed => panic!("{changed:?}"),
    }

    // Loading takes it over, at once and whole.
    assert!(load(other.clone(), 3, Vec::new()).await);
    let again = other.reserve(sale, &[again(buyer)]).await.unwrap();
    assert_eq!(again, [ReserveOutcome::Reserved]);
    assert_eq!(one.status(sale).await.unwrap(), GateStatus::Unknown);
    let late = one.reserve(sale, &[new_shopper()]).await.unwrap();
    assert_eq!(late, [ReserveOutcome::Closed]);
}
