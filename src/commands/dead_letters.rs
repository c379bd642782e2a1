//! `flashsale dead-letters`: records that could not be settled, and what is decided about them.

mod print;

use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{connect, embedded, target::Target};
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
/// A record of the log that cannot be understood, or names a sale or a shopper that is not there, is put aside with its
/// cause and holds nobody up. What becomes of it is a person's decision, noted in the database with who, when and why.
///
/// On servers the letters lie in the topic KAFKA_TOPIC_DEAD_LETTERS, for as long as that keeps them; with --embedded in a
/// data directory that is not being served.
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
    /// List all dead letters, each with its cause, a part of its record, and what was decided
    List {
        /// Only those about which nothing is decided
        #[arg(long)]
        open: bool,
    },
    /// Show one with its whole record, and every decision about it
    Show {
        /// Its partition and offset, as `list` shows them: 0:17
        letter: DeadLetterId,
    },
    /// Append its attempt to the log again, once what was wrong is put right
    ///
    /// A worker settles it like any other: its shopper gets an order if a unit is left and they have none, whatever they
    /// were told before. An attempt that has no outcome keeps its id. A rejected one is replayed under another id that is
    /// derived from it, because the outcome of an attempt never changes. Either way, replayed twice it counts once.
    ///
    /// Refused if the record still cannot be understood, if it was too large to be kept, or if its attempt is settled.
    Replay {
        /// Their partitions and offsets, as `list` shows them: 0:17
        #[arg(required = true)]
        letters: Vec<DeadLetterId>,
        /// Why, for the records
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        who: Who,
    },
    /// Note that nothing will come of it. The letter itself stays where it is
    Discard {
        /// Their partitions and offsets, as `list` shows them: 0:17
        #[arg(required = true)]
        letters: Vec<DeadLetterId>,
        /// Why, for the records
        #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
        reason: String,
        #[command(flatten)]
        who: Who,
    },
}

#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
struct Who {
    /// Who decides [default: FLASHSALE_OPERATOR, or the user of the operating system: LOGNAME, USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Who {
    fn name(&self, config: &Config) -> anyhow::Result<String> {
        let name = self.by.clone().or_else(|| config.operator.name.clone());
        name.filter(|name| !name.is_empty())
            .context("who decides? Say so with --by, or set FLASHSALE_OPERATOR")
    }
}

impl DeadLetters {
    /// True with --embedded.
    pub(super) fn is_embedded(&self) -> bool {
        self.target.is_embedded()
    }

    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        if let Some(directory) = self.target.data_dir(&config)? {
            let engines = embedded::look_into(&config, directory).await?;
            let ports = engines.ports();
            let letters = DeadLetterQueue {
                log: ports.log,
                ledger: ports.ledger,
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
        let letters = DeadLetterQueue {
            log: Arc::new(log),
            ledger: Arc::new(ledger),
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
                let found = letters.find(letter).await.with_context(|| called(letter))?;
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
                    let found = letters.find(id).await.with_context(|| called(id))?;
                    let replay = letters.replay(&found, &decider).await;
                    let replay = replay.with_context(|| called(id))?;
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
                    let found = letters.find(id).await.with_context(|| called(id))?;
                    let discard = letters.discard(&found, &decider).await;
                    discard.with_context(|| called(id))?;
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

fn called(letter: DeadLetterId) -> String {
    format!("dead letter {letter}")
}

/// Prints page by page: there may be many.
async fn list(letters: &DeadLetterQueue, only_open: bool) -> anyhow::Result<()> {
    let decisions = letters.ledger.decisions(letters.log.name()).await?;
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
