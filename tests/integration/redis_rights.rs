//! Users of Redis with few rights, and servers that respond but do not write.

use std::time::Duration;

use flashsale::{
    config::{RedisConfig, Secret},
    engine::redis::{ConnectError, RedisGate, acl_rule},
    ids::{AttemptId, SaleId, UserId},
    port::{
        GateError, GateProbe, Holder, LoadStart, LoadStep, LoadToken, Reservations, ReserveOutcome,
        SaleLoading, SaleTerms, SaleWindow,
    },
};
use uuid::Uuid;

use crate::support::{
    kafka,
    postgres::TestDatabase,
    redis::{RedisOptions, RedisServer},
    redis_topology::{quick, replicate, wait_for},
    system::{Servers, System},
    wait_until,
};

const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
const RESULT_TTL: Duration = Duration::from_hours(1);

fn grant(server: &RedisServer, rule: &str) {
    let mut command = vec!["ACL", "SETUSER", "shop", "reset", "on", ">secret"];
    command.extend(rule.split(' '));
    assert_eq!(server.cli(&command), "OK");
}

fn as_shop(server: &RedisServer) -> RedisConfig {
    RedisConfig {
        username: Some("shop".to_owned()),
        password: Some(Secret::new("secret")),
        ..server.config(COMMAND_TIMEOUT)
    }
}

