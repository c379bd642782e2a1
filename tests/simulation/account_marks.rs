//! A lost note of account ids is made anew from the log.

use std::sync::Arc;

use chrono::DateTime;
use flashsale::{
    auth::raise_lost_mark,
    clock::SystemClock,
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        AccountDirectory, AccountMarks, Attempt, AttemptLog, ConsumerGroup, LogEnds, Member,
        Offset, Partition, Position, SettleBatch, Settling,
    },
};
use flashsale_simulator::model::{ModelGate, ModelLedger, ModelLog};

const GROUP: &str = "workers";

/// The record of an account that the ledger does not know, as the first of a log.
async fn lost_account(log: &ModelLog) -> Attempt {
    let attempt = Attempt {
        id: AttemptId::generate(),
        sale: SaleId::new(1).unwrap(),
        product: ProductId::new(1).unwrap(),
        user: UserId::new(40).unwrap(),
        at: DateTime::UNIX_EPOCH,
    };
    log.append(&[attempt]).await.remove(0).unwrap();
    attempt
}

#[tokio::test]
async fn a_lost_note_is_made_anew_once_the_log_is_settled() {
    let (clock, log) = (Arc::new(SystemClock), ModelLog::new(2));
    let (ledger, gate) = (ModelLedger::new(clock.clone()), ModelGate::server(clock));
    let raise = || raise_lost_mark(&ledger, &ledger, &gate, &log, GROUP);
    let attempt = lost_account(&log).await;
    assert_eq!(raise().await.unwrap(), None, "the log is not settled");
    assert_eq!(gate.account_mark().await.unwrap(), None);

    let member = Member {
        group: GROUP.to_owned(),
        topic: log.name().to_owned(),
        id: "worker".to_owned(),
    };
    let lease = std::time::Duration::from_mins(1);
    ledger.heartbeat(&member, 2, lease).await.unwrap();
    assert_eq!(raise().await.unwrap(), None, "nor yet");
    let settled = SettleBatch {
        position: Position {
            group: GROUP.to_owned(),
            topic: log.name().to_owned(),
            partition: Partition(0),
        },
        from: Offset(0),
        to: Offset(1),
        last: Some(attempt.id),
        attempts: Vec::new(),
        offsets: Vec::new(),
        rejected: Vec::new(),
        reached: None,
    };
    ledger.settle(&[settled]).await.unwrap();
    ledger.continue_accounts_above(attempt.user).await.unwrap();
    assert_eq!(raise().await.unwrap(), Some(40));
    assert_eq!(gate.account_mark().await.unwrap(), Some(40));
    // Once it is there, the log is not asked any more.
    lost_account(&log).await;
    assert_eq!(raise().await.unwrap(), Some(40));
}
