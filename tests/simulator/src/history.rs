//! One history from its beginning to its judgement.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use flashsale::{
    ids::UserId,
    order::Refusal,
    port::{SaleListing, SaleSwitch, Standing},
};
use futures::future::join_all;
use tokio::time::sleep;

use super::{
    HistoryReport, HistoryTotals,
    chance::Chance,
    clock::at,
    director::{System, happen, is_quiet},
    plan::Plan,
    press::{Answer, Press},
    promises,
    shopper::Shopper,
    world::{World, shopper},
};

/// How long the system may take to become quiet once the faults are over. Most of it is for a loading that died, which
/// nobody may supersede for 10 s.
const HEALING: Duration = Duration::from_mins(1);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(40);
/// How long a unit that is free, or the lack of one, may take to be seen by every API.
const SEEN_WITHIN: Duration = Duration::from_secs(3);

pub(super) async fn play(seed: u64, traced: bool) -> HistoryReport {
    let mut chance = Chance::new(seed);
    let plan = Plan::of(&mut chance);
    let world = World::new(plan.clone(), chance.fork(), traced);
    world.note(|| format!("{plan:?}"));
    // Shoppers, one whom no gate sees, and those who come when all is over.
    let late = plan.shoppers + 2;
    // An operator may add units.
    let last = late + plan.stock + 6;
    for user in (1..=last).filter_map(shopper) {
        world.ledger.add_shopper(user);
        world.seen().registered.insert(user);
    }
    let system = System::start(&world);
    let mut make = |user, issued_at| Shopper {
        world: Arc::clone(&world),
        nodes: system.apis.clone(),
        user,
        issued_at,
        chance: chance.fork(),
        accepted: Vec::new(),
    };
    let first = at(0).timestamp();
    let shopping: Vec<_> = (1..=plan.shoppers)
        .filter_map(shopper)
        .map(|user| world.outside.spawn(make(user, first).run()))
        .collect();
    let mut latecomers: Vec<_> = (late..=last)
        .filter_map(shopper)
        .map(|user| make(user, first))
        .collect();

    for (when, event) in &plan.events {
        sleep(Duration::from_millis(when.saturating_sub(world.now()))).await;
        happen(&world, &system, *event);
    }
    sleep(Duration::from_millis(
        plan.active.saturating_sub(world.now()),
    ))
    .await;
    world.note(|| "the faults are over".to_owned());
    world.end_faults();
    for node in system.nodes() {
        node.set_skew(0);
    }
    system.bring_up();
    for ended in join_all(shopping).await {
        if ended.is_err() {
            world.broken("a shopper's request panicked".to_owned());
        }
    }

    let became_quiet = become_quiet(&world, &system).await;
    if became_quiet {
        tokens_without_account_take_no_unit(&world, &mut make).await;
    }
    if became_quiet {
        everybody_is_told_how_the_sale_stands(&world, &mut latecomers, &mut make).await;
        become_quiet(&world, &system).await;
    }
    world.note(|| "the judgement".to_owned());
    for node in system.nodes() {
        if node.has_failed() {
            world.broken("a task of a process died".to_owned());
        }
    }
    promises::judge(&world, became_quiet).await;
    let told = world.seen();
    let accepted = |press: &&Press| matches!(press.answer, Answer::Accepted(_));
    let totals = HistoryTotals {
        presses: told.presses.len() as u64,
        accepted: told.presses.iter().filter(accepted).count() as u64,
        orders: world.ledger.orders(world.sale).len() as u64,
        excused: promises::excused(&world, &told),
        virtual_ms: world.now(),
        operations: told.operations,
    };
    let broken = told.broken.clone();
    drop(told);
    HistoryReport {
        seed,
        broken,
        trace: world.take_trace(),
        totals,
    }
}

/// Waits until nothing is under way any more.
async fn become_quiet(world: &World, system: &System) -> bool {
    let looks = HEALING.as_millis() / LOOK.as_millis();
    for _ in 0..looks {
        if system.serves() && is_quiet(world).await {
            return true;
        }
        sleep(LOOK).await;
    }
    world.broken(format!(
        "it did not become quiet within {} s",
        HEALING.as_secs()
    ));
    false
}

