//! The longest that anything may take, from the limits that the program is configured with.

use std::time::Duration;

use flashsale::config::Config;

use crate::{
    client_log::Request,
    fault::{Fault, Part},
};

/// How long an attempt may wait for its turn (`order/purchase/reserve.rs`).
const TURN: Duration = Duration::from_secs(3);
/// How long a question about a result may wait for its turn (`order/results.rs`).
const QUESTION: Duration = Duration::from_secs(1);
/// How long a pooled connection to PostgreSQL may take to prove that it works (`engine/postgres/session.rs`).
const PROOF: Duration = Duration::from_secs(1);
/// The longest pause of a reader between two tries (`order/worker/partition.rs`).
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// For a machine that has other things to do as well.
pub const SLACK: Duration = Duration::from_secs(1);
/// For whatever was killed to be there again: PostgreSQL recovers, a JVM starts.
const START: Duration = Duration::from_secs(15);

/// How long a shopper may wait for an answer during and after a fault.
pub fn answer(request: Request, fault: Fault, config: &Config) -> Duration {
    let (redis, kafka) = (config.redis.command_timeout, config.kafka.append_timeout);
    // Its turn, then the question, twice if the server has lost the script.
    let gate = TURN + redis * 2;
    // The batch under way, then its own; and if it surely was not written, the unit is given back.
    let log = kafka * 2 + redis;
    let waits = match request {
        Request::Attempt if fault == Fault::KafkaKilledRedisLate => gate + log,
        Request::Attempt => match fault.part() {
            Part::Redis => gate,
            Part::Kafka => log,
            Part::Api | Part::Worker | Part::Postgres => gate + log,
        },
        // Its turn, then the question, twice if the server has lost the script.
        Request::Result => QUESTION + redis * 2,
        Request::Registration => {
            let postgres = &config.postgres;
            let pool = u32::try_from(postgres.pool_size).unwrap();
            // A free connection, a proof of each that there is, a new one, and three statements.
            postgres.pool_timeout * 2 + PROOF * pool + postgres.statement_timeout * 3
        }
    };
    waits + fault.holds_shoppers() + SLACK
}

/// How long after a fault everything may take to be normal again, with no operator at work, on a machine that has CPUs to
/// spare: the time in which processes wait for one is not counted.
pub const BACK: Duration = Duration::from_secs(10);

/// How long after a fault whatever was accepted may take to be settled, and everything to be normal on any machine: dead workers'
/// leases run out and are taken over, a reader's pause passes, what is pending is looked into.
pub fn recovery(config: &Config) -> Duration {
    config.worker.lease * 4 / 3 + LONGEST_PAUSE + config.worker.pending_age + START
}
