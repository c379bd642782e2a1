//! The judgement: the six promises, on what shoppers were told and on what is stored.

use std::collections::BTreeMap;

use flashsale::{
    engine::record,
    ids::{AttemptId, UserId},
    order::Refusal,
    port::{
        DeadLetter, EventSubject, EventType, GateReads, GateStatus, LogEnds, Outcome,
        PurchaseResult, ShopperResults,
    },
};

use super::{
    plan::Kind,
    press::Answer,
    world::{Seen, World, short},
};

/// Judges a history that is over.
pub(super) async fn judge(world: &World, became_quiet: bool) {
    let orders = world.ledger.orders(world.sale);
    stored(world, &orders);
    events_tell_of_every_order(world, &orders);
    if became_quiet {
        balanced(world, &orders).await;
        results_agree(world, &orders).await;
        let broken = {
            let seen = world.seen();
            let mut broken = Vec::new();
            accepted_attempts_ended(world, &seen, &orders, &mut broken);
            second_presses_got_the_same(world, &seen, &mut broken);
            dead_letters_are_kept(world, &seen, &mut broken);
            broken
        };
        for promise in broken {
            world.broken(promise);
        }
    }
    let mut broken = Vec::new();
    {
        let seen = world.seen();
        refused_attempts_came_to_nothing(world, &seen, &mut broken);
        who_was_told_failed_got_no_order(world, &seen, &mut broken);
        results_never_turn(&seen, &mut broken);
    }
    for promise in broken {
        world.broken(promise);
    }
}

/// How many accepted attempts are excused.
pub(super) fn excused(world: &World, seen: &Seen) -> u64 {
    let attempts = accepted(seen).filter(|(_, id)| is_excused(world, seen, *id));
    attempts.count() as u64
}

/// True if two failures at once left no trace of an attempt. In one process nothing is accepted before it is in the log,
/// which no failure there destroys: nothing is excused.
fn is_excused(world: &World, seen: &Seen, id: AttemptId) -> bool {
    world.plan.kind == Kind::Servers
        && seen.erased.contains(&id)
        && world.ledger.outcome(id).is_none()
}

fn accepted(seen: &Seen) -> impl Iterator<Item = (UserId, AttemptId)> {
    seen.presses.iter().filter_map(|press| match press.answer {
        Answer::Accepted(accepted) => Some((press.user, accepted.attempt)),
        _ => None,
    })
}

/// Never oversold; one order a shopper is a key of the map.
fn stored(world: &World, orders: &BTreeMap<UserId, AttemptId>) {
    let (sold, initial) = (orders.len() as u64, world.ledger.initial(world.sale));
    if sold > initial {
        world.broken(format!("oversold: {sold} orders of {initial} units"));
    }
    let remaining = world.ledger.remaining(world.sale);
    if sold + remaining != initial {
        world.broken(format!(
            "the ledger has {sold} sold and {remaining} left of {initial}"
        ));
    }
    let mut by_attempt: Vec<_> = orders.values().collect();
    by_attempt.sort_unstable();
    by_attempt.dedup();
    if by_attempt.len() != orders.len() {
        world.broken("two orders of one attempt".to_owned());
    }
}

/// Everything is published: the events of the sale are numbered without gaps, and from them alone follows which orders stand.
fn events_tell_of_every_order(world: &World, orders: &BTreeMap<UserId, AttemptId>) {
    let mut told: BTreeMap<UserId, AttemptId> = BTreeMap::new();
    let mut last = 0;
    for batch in world.ledger.events(world.sale) {
        if batch.first != last + 1 || batch.count() == 0 {
            world.broken(format!("event {} follows event {last}", batch.first));
        }
        last = batch.last();
        let EventSubject::Orders(about) = &batch.subject else {
            continue;
        };
        for order in about {
            let agrees = match batch.event_type {
                EventType::OrderCreated => told.insert(order.user, order.attempt).is_none(),
                _ => told.remove(&order.user) == Some(order.attempt),
            };
            if !agrees {
                world.broken(format!(
                    "{} of shopper {} is told twice, or of an order that does not stand",
                    batch.event_type.name(),
                    order.user
                ));
            }
        }
    }
    if told != *orders {
        world.broken(format!(
            "events tell of the orders {told:?}, and there are {orders:?}"
        ));
    }
}

