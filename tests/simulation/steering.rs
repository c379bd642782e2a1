//! What operators change, and how the control loop completes it, on models of the engines.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::TimeDelta;
use flashsale::{
    clock::{Clock, SystemClock},
    ids::{AttemptId, SaleId, UserId},
    port::{
        EndedOrders, GateReads, GateStatus, Holder, MovementMode, MovementState, Outcome,
        Reservations, ReserveOutcome, Restock, SaleChange, SaleSwitch, SaleTermsControl,
        WithdrawOutcome, Withdrawals,
    },
};
use flashsale_simulator::model::LedgerRead;
use futures::FutureExt;
use uuid::Uuid;

use crate::bed::{Bed, Node, holder, listing};

/// How often the control loop searches for changes of sales that are no longer listed.
const UNLISTED_EVERY: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_ledger_set_back_to_a_pending_withdrawal_is_found_and_the_sale_loaded_anew() {
    let mut bed = Bed::with(10).await;
    let movement = bed.begin(3);
    let backup = bed.ledger.image();
    bed.complete(&movement).await;
    bed.change(&SaleChange::Pause).await;
    bed.ledger.set_back(&backup);
    bed.rounds(20).await;
    bed.check_agreement().await;
    assert_eq!(
        bed.listing().initial_stock,
        7,
        "the withdrawal is made anew"
    );
}

#[tokio::test]
async fn units_set_aside_for_a_withdrawal_that_the_ledger_has_lost_come_back() {
    let mut bed = Bed::with(10).await;
    let backup = bed.ledger.image();
    let movement = bed.begin(3);
    bed.change(&SaleChange::Pause).await;
    bed.change(&SaleChange::Resume).await;
    let version = bed.listing().version;
    let taken = bed
        .gate
        .withdraw(bed.sale, movement.id, 3, movement.mode, version);
    assert_eq!(taken.await.unwrap(), WithdrawOutcome::Withdrawn(3));
    bed.ledger.set_back(&backup);
    bed.rounds(20).await;
    bed.check_agreement().await;
    assert_eq!(bed.available().await, 10);
}

#[tokio::test]
async fn units_that_were_added_before_a_withdrawal_can_be_taken_by_it() {
    let mut bed = Bed::with(10).await;
    let (more, now) = (SaleChange::AddUnits(5), SystemClock.now());
    assert!(bed.ledger.change_sale(bed.sale, &more, now).is_some());
    bed.begin(15);
    bed.rounds(3).await;
    bed.check_agreement().await;
    assert_eq!(bed.listing().initial_stock, 0);
}

#[tokio::test]
async fn a_withdrawal_that_cannot_be_closed_holds_nothing_else_up() {
    let mut bed = Bed::with(10).await;
    let bought = bed.order(1).await;
    bed.rounds(3).await;
    let movement = bed.begin(3);
    bed.ledger.damage_action_log();
    let now = SystemClock.now();
    let paused = bed.ledger.change_sale(bed.sale, &SaleChange::Pause, now);
    assert!(paused.is_some());
    let ended = bed.ledger.cancel_order(bed.sale, bought.user, Restock::Yes);
    assert_eq!(ended, Some(bought.attempt));
    assert!(bed.controller.round().await.is_ok(), "the terms come first");
    for _ in 0..4 {
        assert!(bed.controller.round().await.is_err(), "it is told");
    }
    let GateStatus::Open {
        switch,
        available,
        holders,
        withdrawn,
        ..
    } = bed.status().await
    else {
        panic!("the sale is not open");
    };
    assert_eq!((switch, holders), (SaleSwitch::Paused, 0));
    assert_eq!((available, withdrawn), (7, vec![(movement.id, 3)]));
}

#[tokio::test]
async fn a_withdrawal_that_was_completed_meanwhile_is_not_made_again() {
    // The round takes it for PENDING, and has the listing of before or of after.
    for read in [LedgerRead::Sales, LedgerRead::PendingMovements] {
        let mut bed = Bed::with(3).await;
        let movement = bed.begin(2);
        let (node, completed) = (bed.node(), Arc::new(Mutex::new(None)));
        let status = Arc::clone(&completed);
        bed.ledger.after_next(read, move || {
            node.complete(&movement).now_or_never().unwrap();
            let now = node.gate.status(node.sale).now_or_never().unwrap();
            *status.lock().unwrap() = Some(now.unwrap());
        });
        bed.rounds(1).await;
        bed.check_agreement().await;
        // Nor were units set aside for a moment: nobody was told that they were sold out.
        let completed = completed.lock().unwrap().take();
        assert_eq!(completed, Some(bed.status().await), "{read:?}");
        assert_eq!(bed.available().await, 1);
    }
}

