//! The simulated connection from a process to a server. Calls can be delayed, lost, refused, answered too late, or delivered
//! twice, and the process can pause or die during a call.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};

use super::{fate::Fate, plan::Server, process::Process, world::World};

/// One process's connection to one server.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) world: Arc<World>,
    pub(super) process: Arc<Process>,
    pub(super) server: Server,
}

/// Why a call has no answer.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The call had no effect.
    Refused(String),
    /// The call may have taken effect, or may still do so.
    Unknown(String),
}

impl Connection {
    /// Makes a call. `effect` is the work of the server; `what` and `describe` name the call and its result in the history.
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
                let round_trip = Duration::from_millis(there + back + again.unwrap_or(0));
                if answered && round_trip < timeout {
                    self.travel(there).await;
                    if self.process.is_dead() {
                        // The process died before the request left it.
                        std::future::pending::<()>().await;
                    }
                    let mut answer = effect().await;
                    if let Some(later) = again {
                        self.travel(later).await;
                        answer = effect().await;
                    }
                    self.travel(back).await;
                    Ok(answer)
                } else {
                    let connection = self.clone();
                    let (name, what) = (self.process.name.clone(), what());
                    self.world.flying.fetch_add(1, Ordering::Relaxed);
                    self.world.outside.spawn(async move {
                        connection.travel(there).await;
                        let _ = effect().await;
                        connection.world.note(|| {
                            format!("{name}: {what} takes effect, which its caller is not told")
                        });
                        if let Some(later) = again {
                            connection.travel(later).await;
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
            let outcome = match &result {
                Ok(answer) => describe(answer),
                Err(Failure::Refused(cause)) => format!("refused: {cause}"),
                Err(Failure::Unknown(cause)) => cause.clone(),
            };
            format!("{}: {} → {outcome}", self.process.name, what())
        });
        result
    }

    /// Waits for `millis`. If that is 0, other tasks still run first.
    async fn travel(&self, millis: u64) {
        if millis == 0 {
            tokio::task::yield_now().await;
        } else {
            sleep(Duration::from_millis(millis)).await;
        }
    }
}
