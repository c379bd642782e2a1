//! What a seed decides before a history begins: how large the system is, which kinds of faults come, and when.
//!
//! Each history has a few kinds of faults, not all: many histories of few kinds reach states that faults of every kind at
//! once would hide.

use std::time::Duration;

use flashsale::port::{MovementMode, Restock, SaleSwitch};

use super::chance::Chance;
use crate::model::Part;

/// A history to come.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) apis: usize,
    pub(super) workers: usize,
    pub(super) partitions: i32,
    pub(super) shoppers: u64,
    pub(super) stock: u64,
    /// When the sale opens, and how long shoppers come and faults happen, in milliseconds.
    pub(super) opens: u64,
    pub(super) ends: u64,
    pub(super) active: u64,
    pub(super) lease: Duration,
    pub(super) pending_age: Duration,
    /// How calls go, by server.
    pub(super) gate: Calls,
    pub(super) log: Calls,
    pub(super) ledger: Calls,
    /// With the time of each, in order.
    pub(super) events: Vec<(u64, Event)>,
}

/// Which system is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// API nodes and workers of their own, around a gate that outlives them.
    Servers,
    /// Everything in one process; its gate ends with it.
    Embedded,
}

/// How calls to a server go while there are faults.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calls {
    /// The longest way of a request or an answer that is not slow, in milliseconds.
    pub(super) way: u64,
    /// Of a thousand calls, how many are refused: nothing happens. Half of those only after a long time.
    pub(super) refused: u64,
    /// How many have their request lost, or their answer.
    pub(super) lost: u64,
    /// How many take so long that they may take effect after their caller gave up.
    pub(super) slow: u64,
    /// How many are sent twice, because the first answer did not come.
    pub(super) twice: u64,
    pub(super) timeout: Duration,
}

/// A server behind a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Gate,
    Log,
    Ledger,
}

/// Something that happens to the system. Times are in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// To the API node of this number.
    Api(usize, Blow),
    Worker(usize, Blow),
    /// Calls to a server get no answer, or are refused.
    Away {
        server: Server,
        refused: bool,
        for_ms: u64,
    },
    EmptyGate,
    /// The gate writes down what it has.
    SaveGate,
    /// The gate restarts from what it wrote down last, or from nothing.
    RestartGate {
        forgets: bool,
    },
    /// Retention: records up to this share (per mille) of what is in the log go.
    CutLog {
        share: u64,
    },
    MakeLogAnew,
    Poison(Poison),
    /// An operator at the API node of this number changes the sale.
    Operate(usize, Operation),
    /// A statement written by hand sets the switch of the sale.
    SetSwitch(SaleSwitch),
    /// A statement written by hand moves the end of the sale so far from now.
    SetEnd(i64),
    /// An operator sets the units of the sale, by a statement written by hand; no fewer than are sold.
    SetUnits(u64),
    /// An operator deletes an order.
    EndOrder(usize),
    /// The server forgets one key of the sale.
    LoseKey(Part),
    /// What the gate has was loaded from another ledger, whose numbers coincide.
    ForeignGate,
    /// A backup of the ledger is made.
    SaveLedger,
    /// The ledger is set back to its last backup, while everything else goes on.
    SetLedgerBack,
    /// The log gets one partition more.
    AddPartition,
    /// An operator deletes the account of this shopper, if there is no order of theirs.
    DeleteAccount(u64),
    /// Somebody registers at the API node of this number, and shops.
    Register(usize),
}

/// What an operator does: in the ledger, and then in the gate.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    Pause,
    Resume,
    End,
    Cancel,
    /// The new end is so many milliseconds from now.
    MoveEnd(u64),
    AddUnits(u32),
    Withdraw(u32, MovementMode),
    /// Of one of the orders.
    CancelOrder(usize, Restock),
}

impl Operation {
    /// Its place in [`OPERATIONS`](super::report::OPERATIONS).
    pub(super) fn kind(self) -> usize {
        match self {
            Self::Pause => 0,
            Self::Resume => 1,
            Self::End => 2,
            Self::Cancel => 3,
            Self::MoveEnd(_) => 4,
            Self::AddUnits(_) => 5,
            Self::Withdraw(..) => 6,
            Self::CancelOrder(_, Restock::Yes) => 7,
            Self::CancelOrder(_, Restock::No) => 8,
        }
    }
}

/// What happens to one process.
#[derive(Debug, Clone, Copy)]
pub(super) enum Blow {
    /// It is killed, and started again after a while.
    Crash {
        down: u64,
    },
    Pause {
        for_ms: u64,
    },
    /// It is told to stop, killed after its grace, and started again.
    Stop {
        grace: u64,
    },
    /// Its clock is off from now on.
    Skew {
        by: i64,
    },
}