async fn connect(config: &RedisConfig) -> Result<RedisGate, ConnectError> {
    RedisGate::connect(config, RESULT_TTL).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_missing_right_is_named_at_the_start_with_the_rule_that_grants_it() {
    let server = RedisServer::start(RedisOptions::default());
    let rule = acl_rule(false);
    let optional = ["+ping", "+script|load", "+client|id"];
    let commands = rule
        .split(' ')
        .filter(|word| word.starts_with('+') && !optional.contains(word));
    for granted in commands {
        let without: Vec<_> = rule.split(' ').filter(|word| *word != granted).collect();
        grant(&server, &without.join(" "));
        let error = connect(&as_shop(&server)).await.err().expect(granted);
        let text = error.to_string();
        assert!(
            matches!(error, ConnectError::RightsMissing { .. }),
            "{granted}: {error:?}"
        );
        assert!(!error.is_passing(), "{text}");
        let sentence = text.split("; grant").next().unwrap();
        assert!(
            sentence.contains(granted.trim_start_matches('+')),
            "{granted}: {text}"
        );
        assert!(text.contains(&format!("ACL SETUSER shop {rule}")), "{text}");
    }
    grant(&server, &rule.replace("~flashsale:*", "~other:*"));
    let error = connect(&as_shop(&server)).await.err().unwrap();
    assert!(
        matches!(error, ConnectError::RightsMissing { .. }),
        "{error:?}"
    );
    grant(&server, &rule);
    connect(&as_shop(&server))
        .await
        .unwrap()
        .ping()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_whole_sale_works_with_the_least_rights() {
    let server = RedisServer::start(RedisOptions::default());
    grant(&server, &acl_rule(false));
    let config = as_shop(&server);
    let mut system = Servers::of(TestDatabase::create().await, None, config, kafka::config()).await;
    for (name, value) in [("REDIS_USERNAME", "shop"), ("REDIS_PASSWORD", "secret")] {
        system.environment.insert(name.to_owned(), value.to_owned());
    }
    let (api, _worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(3).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(6).await;
    for (n, shopper) in shoppers.iter().enumerate() {
        let expected = if n < 3 { 200 } else { 409 };
        assert_eq!(api.attempt(sale, shopper).await.0, expected);
    }
    assert_eq!(api.attempt(sale, &shoppers[0]).await.0, 200);
    for (shopper, result) in [(&shoppers[0], "SUCCESS"), (&shoppers[5], "FAILED")] {
        wait_until("the shopper is told", Duration::from_secs(10), || async {
            api.result(product, shopper).await.as_deref() == Some(result)
        })
        .await;
    }
    assert_eq!(system.check_promises(sale).await.orders, 3);
    let denied = server.cli(&["ACL", "LOG"]);
    assert_eq!(denied, "", "it tried what it may not do: {denied}");
}

/// A sale of five units, open in the gate.
async fn open_sale(gate: &RedisGate) -> SaleId {
    let sale = SaleId::new(7).unwrap();
    let token = LoadToken(Uuid::new_v4());
    let now = chrono::Utc::now();
    let terms = SaleTerms {
        switch: flashsale::port::SaleSwitch::On,
        version: 1,
        window: SaleWindow {
            start: now - Duration::from_mins(1),
            end: now + Duration::from_hours(1),
        },
        total: 5,
    };
    assert_eq!(
        gate.begin_load(sale, token, Duration::from_secs(30))
            .await
            .unwrap(),
        LoadStart::Begun
    );
    let expires = now + Duration::from_hours(2);
    assert_eq!(
        gate.open(sale, token, terms, 5, &[], expires)
            .await
            .unwrap(),
        LoadStep::Applied
    );
    sale
}

fn holder(user: i64) -> Holder {
    Holder {
        user: UserId::new(user).unwrap(),
        attempt: AttemptId::generate(),
    }
}

/// Lets the server refuse writes, and ends it: attempts are refused for certain, readiness says no, and within seconds all
/// is normal.
async fn refuses_for_certain(what: &str, begin: impl Fn(&RedisServer), end: impl Fn(&RedisServer)) {
    let server = RedisServer::start(RedisOptions::default());
    let gate = connect(&server.config(COMMAND_TIMEOUT)).await.unwrap();
    let sale = open_sale(&gate).await;
    begin(&server);
    for user in 1..=3 {
        let answer = gate.reserve(sale, &[holder(user)]).await;
        assert!(
            matches!(answer, Err(GateError::Refused(_))),
            "{what}: {answer:?}"
        );
    }
    let ready = gate.ping().await;
    assert!(
        matches!(ready, Err(GateError::Refused(_))),
        "{what}: {ready:?}"
    );
    end(&server);
    wait_until(what, Duration::from_secs(10), || async {
        gate.ping().await.is_ok()
    })
    .await;
    assert_eq!(
        server.cli(&["GET", "flashsale:{7}:stock"]),
        "5",
        "{what}: units were taken"
    );
    let answer = gate.reserve(sale, &[holder(4)]).await.unwrap();
    assert_eq!(answer, [ReserveOutcome::Reserved], "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_responds_but_does_not_write_refuses_for_certain() {
    let set = |server: &RedisServer, name: &str, value: &str| {
        assert_eq!(server.cli(&["CONFIG", "SET", name, value]), "OK");
    };
    refuses_for_certain(
        "out of memory",
        |server| set(server, "maxmemory", "1"),
        |server| set(server, "maxmemory", "0"),
    )
    .await;
    refuses_for_certain(
        "too few replicas",
        |server| set(server, "min-replicas-to-write", "1"),
        |server| set(server, "min-replicas-to-write", "0"),
    )
    .await;
    refuses_for_certain(
        "snapshots fail",
        |server| {
            set(server, "save", "3600 1");
            // A folder is where the snapshot's file should be.
            std::fs::create_dir(server.dir().join("dump.rdb")).unwrap();
            std::fs::write(server.dir().join("dump.rdb/x"), "").unwrap();
            server.cli(&["BGSAVE"]);
            wait_for("the snapshot fails", || {
                server
                    .cli(&["INFO", "persistence"])
                    .contains("rdb_last_bgsave_status:err")
            });
        },
        |server| set(server, "save", ""),
    )
    .await;
    refuses_for_certain(
        "the user may not run scripts",
        |server| {
            assert_eq!(
                server.cli(&["ACL", "SETUSER", "default", "-@scripting"]),
                "OK"
            );
        },
        |server| {
            assert_eq!(
                server.cli(&["ACL", "SETUSER", "default", "+@scripting"]),
                "OK"
            );
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_its_primary_refuses_for_certain() {
    let server = || RedisServer::start_with(RedisOptions::default(), &quick());
    let (first, second) = (server(), server());
    let gate = connect(&first.config(COMMAND_TIMEOUT)).await.unwrap();
    let sale = open_sale(&gate).await;
    assert_eq!(
        first.cli(&["CONFIG", "SET", "replica-serve-stale-data", "no"]),
        "OK"
    );
    assert_eq!(first.cli(&["REPLICAOF", "127.0.0.1", "1"]), "OK");
    let answer = gate.reserve(sale, &[holder(1)]).await;
    assert!(matches!(answer, Err(GateError::Refused(_))), "{answer:?}");
    assert!(matches!(gate.ping().await, Err(GateError::Refused(_))));
    assert_eq!(first.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    wait_until("it writes again", Duration::from_secs(10), || async {
        gate.ping().await.is_ok()
    })
    .await;
    replicate(&second, &first);
    let config = second.config(COMMAND_TIMEOUT);
    let error = connect(&config).await.err().unwrap();
    assert!(
        matches!(error, ConnectError::NotWriting(_)) && error.is_passing(),
        "{error:?}"
    );
}
