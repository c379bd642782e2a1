//! What shoppers were told: every answer for the table, and what each shopper may rely on.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::support::api::Shopper;

/// When a shopper comes back whose connection broke.
const AFTER_A_BREAK: Duration = Duration::from_secs(1);

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    Attempt,
    Result,
    Registration,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Answer {
        status: u16,
        /// Of a failure.
        code: String,
        retry_after: Option<u64>,
    },
    /// The connection broke, or there was none.
    Broken,
    /// Nothing, for as long as anybody waits.
    Nothing,
}

/// A request on its way.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub request: Request,
    /// Which API node it went to.
    pub node: usize,
    pub at: Instant,
}

/// One request and its end.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub sent: Sent,
    pub ended: Instant,
    pub reply: Reply,
}

/// What one shopper was told.
#[derive(Debug, Default)]
pub struct ShopperAnswers {
    /// The attempt that was accepted, and when.
    pub accepted: Option<(String, DateTime<Utc>)>,
    /// That it is not known whether an attempt counts; or nothing at all.
    pub in_doubt: bool,
    /// That the sale is sold out, or that the purchase failed.
    pub failed: bool,
    pub succeeded: bool,
}

/// All answers about one sale, from the shoppers' side.
#[derive(Default)]
pub struct ClientLog {
    pub exchanges: Vec<Exchange>,
    pub answers: BTreeMap<i64, ShopperAnswers>,
    /// What should never have been answered.
    pub violations: Vec<String>,
    /// Whose orders were ended by an operator, so that nothing they were told before counts any more.
    pub ended: BTreeSet<i64>,
    /// Who was told that the account does not exist.
    pub unknown: BTreeSet<i64>,
    /// Accounts may go: somebody who registered may not be able to log in.
    pub accounts_may_go: bool,
    /// The accounts that were made meanwhile.
    new: BTreeSet<i64>,
    /// Who comes again, and when.
    again: VecDeque<(Instant, Shopper)>,
    /// Who was accepted and has no result yet.
    waiting: VecDeque<Shopper>,
}

impl Exchange {
    pub fn took(&self) -> Duration {
        self.ended - self.sent.at
    }
}

impl Reply {
    pub fn status(&self) -> u16 {
        match self {
            Self::Answer { status, .. } => *status,
            Self::Broken | Self::Nothing => 0,
        }
    }

    /// Whether something is wrong with the service.
    pub fn is_trouble(&self) -> bool {
        self.is_of_the_connection() || self.status() >= 500
    }

    /// Whether something is wrong between shopper and API: it broke, or the request did not come through in time (408).
    pub fn is_of_the_connection(&self) -> bool {
        matches!(self.status(), 0 | 408)
    }

    fn code(&self) -> &str {
        match self {
            Self::Answer { code, .. } => code,
            Self::Broken | Self::Nothing => "",
        }
    }

    /// For the table.
    pub fn label(&self) -> String {
        match self {
            Self::Answer { status, code, .. } if code.is_empty() => status.to_string(),
            Self::Answer { status, code, .. } => format!("{status} {code}"),
            Self::Broken => "connection broken".to_owned(),
            Self::Nothing => "no answer".to_owned(),
        }
    }
}

impl ClientLog {
    /// Who presses next of those who were refused: whoever is due, or anybody.
    pub fn next_again(&mut self, due_only: bool) -> Option<Shopper> {
        let due = |(at, _): &(Instant, Shopper)| !due_only || *at <= Instant::now();
        let (_, shopper) = self.again.pop_front_if(|first| due(first))?;
        Some(shopper)
    }

    pub fn someone_comes_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// Who asks next for the result.
    pub fn next_waiting(&mut self) -> Option<Shopper> {
        self.waiting.pop_front()
    }

