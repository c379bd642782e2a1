//! What only a server can do wrong: restarts, lost scripts, silence, wrong passwords, lost data.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use flashsale::{
    config::Secret,
    engine::redis::{ConnectError, RedisGate},
    ids::SaleId,
    port::{
        ClaimOutcome, CloseReason, CloseRequest, GateError, GateProbe, GateStatus, LoadStart,
        LoadStep, Outcome, PurchaseResult, ReleaseOutcome, ReserveOutcome, ResultEntry, StockGate,
    },
};

use super::{
    COMMAND_TIMEOUT, Cluster, Engine, RESULT_TTL,
    scene::{
        LEASE, Scene, again, in_two_hours, new_shopper, new_token, open_window, terms, wait_until,
    },
};
use crate::support::redis::{RedisOptions, RedisServer, cluster_flush_scripts};

/// A gate whose server the test keeps at hand; the test itself is not shared among engines.
struct Faulty {
    gate: Arc<RedisGate>,
}

#[async_trait::async_trait]
impl Engine for Faulty {
    async fn start() -> Self {
        unreachable!("made by `faulty`")
    }

    fn gate(&self) -> Arc<dyn StockGate> {
        self.gate.clone()
    }

    fn write_raw_result(&self, _: &str, _: &str) -> bool {
        false
    }

    fn result_ttl_secs(&self, _: &str) -> Option<i64> {
        None
    }
}

async fn faulty(options: RedisOptions, command_timeout: Duration) -> (RedisServer, Faulty) {
    let server = RedisServer::start(options);
    let gate = RedisGate::connect(&server.config(command_timeout), RESULT_TTL)
        .await
        .expect("the server is up");
    (
        server,
        Faulty {
            gate: Arc::new(gate),
        },
    )
}

fn durable() -> RedisOptions {
    RedisOptions {
        durable: true,
        ..RedisOptions::default()
    }
}

async fn wait_until_answering(gate: &dyn StockGate) {
    wait_until("the gate answers again", || async {
        gate.ping().await.is_ok()
    })
    .await;
}

