//! What the worker does about attempts and sales while another process comes in between, on models of the engines.

use std::{sync::Arc, time::Duration};

use flashsale::port::{
    AttemptLog, Offset, Outcome, OutcomeRecording, Partition, ReleaseOutcome, Reservations,
};
use flashsale_simulator::model::LedgerRead;
use futures::FutureExt;

use crate::bed::{Bed, LEASE, holder};

#[tokio::test]
async fn an_attempt_whose_unit_was_given_back_meanwhile_is_not_appended() {
    let mut bed = Bed::with(2).await;
    let held = bed.hold(1).await;
    // The relay finds no outcome, and then the node whose append was refused gives the unit back.
    let (gate, sale) = (Arc::clone(&bed.gate), bed.sale);
    bed.ledger.after_next(LedgerRead::Outcomes, move || {
        let released = gate.release(sale, held).now_or_never().unwrap();
        assert_eq!(released.unwrap(), ReleaseOutcome::Released);
    });
    bed.rounds(3).await;
    assert_eq!(bed.log.ends_now()[&Partition(0)], Offset(0));
    assert_eq!(bed.available().await, 2);
}

#[tokio::test]
async fn an_order_that_is_settled_while_its_sale_is_loaded_is_a_holder() {
    let mut bed = Bed::with(3).await;
    bed.gate.empty();
    let (node, buyer) = (bed.node(), holder(1));
    bed.ledger.add_shopper(buyer.user);
    bed.ledger.after_next(LedgerRead::Snapshot, move || {
        let settled = node.settle(buyer).now_or_never().unwrap();
        assert_eq!(settled.outcome, Outcome::Ordered);
        let recorded = node.gate.record(node.sale, &[settled]).now_or_never();
        recorded.unwrap().unwrap();
    });
    // Not one round more: a difference would be found, and the sale loaded anew.
    for _ in 0..5 {
        if !bed.gate.is_open(bed.sale) {
            bed.rounds(1).await;
        }
    }
    bed.check_agreement().await;
    assert_eq!(bed.available().await, 2);
}

#[tokio::test]
async fn a_sale_is_loaded_once_every_partition_is_settled() {
    for added in [false, true] {
        let mut bed = Bed::on(2, 3).await;
        bed.gate.empty();
        if added {
            bed.log.add_partition();
        }
        let buyer = holder(if added { 2 } else { 1 });
        bed.ledger.add_shopper(buyer.user);
        let last = Partition(if added { 2 } else { 1 });
        assert_eq!(bed.log.partition_of(buyer.user), last);
        let appended = bed.log.append(&[bed.node().attempt(buyer)]).await;
        assert!(appended[0].is_ok());
        bed.rounds(5).await;
        assert!(!bed.gate.is_open(bed.sale), "added: {added}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_made_anew_between_two_reads_is_read_from_its_beginning() {
    let bed = Bed::with(9).await;
    let attempts = (1..=8).map(|number| {
        let shopper = holder(number);
        bed.ledger.add_shopper(shopper.user);
        bed.node().attempt(shopper)
    });
    let attempts: Vec<_> = attempts.collect();
    let settled = async |attempts: &[flashsale::port::Attempt]| {
        // As long as the worker waits for records, and more.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let outcomes = attempts
            .iter()
            .map(|attempt| bed.ledger.outcome(attempt.id));
        outcomes.collect::<Vec<_>>()
    };
    bed.beside_a_worker(async {
        let (old, new) = attempts.split_at(3);
        bed.log.append(old).await;
        assert_eq!(settled(old).await, [Some(Outcome::Ordered); 3]);
        // No read of the worker comes in between: its next one, at offset 3, finds records there.
        bed.log.make_anew();
        bed.log.append(new).now_or_never().unwrap();
        assert_eq!(settled(new).await, [Some(Outcome::Ordered); 5]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_control_loop_that_was_paused_opens_no_sale_by_what_it_waited_for() {
    let mut bed = Bed::with(3).await;
    let [first, second] = [holder(1), holder(2)];
    for shopper in [first, second] {
        bed.ledger.add_shopper(shopper.user);
    }
    bed.gate.empty();
    bed.log.append(&[bed.node().attempt(first)]).await;
    bed.rounds(1).await;
    // While it is paused, another worker opens the sale, which is lost again, with an attempt that only the log has.
    bed.node().settle(first).await;
    let mut other = bed.other_controller();
    for _ in 0..3 {
        other.round().await.unwrap();
    }
    assert!(bed.gate.is_open(bed.sale));
    bed.gate.empty();
    bed.log.append(&[bed.node().attempt(second)]).await;
    tokio::time::advance(LEASE + Duration::from_millis(1)).await;
    bed.rounds(3).await;
    assert!(!bed.gate.is_open(bed.sale));
    bed.node().settle(second).await;
    bed.rounds(3).await;
    bed.check_agreement().await;
}
