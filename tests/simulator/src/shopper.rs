//! A shopper: presses "buy" until there is an answer to rely on, presses again, asks for the result, at any node; and
//! remembers every word.

use std::{sync::Arc, time::Duration};

use flashsale::{
    auth::{AccountRefusal, Identity},
    clock::Clock,
    ids::{AttemptId, UserId},
    order::{Accepted, Refusal, ReplyQueue},
    port::{NewUser, PurchaseResult, Registration, Standing},
    sale::MARK_VALID_FOR,
};

use super::{
    chance::Chance,
    node::{Front, Node, Running},
    press::{Answer, Poll, Press},
    world::{World, short},
};

/// How long a shopper waits for an answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// A shopper, and the nodes behind the load balancer.
pub(super) struct Shopper {
    pub(super) world: Arc<World>,
    pub(super) nodes: Vec<Arc<Node>>,
    pub(super) user: UserId,
    /// When the shopper's token was issued, in seconds since 1970.
    pub(super) issued_at: i64,
    pub(super) chance: Chance,
    pub(super) accepted: Vec<AttemptId>,
}

impl Shopper {
    /// Shops until the time is over.
    pub(super) async fn run(mut self) {
        let active = self.world.plan.active;
        let arrival = match self.chance.between(0, 2) {
            0 => 0,
            1 => self.chance.between(0, active / 4),
            _ => self.chance.between(0, active),
        };
        tokio::time::sleep(Duration::from_millis(self.world.plan.opens.min(arrival))).await;
        self.pause(arrival.saturating_sub(self.world.plan.opens), 0)
            .await;
        while self.world.now() < active {
            let answer = if self.chance.per_mille(150) {
                self.press_twice().await
            } else {
                self.press().await
            };
            match answer {
                Answer::Accepted(_) => {
                    self.wait_for_result(active).await;
                    if self.chance.per_mille(600) {
                        return;
                    }
                }
                Answer::Refused(Refusal::SoldOut | Refusal::Ended) => {
                    self.poll().await;
                    if self.chance.per_mille(500) {
                        return;
                    }
                }
                Answer::Refused(_) | Answer::NoAccount | Answer::NotServed | Answer::Lost => {
                    if self.chance.per_mille(300) {
                        self.poll().await;
                    }
                    if self.chance.per_mille(100) {
                        return;
                    }
                }
            }
            self.pause(30, 600).await;
        }
    }

    /// Asks now and then until the result is there, or the time is over.
    async fn wait_for_result(&mut self, active: u64) {
        while self.world.now() < active {
            // Impatient ones press on meanwhile.
            if self.chance.per_mille(250) {
                self.press().await;
            }
            if self.poll().await.is_some() {
                return;
            }
            self.pause(20, 500).await;
        }
    }

    /// One press.
    pub(super) async fn press(&mut self) -> Answer {
        let node = self.any_node();
        let press = press(&self.world, node, self.identity()).await;
        self.remember(press)
    }

    /// Two at once, at two nodes or one.
    async fn press_twice(&mut self) -> Answer {
        let (one, other) = (self.any_node(), self.any_node());
        let presses = futures::future::join(
            press(&self.world, one, self.identity()),
            press(&self.world, other, self.identity()),
        );
        let (one, other) = presses.await;
        let other = self.remember(other);
        match self.remember(one) {
            accepted @ Answer::Accepted(_) => accepted,
            _ => other,
        }
    }

    fn remember(&mut self, press: Press) -> Answer {
        let answer = press.answer;
        self.check_terms(&press);
        if answer == Answer::NoAccount && !self.world.seen().without_account.contains(&self.user) {
            self.world.broken(format!(
                "shopper {} was told that their account does not exist",
                self.user
            ));
        }
        if let Answer::Accepted(accepted) = answer {
            self.accepted.push(accepted.attempt);
            let ended = self.world.seen().ended.contains(&accepted.attempt) || self.lost_order();
            if accepted.standing == Standing::Success && !ended && !self.has_order() {
                self.world.broken(format!(
                    "shopper {} was told of an order that does not exist",
                    self.user
                ));
            }
        }
        self.world.seen().presses.push(press);
        answer
    }