/// Shoppers whose accounts were deleted, or lost, press again: they are refused before a unit is taken.
async fn tokens_without_account_take_no_unit(
    world: &World,
    make: &mut impl FnMut(UserId, i64) -> Shopper,
) {
    let there: BTreeSet<UserId> = world.ledger.accounts().into_iter().collect();
    let gone: Vec<_> = {
        let seen = world.seen();
        let gone = seen.without_account.iter().copied();
        gone.filter(|user| !there.contains(user)).collect()
    };
    for user in gone {
        let mut shopper = make(user, i64::MAX);
        let mut waited = Duration::ZERO;
        while shopper.press().await != Answer::NoAccount {
            if waited >= SEEN_WITHIN {
                world.broken(format!("shopper {user} has no account and is not refused"));
                break;
            }
            sleep(LOOK).await;
            waited += LOOK;
        }
    }
}

/// By its terms the sale sells the rest, or refuses everyone but its buyers.
async fn everybody_is_told_how_the_sale_stands(
    world: &World,
    latecomers: &mut [Shopper],
    make: &mut impl FnMut(UserId, i64) -> Shopper,
) {
    let Some(SaleListing { window, switch, .. }) = world.ledger.listing(world.sale) else {
        return;
    };
    let (now, soon) = (at(world.now()), at(world.now() + 10_000));
    let refusal = match switch {
        SaleSwitch::Cancelled => Refusal::Ended,
        _ if now >= window.end => Refusal::Ended,
        // It would end in the middle of this.
        _ if soon >= window.end => return,
        SaleSwitch::Paused => Refusal::Paused,
        SaleSwitch::On => return sell_the_rest(world, latecomers).await,
    };
    let expected = Answer::Refused(refusal);
    if let Some(latecomer) = latecomers.first_mut() {
        told_soon(world, latecomer, |answer| answer == expected).await;
    }
    let there: BTreeSet<UserId> = world.ledger.accounts().into_iter().collect();
    for user in world.ledger.orders(world.sale).into_keys() {
        if there.contains(&user) {
            let is_told = |answer| matches!(answer, Answer::Accepted(accepted) if accepted.standing == Standing::Success);
            told_soon(world, &mut make(user, i64::MAX), is_told).await;
        }
    }
}

/// Presses until the answer is as expected; for three seconds.
async fn told_soon(world: &World, shopper: &mut Shopper, expected: impl Fn(Answer) -> bool) {
    let mut waited = Duration::ZERO;
    let mut answer = shopper.press().await;
    while !expected(answer) && waited < SEEN_WITHIN {
        sleep(LOOK).await;
        waited += LOOK;
        answer = shopper.press().await;
    }
    if !expected(answer) {
        world.broken(format!(
            "in the end shopper {} was answered {answer:?}",
            shopper.user
        ));
    }
}

/// Every unit is sold or can be bought: as many latecomers as there are units get one, and the next does not.
async fn sell_the_rest(world: &World, latecomers: &mut [Shopper]) {
    let free = usize::try_from(world.ledger.remaining(world.sale)).unwrap_or(usize::MAX);
    for (number, latecomer) in latecomers
        .iter_mut()
        .take(free.saturating_add(1))
        .enumerate()
    {
        let expected = |answer| match answer {
            Answer::Accepted(accepted) => number < free && accepted.standing == Standing::Pending,
            Answer::Refused(Refusal::SoldOut) => number >= free,
            _ => false,
        };
        let mut answer = latecomer.press().await;
        let mut waited = Duration::ZERO;
        // A mark or a number of a moment ago may still be in some API's memory; an accepted attempt is not taken back.
        while !expected(answer) && !matches!(answer, Answer::Accepted(_)) && waited < SEEN_WITHIN {
            sleep(LOOK).await;
            waited += LOOK;
            answer = latecomer.press().await;
        }
        if !expected(answer) {
            world.broken(format!(
                "with {} of {free} free units sold, the next shopper was answered {answer:?}",
                number.min(free)
            ));
        }
    }
}