/// Every unit is sold or can be bought, in the gate too.
async fn balanced(world: &World, orders: &BTreeMap<UserId, AttemptId>) {
    let gate = world.gate();
    let status = gate.status(world.sale).await;
    if let Ok(GateStatus::Open {
        available,
        pending,
        total,
        switch,
        window,
        ref withdrawn,
        ..
    }) = status
    {
        let initial = i64::try_from(world.ledger.initial(world.sale)).unwrap_or(i64::MAX);
        if total != initial || status.as_ref().is_ok_and(GateStatus::is_contradictory) {
            world.broken(format!("of {initial} units the gate has {status:?}"));
        }
        let terms = world.ledger.listing(world.sale).map(|row| row.terms());
        if terms.is_some_and(|terms| terms.switch != switch || terms.window != window)
            || !withdrawn.is_empty()
        {
            world.broken(format!(
                "the ledger's terms are {terms:?}, the gate has {status:?}"
            ));
        }
        let holders = gate.holders(world.sale).await.unwrap_or_default();
        let remaining = i64::try_from(world.ledger.remaining(world.sale)).unwrap_or(i64::MAX);
        if pending != 0 || available != remaining || !holders.iter().eq(orders.keys()) {
            world.broken(format!(
                "the gate has {available} available, {pending} pending, holders {holders:?}; \
                 the ledger {remaining} left, buyers {:?}",
                orders.keys().collect::<Vec<_>>()
            ));
        }
    }
}

/// What shoppers read agrees with the orders.
async fn results_agree(world: &World, orders: &BTreeMap<UserId, AttemptId>) {
    let gate = world.gate();
    let lost = !world.seen().gate_losses.is_empty() && world.plan.kind == Kind::Servers;
    let mut users: BTreeMap<UserId, Vec<AttemptId>> = BTreeMap::new();
    for (user, attempt) in accepted(&world.seen()) {
        users.entry(user).or_default().push(attempt);
    }
    for (user, attempts) in users {
        let read = gate
            .read_result(user, world.product, Some(world.sale))
            .await;
        let Ok(result) = read else { continue };
        let ended = world.seen().ended_of.contains(&user);
        // Nobody can ask for the result of an account that does not exist.
        if world.seen().without_account.contains(&user) {
            continue;
        }
        let erased = || {
            let erased = |id: &AttemptId| is_excused(world, &world.seen(), *id);
            attempts.iter().any(erased)
        };
        let lost_to_another = || {
            let sold_out = |id: &AttemptId| world.ledger.outcome(*id) == Some(Outcome::SoldOut);
            attempts.iter().any(sold_out)
        };
        // The ledger lost the order, and its unit went to another: to one whose order an operator had ended, which the restored
        // ledger does not know, or to one whose attempt somebody else had written with the same id.
        let lost_order = || {
            let copied = |id: &AttemptId| world.seen().copied.contains(id);
            world.seen().lost_orders_of.contains(&user)
                && (lost_to_another() || attempts.iter().any(copied))
        };
        let agrees = match result {
            Some(PurchaseResult::Success) => orders.contains_key(&user),
            Some(PurchaseResult::Failed) => !orders.contains_key(&user),
            // Failures are in the gate alone; one that lost something may have forgotten them.
            None => !orders.contains_key(&user) && (lost || ended || erased() || lost_order()),
        };
        if !agrees {
            world.broken(format!(
                "shopper {user} finally reads {result:?}, with order {:?}",
                orders.get(&user).map(|id| short(*id))
            ));
        }
    }
}

/// Nothing accepted is lost.
fn accepted_attempts_ended(
    world: &World,
    seen: &Seen,
    orders: &BTreeMap<UserId, AttemptId>,
    broken: &mut Vec<String>,
) {
    for (user, id) in accepted(seen) {
        let outcome = world.ledger.outcome(id);
        let ended_well = match outcome {
            Some(Outcome::Ordered) => {
                orders.get(&user) == Some(&id)
                    // Once the order is lost, the first record with the copied id gets it.
                    || seen.copied.contains(&id) && seen.lost_orders_of.contains(&user)
            }
            Some(Outcome::AlreadyOrdered { by }) => orders.get(&user) == Some(&by),
            // Unless an operator makes units come back in the ledger, that none is left now is the proof.
            Some(Outcome::SoldOut) => {
                seen.may_be_short && (seen.units_moved || world.ledger.remaining(world.sale) == 0)
            }
            // By an operator, and by nobody else.
            Some(Outcome::Released) => seen.ended.contains(&id),
            Some(Outcome::NoAccount) => seen.without_account.contains(&user),
            Some(Outcome::Rejected) => false,
            None => is_excused(world, seen, id),
        };
        if !ended_well {
            broken.push(format!(
                "{} of shopper {user} was accepted and ended as {outcome:?}",
                short(id)
            ));
        }
    }
}

