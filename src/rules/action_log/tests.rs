//! What the chain proves.

use chrono::TimeZone;
use serde_json::json;

use super::*;

fn entry(reason: &str) -> ActionEntry {
    ActionEntry {
        actor: Actor {
            name: "user:7".to_owned(),
            role: "operator".to_owned(),
            address: "192.0.2.1".parse().ok(),
        },
        reason: reason.to_owned(),
        key: None,
    }
}

fn log(entries: usize) -> Vec<StoredAction> {
    let mut head = Head::EMPTY;
    (0..entries)
        .map(|number| {
            let change = Change {
                name: ActionName::PauseSale,
                sale: SaleId::new(5),
                target: "sale:5".to_owned(),
                before: Some(json!({"paused": false, "number": number})),
                after: None,
            };
            let at = Utc.timestamp_millis_opt(1_800_000_000_123).unwrap();
            let stored = next(&head, at, &change, &entry("a reason"));
            head = stored.head().unwrap();
            stored
        })
        .collect()
}

fn check(log: &[StoredAction], head: Option<Head>) -> Result<i64, Broken> {
    let mut check = ChainCheck::default();
    for entry in log {
        check.check(entry)?;
    }
    check.finish(head.as_ref())?;
    Ok(check.entries())
}

#[test]
fn the_text_of_an_entry_is_the_documented_one() {
    let log = log(1);
    assert_eq!(
        log[0].canonical_text(),
        "flashsale action 1\n1:1\n24:2027-01-15T08:00:00.123Z\n10:pause_sale\n1:5\n6:sale:5\n6:user:7\n8:operator\n\
         9:192.0.2.1\n8:a reason\n27:{\"number\":0,\"paused\":false}\n-\n"
    );
}

#[test]
fn an_unbroken_log_is_whole() {
    assert_eq!(check(&[], Some(Head::EMPTY)), Ok(0));
    let log = log(3);
    assert_eq!(check(&log, log[2].head()), Ok(3));
}

#[test]
fn every_changed_field_is_found() {
    let changes: [fn(&mut StoredAction); 11] = [
        |entry| entry.at += chrono::TimeDelta::milliseconds(1),
        |entry| entry.action = "end_sale".to_owned(),
        |entry| entry.sale = None,
        |entry| entry.target = "sale:6".to_owned(),
        |entry| entry.actor = "user:8".to_owned(),
        |entry| entry.role = "admin".to_owned(),
        |entry| entry.address = None,
        |entry| entry.reason = "another".to_owned(),
        |entry| entry.before = None,
        |entry| entry.after = Some("{}".to_owned()),
        |entry| entry.hash[0] ^= 1,
    ];
    for change in changes {
        let mut log = log(3);
        let head = log[2].head();
        change(&mut log[1]);
        assert_eq!(check(&log, head), Err(Broken::Changed { id: 2 }), "{log:?}");
    }
}

#[test]
fn an_entry_that_was_changed_with_its_hash_breaks_the_next_one() {
    let mut log = log(3);
    let head = log[2].head();
    log[1].reason = "another".to_owned();
    log[1].hash = log[1].computed_hash().to_vec();
    assert_eq!(check(&log, head), Err(Broken::Unlinked { id: 3 }));
}

#[test]
fn missing_entries_are_found_in_the_middle_and_at_both_ends() {
    let whole = log(3);
    let head = whole[2].head();
    let without = |index: usize| {
        let mut log = whole.clone();
        log.remove(index);
        check(&log, head)
    };
    let gap = |expected| {
        Err(Broken::Gap {
            expected,
            found: expected + 1,
        })
    };
    assert_eq!(without(0), gap(1));
    assert_eq!(without(1), gap(2));
    assert_eq!(without(2), Err(Broken::CutOff { from: 3, to: 3 }));
    assert_eq!(check(&whole, None), Err(Broken::NoHead));
}

#[test]
fn a_head_that_does_not_fit_is_found() {
    let log = log(2);
    assert_eq!(
        check(&log, log[0].head()),
        Err(Broken::BehindHead { last: 2, head: 1 })
    );
    let other = Head {
        id: 2,
        hash: [7; 32],
    };
    assert_eq!(check(&log, Some(other)), Err(Broken::OtherHead { id: 2 }));
}

#[test]
fn texts_that_move_from_one_field_to_the_next_are_another_entry() {
    let mut log = log(1);
    let head = log[0].head();
    log[0].actor = "user:7\n8:operator".to_owned();
    log[0].role = String::new();
    assert_eq!(check(&log, head), Err(Broken::Changed { id: 1 }));
}

#[test]
fn every_action_is_found_by_its_name() {
    assert_eq!(ActionName::of("cancel_order"), ActionName::CancelOrder);
    assert_eq!(ActionName::of("something_new"), ActionName::Unknown);
}