#[tokio::test]
async fn the_relay_does_not_bring_a_unit_back_that_left_with_its_order() {
    let mut bed = Bed::with(1).await;
    let bought = bed.order(1).await;
    // After the round has read the ended orders and the listing.
    let (ledger, sale) = (Arc::clone(&bed.ledger), bed.sale);
    bed.ledger.after_next(LedgerRead::Sales, move || {
        let ended = ledger.cancel_order(sale, bought.user, Restock::No);
        assert_eq!(ended, Some(bought.attempt));
    });
    bed.rounds(1).await;
    let other = Holder {
        user: UserId::new(2).unwrap(),
        attempt: AttemptId(Uuid::from_u128(2)),
    };
    let asked = bed.gate.reserve(bed.sale, &[other]).await.unwrap();
    assert_eq!(asked, [ReserveOutcome::SoldOut]);
}

#[tokio::test]
async fn an_ended_order_stays_in_the_gate_while_that_has_terms_of_another_ledger_state() {
    let mut bed = Bed::with(2).await;
    let bought = bed.order(1).await;
    bed.rounds(3).await;
    let backup = bed.ledger.image();
    bed.change(&SaleChange::AddUnits(3)).await;
    bed.ledger.set_back(&backup);
    let ended = bed.ledger.cancel_order(bed.sale, bought.user, Restock::Yes);
    assert_eq!(ended, Some(bought.attempt));
    bed.rounds(1).await;
    assert!(matches!(
        bed.status().await,
        GateStatus::Open { holders: 1, .. }
    ));
    // The ledger has only what the gate should have, once the sale is loaded anew.
    bed.rounds(20).await;
    bed.check_agreement().await;
    assert_eq!(bed.available().await, 2);
}

#[tokio::test(start_paused = true)]
async fn withdrawals_of_sales_that_are_not_listed_any_more_are_refused() {
    let mut bed = Bed::with(2).await;
    let (old, last) = (SaleId::new(2).unwrap(), SaleId::new(3).unwrap());
    bed.ledger.add_sale(listing(old, 5, -TimeDelta::days(3)));
    bed.ledger.add_sale(listing(last, 5, -TimeDelta::days(2)));
    let begin = |sale| {
        let begun = bed.ledger.begin_withdrawal(sale, 1, MovementMode::UpTo);
        begun.unwrap().id
    };
    let pending = [begin(old), begin(last)];
    tokio::time::advance(UNLISTED_EVERY).await;
    bed.rounds(1).await;
    let closed = bed.ledger.movements(&pending).await.unwrap();
    assert_eq!(closed.len(), 2);
    assert!(closed.iter().all(|row| row.state == MovementState::Refused));
}

#[tokio::test(start_paused = true)]
async fn ended_orders_of_sales_that_are_not_listed_any_more_are_noted() {
    let mut bed = Bed::with(2).await;
    let (old, last) = (SaleId::new(2).unwrap(), SaleId::new(3).unwrap());
    bed.ledger.add_sale(listing(old, 5, -TimeDelta::days(3)));
    bed.ledger.add_sale(listing(last, 5, -TimeDelta::days(2)));
    let long_ago = SystemClock.now() - TimeDelta::days(4);
    for (number, sale) in (1..).zip([old, last]) {
        let bought = holder(number);
        bed.ledger.add_shopper(bought.user);
        let node = Node { sale, ..bed.node() };
        assert_eq!(
            node.settle_at(bought, long_ago).await.outcome,
            Outcome::Ordered
        );
        let ended = bed.ledger.cancel_order(sale, bought.user, Restock::Yes);
        assert_eq!(ended, Some(bought.attempt));
    }
    tokio::time::advance(UNLISTED_EVERY).await;
    bed.rounds(1).await;
    let left = bed.ledger.ended_orders(&[old, last], 9).await.unwrap();
    assert_eq!(left, [], "nothing is left for the gate to do");
}
