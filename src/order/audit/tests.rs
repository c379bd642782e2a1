//! The findings of one reading, and the repairs that are planned for them.

use chrono::DateTime;
use uuid::Uuid;

use super::*;
use crate::{ids::ProductId, port::SaleWindow};

fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

/// A shopper and an attempt of the same number.
fn holder(id: i64) -> Holder {
    Holder {
        user: user(id),
        attempt: AttemptId(Uuid::from_u128(id.try_into().unwrap())),
    }
}

fn snapshot(initial: u64, orders: impl IntoIterator<Item = i64>) -> SaleSnapshot {
    let holders: Vec<_> = orders.into_iter().map(holder).collect();
    SaleSnapshot {
        switch: crate::port::SaleSwitch::On,
        version: 1,
        window: window(),
        initial,
        remaining: initial - holders.len() as u64,
        holders,
        movements: Vec::new(),
    }
}

fn window() -> SaleWindow {
    SaleWindow {
        start: DateTime::UNIX_EPOCH,
        end: DateTime::UNIX_EPOCH,
    }
}

/// A sale of ten units. Shoppers 1 and 2 have orders, which the gate knows, and shopper 3 is pending.
fn sound() -> SaleReading {
    let held = |id, standing| HeldUnit {
        user: user(id),
        attempt: holder(id).attempt,
        standing,
    };
    SaleReading {
        before: snapshot(10, [1, 2]),
        status: open(7, 1, 3),
        held_units: vec![
            held(1, Standing::Success),
            held(2, Standing::Success),
            held(3, Standing::Pending),
        ],
        stored: BTreeMap::from([
            (user(1), PurchaseResult::Success),
            (user(2), PurchaseResult::Success),
            (user(9), PurchaseResult::Failed),
        ]),
        after: snapshot(10, [1, 2]),
    }
}

fn open(available: i64, pending: u64, holders: u64) -> GateStatus {
    GateStatus::Open {
        window: window(),
        switch: crate::port::SaleSwitch::On,
        available,
        pending,
        holders,
        holders_epoch: 0,
        version: 1,
        total: 10,
        complete: true,
        withdrawn: Vec::new(),
    }
}

fn findings(look: &SaleReading) -> Vec<Finding> {
    compare(look, &Attempts::default())
}

fn sheet(findings: Vec<Finding>) -> SaleAudit {
    SaleAudit {
        listing: SaleListing {
            switch: crate::port::SaleSwitch::On,
            id: SaleId::new(1).unwrap(),
            product: ProductId::new(1).unwrap(),
            product_name: String::new(),
            product_description: String::new(),
            offer: crate::port::Offer::default(),
            window: window(),
            initial_stock: 10,
            remaining_stock: 8,
            version: 1,
        },
        initial: 10,
        remaining: 8,
        sold: 2,
        removed: 0,
        without_unit: 0,
        status: GateStatus::Unknown,
        unsettled: 0,
        dead_letters: 0,
        findings,
    }
}

#[test]
fn a_sound_sale_has_no_findings() {
    assert_eq!(findings(&sound()), []);
}

#[test]
fn an_attempt_in_flight_is_no_finding_at_any_step() {
    // The attempt is settled and not recorded in the gate yet. FAILED was stored before, when no unit was left.
    let mut look = sound();
    look.before = snapshot(10, [1, 2, 3]);
    look.after = snapshot(10, [1, 2, 3]);
    look.stored.insert(user(3), PurchaseResult::Failed);
    assert_eq!(findings(&look), []);
    // The attempt was settled and recorded between the readings of the ledger and the gate.
    let mut look = sound();
    look.held_units[2].standing = Standing::Success;
    look.status = open(7, 0, 3);
    look.stored.insert(user(3), PurchaseResult::Success);
    look.after = snapshot(10, [1, 2, 3]);
    assert_eq!(findings(&look), []);
    // The unit was released after the gate's figures were read and before its holders were.
    let mut look = sound();
    look.held_units.pop();
    assert_eq!(findings(&look), []);
}

#[test]
fn a_gate_with_a_unit_too_many_or_too_few_is_found() {
    for available in [6, 8] {
        let mut look = sound();
        look.status = open(available, 1, 3);
        let found = Finding::OffBalance {
            available,
            holders: 3,
            withdrawn: 0,
            initial: 10,
        };
        assert_eq!(findings(&look), [found]);
        assert_eq!(repair::plan(&sheet(vec![found])), [RepairAction::Reload]);
    }
}

#[test]
fn an_imbalance_is_no_finding_only_while_units_are_being_added() {
    let mut look = sound();
    look.after = snapshot(20, [1, 2]);
    assert_eq!(findings(&look), []);
    look.before = snapshot(20, [1, 2]);
    assert!(matches!(findings(&look)[..], [Finding::OffBalance { .. }]));
}

