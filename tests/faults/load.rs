//! A steady load of shoppers over HTTP, in front of two API nodes as behind a load balancer that knows nothing of their
//! state.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use crate::{
    bed::TestBed,
    client_log::{ClientLog, Reply, Request, Sent},
    limits, pressure,
    request::exchange,
    support::{
        api::Shopper,
        system::{GateBalance, System},
        wait_until,
    },
};

/// How often something is sent.
const TICK: Duration = Duration::from_millis(20);
/// A registration every so many ticks.
const TICKS_A_REGISTRATION: usize = 10;
/// Requests under way at most; more would mean that answers do not come at all.
const UNDER_WAY: usize = 10_000;
/// Nobody waits longer for an answer: longer than every limit.
const PATIENCE: Duration = Duration::from_mins(1);
/// Connections that were idle for longer are not used again: shorter than a node drains, which closes them at the end.
const IDLE: Duration = Duration::from_secs(1);
/// Shoppers who press at once in the rush at the end.
const CROWD: usize = 64;
/// Of them, those who try when there seems to be nothing left.
const FEW: usize = 4;
/// For the rush to sell everything.
const RUSH: Duration = Duration::from_mins(3);

static NEXT_NAME: AtomicUsize = AtomicUsize::new(1);

/// Attempts and questions about results in each tick.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub attempts: usize,
    pub results: usize,
}

impl Pace {
    #[allow(clippy::cast_possible_truncation)] // a few a second
    fn a_second(ticked: usize) -> usize {
        ticked * 1_000 / TICK.as_millis() as usize
    }

    pub fn attempts_a_second(self) -> usize {
        Self::a_second(self.attempts)
    }

    pub fn results_a_second(self) -> usize {
        Self::a_second(self.results)
    }

    pub fn registrations_a_second() -> usize {
        Self::a_second(1) / TICKS_A_REGISTRATION
    }
}

/// A sale and the shoppers in front of it.
pub struct Load {
    pub sale: i64,
    pub product: i64,
    /// All units of the sale, in the end.
    units: AtomicI64,
    pace: Pace,
    /// A client and an address for each API node.
    apis: Vec<(reqwest::Client, String)>,
    turn: AtomicUsize,
    shoppers: Arc<Vec<Shopper>>,
    fresh: AtomicUsize,
    client_log: Mutex<ClientLog>,
}

/// A load that goes on until it is stopped.
pub struct Steady {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Load {
    /// A new sale, open and known to every API.
    pub async fn open(bed: &TestBed, stock: u32, pace: Pace) -> Arc<Self> {
        let (sale, product) = bed.system.sale(stock).await;
        bed.system.wait_until_open(sale).await;
        let apis: Vec<_> = bed
            .fronts()
            .iter()
            .map(|port| {
                let client = reqwest::Client::builder()
                    .timeout(PATIENCE)
                    .pool_idle_timeout(IDLE)
                    .build();
                (client.unwrap(), format!("http://127.0.0.1:{port}"))
            })
            .collect();
        for (client, url) in &apis {
            wait_until(
                "the API shows the sale",
                Duration::from_secs(10),
                || async {
                    let request = client
                        .get(format!("{url}/api/flash-sale/status"))
                        .bearer_auth(&bed.shoppers[0].token);
                    exchange(request).await.1["data"]["id"] == sale
                },
            )
            .await;
        }
        Arc::new(Self {
            sale,
            product,
            units: AtomicI64::new(stock.into()),
            pace,
            apis,
            turn: AtomicUsize::new(0),
            shoppers: Arc::clone(&bed.shoppers),
            fresh: AtomicUsize::new(0),
            client_log: Mutex::default(),
        })
    }

    /// All units of the sale.
    pub fn units(&self) -> i64 {
        self.units.load(Ordering::Relaxed)
    }

    /// More of them or less, in the ledger.
    pub async fn change_units(&self, bed: &TestBed, by: i64) {
        let change = format!(
            "UPDATE flash_sales SET initial_stock = initial_stock + {by} WHERE id = {}",
            self.sale
        );
        bed.system.sql(&change).await;
        self.units.fetch_add(by, Ordering::Relaxed);
    }

    /// An operator changed their number.
    pub fn note_units(&self, units: i64) {
        self.units.store(units, Ordering::Relaxed);
    }

