//! A running sale on a Redis that answers and does not serve: attempts are refused for certain, the node is not ready, and
//! both end within 10 s of the cause, without an operator.

use std::time::{Duration, Instant};

use crate::support::{
    api::{Api, Shopper},
    kafka,
    postgres::TestDatabase,
    redis::{RedisOptions, RedisServer},
    redis_topology::{OwnCluster, wait_for},
    system::{Servers, System},
    wait_until,
    wire::Wire,
};

const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// Within which everything is normal again.
const BACK: Duration = Duration::from_secs(10);

/// A node, a worker and an open sale.
struct Scene {
    system: Servers,
    api: Api,
    _worker: crate::support::process::Process,
    sale: i64,
    shoppers: std::vec::IntoIter<Shopper>,
}

impl Scene {
    async fn on(redis: flashsale::config::RedisConfig) -> Self {
        let system = Servers::of(TestDatabase::create().await, None, redis, kafka::config()).await;
        let (api, worker) = (system.serve().await, system.work().await);
        let (sale, _) = system.sale(1_000).await;
        api.wait_until_open(&system, sale).await;
        let shoppers = system.shoppers(1_000).await.into_iter();
        let mut scene = Self {
            system,
            api,
            _worker: worker,
            sale,
            shoppers,
        };
        assert_eq!(scene.press().await, (200, None));
        scene
    }

    /// The next shopper's press: status and code.
    async fn press(&mut self) -> (u16, Option<String>) {
        let shopper = self.shoppers.next().expect("a shopper is left");
        let (status, body) = self.api.attempt(self.sale, &shopper).await;
        (status, body["code"].as_str().map(str::to_owned))
    }

    async fn is_ready(&self) -> bool {
        self.api.get("/health/ready", None).await.0 == 200
    }

    /// Everybody is refused, for certain; soon the node says that it is not ready.
    async fn refuses(&mut self, what: &str) {
        for _ in 0..5 {
            let (status, code) = self.press().await;
            let code = code.unwrap_or_default();
            assert!(
                status == 503 && ["unavailable", "sale_preparing"].contains(&code.as_str()),
                "{what}: {status} {code}"
            );
        }
        let what = format!("{what}: the node is not ready");
        wait_until(&what, Duration::from_secs(3), || async {
            !self.is_ready().await
        })
        .await;
    }

    /// Within 10 s somebody is accepted and the node is ready; nothing was lost.
    async fn recovers(&mut self, what: &str) {
        let begun = Instant::now();
        loop {
            let (status, code) = self.press().await;
            if status == 200 {
                break;
            }
            assert_eq!(status, 503, "{what}: {code:?}");
            assert!(begun.elapsed() < BACK, "{what}: still {code:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let what = format!("{what}: the node is ready");
        wait_until(&what, BACK.saturating_sub(begun.elapsed()), || async {
            self.is_ready().await
        })
        .await;
        eprintln!("{what} after {:?}", begun.elapsed());
        self.system.check_promises(self.sale).await;
    }
}

#[tokio::test]
async fn a_redis_without_memory_rights_or_primary_refuses_and_recovers() {
    let redis = RedisServer::start(RedisOptions::default());
    let mut scene = Scene::on(redis.config(COMMAND_TIMEOUT)).await;
    let told = |command: &[&str]| assert_eq!(redis.cli(command), "OK", "{command:?}");

    told(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(redis.cli(&["SET", "probe", "x"]).starts_with("OOM"));
    scene.refuses("OOM").await;
    told(&["CONFIG", "SET", "maxmemory", "0"]);
    scene.recovers("OOM").await;

    told(&["ACL", "SETUSER", "default", "-@scripting"]);
    assert!(redis.cli(&["EVAL", "return 1", "0"]).starts_with("NOPERM"));
    scene.refuses("NOPERM").await;
    told(&["ACL", "SETUSER", "default", "+@scripting"]);
    scene.recovers("NOPERM").await;

    // A replica that has no connection to its primary, and keeps its old data to itself.
    told(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    told(&["REPLICAOF", "127.0.0.1", "1"]);
    assert!(redis.cli(&["GET", "probe"]).starts_with("MASTERDOWN"));
    scene.refuses("MASTERDOWN").await;
    told(&["REPLICAOF", "NO", "ONE"]);
    scene.recovers("MASTERDOWN").await;
}

/// The connection stays open, and no command is answered. A new connection to the same address leads to another server.
#[tokio::test]
async fn a_connection_on_which_commands_only_time_out_is_replaced() {
    let servers = [(), ()].map(|()| RedisServer::start(RedisOptions::default()));
    let [silent, other] = &servers;
    let wire = Wire::to("127.0.0.1", silent.port()).await;
    let mut redis = silent.config(COMMAND_TIMEOUT);
    redis.port = wire.port;
    let scene = Scene::on(redis).await;
    silent.pause();
    wire.lead_to(other.port());
    let ready_again = async || {
        let page = scene
            .api
            .http
            .get(format!("{}/metrics", scene.api.url))
            .send();
        let page = page.await.unwrap().text().await.unwrap();
        let counted = "flashsale_redis_connections_discarded_total{cause=\"silence\"}";
        let line = page.lines().find(|line| line.starts_with(counted));
        line.is_some_and(|line| !line.ends_with(" 0")) && scene.is_ready().await
    };
    wait_until("a new connection is used", BACK, ready_again).await;
    silent.resume();
}

#[tokio::test]
async fn a_redis_that_reads_a_large_snapshot_at_its_start_refuses_and_recovers() {
    // 20,000 keys, each of which takes 100 µs and more, as if they were much larger.
    let more = [
        "--enable-debug-command",
        "local",
        "--key-load-delay",
        "100",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    let mut redis = RedisServer::start_with(RedisOptions::default(), &more);
    let mut scene = Scene::on(redis.config(COMMAND_TIMEOUT)).await;
    assert_eq!(redis.cli(&["DEBUG", "POPULATE", "20000"]), "OK");
    redis.save();
    redis.begin_restart();
    wait_for("it reads its snapshot", || {
        redis.cli(&["PING"]).starts_with("LOADING")
    });
    scene.refuses("LOADING").await;
    assert!(
        redis.cli(&["PING"]).starts_with("LOADING"),
        "it was done before the answers came"
    );
    redis.end_restart();
    scene.recovers("LOADING").await;
}

#[tokio::test]
async fn a_cluster_that_lost_a_master_without_a_replica_refuses_and_recovers() {
    let mut cluster = OwnCluster::start(0);
    let mut scene = Scene::on(cluster.config(COMMAND_TIMEOUT)).await;
    let owner = cluster.owner(cluster.slot_of(scene.sale));
    // Not even the one that has the sale: a cluster that does not cover all slots serves none.
    let lost = cluster.another_master(owner);
    cluster.nodes[lost].kill();
    wait_for("the cluster is down", || {
        cluster.nodes[owner]
            .cli(&["CLUSTER", "INFO"])
            .contains("cluster_state:fail")
    });
    scene.refuses("CLUSTERDOWN").await;
    cluster.nodes[lost].restart();
    wait_for("the cluster is whole", || {
        cluster.nodes[owner]
            .cli(&["CLUSTER", "INFO"])
            .contains("cluster_state:ok")
    });
    scene.recovers("CLUSTERDOWN").await;
}