    /// The gate's clock opens and closes the sale, whatever the clock of the node says; operators pause and cancel it. Holders
    /// are told of their purchase all the time.
    fn check_terms(&self, press: &Press) {
        let forgotten = {
            let seen = self.world.seen();
            !seen.gate_losses.is_empty()
                || seen.times_set_back > 0
                || !seen.past_the_gate.is_empty()
                || seen.ended_of.contains(&self.user)
                || seen.lost_orders_of.contains(&self.user)
        };
        let is_holder = press.had_order && !forgotten;
        let answered = press.answered;
        let wrong = match press.answer {
            Answer::Refused(Refusal::NotStarted) => press.asked >= self.world.plan.opens,
            Answer::Refused(Refusal::Ended) => is_holder || !self.world.may_have_ended(answered),
            Answer::Refused(Refusal::Paused) => is_holder || !self.world.may_be_paused(answered),
            Answer::Refused(Refusal::SoldOut) => is_holder && !self.may_be_unknown_there(press),
            Answer::Accepted(accepted) => press.halted && press.own == Some(accepted.attempt),
            Answer::Refused(_) | Answer::NoAccount | Answer::NotServed | Answer::Lost => false,
        };
        if wrong {
            self.world.broken(format!(
                "shopper {} was answered {:?} at {} ms",
                self.user, press.answer, press.answered
            ));
        }
    }

    /// After units came back, a node that has not heard of it yet may take the sale for sold out, and refuse someone who got one of
    /// them a moment ago through another node.
    fn may_be_unknown_there(&self, press: &Press) -> bool {
        let seen = self.world.seen();
        let is_known = |before: &&Press| {
            let same_process = match (&before.process, &press.process) {
                (Some(before), Some(process)) => Arc::ptr_eq(before, process),
                _ => false,
            };
            before.user == self.user
                && matches!(before.answer, Answer::Accepted(_))
                && before.answered <= press.asked
                && (same_process
                    || Duration::from_millis(press.asked - before.answered) >= MARK_VALID_FOR)
        };
        seen.units_moved && !seen.presses.iter().any(|before| is_known(&before))
    }

    /// Asks for the result once.
    pub(super) async fn poll(&mut self) -> Option<PurchaseResult> {
        let running = self.any_node()?;
        let Front {
            services,
            directory,
        } = running.front()?;
        let identity = self.identity();
        let (asked, accepted) = (self.world.now(), self.accepted.clone());
        let had_order = self.has_order();
        let question = async {
            running.process.running().await;
            directory.admit(&identity).await.ok()?;
            let result = services
                .results
                .of(&ReplyQueue::default(), self.user, self.world.product)
                .await;
            running.process.running().await;
            result.ok()
        };
        let result = tokio::select! {
            biased;
            result = question => result?,
            () = running.process.death() => return None,
            () = tokio::time::sleep(PATIENCE) => return None,
        };
        self.world
            .note(|| format!("shopper {} is told: {result:?}", self.user));
        // Of an order that ended, the gate is told a moment later.
        let ended = self.world.seen().ended_of.contains(&self.user) || self.lost_order();
        match result {
            Some(PurchaseResult::Success) if !ended && !self.has_order() => self.world.broken(
                format!("shopper {} was told SUCCESS without an order", self.user),
            ),
            Some(PurchaseResult::Failed) if !ended && had_order => self.world.broken(format!(
                "shopper {} was told FAILED beside an order",
                self.user
            )),
            _ => {}
        }
        self.world.seen().polls.push(Poll {
            user: self.user,
            asked,
            result,
            accepted,
        });
        result
    }

    fn identity(&self) -> Identity {
        Identity::of_shopper(self.user, self.issued_at)
    }

    /// The ledger was set back to before an order of theirs: until it comes back from the log, gate and ledger differ.
    fn lost_order(&self) -> bool {
        self.world.seen().lost_orders_of.contains(&self.user)
    }

    fn has_order(&self) -> bool {
        let orders = self.world.ledger.orders(self.world.sale);
        orders.contains_key(&self.user)
    }

    /// Whom a load balancer picks.
    fn any_node(&mut self) -> Option<Arc<Running>> {
        let index = self.chance.index(self.nodes.len());
        self.nodes.get(index)?.running()
    }