    pub fn client_log(&self) -> MutexGuard<'_, ClientLog> {
        self.client_log.lock().unwrap()
    }

    /// Starts the steady load.
    pub fn start(self: &Arc<Self>) -> Steady {
        let stop = CancellationToken::new();
        let task = tokio::spawn(Arc::clone(self).go_on(stop.clone()));
        Steady { stop, task }
    }

    async fn go_on(self: Arc<Self>, stop: CancellationToken) {
        let mut under_way = JoinSet::new();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tick = 0;
        while !stop.is_cancelled() {
            ticks.tick().await;
            tick += 1;
            for n in 0..self.pace.attempts {
                // Of the attempts of one tick, the first is new; the others are of those who are to come again.
                if let Some(shopper) = self.next(n == 0) {
                    let load = Arc::clone(&self);
                    under_way.spawn(async move { load.press(shopper).await });
                }
            }
            for _ in 0..self.pace.results {
                let waiting = self.client_log().next_waiting();
                if let Some(shopper) = waiting {
                    let load = Arc::clone(&self);
                    under_way.spawn(async move { load.ask_for_result(shopper).await });
                }
            }
            if tick % TICKS_A_REGISTRATION == 0 {
                let load = Arc::clone(&self);
                under_way.spawn(async move { load.register().await });
            }
            while let Some(ended) = under_way.try_join_next() {
                ended.unwrap();
            }
            assert!(under_way.len() < UNDER_WAY, "answers do not come any more");
        }
        // Each ends within PATIENCE.
        while let Some(ended) = under_way.join_next().await {
            ended.unwrap();
        }
    }

    fn next(&self, fresh: bool) -> Option<Shopper> {
        let again = || self.client_log().next_again(true);
        if fresh {
            self.next_fresh().or_else(again)
        } else {
            again().or_else(|| self.next_fresh())
        }
    }

    /// Somebody who did not press yet, if there is anybody left.
    fn next_fresh(&self) -> Option<Shopper> {
        let n = self.fresh.fetch_add(1, Ordering::Relaxed);
        self.shoppers.get(n).cloned()
    }

    /// Sends a request to the node whose turn it is.
    async fn send(
        &self,
        request: Request,
        make: impl FnOnce(&reqwest::Client, &str) -> reqwest::RequestBuilder,
    ) -> (Sent, Reply, Value) {
        let node = self.turn.fetch_add(1, Ordering::Relaxed) % self.apis.len();
        let (client, url) = &self.apis[node];
        let at = Instant::now();
        let (reply, body) = exchange(make(client, url)).await;
        (Sent { request, node, at }, reply, body)
    }

    pub async fn press(&self, shopper: Shopper) {
        let press = |client: &reqwest::Client, url: &str| {
            let path = format!("/api/flash-sale/attempt/{}", self.sale);
            let request = client.post(format!("{url}{path}"));
            request.bearer_auth(&shopper.token)
        };
        let (sent, reply, body) = self.send(Request::Attempt, press).await;
        self.client_log().attempted(shopper, sent, reply, &body);
    }

    pub async fn ask_for_result(&self, shopper: Shopper) {
        let ask = |client: &reqwest::Client, url: &str| {
            let path = format!("/api/orders/status/{}", self.product);
            client
                .get(format!("{url}{path}"))
                .bearer_auth(&shopper.token)
        };
        let (sent, reply, body) = self.send(Request::Result, ask).await;
        self.client_log()
            .asked_for_result(shopper, sent, reply, &body);
    }

