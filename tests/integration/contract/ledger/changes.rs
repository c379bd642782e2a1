//! Sales that operators make, publish and change.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use flashsale::{
    ids::{ProductId, SaleId},
    port::{
        ActionName, AdminError, Attempt, NewSale, Outcome, SaleChange, SaleEdit, SaleState,
        SaleSwitch, SaleWindow, SettleError,
    },
};

use super::{
    bed::{SqlBed, attempt, make_partitions, settle},
    operator::{because, change, draft, entries, now, open_sale},
};

pub async fn a_draft_is_seen_by_operators_only(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let draft = draft(admin.as_ref()).await;
    assert_eq!((draft.state, draft.version), (SaleState::Draft, 1));
    assert_eq!((draft.initial_stock, draft.remaining_stock), (10, 10));
    assert_eq!(draft.note, "noon");
    assert_eq!(admin.sale(draft.id).await.unwrap(), Some(draft.clone()));
    assert_eq!(ledger.sales(now()).await.unwrap(), []);
    let snapshot = ledger.snapshot(draft.id).await.unwrap().unwrap();
    assert_eq!(snapshot.switch, SaleSwitch::Cancelled);
    let published = change(admin.as_ref(), draft.id, SaleChange::Publish).await;
    assert_eq!(published.after.state, SaleState::Live);
    let listed = ledger.sales(now()).await.unwrap();
    assert_eq!(listed[0].terms(), published.after.terms());
    assert_eq!(listed[0].switch, SaleSwitch::On);
    assert_eq!(listed[0].offer.currency, "EUR");
    assert_eq!(listed[0].offer.prior_price_cents, Some(2_999));
}

pub async fn every_change_raises_the_version_once_and_is_noted(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let sale = draft(admin.as_ref()).await;
    let end = now() + TimeDelta::hours(2);
    let edit = SaleEdit {
        expected: 1,
        end: Some(end),
        units: Some(8),
        note: Some("later".to_owned()),
        ..SaleEdit::default()
    };
    let steps = [
        (
            SaleChange::Edit(edit),
            ActionName::EditSale,
            SaleSwitch::Cancelled,
        ),
        (SaleChange::Publish, ActionName::PublishSale, SaleSwitch::On),
        (SaleChange::Pause, ActionName::PauseSale, SaleSwitch::Paused),
        (
            SaleChange::AddUnits(5),
            ActionName::AddUnits,
            SaleSwitch::Paused,
        ),
        (SaleChange::Resume, ActionName::ResumeSale, SaleSwitch::On),
        (
            SaleChange::Cancel,
            ActionName::CancelSale,
            SaleSwitch::Cancelled,
        ),
    ];
    let mut version = 1;
    for (step, name, switch) in steps {
        let changed = change(admin.as_ref(), sale.id, step).await;
        assert_eq!(changed.before.version, version, "{name:?}");
        version += 1;
        assert_eq!(changed.after.version, version, "{name:?}");
        let snapshot = ledger.snapshot(sale.id).await.unwrap().unwrap();
        assert_eq!(snapshot.terms(), changed.after.terms(), "{name:?}");
        assert_eq!(snapshot.switch, switch, "{name:?}");
        let log = admin.actions(Some(sale.id), None, 1).await.unwrap();
        assert_eq!((Some(log[0].id), log[0].name), (changed.action, name));
        assert_eq!(log[0].before.as_ref().unwrap()["version"], version - 1);
        assert_eq!(log[0].after.as_ref().unwrap()["version"], version);
    }
    let sale = admin.sale(sale.id).await.unwrap().unwrap();
    assert_eq!((sale.window.end, sale.note.as_str()), (end, "later"));
    assert_eq!((sale.initial_stock, sale.remaining_stock), (13, 13));
    let open = open_sale(admin.as_ref()).await;
    let ended = change(admin.as_ref(), open.id, SaleChange::End).await.after;
    assert!(ended.window.end <= now() && ended.window.end > open.window.start);
}

pub async fn what_changes_nothing_leaves_no_trace(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let written = entries(admin.as_ref()).await;
    let edit = SaleEdit {
        expected: sale.version,
        end: Some(sale.window.end),
        note: Some(sale.note.clone()),
        ..SaleEdit::default()
    };
    for step in [
        SaleChange::Publish,
        SaleChange::Resume,
        SaleChange::AddUnits(0),
        SaleChange::Edit(edit),
    ] {
        let changed = change(admin.as_ref(), sale.id, step).await;
        assert_eq!((&changed.after, changed.action), (&sale, None));
    }
    assert_eq!(entries(admin.as_ref()).await, written);
}

