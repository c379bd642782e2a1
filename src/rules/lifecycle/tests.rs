//! Every phase of a sale's life with every change.

use chrono::TimeZone;

use super::*;
use crate::ids::{ProductId, SaleId};

fn at(secs: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(1_800_000_000 + secs, 0).unwrap()
}

/// Now is 100 s after the start, 100 s before the end; ten units, three of them sold.
fn open() -> SaleRecord {
    SaleRecord {
        id: SaleId::new(5).unwrap(),
        product: ProductId::new(3).unwrap(),
        state: SaleState::Live,
        paused_at: None,
        window: SaleWindow {
            start: at(0),
            end: at(200),
        },
        initial_stock: 10,
        remaining_stock: 7,
        version: 4,
        note: String::new(),
        created_at: at(-1000),
        updated_at: at(-1000),
    }
}

fn now() -> DateTime<Utc> {
    at(100)
}

fn in_phase(phase: Phase) -> SaleRecord {
    let mut sale = open();
    match phase {
        Phase::Draft => sale.state = SaleState::Draft,
        Phase::Scheduled => sale.window.start = at(150),
        Phase::Open => {}
        Phase::Paused => sale.paused_at = Some(at(50)),
        Phase::Ended => sale.window.end = at(90),
        Phase::Cancelled => sale.state = SaleState::Cancelled,
    }
    assert_eq!(super::phase(&sale, now()), phase);
    sale
}

const PHASES: [Phase; 6] = [
    Phase::Draft,
    Phase::Scheduled,
    Phase::Open,
    Phase::Paused,
    Phase::Ended,
    Phase::Cancelled,
];

#[derive(Debug, PartialEq)]
enum What {
    Changes,
    /// Succeeds and leaves everything as it is.
    Nothing,
    Refuses,
}
use What::{Changes, Nothing, Refuses};

fn what(phase: Phase, change: &SaleChange) -> What {
    let sale = in_phase(phase);
    match apply(&sale, change, now()) {
        Ok(after) if after == sale => Nothing,
        Ok(after) => {
            assert_eq!(after.version, sale.version, "the ledger raises it");
            Changes
        }
        Err(Refused::NotAllowed(cause)) => {
            assert!(!cause.is_empty());
            Refuses
        }
        Err(refused @ Refused::Stale { .. }) => panic!("{refused}"),
    }
}

/// What the change does in each of `PHASES`.
fn assert_each(change: &SaleChange, expected: [What; 6]) {
    for (phase, expected) in PHASES.into_iter().zip(expected) {
        assert_eq!(what(phase, change), expected, "{change:?} while {phase:?}");
    }
}

fn edit(edit: SaleEdit) -> SaleChange {
    SaleChange::Edit(SaleEdit {
        expected: 4,
        ..edit
    })
}

#[test]
fn each_phase_allows_its_changes() {
    assert_each(
        &SaleChange::Publish,
        [Changes, Nothing, Nothing, Nothing, Nothing, Refuses],
    );
    assert_each(
        &SaleChange::Pause,
        [Refuses, Changes, Changes, Nothing, Refuses, Refuses],
    );
    assert_each(
        &SaleChange::Resume,
        [Refuses, Nothing, Nothing, Changes, Refuses, Refuses],
    );
    assert_each(
        &SaleChange::End,
        [Refuses, Refuses, Changes, Changes, Nothing, Refuses],
    );
    assert_each(
        &SaleChange::Cancel,
        [Changes, Changes, Changes, Changes, Refuses, Nothing],
    );
    assert_each(
        &SaleChange::AddUnits(5),
        [Changes, Changes, Changes, Changes, Refuses, Refuses],
    );
    assert_each(
        &SaleChange::AddUnits(0),
        [Nothing, Nothing, Nothing, Nothing, Refuses, Refuses],
    );
}

