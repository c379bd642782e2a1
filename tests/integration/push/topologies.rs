//! Listeners while Redis changes under them: Sentinels fail over, the sale's slot moves, a master dies, over TLS too. The shoppers
//! who listen press at another API node, so that nothing but listening tells their node of the change.

use std::time::{Duration, Instant};

use flashsale::config::RedisConfig;

use crate::support::{
    api::{Api, Shopper},
    events::{Event, Events},
    kafka,
    postgres::TestDatabase,
    process::Process,
    redis::{RedisOptions, RedisServer},
    redis_topology::{Certificates, OwnCluster, Sentinels, pair, pair_over_tls, wait_for},
    system::{Servers, System},
    wait_until,
};

const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// Within which Redis takes presses again, elections included.
const BACK: Duration = Duration::from_secs(20);
/// Within which a result is told after an interruption, as docs/OPERATIONS.md says: from the moment at which Redis has it.
const AFTER_INTERRUPTION: Duration = Duration::from_secs(5);
/// Within which a result is told that is announced. Where there is a subscription, results are read once a minute.
const ANNOUNCED: Duration = Duration::from_secs(4);
const SHOPPERS: usize = 5;

/// A sale with as many units as shoppers, each of whom listens.
struct Scene {
    system: Servers,
    listening: Api,
    selling: Api,
    worker: Process,
    sale: i64,
    shoppers: Vec<Shopper>,
    events: Vec<Events>,
    /// The stream of the sale itself.
    of_sale: Events,
}

impl Scene {
    async fn start(redis: RedisConfig) -> Self {
        let database = TestDatabase::create().await;
        let system = Servers::of(database, None, redis, kafka::config()).await;
        let (listening, selling) = (system.serve().await, system.serve().await);
        let worker = system.work().await;
        let (sale, _) = system.sale(u32::try_from(SHOPPERS).unwrap()).await;
        for api in [&listening, &selling] {
            api.wait_until_open(&system, sale).await;
        }
        let shoppers = system.shoppers(SHOPPERS).await;
        let mut events = Vec::new();
        for shopper in &shoppers {
            let mut stream = Events::of_orders(&listening, shopper).await;
            stream.until(Event::is_ready).await;
            events.push(stream);
        }
        let of_sale = Events::of_sale(&listening, sale).await;
        Self {
            system,
            listening,
            selling,
            worker,
            sale,
            shoppers,
            events,
            of_sale,
        }
    }

