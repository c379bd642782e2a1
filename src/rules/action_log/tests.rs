//! What the chain proves.

use chrono::TimeZone;
use serde_json::json;

use crate::ids::UserId;

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

#[test]
fn a_search_for_a_person_takes_the_ascii_part_with_the_at_sign() {
    let searched = |email: &str| {
        let [email, subject] =
            ErasedPerson::new(UserId::new(7).unwrap(), email.to_owned(), None).searched();
        assert_eq!(subject, None);
        email.unwrap()
    };
    assert_eq!(searched("ann@shop.example"), "ann@shop.example");
    assert_eq!(searched("иван@почта.example"), "@");
    assert_eq!(searched("jürgen@shop.example"), "rgen@shop.example");
}

#[test]
fn an_erasure_proves_the_entries_that_it_lists_as_they_are_and_no_others() {
    let person = ErasedPerson::new(
        UserId::new(7).unwrap(),
        "Ann@shop.example".to_owned(),
        Some("no address".to_owned()),
    );
    let reasons = ["of ann@SHOP.example.", "of joann@shop.example", "a reason"];
    let mut head = Head::EMPTY;
    let mut append = |change: &Change, reason: &str| {
        let at = Utc.timestamp_millis_opt(1_800_000_000_123).unwrap();
        let stored = next(&head, at, change, &entry(reason));
        head = stored.head().unwrap();
        stored
    };
    let about = |target: &str| Change {
        name: ActionName::SetRole,
        sale: None,
        target: target.to_owned(),
        before: Some(json!({"username": "ann"})),
        after: None,
    };
    let mut log: Vec<_> = reasons
        .map(|reason| append(&about("user:8"), reason))
        .into();
    log.push(append(&about("user:7"), ""));
    let erased = person.erase_all(&log).unwrap();
    assert_eq!(
        erased.iter().map(|entry| entry.id).collect::<Vec<_>>(),
        [1, 4]
    );
    assert_eq!(
        (erased[0].reason.as_str(), &erased[0].before),
        (ERASED, &log[0].before)
    );
    assert_eq!(erased[1].before.as_deref(), Some(ERASED_STATE));
    log.push(append(&person.change(&erased), "asked for"));
    assert_eq!(check(&log, log[4].head()), Ok(5));
    for entry in &erased {
        let at = usize::try_from(entry.id).unwrap() - 1;
        log[at] = entry.clone();
    }
    assert_eq!(check(&log, log[4].head()), Ok(5));
    // Changed once more, or another one changed: nothing proves it.
    for changed in [0, 1] {
        let mut other = log.clone();
        other[changed].reason = "another".to_owned();
        let id = other[changed].id;
        assert_eq!(check(&other, other[4].head()), Err(Broken::Changed { id }));
    }
    // Without the erasure the erased entries are changed ones.
    assert_eq!(
        check(&log[..4], log[3].head()),
        Err(Broken::Changed { id: 1 })
    );
}
