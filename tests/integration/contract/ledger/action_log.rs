//! The action log: what it says, and that a change of it is found.

use flashsale::port::{ActionId, ActionName, AdminError, Administration, Change, SaleChange};
use futures::future::join_all;

use super::{
    bed::SqlBed,
    operator::{because, change, draft, entries, now, open_sale, with_key},
};

pub async fn an_entry_says_who_changed_what_and_why(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let reason = "two pallets were found:\n\"A\" and 'B' \u{0} ü".to_owned();
    let entry = because(&reason);
    let changed = admin
        .change_sale(sale.id, &SaleChange::AddUnits(5), now(), &entry)
        .await
        .unwrap();
    let log = admin.actions(None, None, 10).await.unwrap();
    let action = &log[0];
    assert_eq!(Some(action.id), changed.action);
    assert_eq!(
        (action.name, action.sale),
        (ActionName::AddUnits, Some(sale.id))
    );
    assert_eq!(action.target, format!("sale:{}", sale.id));
    assert_eq!(action.actor, entry.actor);
    assert_eq!(action.reason, reason.replace('\0', " "));
    assert_eq!(action.before.as_ref().unwrap()["initialStock"], 10);
    assert_eq!(action.after.as_ref().unwrap()["initialStock"], 15);
    assert!((now() - action.at).num_seconds().abs() < 60);
    // One that is no transaction of the ledger's.
    let noted = Change {
        name: ActionName::DiscardDeadLetter,
        sale: None,
        target: "letter:0:17".to_owned(),
        before: None,
        after: None,
    };
    let id = admin.note_action(&noted, &with_key("a", 1)).await.unwrap();
    assert_eq!(id, ActionId(action.id.0 + 1));
    let again = admin.note_action(&noted, &with_key("a", 1)).await;
    assert!(matches!(again, Err(AdminError::KeyUsed(_))), "{again:?}");
    let log = admin.actions(None, None, 2).await.unwrap();
    assert_eq!((log[0].id, log[1].id), (id, action.id));
    assert_eq!(log[0].target, "letter:0:17");
    let earlier = admin.actions(None, Some(action.id), 1).await.unwrap();
    assert_eq!(earlier[0].id.0, action.id.0 - 1);
    let of_sale = admin.actions(Some(sale.id), None, 10).await.unwrap();
    assert!(of_sale.iter().all(|action| action.sale == Some(sale.id)));
    assert_eq!(entries(admin.as_ref()).await, 5);
}

pub async fn entries_of_many_changes_at_once_are_one_chain(bed: &impl SqlBed) {
    let nodes = join_all((0..4).map(|_| bed.administration())).await;
    let sales = join_all(nodes.iter().map(|node| draft(node.as_ref()))).await;
    let changes = nodes.iter().zip(&sales).map(async |(node, sale)| {
        for _ in 0..10 {
            change(node.as_ref(), sale.id, SaleChange::AddUnits(1)).await;
        }
    });
    join_all(changes).await;
    assert_eq!(entries(nodes[0].as_ref()).await, 4 * (2 + 10));
}

pub async fn entries_cannot_be_changed_by_a_statement(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    open_sale(admin.as_ref()).await;
    for statement in [
        "UPDATE admin_actions SET reason = 'another' WHERE id = 2",
        "UPDATE admin_actions SET hash = hash WHERE id = 2",
        "DELETE FROM admin_actions WHERE id = 2",
        "DELETE FROM admin_actions",
    ] {
        bed.execute(statement).await.unwrap_err();
    }
    assert_eq!(entries(admin.as_ref()).await, 3);
}

async fn without_triggers(bed: &impl SqlBed, statement: &str) {
    bed.disable_action_triggers().await;
    assert_eq!(bed.execute(statement).await, Ok(1), "{statement}");
}

/// What the check says after three entries of which one was changed by this statement, with the triggers disabled.
async fn found_after(bed: &impl SqlBed, statement: &str) -> (u64, String) {
    let admin = bed.administration().await;
    open_sale(admin.as_ref()).await;
    assert_eq!(entries(admin.as_ref()).await, 3);
    without_triggers(bed, statement).await;
    found(admin.as_ref()).await
}

async fn found(admin: &dyn Administration) -> (u64, String) {
    let check = admin.verify_actions().await.unwrap();
    (check.entries, check.broken.unwrap())
}

pub async fn a_changed_entry_is_named(bed: &impl SqlBed) {
    let (whole, broken) = found_after(
        bed,
        "UPDATE admin_actions SET reason = 'another' WHERE id = 2",
    )
    .await;
    assert_eq!(whole, 1);
    assert!(broken.contains("entry 2 was changed"), "{broken}");
}

pub async fn a_missing_entry_is_named(bed: &impl SqlBed) {
    let (whole, broken) = found_after(bed, "DELETE FROM admin_actions WHERE id = 2").await;
    assert_eq!(whole, 1);
    assert!(broken.contains("entry 2 is missing"), "{broken}");
}

pub async fn entries_that_were_cut_off_are_named(bed: &impl SqlBed) {
    let (whole, broken) = found_after(bed, "DELETE FROM admin_actions WHERE id = 3").await;
    assert_eq!(whole, 2);
    assert!(broken.contains("entries 3 to 3 are missing"), "{broken}");
    // Going on does not hide it.
    let admin = bed.administration().await;
    draft(admin.as_ref()).await;
    let (_, broken) = found(admin.as_ref()).await;
    assert!(broken.contains("entry 3 is missing"), "{broken}");
}

/// The head is moved in the transaction of the change.
pub async fn a_change_that_was_undone_leaves_no_entry(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = draft(admin.as_ref()).await;
    let written = entries(admin.as_ref()).await;
    for _ in 0..3 {
        let refused = admin
            .change_sale(sale.id, &SaleChange::Resume, now(), &because("no"))
            .await;
        refused.unwrap_err();
    }
    assert_eq!(entries(admin.as_ref()).await, written);
    change(admin.as_ref(), sale.id, SaleChange::Publish).await;
    assert_eq!(entries(admin.as_ref()).await, written + 1);
}
