//! What can happen to a system: the rows of the table, and what each means for what shoppers see.

use std::{fmt, time::Duration};

use crate::{
    bed::Topology,
    strike::{LASTING, LATE},
};

/// A part of the system. Of API nodes and workers there are two, of which one is hit: of the workers the one that takes
/// care of gate and log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Api,
    Worker,
    Redis,
    Kafka,
    Postgres,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Killed(Part),
    Paused(Part),
    Cut(Part),
    Late(Part),
    /// The network holds back what the part sends and is sent, and nobody is told.
    Silent(Part),
    ApiWithoutServers,
    /// A process after the other: told to end, and replaced, as by a deployment behind a load balancer.
    RolledOver,
    /// Started with a clock that is ten minutes behind.
    ApiClockWrong,
    RedisEmptied,
    RedisFromSnapshot,
    /// The replica becomes the primary, the old primary its replica, and no connection is cut; the address moves later.
    RedisDemoted,
    /// The primary is killed, and its replica takes its place.
    RedisFailedOver,
    /// It answers and refuses every write.
    RedisNotWriting,
    /// One of the keys of the sale is deleted.
    RedisKeyLost,
    /// The slot of the sale is moved to another master.
    RedisSlotMoved,
    /// The master that has the sale is killed; its replica is elected.
    RedisMasterKilled,
    LogCut,
    /// Partitions are added, then Redis is emptied.
    PartitionsAdded,
    /// Of three brokers one leads partitions and is killed.
    KafkaLeaderKilled,
    /// Of three brokers one is dead, replication between the others is late, and a leader is told to end.
    KafkaLeaderMoved,
    OutOfConnections,
    /// It answers and refuses every write.
    PostgresNotWriting,
    LedgerSetBack,
    /// A new database, with the same numbers, beside the gate and the log of the old one.
    LedgerNew,
    AccountsDeleted,
    /// By SQL: units are taken away, orders end, units are added.
    StockChanged,
    /// Two at once: units have to go back, and slowly.
    KafkaKilledRedisLate,
}

impl Part {
    const ALL: [Self; 5] = [
        Self::Api,
        Self::Worker,
        Self::Redis,
        Self::Kafka,
        Self::Postgres,
    ];
}

impl Fault {
    /// Every row of the table, in its order.
    pub fn all() -> Vec<Self> {
        let of = [
            Self::Killed,
            Self::Paused,
            Self::Cut,
            Self::Late,
            Self::Silent,
        ];
        let parts = Part::ALL.iter();
        let mut all: Vec<_> = parts
            .flat_map(|part| of.iter().map(|fault| fault(*part)))
            .collect();
        all.extend([
            Self::ApiWithoutServers,
            Self::RolledOver,
            Self::ApiClockWrong,
            Self::RedisEmptied,
            Self::RedisFromSnapshot,
            Self::RedisDemoted,
            Self::RedisFailedOver,
            Self::RedisNotWriting,
            Self::RedisKeyLost,
            Self::LogCut,
            Self::PartitionsAdded,
            Self::OutOfConnections,
            Self::PostgresNotWriting,
            Self::LedgerSetBack,
            Self::LedgerNew,
            Self::AccountsDeleted,
            Self::StockChanged,
            Self::KafkaKilledRedisLate,
            Self::RedisSlotMoved,
            Self::RedisMasterKilled,
            Self::KafkaLeaderKilled,
            Self::KafkaLeaderMoved,
        ]);
        all
    }

    /// The nastiest, for every run of the tests.
    pub fn nastiest() -> Vec<Self> {
        vec![
            Self::Killed(Part::Api),
            Self::RedisFromSnapshot,
            Self::RedisDemoted,
            Self::LedgerSetBack,
        ]
    }

    /// Those that happen at random in a soak.
    pub fn of_a_soak(topology: Topology) -> Vec<Self> {
        let mut all = Self::all();
        all.retain(|fault| fault.happens_on(topology));
        // It ends the sale, and all others with it.
        all.retain(|fault| *fault != Self::LedgerNew);
        all
    }

    /// Where its row of the table is measured.
    pub fn topology(self) -> Topology {
        if self.happens_on(Topology::Single) {
            Topology::Single
        } else {
            Topology::Clusters
        }
    }

    fn happens_on(self, topology: Topology) -> bool {
        let of_clusters = matches!(
            self,
            Self::RedisSlotMoved
                | Self::RedisMasterKilled
                | Self::KafkaLeaderKilled
                | Self::KafkaLeaderMoved
        );
        match topology {
            Topology::Single => !of_clusters,
            Topology::Clusters => of_clusters || !self.needs_single_servers(),
        }
    }

    /// Whether it is done to the only Redis or the only broker, or to the network before them.
    fn needs_single_servers(self) -> bool {
        match self {
            Self::Killed(part) | Self::Paused(part) => matches!(part, Part::Redis | Part::Kafka),
            Self::Cut(part) | Self::Late(part) | Self::Silent(part) => part != Part::Postgres,
            Self::ApiWithoutServers
            | Self::RedisEmptied
            | Self::RedisFromSnapshot
            | Self::RedisDemoted
            | Self::RedisFailedOver
            | Self::RedisNotWriting
            | Self::PartitionsAdded
            | Self::KafkaKilledRedisLate => true,
            Self::RolledOver
            | Self::ApiClockWrong
            | Self::RedisKeyLost
            | Self::RedisSlotMoved
            | Self::RedisMasterKilled
            | Self::LogCut
            | Self::KafkaLeaderKilled
            | Self::KafkaLeaderMoved
            | Self::OutOfConnections
            | Self::PostgresNotWriting
            | Self::LedgerSetBack
            | Self::LedgerNew
            | Self::AccountsDeleted
            | Self::StockChanged => false,
        }
    }