/// A record that somebody else writes into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Poison {
    Undecodable,
    UnknownUser,
    UnknownSale,
    /// A second record of an attempt that is in the log.
    Duplicate,
    /// A record with the id of an attempt of another shopper.
    ForeignId,
    /// An attempt of a real shopper that no gate has seen.
    PastTheGate,
}

impl Plan {
    pub(super) fn of(chance: &mut Chance) -> Self {
        let kind = if chance.per_mille(700) {
            Kind::Servers
        } else {
            Kind::Embedded
        };
        let servers = kind == Kind::Servers;
        let size = |chance: &mut Chance, most| {
            if servers { chance.index(most) + 1 } else { 1 }
        };
        let (apis, workers) = (size(chance, 3), size(chance, 3));
        let partitions = if servers { chance.between(1, 3) } else { 1 };
        let active = chance.between(500, 1_600);
        let opens = if chance.per_mille(200) {
            chance.between(0, 500)
        } else {
            0
        };
        let ends = if chance.per_mille(150) {
            active * chance.between(4, 10) / 10
        } else {
            3_600_000
        };
        let lease = chance.millis(600, 1_800);
        let mut plan = Self {
            kind,
            apis,
            workers,
            partitions: i32::try_from(partitions).unwrap_or(1),
            shoppers: chance.between(2, 10),
            stock: chance.between(1, 5),
            opens,
            ends,
            active,
            lease,
            pending_age: chance.millis(200, 1_000),
            gate: calls(chance, servers, 500),
            log: calls(chance, servers, 800),
            ledger: calls(chance, servers, 1_000),
            events: Vec::new(),
        };
        if !servers {
            // A call within the process is neither lost nor late.
            plan.gate = Calls {
                way: 0,
                refused: 0,
                ..plan.gate
            };
        }
        plan.draw_events(chance);
        plan.draw_operations(chance);
        plan.events.sort_by_key(|(when, _)| *when);
        plan
    }

    fn draw_events(&mut self, chance: &mut Chance) {
        let servers = self.kind == Kind::Servers;
        // The kinds that there are; a few of them come in this history.
        let mut kinds: Vec<Draw> = vec![
            |plan, c| {
                let node = c.index(plan.apis);
                let down = c.between(50, 1_500);
                Event::Api(node, Blow::Crash { down })
            },
            |plan, c| {
                let node = c.index(plan.apis);
                let for_ms = c.between(50, 2_500);
                Event::Api(node, Blow::Pause { for_ms })
            },
            |plan, c| {
                let node = c.index(plan.apis);
                let grace = c.between(20, 1_500);
                Event::Api(node, Blow::Stop { grace })
            },
            |plan, c| Event::Api(c.index(plan.apis), Blow::Skew { by: skew(c) }),
            |_, c| Event::Away {
                server: c.pick(&Server::Log, &[Server::Ledger]),
                refused: true,
                for_ms: c.between(100, 2_500),
            },
            |_, c| Event::Poison(poison(c)),
            |plan, c| Event::SetUnits(c.between(0, plan.stock + 3)),
            |_, c| Event::EndOrder(c.index(5)),
            |plan, c| Event::DeleteAccount(c.between(1, plan.shoppers)),
            |plan, c| Event::Register(c.index(plan.apis)),
        ];
        if servers {
            kinds.extend::<[Draw; 12]>([
                |plan, c| {
                    let node = c.index(plan.workers);
                    let down = c.between(50, 2_500);
                    Event::Worker(node, Blow::Crash { down })
                },
                |plan, c| {
                    let node = c.index(plan.workers);
                    let for_ms = c.between(50, 4_000);
                    Event::Worker(node, Blow::Pause { for_ms })
                },
                |plan, c| {
                    let node = c.index(plan.workers);
                    let grace = c.between(20, 1_500);
                    Event::Worker(node, Blow::Stop { grace })
                },
                |plan, c| Event::Worker(c.index(plan.workers), Blow::Skew { by: skew(c) }),
                |_, c| Event::Away {
                    server: c.pick(&Server::Gate, &[Server::Log, Server::Ledger]),
                    refused: c.per_mille(500),
                    for_ms: c.between(100, 2_500),
                },
                |_, _| Event::EmptyGate,
                |_, _| Event::ForeignGate,
                |_, _| Event::SetLedgerBack,
                |_, _| Event::AddPartition,
                |_, c| {
                    Event::LoseKey(
                        c.pick(&Part::Stock, &[Part::Holders, Part::Pending, Part::Meta]),
                    )
                },
                |_, c| Event::RestartGate {
                    forgets: c.per_mille(300),
                },
                |_, c| {
                    if c.per_mille(700) {
                        Event::CutLog {
                            share: c.between(100, 1_000),
                        }
                    } else {
                        Event::MakeLogAnew
                    }
                },
            ]);
        }
        let wanted = chance.between(0, 3);
        for _ in 0..wanted {
            let draw = kinds.swap_remove(chance.index(kinds.len()));
            for _ in 0..chance.between(1, 3) {
                // Half of them in the rush.
                let when = if chance.per_mille(500) {
                    self.opens + chance.between(0, 300)
                } else {
                    chance.between(0, self.active)
                };
                let event = draw(self, chance);
                self.prepare(event, when, chance);
                self.events.push((when, event));
            }
        }
    }

