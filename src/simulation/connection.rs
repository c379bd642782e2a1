//! The way from a process to a server: where calls are delayed, lost, refused, answered too late, or sent twice, and where
//! a process stops for good or for a while.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};

use super::{plan::Server, process::Process, world::World};

/// One process's connection to one server.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) world: Arc<World>,
    pub(super) process: Arc<Process>,
    pub(super) server: Server,
}

/// How a call goes. Times are in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    /// It is not done, which its caller is told `after` this.
    Refused { after: u64 },
    /// It is sent and never arrives.
    Lost,
    /// It takes effect after `there`; `again`: once more so much later, before it is answered. An answer on its way for
    /// longer than the caller's patience is no answer.
    Delivered {
        there: u64,
        back: u64,
        again: Option<u64>,
        answered: bool,
    },
}

/// Why a call has no answer.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// Nothing happened.
    Refused(String),
    /// It may have taken effect, or may yet.
    Unknown(String),
}

impl Connection {
    /// Makes a call. `effect` is what the server does.
    pub(super) async fn call<T, F>(
        &self,
        what: impl Fn() -> String,
        describe: impl Fn(&T) -> String,
        effect: impl Fn() -> F + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.process.running().await;
        let timeout = self.world.plan.calls(self.server).timeout;
        let deadline = Instant::now() + timeout;
        let result = match self.world.fate(self.server) {
            Fate::Refused { after } => {
                sleep(Duration::from_millis(after)).await;
                Err(Failure::Refused("nothing was done".to_owned()))
            }
            Fate::Lost => {
                sleep_until(deadline).await;
                Err(Failure::Unknown(
                    "no answer: the request was lost".to_owned(),
                ))
            }
            Fate::Delivered {
                there,
                back,
                again,
                answered,
            } => {
                let way = Duration::from_millis(there + back + again.unwrap_or(0));
                if answered && way < timeout {
                    self.way(there).await;
                    if self.process.is_dead() {
                        // It died before the request was out.
                        std::future::pending::<()>().await;
                    }
                    let mut answer = effect().await;
                    if let Some(later) = again {
                        self.way(later).await;
                        answer = effect().await;
                    }
                    self.way(back).await;
                    Ok(answer)
                } else {
                    let connection = self.clone();
                    let (name, what) = (self.process.name.clone(), what());
                    self.world.flying.fetch_add(1, Ordering::Relaxed);
                    self.world.outside.spawn(async move {
                        connection.way(there).await;
                        let _ = effect().await;
                        connection.world.note(|| {
                            format!("{name}: {what} takes effect, which its caller is not told")
                        });
                        if let Some(later) = again {
                            connection.way(later).await;
                            let _ = effect().await;
                        }
                        connection.world.flying.fetch_sub(1, Ordering::Relaxed);
                    });
                    sleep_until(deadline).await;
                    Err(Failure::Unknown("no answer in time".to_owned()))
                }
            }
        };
        self.process.running().await;
        self.world.note(|| {
            let told = match &result {
                Ok(answer) => describe(answer),
                Err(Failure::Refused(cause)) => format!("refused: {cause}"),
                Err(Failure::Unknown(cause)) => cause.clone(),
            };
            format!("{}: {} → {told}", self.process.name, what())
        });
        result
    }

    /// Goes on so much later; lets others go first even if that is now.
    async fn way(&self, millis: u64) {
        if millis == 0 {
            tokio::task::yield_now().await;
        } else {
            sleep(Duration::from_millis(millis)).await;
        }
    }
}