pub async fn a_note_over_a_note_that_the_operator_did_not_see_is_stale(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let note = |text: &str| {
        SaleChange::Edit(SaleEdit {
            expected: sale.version,
            note: Some(text.to_owned()),
            ..SaleEdit::default()
        })
    };
    let noted = change(admin.as_ref(), sale.id, note("two pallets")).await;
    assert_eq!(noted.after.version, sale.version + 1);
    let refused = admin
        .change_sale(sale.id, &note("three pallets"), now(), &because("a note"))
        .await;
    assert!(
        matches!(refused, Err(AdminError::Stale { current }) if current == sale.version + 1),
        "{refused:?}"
    );
    assert_eq!(admin.sale(sale.id).await.unwrap(), Some(noted.after));
}

pub async fn a_draft_that_is_cancelled_stays_unseen(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let draft = draft(admin.as_ref()).await;
    change(admin.as_ref(), draft.id, SaleChange::Cancel).await;
    assert_eq!(ledger.sales(now()).await.unwrap(), []);
    let seen = open_sale(admin.as_ref()).await;
    change(admin.as_ref(), seen.id, SaleChange::Cancel).await;
    for _ in 0..2 {
        let listed = ledger.sales(now()).await.unwrap();
        let ids: Vec<_> = listed.iter().map(|listing| listing.id).collect();
        assert_eq!(ids, [seen.id]);
        // Nor is it seen after the ledger was set back.
        ledger.forget_admission_windows().await.unwrap();
    }
}

pub async fn nobody_is_let_in_by_the_window_of_a_draft(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let user = bed.shoppers(1).await[0];
    make_partitions(ledger.as_ref(), 1).await;
    let draft = draft(admin.as_ref()).await;
    let attempt_at = |at| Attempt {
        product: draft.product,
        at,
        ..attempt(draft.id, user)
    };
    let now_in_draft = attempt_at(now());
    let refused = settle(ledger.as_ref(), 0, 0, &[now_in_draft]).await;
    assert!(
        matches!(&refused, Err(SettleError::Unsettleable(rejected)) if rejected[0].cause.contains("never published")),
        "{refused:?}"
    );
    let tomorrow = SaleEdit {
        expected: draft.version,
        start: Some(now() + TimeDelta::hours(24)),
        end: Some(now() + TimeDelta::hours(25)),
        ..SaleEdit::default()
    };
    change(admin.as_ref(), draft.id, SaleChange::Edit(tomorrow)).await;
    change(admin.as_ref(), draft.id, SaleChange::Publish).await;
    let refused = settle(ledger.as_ref(), 0, 0, &[now_in_draft]).await;
    assert!(
        matches!(&refused, Err(SettleError::Unsettleable(_))),
        "{refused:?}"
    );
    let within = attempt_at(now() + TimeDelta::minutes(24 * 60 + 30));
    let settled = settle(ledger.as_ref(), 0, 0, &[within]).await;
    assert_eq!(settled.unwrap(), [Outcome::Ordered]);
    // A window that is not known stays so: a draft that the ledger was set back to was LIVE in the time that it lost.
    let lost = self::draft(admin.as_ref()).await;
    ledger.forget_admission_windows().await.unwrap();
    change(admin.as_ref(), lost.id, SaleChange::Publish).await;
    let early = Attempt {
        product: lost.product,
        at: lost.window.start - TimeDelta::hours(9),
        ..attempt(lost.id, user)
    };
    let settled = settle(ledger.as_ref(), 0, 1, &[early]).await;
    assert_eq!(settled.unwrap(), [Outcome::Ordered]);
}

pub async fn an_edit_of_another_version_is_stale(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let edit = |hours| {
        SaleChange::Edit(SaleEdit {
            expected: sale.version,
            end: Some(now() + TimeDelta::hours(hours)),
            ..SaleEdit::default()
        })
    };
    let (one, other, entry) = (edit(3), edit(4), because("extend"));
    let both = tokio::join!(
        admin.change_sale(sale.id, &one, now(), &entry),
        admin.change_sale(sale.id, &other, now(), &entry)
    );
    let ((Ok(changed), Err(refused)) | (Err(refused), Ok(changed))) = both else {
        panic!("{both:?}");
    };
    let current = sale.version + 1;
    assert!(matches!(refused, AdminError::Stale { current: found } if found == current));
    assert_eq!(admin.sale(sale.id).await.unwrap(), Some(changed.after));
}

