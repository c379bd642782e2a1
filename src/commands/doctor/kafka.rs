//! Judges the setup of the topics.

use std::time::Duration;

use super::report::Check;
use crate::{
    config::KafkaConfig,
    engine::kafka::inspect::{Inspection, Topic},
};

const AREA: &str = "kafka";
/// Shortest retention without a warning: enough for a weekend on which no worker runs.
const SAFE_RETENTION: Duration = Duration::from_hours(3 * 24);

pub(super) fn judge(config: &KafkaConfig, found: &Inspection) -> Vec<Check> {
    let mut checks = Vec::new();
    for topic in &found.topics {
        checks.push(partitions(config, topic));
        checks.push(leaders(topic));
        if topic.settings_hidden {
            checks.push(hidden_settings(topic));
        } else {
            checks.push(replicas(topic, found.brokers));
            checks.push(retention(topic));
        }
    }
    checks
}

fn hidden_settings(topic: &Topic) -> Check {
    Check::warning(
        AREA,
        "settings",
        format!("{}: this user may not read them", topic.name),
    )
    .advise(
        "let it, with the ACL operation DescribeConfigs, or look with kafka-configs.sh --describe",
    )
}

fn partitions(config: &KafkaConfig, topic: &Topic) -> Check {
    let summary = format!("{}: {}", topic.name, topic.partitions);
    if usize::try_from(config.partitions) == Ok(topic.partitions)
        || topic.name == config.dead_letter_topic
    {
        Check::ok(AREA, "partitions", summary)
    } else {
        Check::warning(
            AREA,
            "partitions",
            format!("{summary}, KAFKA_PARTITIONS is {}", config.partitions),
        )
        .advise("the topic counts; more workers than partitions have nothing to do")
    }
}

fn leaders(topic: &Topic) -> Check {
    let summary = |what: &str| format!("{}: {what}", topic.name);
    if topic.leaderless > 0 {
        Check::failed(
            AREA,
            "leaders",
            summary(&format!("{} partitions have none", topic.leaderless)),
        )
        .advise("their shoppers are answered 503; bring the brokers back")
    } else if topic.under_replicated > 0 {
        Check::warning(
            AREA,
            "leaders",
            summary(&format!(
                "{} partitions lack a replica in sync",
                topic.under_replicated
            )),
        )
        .advise("wait for the replicas before the sale")
    } else {
        Check::ok(
            AREA,
            "leaders",
            summary("every partition has one, all replicas are in sync"),
        )
    }
}

fn replicas(topic: &Topic, brokers: usize) -> Check {
    let in_sync = topic.number("min.insync.replicas").unwrap_or(1);
    let summary = format!(
        "{}: {}, min.insync.replicas {in_sync}, {brokers} brokers",
        topic.name, topic.replicas
    );
    let replicas = i64::try_from(topic.replicas).unwrap_or(i64::MAX);
    if in_sync > replicas {
        Check::failed(AREA, "replicas", summary)
            .advise("nothing can be appended; lower min.insync.replicas")
    } else if replicas < 3 || in_sync < 2 {
        Check::warning(AREA, "replicas", summary).advise(
            "the loss of one broker can lose accepted attempts; use 3 with min.insync.replicas=2",
        )
    } else if in_sync == replicas {
        Check::warning(AREA, "replicas", summary).advise(
            "the loss of one broker stops the sale; use one replica more than min.insync.replicas",
        )
    } else {
        Check::ok(AREA, "replicas", summary)
    }
}

/// Checks that records are kept until they are settled, even if workers do not run for some days.
fn retention(topic: &Topic) -> Check {
    let policy = topic
        .settings
        .get("cleanup.policy")
        .map_or("delete", String::as_str);
    if policy != "delete" {
        return Check::failed(
            AREA,
            "retention",
            format!("{}: cleanup.policy {policy}", topic.name),
        )
        .advise("compaction drops attempts; set cleanup.policy=delete");
    }
    let bytes = topic.number("retention.bytes").filter(|bytes| *bytes >= 0);
    let time = topic.retention();
    let hours = time.map_or_else(
        || "for ever".to_owned(),
        |time| format!("{} h", time.as_secs() / 3_600),
    );
    let summary = format!("{}: {hours}", topic.name);
    match (time, bytes) {
        (_, Some(bytes)) => Check::warning(
            AREA,
            "retention",
            format!("{summary}, at most {bytes} bytes a partition"),
        )
        .advise(
            "a backlog beyond that is lost; a record has some 250 bytes; set retention.bytes=-1",
        ),
        (Some(time), None) if time < SAFE_RETENTION => Check::warning(AREA, "retention", summary)
            .advise("what is not settled by then is lost; set retention.ms to three days or more"),
        (_, None) => Check::ok(AREA, "retention", summary),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::report, *};
    use crate::config::TlsConfig;

    fn after(change: impl FnOnce(&mut Topic)) -> Vec<String> {
        let config = KafkaConfig {
            brokers: vec!["kafka:9092".to_owned()],
            client_id: "doctor".to_owned(),
            topic: "attempts".to_owned(),
            dead_letter_topic: "attempts.dlq".to_owned(),
            events_topic: None,
            consumer_group: "workers".to_owned(),
            partitions: 6,
            replication_factor: 3,
            append_timeout: Duration::from_secs(1),
            tls: TlsConfig::NONE,
            sasl: None,
        };
        let settings = [
            ("min.insync.replicas", "2"),
            ("retention.ms", "604800000"),
            ("retention.bytes", "-1"),
            ("cleanup.policy", "delete"),
        ];
        let mut topic = Topic {
            name: "attempts".to_owned(),
            partitions: 6,
            replicas: 3,
            under_replicated: 0,
            leaderless: 0,
            settings_hidden: false,
            settings: BTreeMap::from(
                settings.map(|(name, value)| (name.to_owned(), value.to_owned())),
            ),
        };
        change(&mut topic);
        let found = Inspection {
            brokers: 3,
            topics: vec![topic],
        };
        report::problems(&judge(&config, &found))
    }

    fn set(name: &str, value: &str) -> Vec<String> {
        after(|topic| {
            topic.settings.insert(name.to_owned(), value.to_owned());
        })
    }

    #[test]
    fn each_problem_is_reported_by_its_own_check() {
        let none: [&str; 0] = [];
        assert_eq!(after(|_| {}), none);
        assert_eq!(
            after(|topic| topic.partitions = 3),
            ["kafka partitions: Warning"]
        );
        assert_eq!(
            after(|topic| topic.leaderless = 1),
            ["kafka leaders: Failed"]
        );
        assert_eq!(
            after(|topic| topic.under_replicated = 1),
            ["kafka leaders: Warning"]
        );
        assert_eq!(
            after(|topic| topic.replicas = 1),
            ["kafka replicas: Failed"]
        );
        assert_eq!(
            after(|topic| topic.settings_hidden = true),
            ["kafka settings: Warning"]
        );
        assert_eq!(set("min.insync.replicas", "1"), ["kafka replicas: Warning"]);
        assert_eq!(set("min.insync.replicas", "3"), ["kafka replicas: Warning"]);
        assert_eq!(
            set("cleanup.policy", "compact"),
            ["kafka retention: Failed"]
        );
        assert_eq!(set("retention.bytes", "1000"), ["kafka retention: Warning"]);
        assert_eq!(set("retention.ms", "3600000"), ["kafka retention: Warning"]);
        assert_eq!(set("retention.ms", "-1"), none);
    }
}