    /// The answer to an attempt.
    pub fn attempted(&mut self, shopper: Shopper, sent: Sent, reply: Reply, body: &Value) {
        let answers = self.answers.entry(shopper.id).or_default();
        match (reply.status(), reply.code()) {
            (200, _) => {
                let attempt = body["data"]["attemptId"].as_str().unwrap_or_default();
                match &answers.accepted {
                    Some((first, _)) if first == attempt => {}
                    Some((first, _)) => self.violations.push(format!(
                        "shopper {} was told of the attempts {first} and {attempt}",
                        shopper.id
                    )),
                    None => {
                        answers.accepted = Some((attempt.to_owned(), Utc::now()));
                        self.waiting.push_back(shopper);
                    }
                }
            }
            (409, "sold_out") => answers.failed = true,
            (409, "paused") => {
                let at = Instant::now() + AFTER_A_BREAK;
                self.again.push_back((at, shopper));
            }
            (401, "token_invalid") => {
                self.unknown.insert(shopper.id);
            }
            (503, code) => {
                answers.in_doubt |= code == "outcome_unknown";
                let pause = match reply {
                    Reply::Answer { retry_after, .. } => retry_after.unwrap_or_default(),
                    Reply::Broken | Reply::Nothing => 0,
                };
                let at = Instant::now() + Duration::from_secs(pause);
                self.again.push_back((at, shopper));
            }
            (0 | 408, _) => {
                answers.in_doubt |= reply.status() == 0;
                let at = Instant::now() + AFTER_A_BREAK;
                self.again.push_back((at, shopper));
            }
            _ => self.violations.push(format!("an attempt: {reply:?}")),
        }
        self.note(sent, reply);
    }

    /// The answer about a result.
    pub fn asked_for_result(&mut self, shopper: Shopper, sent: Sent, reply: Reply, body: &Value) {
        let answers = self.answers.entry(shopper.id).or_default();
        match (reply.status(), reply.code()) {
            (200, _) => match body["data"]["status"].as_str() {
                Some("SUCCESS") => answers.succeeded = true,
                Some("FAILED") => answers.failed = true,
                _ => self.violations.push(format!("a result: {body}")),
            },
            (401, "token_invalid") => {
                self.unknown.insert(shopper.id);
            }
            (400, "result_not_found") | (0 | 408 | 503, _) => self.waiting.push_back(shopper),
            _ => self.violations.push(format!("a result: {reply:?}")),
        }
        self.note(sent, reply);
    }

    /// The answer to somebody new. A new shopper presses as soon as there is an account.
    pub fn registered(&mut self, sent: Sent, reply: Reply) {
        // A registration or login that broke off may have happened: this shopper gives up.
        let is_expected = matches!(reply.status(), 0 | 200 | 201 | 408 | 503)
            || (reply.status() == 401 && self.accounts_may_go);
        if !is_expected {
            self.violations.push(format!("a registration: {reply:?}"));
        }
        self.note(sent, reply);
    }

    /// Somebody made an account, and presses at once.
    pub fn comes_new(&mut self, shopper: Shopper) {
        if !self.new.insert(shopper.id) {
            let id = shopper.id;
            self.violations
                .push(format!("two accounts have the id {id}"));
        }
        self.again.push_front((Instant::now(), shopper));
    }

    /// How many were accepted so far.
    pub fn accepted(&self) -> usize {
        let answers = self.answers.values();
        answers.filter(|answers| answers.accepted.is_some()).count()
    }

    fn note(&mut self, sent: Sent, reply: Reply) {
        let exchange = Exchange {
            sent,
            ended: Instant::now(),
            reply,
        };
        let lacks_retry_after = matches!(
            exchange.reply,
            Reply::Answer {
                status: 503,
                retry_after: None,
                ..
            }
        );
        if lacks_retry_after {
            self.violations
                .push(format!("503 without Retry-After: {exchange:?}"));
        }
        if exchange.reply == Reply::Nothing {
            let node = exchange.sent.node;
            self.violations
                .push(format!("no answer from API node {node}: {exchange:?}"));
        }
        self.exchanges.push(exchange);
    }
}
