//! Units that operators take out of a sale.

use chrono::TimeDelta;
use flashsale::{
    ids::SaleId,
    port::{
        ActionName, AdminError, Administration, MAX_PENDING_MOVEMENTS, Movement, MovementId,
        MovementMode, MovementState, SaleChange,
    },
};
use futures::future::join_all;
use uuid::Uuid;

use super::{
    bed::SqlBed,
    operator::{because, change, draft, entries, open_sale},
};

async fn begin(admin: &dyn Administration, sale: SaleId, units: u32) -> Movement {
    admin
        .begin_withdrawal(sale, units, MovementMode::UpTo, &because("returned"))
        .await
        .unwrap()
}

pub async fn a_withdrawal_lowers_the_units_when_it_is_closed(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let sale = open_sale(admin.as_ref()).await;
    let begun = begin(admin.as_ref(), sale.id, 6).await;
    assert_eq!((begun.state, begun.applied), (MovementState::Pending, 0));
    assert_eq!(admin.sale(sale.id).await.unwrap(), Some(sale.clone()));
    let pending = ledger.pending_movements(&[sale.id]).await.unwrap();
    assert_eq!(pending, [begun]);
    let snapshot = ledger.snapshot(sale.id).await.unwrap().unwrap();
    assert_eq!(snapshot.movements, [begun]);
    let closed = ledger.close_withdrawal(begun.id, 4).await.unwrap().unwrap();
    assert_eq!((closed.state, closed.applied), (MovementState::Applied, 4));
    let lowered = admin.sale(sale.id).await.unwrap().unwrap();
    assert_eq!((lowered.initial_stock, lowered.remaining_stock), (6, 6));
    assert_eq!(lowered.version, sale.version + 1);
    assert_eq!(ledger.pending_movements(&[sale.id]).await.unwrap(), []);
    let snapshot = ledger.snapshot(sale.id).await.unwrap().unwrap();
    assert_eq!(snapshot.movements, []);
    assert_eq!(ledger.movements(&[begun.id]).await.unwrap(), [closed]);
    assert_eq!(admin.movement(begun.id).await.unwrap(), Some(closed));
    // The one who asked is also noted with the end.
    let log = admin.actions(Some(sale.id), None, 2).await.unwrap();
    let names: Vec<_> = log.iter().map(|action| action.name).collect();
    assert_eq!(
        names,
        [ActionName::CloseWithdrawal, ActionName::BeginWithdrawal]
    );
    assert_eq!(log[0].actor, log[1].actor);
    assert_eq!(log[0].reason, "returned");
    assert_eq!(log[0].after.as_ref().unwrap()["applied"], 4);
}

pub async fn a_withdrawal_that_took_nothing_is_refused(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let sale = open_sale(admin.as_ref()).await;
    let begun = begin(admin.as_ref(), sale.id, 6).await;
    let closed = ledger.close_withdrawal(begun.id, 0).await.unwrap().unwrap();
    assert_eq!((closed.state, closed.applied), (MovementState::Refused, 0));
    assert_eq!(admin.sale(sale.id).await.unwrap(), Some(sale));
    let nobody = ledger.close_withdrawal(MovementId(Uuid::now_v7()), 1).await;
    assert_eq!(nobody.unwrap(), None);
}

pub async fn closing_twice_counts_once(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let sale = open_sale(admin.as_ref()).await;
    let begun = begin(admin.as_ref(), sale.id, 6).await;
    let closed = ledger.close_withdrawal(begun.id, 4).await.unwrap();
    let written = entries(admin.as_ref()).await;
    for taken in [4, 0, 6] {
        assert_eq!(
            ledger.close_withdrawal(begun.id, taken).await.unwrap(),
            closed
        );
    }
    let lowered = admin.sale(sale.id).await.unwrap().unwrap();
    assert_eq!(lowered.initial_stock, 6);
    assert_eq!(entries(admin.as_ref()).await, written);
}

pub async fn closing_at_once_from_many_processes_counts_once(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let begun = begin(admin.as_ref(), sale.id, 3).await;
    let ledger = bed.ledger().await;
    let closed = join_all((0..8).map(|_| ledger.close_withdrawal(begun.id, 3))).await;
    for closed in closed {
        assert_eq!(closed.unwrap().unwrap().applied, 3);
    }
    let lowered = admin.sale(sale.id).await.unwrap().unwrap();
    assert_eq!(
        (lowered.initial_stock, lowered.version),
        (7, sale.version + 1)
    );
    assert_eq!(entries(admin.as_ref()).await, 5);
}

/// A statement by hand lowered the units between the gate's answer and the end of the withdrawal.
pub async fn no_more_units_are_taken_than_remain(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let sale = open_sale(admin.as_ref()).await;
    let begun = begin(admin.as_ref(), sale.id, 8).await;
    bed.set_units(sale.id, 5).await;
    let closed = ledger.close_withdrawal(begun.id, 8).await.unwrap().unwrap();
    assert_eq!((closed.state, closed.applied), (MovementState::Applied, 5));
    let lowered = admin.sale(sale.id).await.unwrap().unwrap();
    assert_eq!((lowered.initial_stock, lowered.remaining_stock), (0, 0));
}

pub async fn drafts_and_ended_sales_give_no_units(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let drafted = draft(admin.as_ref()).await;
    let ended = open_sale(admin.as_ref()).await;
    change(admin.as_ref(), ended.id, SaleChange::End).await;
    let open = open_sale(admin.as_ref()).await;
    let written = entries(admin.as_ref()).await;
    for (sale, units) in [(drafted.id, 1), (ended.id, 1), (open.id, 0)] {
        let refused = admin
            .begin_withdrawal(sale, units, MovementMode::Exact, &because("returned"))
            .await;
        assert!(
            matches!(refused, Err(AdminError::NotAllowed(_))),
            "{refused:?}"
        );
    }
    assert_eq!(entries(admin.as_ref()).await, written);
}

pub async fn a_sale_has_a_bounded_number_of_pending_withdrawals(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let sale = open_sale(admin.as_ref()).await;
    let mut begun = Vec::new();
    for _ in 0..MAX_PENDING_MOVEMENTS {
        begun.push(begin(admin.as_ref(), sale.id, 1).await);
    }
    let refused = admin
        .begin_withdrawal(sale.id, 1, MovementMode::UpTo, &because("more"))
        .await;
    assert!(
        matches!(refused, Err(AdminError::NotAllowed(_))),
        "{refused:?}"
    );
    assert_eq!(ledger.pending_movements(&[sale.id]).await.unwrap(), begun);
    ledger.close_withdrawal(begun[0].id, 0).await.unwrap();
    begin(admin.as_ref(), sale.id, 1).await;
}

pub async fn withdrawals_of_sales_that_ended_long_ago_are_found(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let sale = open_sale(admin.as_ref()).await;
    let begun = begin(admin.as_ref(), sale.id, 1).await;
    let closed = begin(admin.as_ref(), sale.id, 1).await;
    ledger.close_withdrawal(closed.id, 1).await.unwrap();
    let a_moment = TimeDelta::milliseconds(1);
    let (before, end) = (sale.window.end - a_moment, sale.window.end);
    assert_eq!(ledger.unlisted_movements(before).await.unwrap(), []);
    assert_eq!(ledger.unlisted_movements(end).await.unwrap(), [begun]);
}