/// Whoever was refused for certain has no order by that press.
fn refused_attempts_came_to_nothing(world: &World, seen: &Seen, broken: &mut Vec<String>) {
    for press in &seen.presses {
        let Answer::Refused(refusal) = press.answer else {
            continue;
        };
        if let Some(own) = press.own
            && refusal != Refusal::OutcomeUnknown
            // Made by the first of two calls, and closed when the second came. Our client sends a script once (ADR 5).
            && !(refusal == Refusal::Preparing && world.plan.gate.twice > 0)
            && let Some(outcome) = world.ledger.outcome(own)
            && !seen.resurrected.contains(&own)
        {
            broken.push(format!(
                "{} of shopper {} was refused ({refusal}) and became {outcome:?}",
                short(own),
                press.user
            ));
        }
    }
}

/// Unknown is not failed: FAILED is the last word about everything that was accepted before.
fn who_was_told_failed_got_no_order(world: &World, seen: &Seen, broken: &mut Vec<String>) {
    // Records by another hand make more attempts than units. If the ledger has lost which of them got one, they are settled anew,
    // and partitions in another order: docs/LIMITS.md names it.
    if !seen.past_the_gate.is_empty() && !seen.lost_orders_of.is_empty() {
        return;
    }
    for poll in &seen.polls {
        // Who had an order that ended may have had another one before.
        if poll.result != Some(PurchaseResult::Failed) || seen.ended_of.contains(&poll.user) {
            continue;
        }
        for id in &poll.accepted {
            // docs/LIMITS.md names a ledger that has lost why they failed.
            let is_excused = seen.refusals_lost.contains(id);
            let has_order = matches!(
                world.ledger.outcome(*id),
                Some(Outcome::Ordered | Outcome::AlreadyOrdered { .. })
            );
            if has_order && !is_excused {
                broken.push(format!(
                    "shopper {} was told FAILED at {} ms, and {} became an order",
                    poll.user,
                    poll.asked,
                    short(*id)
                ));
            }
        }
    }
}

/// A SUCCESS stays one, however often it is asked for.
fn results_never_turn(seen: &Seen, broken: &mut Vec<String>) {
    let mut told: BTreeMap<UserId, u64> = BTreeMap::new();
    for poll in &seen.polls {
        match poll.result {
            Some(PurchaseResult::Success) => {
                told.entry(poll.user).or_insert(poll.asked);
            }
            Some(PurchaseResult::Failed)
                if !seen.ended_of.contains(&poll.user)
                    && told.get(&poll.user).is_some_and(|at| *at < poll.asked) =>
            {
                broken.push(format!(
                    "shopper {} was told SUCCESS, and FAILED at {} ms",
                    poll.user, poll.asked
                ));
            }
            _ => {}
        }
    }
}

/// A second press is answered with the first one's attempt, for as long as the gate forgets nothing.
fn second_presses_got_the_same(world: &World, seen: &Seen, broken: &mut Vec<String>) {
    let mut first: BTreeMap<UserId, (AttemptId, u64)> = BTreeMap::new();
    let mut presses: Vec<_> = seen.presses.iter().collect();
    presses.sort_by_key(|press| press.answered);
    for press in presses {
        let Answer::Accepted(accepted) = press.answer else {
            continue;
        };
        let (before, asked) = *first
            .entry(press.user)
            .or_insert((accepted.attempt, press.asked));
        if before == accepted.attempt {
            continue;
        }
        let forgotten = seen
            .gate_losses
            .iter()
            .any(|loss| (asked..=press.answered).contains(loss));
        let stands = world.ledger.outcome(before) == Some(Outcome::Ordered);
        // Settled anew, an earlier attempt that found no unit may find one.
        let lost =
            seen.lost_orders_of.contains(&press.user) || seen.refusals_lost.contains(&before);
        if stands && !forgotten && !lost && seen.past_the_gate.is_empty() {
            broken.push(format!(
                "shopper {} was answered {}, then {}",
                press.user,
                short(before),
                short(accepted.attempt)
            ));
        }
        first.insert(press.user, (accepted.attempt, press.asked));
    }
}

/// What cannot be settled is kept; what names no account is settled as that.
fn dead_letters_are_kept(world: &World, seen: &Seen, broken: &mut Vec<String>) {
    let letters = world.log.all_dead_letters();
    for (partition, offset, attempt) in &seen.poison {
        let outcome = attempt.and_then(|id| world.ledger.outcome(id));
        if outcome == Some(Outcome::NoAccount) {
            continue;
        }
        // A duplicate of one that was rejected is settled like it.
        let is_duplicate = |letter: &DeadLetter| {
            let of = record::decode(&letter.raw).ok().map(|of| of.id);
            outcome == Some(Outcome::Rejected) && of == *attempt
        };
        let kept = letters.iter().any(|letter| {
            letter.partition == *partition && letter.offset == *offset || is_duplicate(letter)
        });
        if !kept {
            broken.push(format!(
                "the record at {offset} of partition {partition} of {} is neither settled nor a dead letter",
                world.log.name()
            ));
        }
    }
}
