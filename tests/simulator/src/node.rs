//! Processes of the system: the real domain code on ports with faults, started, stopped, paused and killed.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use flashsale::{
    auth::{Directory, DirectoryEngines},
    clock::Clock,
    lifecycle::Lifecycle,
    order::{Services, Worker, WorkerSettings},
    port::Ports,
};

use super::{
    clock::SimulatedClock,
    connection::Connection,
    lock::lock,
    plan::{Kind, Server},
    ports::{RemoteGate, RemoteLedger, RemoteLog},
    process::Process,
    world::{GROUP, World},
};

/// How long a process that could not start waits before it is started again.
const RESTART: Duration = Duration::from_millis(100);

/// How long a sale is kept after its end: longer than any history.
pub(super) const KEPT: Duration = Duration::from_hours(1);

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeRole {
    Api,
    Worker,
    /// Both in one process.
    Everything,
}

/// A place where one process runs at a time; its supervisor starts the next.
pub(super) struct Node {
    world: Arc<World>,
    name: String,
    role: NodeRole,
    running: Mutex<Option<Arc<Running>>>,
    /// How many processes ran here, and how far its clock is off.
    state: Mutex<(u32, i64)>,
}

/// What an API node works with once it serves.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) services: Services,
    pub(super) directory: Arc<Directory>,
}

/// A process that runs.
pub(super) struct Running {
    pub(super) process: Arc<Process>,
    pub(super) clock: Arc<SimulatedClock>,
    lifecycle: Lifecycle,
    /// Once it serves.
    front: Mutex<Option<Front>>,
    /// True once it was told to stop.
    stopping: Mutex<bool>,
}

impl Node {
    pub(super) fn new(world: &Arc<World>, role: NodeRole, number: usize) -> Arc<Self> {
        let name = match role {
            NodeRole::Api => format!("api {number}"),
            NodeRole::Worker => format!("worker {number}"),
            NodeRole::Everything => "process".to_owned(),
        };
        Arc::new(Self {
            world: Arc::clone(world),
            name,
            role,
            running: Mutex::default(),
            state: Mutex::default(),
        })
    }

    /// The process that runs here, if one does.
    pub(super) fn running(&self) -> Option<Arc<Running>> {
        lock(&self.running).clone()
    }

    /// Starts a process, unless one runs.
    pub(super) fn start(&self) {
        let mut running = lock(&self.running);
        if running.is_some() {
            return;
        }
        let (number, skew) = {
            let mut state = lock(&self.state);
            state.0 += 1;
            *state
        };
        let process = Arc::new(Process::new(format!("{}.{number}", self.name)));
        let clock = self.world.clock();
        clock.set_skew(skew);
        let started = Arc::new(Running {
            process: Arc::clone(&process),
            clock,
            lifecycle: Lifecycle::default(),
            front: Mutex::default(),
            stopping: Mutex::default(),
        });
        *running = Some(Arc::clone(&started));
        self.world.note(|| format!("{} starts", process.name));
        if self.world.plan.kind == Kind::Embedded {
            self.world.ledger.clear_leases();
        }
        let engines = self.engines(&started);
        if self.role != NodeRole::Worker {
            let (started, engines) = (Arc::clone(&started), engines.clone());
            self.world.outside.spawn(async move {
                let front = Front::open(&started.lifecycle, engines).await;
                *lock(&started.front) = Some(front);
            });
        }
        if self.role != NodeRole::Api {
            let settings = WorkerSettings {
                group: GROUP.to_owned(),
                id: process.name.clone(),
                lease: self.world.plan.lease,
                pending_age: self.world.plan.pending_age,
                keep: KEPT,
            };
            let worker = Worker::new(engines, settings);
            let stop = started.lifecycle.stop().clone();
            started.lifecycle.spawn("worker", worker.run(stop));
        }
    }

    /// The process is gone at once.
    pub(super) fn kill(&self) {
        if let Some(running) = lock(&self.running).take() {
            self.world
                .note(|| format!("{} is killed", running.process.name));
            running.process.kill();
        }
    }

    /// The process is told to stop; it is killed if it takes longer than its grace.
    pub(super) async fn stop(&self, grace: Duration) {
        let Some(running) = self.running() else {
            return;
        };
        self.world
            .note(|| format!("{} is told to stop", running.process.name));
        *lock(&running.stopping) = true;
        // New requests are refused; those under way are served.
        *lock(&running.front) = None;
        running.lifecycle.stop().cancel();
        tokio::time::sleep(grace).await;
        let mut now = lock(&self.running);
        if now.as_ref().is_some_and(|now| Arc::ptr_eq(now, &running)) {
            *now = None;
            running.process.kill();
        }
    }

    pub(super) fn set_skew(&self, millis: i64) {
        lock(&self.state).1 = millis;
        if let Some(running) = self.running() {
            self.world
                .note(|| format!("{}'s clock is off by {millis} ms", running.process.name));
            running.clock.set_skew(millis);
        }
    }

    /// A task of the process died, by itself or in a panic.
    pub(super) fn has_failed(&self) -> bool {
        self.running().is_some_and(|running| {
            running.lifecycle.stop().is_cancelled() && !*lock(&running.stopping)
        })
    }

    fn engines(&self, running: &Running) -> Ports {
        let connection = |server| Connection {
            world: Arc::clone(&self.world),
            process: Arc::clone(&running.process),
            server,
        };
        let clock: Arc<dyn Clock> = running.clock.clone();
        Ports {
            gate: Arc::new(RemoteGate {
                connection: connection(Server::Gate),
                gate: self.world.gate_for_process(),
            }),
            log: Arc::new(RemoteLog::new(
                connection(Server::Log),
                Arc::clone(&self.world.log),
            )),
            ledger: Arc::new(RemoteLedger {
                connection: connection(Server::Ledger),
                ledger: Arc::clone(&self.world.ledger),
            }),
            clock,
        }
    }
}

impl Front {
    /// Tries until it comes up, as a supervisor does that starts the process anew.
    async fn open(lifecycle: &Lifecycle, engines: Ports) -> Self {
        let accounts = || DirectoryEngines {
            ledger: engines.ledger.clone(),
            offsets: engines.ledger.clone(),
            gate: engines.gate.clone(),
            log: engines.log.clone(),
            group: GROUP.to_owned(),
        };
        let directory = loop {
            match Directory::open(lifecycle, accounts()).await {
                Ok(directory) => break directory,
                Err(_) => tokio::time::sleep(RESTART).await,
            }
        };
        loop {
            match Services::open(lifecycle, engines.clone(), KEPT).await {
                Ok(services) => {
                    return Self {
                        services,
                        directory,
                    };
                }
                Err(_) => tokio::time::sleep(RESTART).await,
            }
        }
    }
}

impl Running {
    /// What requests are served with, while they are.
    pub(super) fn front(&self) -> Option<Front> {
        lock(&self.front).clone()
    }
}
