//! One cell of the table: a sale under load, a fault, the way back, and the check of everything.

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant},
};

use crate::{
    bed::TestBed,
    check::{self, Outcome},
    client_log::Request,
    fault::Fault,
    limits,
    load::{Load, Pace},
    pressure,
};

/// How long all is well before the fault.
const BEFORE: Duration = Duration::from_secs(2);

/// What a cell is run with.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub stock: u32,
    pub pace: Pace,
}

/// What came of it.
pub struct Row {
    pub fault: Fault,
    /// How often each answer came to what was asked until all was normal, from the fault on.
    pub answers: BTreeMap<(Request, String), usize>,
    /// The longest wait for an answer to an attempt, and its limit.
    pub longest: Duration,
    pub limit: Duration,
    pub normal_after: Duration,
    pub outcome: Outcome,
}

/// Runs it; panics if anything is not as it must be.
pub async fn run(bed: &mut TestBed, fault: Fault, setting: Setting) -> Row {
    let mut load = Load::open(bed, setting.stock, setting.pace).await;
    let mut steady = load.start();
    tokio::time::sleep(BEFORE).await;
    load.client_log().accounts_may_go = fault.loses_accounts();
    let waited = pressure::waited();
    let mut blow = Instant::now();
    let over = if fault == Fault::LedgerNew {
        steady.stop().await;
        fault.strike(bed, &load).await;
        // Nothing that was told before counts any more; another sale with the same number takes the place of this one.
        blow = Instant::now();
        load = Load::open(bed, setting.stock, setting.pace).await;
        steady = load.start();
        blow
    } else {
        fault.strike(bed, &load).await;
        Instant::now()
    };
    let normal = load.normal_again(bed, over).await;
    // Then requests run into their limits although nothing is wrong.
    let short_of_cpu = pressure::waited().saturating_sub(waited) > (normal - blow) / 2;
    if fault.mend(bed).await {
        load.normal_again(bed, Instant::now()).await;
    }
    let mended = Instant::now();
    steady.stop().await;
    load.sell_out(bed).await;
    let outcome = check::check(bed, &load, &[fault]).await;
    bed.assert_whole().await;
    load.end(bed).await;

    let settled_within = (mended - blow) + limits::recovery(&bed.config);
    assert!(
        outcome.last_order_after <= settled_within,
        "an order after {:?}, not within {settled_within:?}",
        outcome.last_order_after
    );
    let mut row = Row {
        fault,
        answers: BTreeMap::new(),
        longest: Duration::ZERO,
        limit: limits::answer(Request::Attempt, fault, &bed.config),
        normal_after: normal - over,
        outcome,
    };
    row.read(bed, &load, blow..normal, short_of_cpu);
    row
}

impl Row {
    /// Counts the answers of the hard time, and holds every wait against its limit.
    fn read(&mut self, bed: &TestBed, load: &Load, hard_time: Range<Instant>, short_of_cpu: bool) {
        for exchange in &load.client_log().exchanges {
            let limit = limits::answer(exchange.sent.request, self.fault, &bed.config);
            assert!(
                exchange.took() <= limit,
                "{:?} took longer than {limit:?}: {exchange:?}",
                exchange.sent.request
            );
            assert!(
                !exchange.reply.is_of_the_connection() || self.fault.is_seen_by_shoppers(),
                "{exchange:?}"
            );
            assert!(
                exchange.ended >= hard_time.start || !exchange.reply.is_trouble(),
                "trouble before the fault: {exchange:?}"
            );
            assert!(
                !exchange.reply.is_trouble()
                    || exchange.sent.request == Request::Registration
                    || !self.fault.goes_unnoticed()
                    || short_of_cpu,
                "it was noticed: {exchange:?}"
            );
            if exchange.sent.request == Request::Attempt {
                self.longest = self.longest.max(exchange.took());
            }
            if exchange.ended >= hard_time.start && exchange.sent.at < hard_time.end {
                let answer = (exchange.sent.request, exchange.reply.label());
                *self.answers.entry(answer).or_default() += 1;
            }
        }
    }
}