#[test]
fn each_phase_allows_its_edits() {
    let product = SaleEdit {
        product: ProductId::new(9),
        ..SaleEdit::default()
    };
    assert_each(
        &edit(product),
        [Changes, Refuses, Refuses, Refuses, Refuses, Refuses],
    );
    let start = SaleEdit {
        start: Some(at(160)),
        ..SaleEdit::default()
    };
    assert_each(
        &edit(start),
        [Changes, Changes, Refuses, Refuses, Refuses, Refuses],
    );
    let later = SaleEdit {
        end: Some(at(300)),
        ..SaleEdit::default()
    };
    assert_each(
        &edit(later),
        [Changes, Changes, Changes, Changes, Refuses, Refuses],
    );
    let units = SaleEdit {
        units: Some(20),
        ..SaleEdit::default()
    };
    assert_each(
        &edit(units),
        [Changes, Refuses, Refuses, Refuses, Refuses, Refuses],
    );
    let note = SaleEdit {
        note: Some("two more pallets were found".to_owned()),
        ..SaleEdit::default()
    };
    assert_each(
        &edit(note),
        [Changes, Changes, Changes, Changes, Changes, Changes],
    );
    assert_each(
        &edit(SaleEdit::default()),
        [Nothing, Nothing, Nothing, Nothing, Nothing, Nothing],
    );
}

#[test]
fn an_edit_of_another_version_is_stale_in_every_phase() {
    for phase in PHASES {
        let stale = SaleChange::Edit(SaleEdit {
            expected: 3,
            ..SaleEdit::default()
        });
        let answer = apply(&in_phase(phase), &stale, now());
        assert_eq!(answer, Err(Refused::Stale { current: 4 }));
    }
}

#[test]
fn an_open_sale_cannot_get_an_end_that_has_passed() {
    for phase in [Phase::Scheduled, Phase::Open, Phase::Paused] {
        let passed = edit(SaleEdit {
            start: (phase == Phase::Scheduled).then(|| at(10)),
            end: Some(now()),
            ..SaleEdit::default()
        });
        assert_eq!(what(phase, &passed), Refuses, "{phase:?}");
        let earlier = edit(SaleEdit {
            end: Some(at(180)),
            ..SaleEdit::default()
        });
        assert_eq!(what(phase, &earlier), Changes, "{phase:?}");
    }
}

#[test]
fn a_window_is_never_empty() {
    let empty = edit(SaleEdit {
        end: Some(at(0)),
        ..SaleEdit::default()
    });
    assert_eq!(what(Phase::Draft, &empty), Refuses);
    let sale = in_phase(Phase::Open);
    let ended = apply(&sale, &SaleChange::End, sale.window.start).unwrap();
    assert!(ended.window.end > ended.window.start);
}

#[test]
fn ending_sets_the_end_to_now_in_whole_milliseconds() {
    let now = now() + TimeDelta::microseconds(1_500);
    let ended = apply(&in_phase(Phase::Open), &SaleChange::End, now).unwrap();
    assert_eq!(ended.window.end, at(100) + TimeDelta::milliseconds(1));
    assert_eq!(phase(&ended, now), Phase::Ended);
}

#[test]
fn a_draft_that_would_have_ended_is_not_published() {
    let mut draft = in_phase(Phase::Draft);
    draft.window.end = now();
    let answer = apply(&draft, &SaleChange::Publish, now());
    assert!(matches!(answer, Err(Refused::NotAllowed(_))), "{answer:?}");
}

#[test]
fn pausing_again_keeps_the_time_of_the_first_pause() {
    let paused = apply(&in_phase(Phase::Paused), &SaleChange::Pause, now()).unwrap();
    assert_eq!(paused.paused_at, Some(at(50)));
    let paused = apply(&in_phase(Phase::Open), &SaleChange::Pause, now()).unwrap();
    assert_eq!(paused.paused_at, Some(now()));
}

#[test]
fn added_units_can_be_bought() {
    let after = apply(&in_phase(Phase::Open), &SaleChange::AddUnits(5), now()).unwrap();
    assert_eq!((after.initial_stock, after.remaining_stock), (15, 12));
    let most = SaleChange::AddUnits(MAX_UNITS);
    assert_eq!(what(Phase::Open, &most), Refuses);
}

#[test]
fn units_leave_sales_that_can_still_sell() {
    let allowed = |phase| withdraw(&in_phase(phase), 1, 0, now()).is_ok();
    let phases = PHASES.map(allowed);
    assert_eq!(phases, [false, true, true, true, false, false]);
    assert!(withdraw(&in_phase(Phase::Open), 0, 0, now()).is_err());
    assert!(withdraw(&in_phase(Phase::Open), 1, MAX_PENDING_MOVEMENTS, now()).is_err());
}
