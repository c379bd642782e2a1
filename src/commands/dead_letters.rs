//! `flashsale dead-letters`: lists records that could not be settled, and carries out decisions about them.

mod print;

use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{connect, embedded, operator::Who, target::Target};
use crate::{
    clock::SystemClock,
    config::Config,
    lifecycle::Lifecycle,
    order::dead_letters::{DeadLetters as DeadLetterQueue, Decider, Replay},
    port::{DeadLetterId, Offset, Partition},
    security::{self, Event},
};

/// See, replay or discard records that could not be settled
///
/// A record of the log that cannot be decoded, or that names a sale or a product that does not exist, is stored as a dead
/// letter with its cause, and the records behind it are settled. A person decides what to do about it. The decision is stored
/// in the database with its author, time and reason.
///
/// With servers, dead letters are in the topic KAFKA_TOPIC_DEAD_LETTERS until its retention deletes them; with --embedded, in
/// a data directory that is not being served.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct DeadLetters {
    #[command(subcommand)]
    step: Step,
    #[command(flatten)]
    pub(super) target: Target,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::doc_markdown)] // shown as help
enum Step {
    /// List all dead letters, each with its cause, a part of its record, and the last decision
    List {
        /// List only those without a decision
        #[arg(long)]
        open: bool,
    },
    /// Show one with its whole record, and all decisions about it
    Show {
        /// Its partition and offset, as `list` shows them: 0:17
        letter: DeadLetterId,
    },
    /// Append its attempt to the log again, after its cause was removed
    ///
    /// A worker settles it like any other: its shopper gets an order if a unit is left and they have none, whatever result
    /// they saw before. An attempt without an outcome keeps its id. A rejected one is replayed under another id that is
    /// derived from it, because the outcome of an attempt never changes. In both cases, a second replay has no effect.
    ///
    /// Refused if the record still cannot be decoded, if it was too large to be kept, or if its attempt is settled.
    Replay {
        /// Their partitions and offsets, as `list` shows them: 0:17
        #[arg(required = true)]
        letters: Vec<DeadLetterId>,
        /// The reason, stored with the decision
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        who: Who,
    },
    /// Note that it will not be replayed. The letter itself stays where it is
    Discard {
        /// Their partitions and offsets, as `list` shows them: 0:17
        #[arg(required = true)]
        letters: Vec<DeadLetterId>,
        /// The reason, stored with the decision
        #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
        reason: String,
        #[command(flatten)]
        who: Who,
    },
}

impl DeadLetters {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        if let Some(directory) = self.target.data_dir(&config)? {
            let opened = embedded::look_into(&config, directory).await;
            let engines = opened
                .map_err(|error| embedded::or_ask_its_api(error, "/api/admin/dead-letters"))?;
            let ports = engines.ports();
            let letters = DeadLetterQueue {
                log: ports.log,
                decisions: ports.ledger.clone(),
                settled: ports.ledger,
                clock: ports.clock,
            };
            let done = self.step.run(&config, letters).await;
            drop(engines.close().await);
            return done;
        }
        let lifecycle = Lifecycle::default();
        lifecycle.stop_on_signals()?;
        let stop = lifecycle.stop();
        let (log, ledger) =
            tokio::try_join!(connect::log(&config, stop), connect::ledger(&config, stop))?;
        let ledger = Arc::new(ledger);
        let letters = DeadLetterQueue {
            log: Arc::new(log),
            decisions: ledger.clone(),
            settled: ledger,
            clock: Arc::new(SystemClock),
        };
        tokio::select! {
            done = self.step.run(&config, letters) => done,
            () = stop.cancelled() => anyhow::bail!("stopped"),
        }
    }
}

impl Step {
    async fn run(self, config: &Config, letters: DeadLetterQueue) -> anyhow::Result<()> {
        match self {
            Self::List { open } => list(&letters, open).await,
            Self::Show { letter } => {
                let found = letters
                    .find(letter)
                    .await
                    .with_context(|| letter_name(letter))?;
                print::whole(&found, &letters.decisions_about(&found).await?);
                Ok(())
            }
            Self::Replay {
                letters: ids,
                reason,
                who,
            } => {
                let by = who.name(config)?;
                let decider = Decider { by, reason };
                for id in ids {
                    let found = letters.find(id).await.with_context(|| letter_name(id))?;
                    let replay = letters.replay(&found, &decider).await;
                    let replay = replay.with_context(|| letter_name(id))?;
                    note("replayed", &decider, id);
                    print::replayed(id, replay);
                }
                Ok(())
            }
            Self::Discard {
                letters: ids,
                reason,
                who,
            } => {
                let (by, reason) = (who.name(config)?, Some(reason));
                let decider = Decider { by, reason };
                for id in ids {
                    let found = letters.find(id).await.with_context(|| letter_name(id))?;
                    let discard = letters.discard(&found, &decider).await;
                    discard.with_context(|| letter_name(id))?;
                    note("discarded", &decider, id);
                    print::discarded(id);
                }
                Ok(())
            }
        }
    }
}

fn note(outcome: &str, decider: &Decider, letter: DeadLetterId) {
    let about = letter.to_string();
    security::note(Event::DeadLetter, outcome, &decider.by, None, &about);
}

fn letter_name(letter: DeadLetterId) -> String {
    format!("dead letter {letter}")
}

/// Prints dead letters page by page, because there may be many.
async fn list(letters: &DeadLetterQueue, only_open: bool) -> anyhow::Result<()> {
    let decisions = letters.decisions.decisions(letters.log.name()).await?;
    let mut count = 0_u64;
    for partition in (0..letters.log.dead_letter_partitions()).map(Partition) {
        let mut next = Offset(0);
        loop {
            let page = letters.log.read_dead_letters(partition, next).await?;
            for found in &page.entries {
                let last = decisions.iter().rfind(|decision| decision.is_about(found));
                if last.is_none() || !only_open {
                    print::line(found, last);
                    count += 1;
                }
            }
            if page.next >= page.end || page.next <= next {
                break;
            }
            next = page.next;
        }
    }
    print::count(count);
    Ok(())
}