    /// Presses until the press is accepted.
    async fn press(&self, shopper: usize) {
        let begun = Instant::now();
        loop {
            let (status, body) = self
                .selling
                .attempt(self.sale, &self.shoppers[shopper])
                .await;
            if status == 200 {
                return;
            }
            assert_eq!(status, 503, "{body}");
            assert!(
                begun.elapsed() < BACK,
                "not accepted within {BACK:?}: {body}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The shopper is told of an order on the stream that was opened at the beginning.
    async fn is_told(&mut self, shopper: usize, within: Duration) {
        let (sale, begun) = (self.sale, Instant::now());
        let told = self.events[shopper].until(|event| event.result_of(sale) == Some("SUCCESS"));
        let told = tokio::time::timeout(within, told).await;
        assert!(
            told.is_ok(),
            "shopper {shopper} is not told within {within:?}"
        );
        eprintln!("shopper {shopper} was told after {:?}", begun.elapsed());
    }

    /// Results are announced, not only read now and then: there is a subscription, and what this shopper is told comes by it.
    async fn is_announced(&mut self, shopper: usize, subscriptions: impl Fn(&str) -> usize) {
        let channel = format!("flashsale:{{{}}}:results", self.sale);
        wait_until("one subscription", AFTER_INTERRUPTION, || async {
            subscriptions(&channel) == 1
        })
        .await;
        self.press(shopper).await;
        self.is_told(shopper, ANNOUNCED).await;
    }

    /// Until the ledger has so many orders: from then on their results are recorded in Redis as soon as that is possible.
    async fn wait_for_orders(&self, orders: i64) {
        wait_until("they are settled", BACK, || async {
            self.system.balance(self.sale).await.orders == orders
        })
        .await;
    }

    /// Everybody has a unit, and the stream of the sale says that none is left.
    async fn end(mut self) {
        let sold_out = self.of_sale.until(|event| event.data["stock"] == "none");
        let sold_out = tokio::time::timeout(BACK, sold_out).await;
        assert!(sold_out.is_ok(), "the sale's stream is silent");
        let balance = self.system.check_promises(self.sale).await;
        assert_eq!(
            (balance.orders, balance.remaining),
            (i64::try_from(SHOPPERS).unwrap(), 0)
        );
        let metrics = self
            .listening
            .http
            .get(format!("{}/metrics", self.listening.url));
        let metrics = metrics.send().await.unwrap().text().await.unwrap();
        let listeners = format!("flashsale_listeners {}", SHOPPERS + 1);
        assert!(
            metrics.contains(&listeners),
            "no stream was ended: {metrics}"
        );
    }
}

/// How many subscriptions a server has to a channel. `PUBSUB` answers with the channel and their number.
fn subscriptions(server: &RedisServer, command: &str, channel: &str) -> usize {
    let answer = server.cli(&["PUBSUB", command, channel]);
    let number = answer.lines().last().and_then(|line| line.parse().ok());
    number.unwrap_or(0)
}

/// What becomes of the primary.
enum Fate {
    Killed,
    /// It keeps its connections and answers nothing, and is a replica when it goes on.
    Frozen,
}

async fn sentinels_fail_over((mut old, new): (RedisServer, RedisServer), fate: Fate) {
    let sentinels = Sentinels::start(&old);
    let mut scene = Scene::start(sentinels.config(&old, COMMAND_TIMEOUT)).await;
    let at_new = |channel: &str| subscriptions(&new, "NUMSUB", channel);
    let at_old = |channel: &str| subscriptions(&old, "NUMSUB", channel);
    scene.is_announced(0, at_old).await;

    // Accepted before, decided afterwards.
    scene.worker.pause();
    scene.press(1).await;
    match fate {
        Fate::Killed => old.kill(),
        Fate::Frozen => old.pause(),
    }
    wait_for("the replica is the primary", || new.is_primary());
    scene.worker.resume();
    scene.wait_for_orders(2).await;
    // Redis has the result before the sale gives units again.
    scene.press(2).await;
    scene.is_told(1, AFTER_INTERRUPTION).await;
    scene.is_told(2, AFTER_INTERRUPTION).await;
    scene.is_announced(3, at_new).await;
    if let Fate::Frozen = fate {
        old.resume();
        wait_for("it is a replica", || !old.is_primary());
    }
    scene.is_announced(4, at_new).await;
    scene.end().await;
}

#[tokio::test]
async fn results_are_told_after_the_sentinels_replaced_a_killed_primary() {
    sentinels_fail_over(pair(), Fate::Killed).await;
}

#[tokio::test]
async fn results_are_told_after_the_sentinels_replaced_a_primary_that_keeps_its_connections() {
    sentinels_fail_over(pair(), Fate::Frozen).await;
}

#[tokio::test]
async fn results_are_told_after_a_failover_with_tls_and_a_password() {
    let certificates = Certificates::make();
    sentinels_fail_over(pair_over_tls(&certificates), Fate::Killed).await;
}

#[tokio::test]
async fn results_are_told_after_a_server_with_tls_and_a_password_was_restarted() {
    let certificates = Certificates::make();
    let options = RedisOptions {
        password: Some("a password"),
        durable: true,
        ..RedisOptions::default()
    };
    let mut server = RedisServer::start_over(Some(&certificates.of_server()), options, &[]);
    let mut scene = Scene::start(server.config(COMMAND_TIMEOUT)).await;
    scene
        .is_announced(0, |channel| subscriptions(&server, "NUMSUB", channel))
        .await;
    scene.worker.pause();
    scene.press(1).await;
    server.restart();
    scene.worker.resume();
    scene.press(2).await;
    scene.is_told(1, AFTER_INTERRUPTION).await;
    scene.is_told(2, AFTER_INTERRUPTION).await;
    for shopper in [3, 4] {
        server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        scene
            .is_announced(shopper, |channel| subscriptions(&server, "NUMSUB", channel))
            .await;
    }
    scene.end().await;
}

#[tokio::test]
async fn results_are_told_while_the_sale_s_slot_moves_and_after_its_master_died() {
    let mut cluster = OwnCluster::start(1);
    let mut scene = Scene::start(cluster.config(COMMAND_TIMEOUT)).await;
    let slot = cluster.slot_of(scene.sale);
    let from = cluster.owner(slot);
    let to = cluster.another_master(from);
    let at = |cluster: &OwnCluster, node: usize, channel: &str| {
        subscriptions(&cluster.nodes[node], "SHARDNUMSUB", channel)
    };
    scene
        .is_announced(0, |channel| at(&cluster, from, channel))
        .await;
    // A sale that stays at the node: the connection of the subscription stays in use.
    let mut neighbour = None;
    for _ in 0..30 {
        let (sale, _) = scene.system.sale(1).await;
        let its_slot = cluster.slot_of(sale);
        if its_slot != slot && cluster.owner(its_slot) == from {
            neighbour = Some(format!("flashsale:{{{sale}}}:results"));
            break;
        }
    }
    let neighbour = neighbour.expect("one of three nodes has one of thirty sales");
    wait_until("it is followed", BACK, || async {
        at(&cluster, from, &neighbour) == 1
    })
    .await;

    // Decided while the slot is on its way: nobody who listens at the old node is told by the new one.
    scene.worker.pause();
    scene.press(1).await;
    cluster.begin_migration(slot, from, to);
    while cluster.move_keys(slot, from, to, 10) > 0 {}
    scene.worker.resume();
    scene.wait_for_orders(2).await;
    cluster.end_migration(slot, from, to);
    scene.press(2).await;
    scene.is_told(1, AFTER_INTERRUPTION).await;
    scene.is_told(2, AFTER_INTERRUPTION).await;
    scene
        .is_announced(3, |channel| at(&cluster, to, channel))
        .await;

    cluster.nodes[to].kill();
    let elected = || {
        let owner = cluster.owner_seen_by(from, slot);
        owner.filter(|node| *node != to && cluster.nodes[*node].is_primary())
    };
    wait_for("a replica is elected", || elected().is_some());
    scene
        .is_announced(4, |channel| at(&cluster, elected().unwrap(), channel))
        .await;
    scene.end().await;
}

/// A node that gives a slot away ends the subscriptions to its channels.
#[tokio::test]
async fn results_are_told_after_the_sale_s_slot_moved_and_came_back_unseen() {
    let cluster = OwnCluster::start(0);
    let mut scene = Scene::start(cluster.config(COMMAND_TIMEOUT)).await;
    let slot = cluster.slot_of(scene.sale);
    let from = cluster.owner(slot);
    let to = cluster.another_master(from);
    let at_home = |channel: &str| subscriptions(&cluster.nodes[from], "SHARDNUMSUB", channel);
    scene.is_announced(0, at_home).await;

    scene.listening.process.pause();
    for (from, to) in [(from, to), (to, from)] {
        cluster.begin_migration(slot, from, to);
        while cluster.move_keys(slot, from, to, 10) > 0 {}
        cluster.end_migration(slot, from, to);
    }
    scene.listening.process.resume();
    scene.press(1).await;
    scene.is_told(1, AFTER_INTERRUPTION).await;
    for shopper in 2..SHOPPERS {
        scene.is_announced(shopper, at_home).await;
    }
    scene.end().await;
}