#[test]
fn a_closed_gate_needs_no_balance_but_an_order_for_each_ordered_holder() {
    let mut look = sound();
    look.status = GateStatus::Closed { pending: 0 };
    look.held_units.clear();
    assert_eq!(findings(&look), []);
    look.held_units = sound().held_units;
    look.after = snapshot(10, [1]);
    look.stored.remove(&user(2));
    let Holder { user, attempt } = holder(2);
    assert_eq!(
        findings(&look),
        [Finding::HolderWithoutOrder { user, attempt }]
    );
}

#[test]
fn an_order_that_was_removed_is_found_in_gate_and_results() {
    let mut look = sound();
    look.before = snapshot(10, [1]);
    look.after = snapshot(10, [1]);
    let Holder { user, attempt } = holder(2);
    let found = findings(&look);
    assert_eq!(
        found,
        [
            Finding::HolderWithoutOrder { user, attempt },
            Finding::SuccessWithoutOrder { user }
        ]
    );
    assert_eq!(
        repair::plan(&sheet(found)),
        [
            RepairAction::ForgetSuccess(vec![user]),
            RepairAction::Reload
        ]
    );
}

#[test]
fn an_order_that_the_gate_does_not_know_is_found_while_it_is_open() {
    let mut look = sound();
    look.held_units.remove(1);
    let Holder { user, attempt } = holder(2);
    let found = findings(&look);
    assert_eq!(found, [Finding::UnknownOrder { user, attempt }]);
    assert_eq!(
        repair::plan(&sheet(found)),
        [RepairAction::RecordOrders(vec![(user, attempt)])]
    );
    look.status = GateStatus::Unknown;
    assert_eq!(findings(&look), []);
}

#[test]
fn a_buyer_with_the_result_failed_is_found_in_every_state_of_the_gate() {
    let mut look = sound();
    look.stored.insert(user(2), PurchaseResult::Failed);
    for status in [look.status, GateStatus::Unknown] {
        look.status = status;
        let found = findings(&look);
        assert_eq!(found, [Finding::FailedDespiteOrder { user: user(2) }]);
        assert_eq!(
            repair::plan(&sheet(found)),
            [RepairAction::TellSuccess(vec![user(2)])]
        );
    }
}

#[test]
fn violated_constraints_of_the_ledger_are_found_and_not_repaired() {
    let mut look = sound();
    look.status = GateStatus::Unknown;
    look.after.initial = 1;
    look.after.remaining = 0;
    look.after.holders = vec![holder(1), holder(2), holder(2)];
    let found = compare(
        &look,
        &Attempts {
            contradicted: vec![holder(1)],
            ..Attempts::default()
        },
    );
    assert_eq!(
        found,
        [
            Finding::Oversold {
                orders: 3,
                initial: 1
            },
            Finding::WrongRemaining {
                remaining: 0,
                expected: -2
            },
            Finding::SecondOrder { user: user(2) },
            Finding::SecondOrderOfAttempt {
                attempt: holder(2).attempt
            },
            Finding::OrderOfFailedAttempt {
                user: user(1),
                attempt: holder(1).attempt
            },
        ]
    );
    assert_eq!(repair::plan(&sheet(found)), []);
}

#[test]
fn only_findings_that_recur_persist_whatever_their_figures() {
    let off_balance = |available| Finding::OffBalance {
        available,
        holders: 3,
        withdrawn: 0,
        initial: 10,
    };
    let failed = |id| Finding::FailedDespiteOrder { user: user(id) };
    assert_eq!(
        persisting(
            &[off_balance(8), failed(1), failed(2)],
            vec![off_balance(9), failed(2), failed(3)]
        ),
        [off_balance(9), failed(2)]
    );
}

#[test]
fn settled_attempts_are_grouped_by_outcome_and_order() {
    let settled = |id, ordered, has_order| SettledAttempt {
        attempt: holder(id).attempt,
        sale: SaleId::new(1).unwrap(),
        user: user(id),
        ordered,
        has_order,
    };
    let mut sales = BTreeMap::new();
    let page = [
        settled(1, true, true),
        settled(2, true, false),
        settled(3, false, true),
        settled(4, false, false),
    ];
    note_attempts(&mut sales, &page);
    let expected = Attempts {
        removed: vec![holder(2)],
        contradicted: vec![holder(3)],
        without_order: BTreeSet::from([user(2), user(4)]),
    };
    assert_eq!(sales, BTreeMap::from([(SaleId::new(1).unwrap(), expected)]));
}

#[test]
fn a_log_that_was_cut_before_it_was_settled_is_found() {
    let partition = |settled, earliest| PartitionAudit {
        partition: Partition(0),
        earliest: Offset(earliest),
        end: Offset(9),
        settled,
    };
    let cut = |sheet| {
        let log = LogAudit {
            partitions: vec![sheet],
            ..LogAudit::default()
        };
        log.cut().collect::<Vec<_>>()
    };
    assert_eq!(cut(partition(Some(Offset(3)), 5)), [(Partition(0), 2)]);
    assert_eq!(cut(partition(Some(Offset(5)), 5)), []);
    assert_eq!(cut(partition(None, 5)), []);
}