    /// Somebody makes an account, logs in, and presses.
    async fn register(&self) {
        let name = format!("walkin{}", NEXT_NAME.fetch_add(1, Ordering::Relaxed));
        let account = json!({"username": name, "email": format!("{name}@example.com"), "password": "password123"});
        let post = |path: &'static str, body: Value| {
            move |client: &reqwest::Client, url: &str| {
                client.post(format!("{url}{path}")).json(&body)
            }
        };
        let register = post("/api/auth/register", account);
        let (sent, reply, _) = self.send(Request::Registration, register).await;
        let registered = reply.status() == 201;
        self.client_log().registered(sent, reply);
        if !registered {
            return;
        }
        let login = json!({"username": name, "password": "password123"});
        let login = post("/api/auth/login", login);
        let (sent, reply, body) = self.send(Request::Registration, login).await;
        let mut client_log = self.client_log();
        client_log.registered(sent, reply);
        let (id, token) = (&body["data"]["userId"], &body["data"]["token"]);
        if let (Some(id), Some(token)) = (id.as_str(), token.as_str()) {
            client_log.comes_new(Shopper {
                id: id.parse().unwrap(),
                token: token.to_owned(),
            });
        }
    }

    /// Waits for a second without trouble after this moment, in which at least a quarter of the usual attempts were
    /// answered. When it began.
    pub async fn normal_again(&self, bed: &TestBed, from: Instant) -> Instant {
        const SECOND: Duration = Duration::from_secs(1);
        let longest = limits::recovery(&bed.config);
        let waited = pressure::waited();
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = Instant::now();
            let trouble = {
                let client_log = self.client_log();
                let mut troubles = client_log.exchanges.iter().rev();
                let last = troubles.find(|exchange| exchange.reply.is_trouble());
                let begin = last.map_or(from, |last| last.ended.max(from));
                let answered = client_log.exchanges.iter().rev();
                let answered = answered
                    .take_while(|exchange| exchange.ended + SECOND > now)
                    .filter(|exchange| exchange.sent.request == Request::Attempt)
                    .count();
                if now >= begin + SECOND && answered >= self.pace.attempts_a_second() / 4 {
                    // Later, if answers did not come at all before.
                    return begin.max(now.checked_sub(SECOND).unwrap_or(now));
                }
                last.cloned()
            };
            let stolen = pressure::waited().saturating_sub(waited);
            let (took, own) = (now - from, (now - from).saturating_sub(stolen));
            assert!(
                own <= limits::BACK + SECOND && took <= longest,
                "not normal again after {took:?}, of which {stolen:?} somebody waited for a CPU: {trouble:?}"
            );
        }
    }

    /// A rush at the end: everybody who was refused, and whoever else is there, until everything is sold, in the gate and in
    /// the ledger, and everybody who pressed knows.
    pub async fn sell_out(&self, bed: &TestBed) {
        let deadline = Instant::now() + RUSH;
        loop {
            let gate = bed.system.gate_balance(self.sale).await;
            let refused: Vec<_> = {
                let mut client_log = self.client_log();
                let again = std::iter::from_fn(|| client_log.next_again(false));
                again.take(CROWD).collect()
            };
            let fresh = match gate {
                Some(gate) if gate.available > 0 => CROWD - refused.len(),
                Some(GateBalance { pending: 0, .. })
                    if refused.is_empty() && self.is_sold(bed).await =>
                {
                    return;
                }
                // What is pending can come back, and what the ledger still has; a few find out.
                _ => FEW,
            };
            let fresh: Vec<_> = std::iter::repeat_with(|| self.next_fresh())
                .take(fresh)
                .flatten()
                .collect();
            let crowd = refused.into_iter().chain(fresh);
            join_all(crowd.map(|shopper| self.press(shopper))).await;
            assert!(Instant::now() < deadline, "not sold out: {gate:?}");
            let open = gate.is_some_and(|gate| gate.available > 0);
            if !open || self.client_log().someone_comes_again() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Whether the ledger has no unit left.
    async fn is_sold(&self, bed: &TestBed) -> bool {
        let left = format!(
            "SELECT remaining_stock::bigint FROM flash_sales WHERE id = {}",
            self.sale
        );
        bed.system.number(&left).await == 0
    }

    /// Ends the sale, so that the next one is the only one that is open.
    pub async fn end(&self, bed: &TestBed) {
        let end = format!(
            "UPDATE flash_sales SET end_time = now() WHERE id = {}",
            self.sale
        );
        bed.system.sql(&end).await;
    }

    /// Everybody who was accepted asks for the result.
    pub async fn ask_all(&self) {
        let accepted: Vec<i64> = {
            let client_log = self.client_log();
            let answers = client_log.answers.iter();
            answers
                .filter(|(_, answers)| answers.accepted.is_some())
                .map(|(id, _)| *id)
                .collect()
        };
        for crowd in accepted.chunks(CROWD) {
            let ask = |id: &i64| self.ask_for_result(Shopper::with_account(*id));
            join_all(crowd.iter().map(ask)).await;
        }
    }
}

impl Steady {
    /// No more requests; waits for the answers that are due.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}