/// What the server has of a sale, whoever may use it.
fn units(server: &RedisServer, sale: SaleId) -> String {
    server.cli(&["GET", &format!("flashsale:{{{sale}}}:stock")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_closes_the_sale_once_and_keeps_what_is_pending() {
    let (mut server, engine) = faulty(durable(), COMMAND_TIMEOUT).await;
    let mut scene = Scene::open(engine, 5).await;
    let (ordered, failed, released) = (
        scene.reserved().await,
        scene.reserved().await,
        scene.reserved().await,
    );
    assert!(
        scene
            .gate
            .close(scene.sale, CloseRequest::IfInconsistent)
            .await
            .unwrap()
            .is_none()
    );
    let refused = new_shopper().user;
    let entry = ResultEntry {
        sale: scene.sale,
        product: scene.product,
        user: refused,
        result: PurchaseResult::Failed,
    };
    scene.gate.write_results(&[entry]).await.unwrap();
    assert_eq!(scene.result(refused).await, Some(PurchaseResult::Failed));
    server.restart();
    wait_until_answering(&*scene.gate).await;
    // From the first moment on: writes may have been lost.
    assert_eq!(
        scene.gate.status(scene.sale).await.unwrap(),
        GateStatus::Closed { pending: 3 }
    );
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Closed);
    assert_eq!(scene.result(refused).await, None);

    let found = scene
        .gate
        .close(scene.sale, CloseRequest::IfInconsistent)
        .await
        .unwrap();
    assert_eq!(found, Some(CloseReason::Restarted));
    assert!(
        scene
            .gate
            .close(scene.sale, CloseRequest::IfInconsistent)
            .await
            .unwrap()
            .is_none(),
        "only once"
    );
    assert_eq!(
        scene.gate.status(scene.sale).await.unwrap(),
        GateStatus::Closed { pending: 3 }
    );
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Closed);

    // The relay does its work on the closed sale.
    assert_eq!(
        scene
            .gate
            .overdue(scene.sale, Duration::ZERO, 10)
            .await
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        scene.gate.claim(scene.sale, &[ordered]).await.unwrap(),
        [ClaimOutcome::Claimed]
    );
    assert_eq!(
        scene.gate.release(scene.sale, released).await.unwrap(),
        ReleaseOutcome::Released
    );
    let unknown = new_shopper();
    for _ in 0..2 {
        scene.record(ordered, Outcome::Ordered).await;
        scene.record(failed, Outcome::SoldOut).await;
        scene.record(unknown, Outcome::Ordered).await;
    }
    assert_eq!(
        scene.gate.status(scene.sale).await.unwrap(),
        GateStatus::Closed { pending: 0 }
    );
    assert_eq!(
        scene.result(unknown.user).await,
        Some(PurchaseResult::Success)
    );
    // What the server forgot may have been an order of theirs.
    assert_eq!(scene.result(failed.user).await, None);

    scene.load(3, open_window(), &[ordered, unknown]).await;
    assert_eq!(
        scene.result(failed.user).await,
        Some(PurchaseResult::Failed)
    );
    scene.record_twice(unknown, Outcome::Ordered).await;
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Reserved);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_across_a_restart_is_refused() {
    let (mut server, engine) = faulty(durable(), COMMAND_TIMEOUT).await;
    let mut scene = Scene::unknown(engine);
    let token = new_token();
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, token, LEASE)
            .await
            .unwrap(),
        LoadStart::Begun
    );
    server.restart();
    wait_until_answering(&*scene.gate).await;
    assert_eq!(
        scene
            .gate
            .open(
                scene.sale,
                token,
                terms(open_window(), 5),
                5,
                &[],
                in_two_hours()
            )
            .await
            .unwrap(),
        LoadStep::Superseded
    );
    let token = new_token();
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, token, Duration::ZERO)
            .await
            .unwrap(),
        LoadStart::Begun
    );
    assert_eq!(
        scene
            .gate
            .open(
                scene.sale,
                token,
                terms(open_window(), 5),
                5,
                &[],
                in_two_hours()
            )
            .await
            .unwrap(),
        LoadStep::Applied
    );
    scene.remaining = 5;
    scene.check_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_server_knows_no_sale_and_counts_returns_onwards() {
    let (server, engine) = faulty(RedisOptions::default(), COMMAND_TIMEOUT).await;
    let mut scene = Scene::open(engine, 5).await;
    let holder = scene.reserved().await;
    let pending = scene.reserved().await;
    scene.record(holder, Outcome::Ordered).await;
    let holders_epoch = scene.figures().await.2;
    server.flushall();
    server.cli(&["SCRIPT", "FLUSH"]);
    assert_eq!(
        scene.gate.status(scene.sale).await.unwrap(),
        GateStatus::Unknown
    );
    assert_eq!(scene.reserve(again(holder)).await, ReserveOutcome::Closed);
    scene.load(4, open_window(), &[holder]).await;
    assert!(scene.figures().await.2 > holders_epoch);
    // The forgotten attempt is settled after all: its order takes a unit.
    scene.remaining -= 1;
    scene.record_twice(pending, Outcome::Ordered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_lost_its_stock_is_closed_and_can_be_loaded() {
    let (server, engine) = faulty(RedisOptions::default(), COMMAND_TIMEOUT).await;
    let mut scene = Scene::open(engine, 5).await;
    assert_eq!(
        server.cli(&["DEL", &format!("flashsale:{{{}}}:stock", scene.sale)]),
        "1"
    );
    assert_eq!(
        scene.gate.status(scene.sale).await.unwrap(),
        GateStatus::Closed { pending: 0 }
    );
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Closed);
    scene.load(5, open_window(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_sale_stays_for_ever() {
    let (server, engine) = faulty(RedisOptions::default(), COMMAND_TIMEOUT).await;
    let mut scene = Scene::unknown(engine);
    let token = new_token();
    let check = |keys: usize| {
        let names = server.cli(&["KEYS", "flashsale:{*"]);
        assert_eq!(names.lines().count(), keys, "{names}");
        for name in names.lines() {
            let ttl: i64 = server.cli(&["TTL", name]).parse().unwrap();
            assert!((1..=7_200).contains(&ttl), "{name}: {ttl} s");
        }
    };
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, token, LEASE)
            .await
            .unwrap(),
        LoadStart::Begun
    );
    check(1);
    scene.record(new_shopper(), Outcome::Ordered).await;
    check(2);
    assert_eq!(
        scene
            .gate
            .load_holders(scene.sale, token, &[new_shopper()])
            .await
            .unwrap(),
        LoadStep::Applied
    );
    check(2);
    assert_eq!(
        scene
            .gate
            .open(
                scene.sale,
                token,
                terms(open_window(), 10),
                9,
                &[],
                in_two_hours()
            )
            .await
            .unwrap(),
        LoadStep::Applied
    );
    scene.remaining = 8;
    check(4);
    let holder = scene.reserved().await;
    scene.reserved().await;
    check(4);
    scene.remaining -= 2;
    scene.record(holder, Outcome::Ordered).await;
    scene.record(new_shopper(), Outcome::Ordered).await;
    check(4);
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_sent_again_when_the_server_has_lost_them() {
    let (mut server, engine) = faulty(durable(), COMMAND_TIMEOUT).await;
    let scene = Scene::open(engine, 5).await;
    assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK");
    scene.reserved().await;
    scene.reserved().await;
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (3, 2));
    assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK");
    let answers = futures::future::join_all((0..10).map(|_| scene.reserve(new_shopper()))).await;
    assert_eq!(
        answers
            .iter()
            .filter(|answer| **answer == ReserveOutcome::Reserved)
            .count(),
        3
    );
    server.restart();
    wait_until_answering(&*scene.gate).await;
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_sent_again_to_the_node_that_has_the_sale() {
    // Enough sales to have some on every node.
    for _ in 0..10 {
        let scene = Scene::open(Cluster::start().await, 5).await;
        cluster_flush_scripts();
        let holder = scene.reserved().await;
        cluster_flush_scripts();
        scene.record(holder, Outcome::SoldOut).await;
        scene.check_balance().await;
        assert_eq!(
            scene.result(holder.user).await,
            Some(PurchaseResult::Failed)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_fails_commands_in_time_and_is_forgiven() {
    let timeout = Duration::from_millis(300);
    let (server, engine) = faulty(RedisOptions::default(), timeout).await;
    let scene = Scene::open(engine, 5).await;
    let holder = scene.reserved().await;
    server.pause();
    for _ in 0..8 {
        let start = Instant::now();
        scene
            .gate
            .reserve(scene.sale, &[again(holder)])
            .await
            .expect_err("the server is silent");
        assert!(start.elapsed() < timeout * 2, "{:?}", start.elapsed());
        tokio::time::sleep(timeout / 3).await; // long enough in all for the connection to be given up
    }
    server.resume();
    wait_until_answering(&*scene.gate).await;
    let (available, pending, _) = scene.figures().await;
    assert_eq!((available, pending), (4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_fails_commands_in_time_and_comes_back() {
    let timeout = Duration::from_millis(500);
    let (mut server, engine) = faulty(durable(), timeout).await;
    let scene = Scene::open(engine, 5).await;
    scene.reserved().await;
    server.kill();
    let dead_for = Instant::now();
    while dead_for.elapsed() < Duration::from_secs(3) {
        let start = Instant::now();
        scene
            .gate
            .reserve(scene.sale, &[new_shopper()])
            .await
            .expect_err("the server is dead");
        assert!(start.elapsed() < timeout * 2, "{:?}", start.elapsed());
    }
    server.restart();
    wait_until_answering(&*scene.gate).await;
    // What could not be answered was not kept to be done later.
    assert_eq!(
        scene.gate.status(scene.sale).await.unwrap(),
        GateStatus::Closed { pending: 1 }
    );
    assert_eq!(units(&server, scene.sale), "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_not_asked_and_nobody_waits_for_it() {
    let (mut server, engine) = faulty(durable(), COMMAND_TIMEOUT).await;
    let scene = Scene::open(engine, 5).await;
    server.kill();
    wait_until("the connection is known to be broken", || async {
        matches!(scene.gate.ping().await, Err(GateError::Refused(_)))
    })
    .await;
    let begun = Instant::now();
    for _ in 0..100 {
        let answer = scene.gate.reserve(scene.sale, &[new_shopper()]).await;
        assert!(matches!(answer, Err(GateError::Refused(_))), "{answer:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
    server.restart();
    wait_until_answering(&*scene.gate).await;
    assert_eq!(units(&server, scene.sale), "5", "none of them took a unit");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_told_from_an_absent_server() {
    let mut server = RedisServer::start(RedisOptions {
        password: Some("right"),
        ..RedisOptions::default()
    });
    let mut config = server.config(COMMAND_TIMEOUT);
    let gate = RedisGate::connect(&config, RESULT_TTL)
        .await
        .expect("the password is right");
    gate.ping().await.unwrap();
    for password in [Some("wrong"), None] {
        config.password = password.map(Secret::new);
        let refused = RedisGate::connect(&config, RESULT_TTL).await.err();
        assert!(
            matches!(refused, Some(ConnectError::CredentialsRefused(_))),
            "{password:?}: {refused:?}"
        );
    }
    server.kill();
    let start = Instant::now();
    let absent = RedisGate::connect(&config, RESULT_TTL).await.err();
    assert!(
        matches!(absent, Some(ConnectError::Unreachable(_))),
        "{absent:?}"
    );
    assert!(start.elapsed() < COMMAND_TIMEOUT, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_needless_password_does_no_harm_and_a_single_server_is_no_cluster() {
    let server = RedisServer::start(RedisOptions::default());
    let mut config = server.config(COMMAND_TIMEOUT);
    config.password = Some(Secret::new("needless"));
    let gate = RedisGate::connect(&config, RESULT_TTL)
        .await
        .expect("the server wants no password");
    gate.ping().await.unwrap();
    config.password = None;
    config.cluster_mode = true;
    let wrong = RedisGate::connect(&config, RESULT_TTL).await.err();
    assert!(
        matches!(wrong, Some(ConnectError::WrongMode(_))),
        "{wrong:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_shutdown_commands_fail_at_once() {
    let (_server, engine) = faulty(RedisOptions::default(), COMMAND_TIMEOUT).await;
    engine.gate.ping().await.unwrap();
    engine.gate.shutdown().await;
    let start = Instant::now();
    engine.gate.ping().await.expect_err("it was shut down");
    assert!(start.elapsed() < Duration::from_secs(1));
}