pub async fn changes_that_the_phase_does_not_allow_are_refused(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let written = entries(admin.as_ref()).await;
    let units = SaleChange::Edit(SaleEdit {
        expected: sale.version,
        units: Some(99),
        ..SaleEdit::default()
    });
    let refused = admin
        .change_sale(sale.id, &units, now(), &because("more"))
        .await;
    assert!(
        matches!(refused, Err(AdminError::NotAllowed(_))),
        "{refused:?}"
    );
    // The caller's time decides.
    let ended = sale.window.end;
    for step in [
        SaleChange::Pause,
        SaleChange::Cancel,
        SaleChange::AddUnits(1),
    ] {
        let refused = admin
            .change_sale(sale.id, &step, ended, &because("late"))
            .await;
        assert!(
            matches!(refused, Err(AdminError::NotAllowed(_))),
            "{refused:?}"
        );
    }
    assert_eq!(admin.sale(sale.id).await.unwrap(), Some(sale));
    assert_eq!(entries(admin.as_ref()).await, written);
}

pub async fn the_phase_is_that_of_the_moment_when_the_sale_is_locked(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let lock = format!("UPDATE flash_sales SET note = note WHERE id = {}", sale.id);
    bed.execute("BEGIN").await.unwrap();
    bed.execute(&lock).await.unwrap();
    // Asked for before the end, and done after it.
    let (add, entry) = (SaleChange::AddUnits(1), because("more"));
    let asked = sale.window.end - TimeDelta::milliseconds(200);
    let release = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        bed.execute("COMMIT").await.unwrap();
    };
    let (answer, ()) = tokio::join!(admin.change_sale(sale.id, &add, asked, &entry), release);
    assert!(
        matches!(answer, Err(AdminError::NotAllowed(_))),
        "{answer:?}"
    );
    assert_eq!(admin.sale(sale.id).await.unwrap(), Some(sale));
}

pub async fn live_sales_of_a_product_do_not_overlap(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let live = open_sale(admin.as_ref()).await;
    let new = NewSale {
        product: live.product,
        window: live.window,
        units: 3,
        note: String::new(),
    };
    // Drafts may lie anywhere.
    let draft = admin.create_sale(&new, &because("again")).await.unwrap();
    let refused = admin
        .change_sale(draft.id, &SaleChange::Publish, now(), &because("now"))
        .await;
    assert!(
        matches!(refused, Err(AdminError::Overlaps { other }) if other == live.id),
        "{refused:?}"
    );
    // A LIVE sale that is moved into another one is refused as well.
    let behind = SaleEdit {
        expected: draft.version,
        start: Some(live.window.end),
        end: Some(live.window.end + TimeDelta::hours(1)),
        ..SaleEdit::default()
    };
    change(admin.as_ref(), draft.id, SaleChange::Edit(behind)).await;
    let scheduled = change(admin.as_ref(), draft.id, SaleChange::Publish)
        .await
        .after;
    let earlier = SaleChange::Edit(SaleEdit {
        expected: scheduled.version,
        start: Some(live.window.end - TimeDelta::minutes(1)),
        ..SaleEdit::default()
    });
    let refused = admin
        .change_sale(draft.id, &earlier, now(), &because("earlier"))
        .await;
    assert!(
        matches!(refused, Err(AdminError::Overlaps { other }) if other == live.id),
        "{refused:?}"
    );
    // A cancelled one is in nobody's way.
    change(admin.as_ref(), live.id, SaleChange::Cancel).await;
    change(admin.as_ref(), draft.id, earlier).await;
}

pub async fn two_publications_of_overlapping_sales_at_once_make_one_live(bed: &impl SqlBed) {
    let (one_node, other_node) = (bed.administration().await, bed.administration().await);
    let one = draft(one_node.as_ref()).await;
    let new = NewSale {
        product: one.product,
        window: one.window,
        units: 1,
        note: String::new(),
    };
    let other = one_node.create_sale(&new, &because("new")).await.unwrap();
    let entry = because("publish");
    let both = tokio::join!(
        one_node.change_sale(one.id, &SaleChange::Publish, now(), &entry),
        other_node.change_sale(other.id, &SaleChange::Publish, now(), &entry)
    );
    let ((Ok(_), Err(refused)) | (Err(refused), Ok(_))) = both else {
        panic!("{both:?}");
    };
    assert!(
        matches!(refused, AdminError::Overlaps { .. }),
        "{refused:?}"
    );
}