    /// In half of the histories operators are at work, on top of everything else.
    fn draw_operations(&mut self, chance: &mut Chance) {
        if chance.per_mille(500) {
            return;
        }
        for _ in 0..chance.between(1, 4) {
            let when = chance.between(0, self.active);
            let node = chance.index(self.apis);
            let event = match chance.between(1, 10) {
                1 => Event::SetSwitch(chance.pick(
                    &SaleSwitch::On,
                    &[SaleSwitch::Paused, SaleSwitch::Cancelled],
                )),
                2 => {
                    let from_now = i64::try_from(chance.between(0, 3_000)).unwrap_or(0) - 1_000;
                    Event::SetEnd(from_now)
                }
                _ => Event::Operate(node, operation(chance)),
            };
            self.events.push((when, event));
            if let Event::Operate(node, Operation::Withdraw(..)) = event
                && self.kind == Kind::Servers
                && chance.per_mille(200)
            {
                // Its process stops with the gate's answer in its hand, and the gate forgets what it set aside.
                let for_ms = chance.between(300, 3_000);
                let pause = Event::Api(node, Blow::Pause { for_ms });
                self.events.push((when + chance.between(1, 30), pause));
                let emptied = when + chance.between(5, 60);
                self.events.push((emptied, Event::EmptyGate));
            }
            // Most who pause a sale resume it.
            if matches!(event, Event::Operate(_, Operation::Pause)) && chance.per_mille(700) {
                let later = when + chance.between(0, 800);
                let node = chance.index(self.apis);
                let resume = Event::Operate(node, Operation::Resume);
                self.events.push((later, resume));
            }
        }
    }

    /// Adds what comes before an event: the image that a server is set back to.
    fn prepare(&mut self, event: Event, when: u64, chance: &mut Chance) {
        match event {
            Event::RestartGate { forgets: false } => {
                let before = when.saturating_sub(chance.between(0, 1_500));
                self.events.push((before, Event::SaveGate));
            }
            Event::SetLedgerBack => {
                let before = when.saturating_sub(chance.between(0, 1_500));
                self.events.push((before, Event::SaveLedger));
                // That an account is lost comes to light when another gets its id.
                let made = chance.between(0, self.active);
                let node = chance.index(self.apis);
                self.events.push((made, Event::Register(node)));
            }
            _ => {}
        }
    }

    pub(super) fn calls(&self, server: Server) -> Calls {
        match server {
            Server::Gate => self.gate,
            Server::Log => self.log,
            Server::Ledger => self.ledger,
        }
    }
}

type Draw = fn(&Plan, &mut Chance) -> Event;

fn calls(chance: &mut Chance, remote: bool, timeout: u64) -> Calls {
    // Half of the servers of a history have nothing wrong with them.
    let mut some = |most: u64| {
        if chance.per_mille(500) {
            0
        } else {
            chance.between(1, most)
        }
    };
    Calls {
        way: some(12),
        refused: some(150),
        lost: if remote { some(120) } else { 0 },
        slow: if remote { some(120) } else { 0 },
        twice: if remote { some(100) } else { 0 },
        timeout: Duration::from_millis(timeout),
    }
}

fn operation(chance: &mut Chance) -> Operation {
    match chance.between(1, 16) {
        1..=3 => Operation::Pause,
        4 => Operation::Resume,
        5 => Operation::End,
        6 => Operation::Cancel,
        7..=8 => Operation::MoveEnd(chance.between(0, 4_000)),
        9..=10 => Operation::AddUnits(u32::try_from(chance.between(1, 3)).unwrap_or(1)),
        11..=14 => Operation::Withdraw(
            u32::try_from(chance.between(1, 4)).unwrap_or(1),
            chance.pick(&MovementMode::UpTo, &[MovementMode::Exact]),
        ),
        _ => Operation::CancelOrder(chance.index(5), chance.pick(&Restock::Yes, &[Restock::No])),
    }
}

/// Below the margin around a sale's window, mostly; seconds or minutes else.
fn skew(chance: &mut Chance) -> i64 {
    let most = match chance.between(1, 10) {
        1..=6 => 900,
        7..=8 => 20_000,
        _ => 1_200_000,
    };
    i64::try_from(chance.between(0, 2 * most)).unwrap_or(0) - i64::try_from(most).unwrap_or(0)
}

fn poison(chance: &mut Chance) -> Poison {
    let others = [
        Poison::UnknownUser,
        Poison::UnknownSale,
        Poison::Duplicate,
        Poison::ForeignId,
        Poison::PastTheGate,
    ];
    chance.pick(&Poison::Undecodable, &others)
}