    /// What is hit, if it is one of the five.
    pub fn part(self) -> Part {
        match self {
            Self::Killed(part)
            | Self::Paused(part)
            | Self::Cut(part)
            | Self::Late(part)
            | Self::Silent(part) => part,
            Self::ApiWithoutServers | Self::RolledOver | Self::ApiClockWrong => Part::Api,
            Self::RedisEmptied
            | Self::RedisFromSnapshot
            | Self::RedisDemoted
            | Self::RedisFailedOver
            | Self::RedisNotWriting
            | Self::RedisKeyLost
            | Self::RedisSlotMoved
            | Self::RedisMasterKilled => Part::Redis,
            Self::LogCut
            | Self::PartitionsAdded
            | Self::KafkaLeaderKilled
            | Self::KafkaLeaderMoved
            | Self::KafkaKilledRedisLate => Part::Kafka,
            Self::OutOfConnections
            | Self::PostgresNotWriting
            | Self::LedgerSetBack
            | Self::LedgerNew
            | Self::AccountsDeleted
            | Self::StockChanged => Part::Postgres,
        }
    }

    /// Whether it comes between shoppers and an API, so that they see broken connections.
    pub fn is_seen_by_shoppers(self) -> bool {
        match self {
            // A deployment behind a load balancer must not be seen.
            Self::ApiWithoutServers | Self::RolledOver => false,
            _ => self.part() == Part::Api,
        }
    }

    /// Whether shoppers must not notice it at all: presses are answered as on a quiet day.
    pub fn goes_unnoticed(self) -> bool {
        matches!(self, Self::RolledOver | Self::StockChanged)
    }

    /// For how long it holds up the connection between a shopper and an API by itself.
    pub fn holds_shoppers(self) -> Duration {
        match self {
            Self::Paused(Part::Api) | Self::Silent(Part::Api) => LASTING,
            Self::Late(Part::Api) => LATE,
            _ => Duration::ZERO,
        }
    }

    /// Whether Redis loses what it had, or may have: sales are loaded anew from the ledger, and an attempt that was on its
    /// way meanwhile may find the last unit gone.
    pub fn reloads_the_gate(self) -> bool {
        matches!(
            self,
            Self::Killed(Part::Redis)
                | Self::RedisEmptied
                | Self::RedisFromSnapshot
                | Self::RedisDemoted
                | Self::RedisFailedOver
                | Self::RedisKeyLost
                | Self::RedisMasterKilled
                | Self::PartitionsAdded
        )
    }

    /// Which server loses something that was in it, if one does. An accepted attempt survives each of these, and not always two
    /// of them one shortly after the other (docs/LIMITS.md).
    pub fn loses_data_of(self) -> Option<Part> {
        match self {
            Self::LogCut => Some(Part::Kafka),
            Self::LedgerSetBack => Some(Part::Postgres),
            _ if self.reloads_the_gate() => Some(Part::Redis),
            _ => None,
        }
    }

    /// Whether accounts are no more afterwards.
    pub fn loses_accounts(self) -> bool {
        matches!(self, Self::LedgerSetBack | Self::AccountsDeleted)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api => "API node",
            Self::Worker => "worker",
            Self::Redis => "Redis",
            Self::Kafka => "Kafka",
            Self::Postgres => "PostgreSQL",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Killed(part) => return write!(f, "{part}: killed (-9), started again"),
            Self::Paused(part) => return write!(f, "{part}: paused"),
            Self::Cut(part) => return write!(f, "{part}: connections cut"),
            Self::Late(part) => return write!(f, "{part}: every reply 300 ms late"),
            Self::Silent(part) => return write!(f, "{part}: network silent"),
            Self::ApiWithoutServers => "API node: cut from all servers",
            Self::RolledOver => "all processes: rolling restart, one after the other",
            Self::ApiClockWrong => "API node: started again with its clock 10 minutes behind",
            Self::RedisEmptied => "Redis: emptied",
            Self::RedisFromSnapshot => "Redis: restarted from an old snapshot",
            Self::RedisDemoted => "Redis: demoted, no connection cut, address moved later",
            Self::RedisFailedOver => "Redis: killed (-9), its replica promoted",
            Self::RedisNotWriting => "Redis: answers and refuses writes",
            Self::RedisKeyLost => "Redis: the holders of the sale deleted",
            Self::RedisSlotMoved => "Redis Cluster: the slot of the sale migrated",
            Self::RedisMasterKilled => "Redis Cluster: the master of the sale killed (-9)",
            Self::LogCut => "Kafka: log cut before it was settled",
            Self::PartitionsAdded => "Kafka: partitions added, then Redis emptied",
            Self::KafkaLeaderKilled => "Kafka, three brokers: a leader killed (-9)",
            Self::KafkaLeaderMoved => {
                "Kafka, three brokers: one dead, replication 300 ms late, a leader stopped"
            }
            Self::OutOfConnections => "PostgreSQL: out of connections",
            Self::PostgresNotWriting => "PostgreSQL: read-only for 8 s",
            Self::LedgerSetBack => "PostgreSQL: set back by some seconds",
            Self::LedgerNew => "PostgreSQL: a new database beside the old Redis and topic",
            Self::AccountsDeleted => "PostgreSQL: accounts deleted, whose shoppers go on pressing",
            Self::StockChanged => "PostgreSQL: units taken away, orders ended, units added by SQL",
            Self::KafkaKilledRedisLate => {
                "Kafka: killed, started again, while replies of Redis are 300 ms late"
            }
        })
    }
}