    async fn pause(&mut self, least: u64, more: u64) {
        let pause = self.chance.millis(least, least + more);
        tokio::time::sleep(pause).await;
    }
}

/// One press at a node, as HTTP would bring it.
async fn press(world: &World, node: Option<Arc<Running>>, identity: Identity) -> Press {
    let (asked, user) = (world.now(), identity.user);
    let halted = world.seen().halted;
    let had_order = world.ledger.orders(world.sale).contains_key(&user);
    let (mut own, mut answer) = (None, Answer::NotServed);
    let process = node.as_ref().map(|running| Arc::clone(&running.process));
    if let Some(running) = node
        && let Some(Front {
            services,
            directory,
        }) = running.front()
    {
        let question = async {
            running.process.running().await;
            match directory.admit(&identity).await {
                Ok(()) => {}
                Err(AccountRefusal::Unknown | AccountRefusal::Ended) => return Answer::NoAccount,
                Err(AccountRefusal::Unavailable(_)) => return Answer::NotServed,
            }
            running.clock.take_last_id();
            let replies = ReplyQueue::default();
            let attempt = services.purchase.attempt(&replies, user, world.sale);
            tokio::pin!(attempt);
            // The node gives the attempt its id before it waits for anything.
            let first = futures::poll!(&mut attempt);
            own = running.clock.take_last_id();
            world.note(|| {
                let id = own.map_or_else(|| "refused at once".to_owned(), short);
                format!("shopper {user} presses at {}: {id}", running.process.name)
            });
            let answer = match first {
                std::task::Poll::Ready(answer) => answer,
                std::task::Poll::Pending => attempt.await,
            };
            running.process.running().await;
            answer.map_or_else(Answer::Refused, Answer::Accepted)
        };
        answer = tokio::select! {
            biased;
            answer = question => answer,
            () = running.process.death() => Answer::Lost,
            () = tokio::time::sleep(PATIENCE) => Answer::Lost,
        };
    }
    world.note(|| match &answer {
        Answer::Accepted(Accepted { attempt, standing }) => {
            format!(
                "shopper {user} is answered: accepted {} ({standing:?})",
                short(*attempt)
            )
        }
        other => format!("shopper {user} is answered: {other:?}"),
    });
    Press {
        user,
        own,
        asked,
        answered: world.now(),
        answer,
        had_order,
        halted: halted.is_some() && world.seen().halted == halted,
        process,
    }
}

/// Somebody who registers at a node, and comes with the token of that account. `None` if it comes to nothing.
pub(super) async fn newcomer(
    world: &Arc<World>,
    nodes: Vec<Arc<Node>>,
    at: &Arc<Running>,
    chance: Chance,
) -> Option<Shopper> {
    let Front { directory, .. } = at.front()?;
    let set_back = world.seen().times_set_back;
    let name = format!("newcomer{}", world.clock().new_id().as_u128());
    let new = NewUser {
        email: format!("{name}@example.com"),
        username: name,
        password_hash: "-".to_owned(),
        full_name: None,
    };
    let registered = async {
        let made = directory.register(&new).await;
        at.process.running().await;
        made
    };
    let made = tokio::select! {
        biased;
        made = registered => made.ok()?,
        () = at.process.death() => return None,
        () = tokio::time::sleep(PATIENCE) => return None,
    };
    let Registration::Registered(user) = made else {
        return None;
    };
    world.note(|| format!("shopper {user} is registered at {}", at.process.name));
    let (again, excused) = {
        let mut seen = world.seen();
        // docs/LIMITS.md names a registration that is under way while the ledger is set back.
        let overtaken = seen.times_set_back != set_back;
        let again = !seen.registered.insert(user);
        (again, overtaken || seen.forgotten.contains(&user))
    };
    if again {
        if !excused {
            world.broken(format!("the id {user} was handed out twice"));
        }
        return None;
    }
    // A token is never older than its account, whatever the node's clock says.
    let issued_at = at.clock.now().max(world.clock().now()).timestamp();
    Some(Shopper {
        world: Arc::clone(world),
        nodes,
        user,
        issued_at,
        chance,
        accepted: Vec::new(),
    })
}