pub async fn an_unknown_product_or_sale_is_not_found(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = draft(admin.as_ref()).await;
    let entry = because("nothing");
    let nobody = SaleId::new(1_000_000_000).unwrap();
    let answer = admin
        .change_sale(nobody, &SaleChange::Publish, now(), &entry)
        .await;
    assert!(matches!(answer, Err(AdminError::NotFound)), "{answer:?}");
    let nothing = ProductId::new(1_000_000_000).unwrap();
    let edit = SaleChange::Edit(SaleEdit {
        expected: 1,
        product: Some(nothing),
        ..SaleEdit::default()
    });
    let answer = admin.change_sale(sale.id, &edit, now(), &entry).await;
    assert!(matches!(answer, Err(AdminError::NotFound)), "{answer:?}");
    let new = NewSale {
        product: nothing,
        window: sale.window,
        units: 1,
        note: String::new(),
    };
    let answer = admin.create_sale(&new, &entry).await;
    assert!(matches!(answer, Err(AdminError::NotFound)), "{answer:?}");
    let empty = NewSale {
        product: sale.product,
        window: SaleWindow {
            start: Utc::now(),
            end: Utc::now() - TimeDelta::hours(1),
        },
        units: 1,
        note: String::new(),
    };
    let answer = admin.create_sale(&empty, &entry).await;
    assert!(
        matches!(answer, Err(AdminError::NotAllowed(_))),
        "{answer:?}"
    );
}

pub async fn statements_by_hand_count_the_same(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let id = bed.sale(5).await;
    let sale = admin.sale(id).await.unwrap().unwrap();
    assert_eq!((sale.state, sale.paused_at), (SaleState::Live, None));
    let by_hand = |set: String| format!("UPDATE flash_sales SET {set} WHERE id = {id}");
    let paused = format!("paused_at = '{}'", bed.instant(now()));
    bed.execute(&by_hand(paused)).await.unwrap();
    let listed = ledger.sales(now()).await.unwrap();
    assert_eq!(listed[0].switch, SaleSwitch::Paused);
    assert_eq!(listed[0].version, sale.version + 1);
    let resumed = change(admin.as_ref(), id, SaleChange::Resume).await;
    assert_eq!(resumed.after.version, sale.version + 2);
    bed.execute(&by_hand("note = 'a note'".to_owned()))
        .await
        .unwrap();
    let noted = admin.sale(id).await.unwrap().unwrap();
    assert_eq!(noted.version, sale.version + 3);
    assert!(noted.updated_at >= resumed.after.updated_at);
    bed.execute(&by_hand("state = 'CANCELLED'".to_owned()))
        .await
        .unwrap();
    let snapshot = ledger.snapshot(id).await.unwrap().unwrap();
    assert_eq!(snapshot.switch, SaleSwitch::Cancelled);
    assert_eq!(snapshot.version, sale.version + 4);
}

pub async fn a_live_sale_never_becomes_a_draft_again(bed: &impl SqlBed) {
    let id = bed.sale(5).await;
    let to = |state| format!("UPDATE flash_sales SET state = '{state}' WHERE id = {id}");
    bed.execute(&to("DRAFT")).await.unwrap_err();
    bed.execute(&to("LIVE")).await.unwrap();
    bed.execute(&to("CANCELLED")).await.unwrap();
    bed.execute(&to("LIVE")).await.unwrap_err();
    bed.execute(&to("DRAFT")).await.unwrap_err();
    bed.execute(&to("SOMETHING")).await.unwrap_err();
}

pub async fn units_can_be_added_while_orders_are_settled(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let users = bed.shoppers(60).await;
    let sale = bed.sale(10).await;
    make_partitions(ledger.as_ref(), 1).await;
    let settling = async {
        for (offset, user) in (0..).zip(&users) {
            let settled = settle(ledger.as_ref(), 0, offset, &[attempt(sale, *user)]).await;
            settled.unwrap();
        }
    };
    let adding = async {
        for _ in 0..20 {
            change(admin.as_ref(), sale, SaleChange::AddUnits(1)).await;
        }
    };
    tokio::join!(settling, adding);
    let sale = admin.sale(sale).await.unwrap().unwrap();
    assert_eq!(sale.initial_stock, 30);
    let sold = sale.initial_stock - sale.remaining_stock;
    assert_eq!(u64::try_from(bed.orders().await).unwrap(), sold);
    assert_eq!(sale.version, 21);
}

pub async fn sales_are_listed_page_by_page(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(draft(admin.as_ref()).await);
    }
    made.reverse();
    assert_eq!(admin.sale_records(None, None, 10).await.unwrap(), made);
    let second = admin.sale_records(None, Some(made[0].id), 1).await.unwrap();
    assert_eq!(second, [made[1].clone()]);
    let of = admin.sale_records(Some(made[2].product), None, 10).await;
    assert_eq!(of.unwrap(), [made[2].clone()]);
}
