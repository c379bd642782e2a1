//! Operators' actions during which a process is killed: each is applied wholly or not at all, and sent again with its key it is
//! applied once.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use flashsale::port::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    bed::{TestBed, Topology},
    check,
    client_log::Reply,
    fault::{Fault, Part},
    limits,
    load::{Load, Pace},
    random::Random,
    request::exchange,
    support::{api::Shopper, system::System, wait_until},
};

const ACCOUNTS: usize = 24_000;
const STOCK: u32 = 20_000;
const PACE: Pace = Pace {
    attempts: 1,
    results: 1,
};
/// The longest pause between an action and the kill. On a busy machine an action takes up to 80 ms.
const LONGEST_PAUSE_MS: u64 = 100;
/// How long an operator goes on sending an action.
const PATIENCE: Duration = Duration::from_secs(30);
/// The number of units that an action adds or withdraws.
const UNITS: i64 = 7;
/// By how much an action makes a sale longer.
const EXTENSION_MS: i64 = 60_000;

const VICTIMS: [Part; 3] = [Part::Api, Part::Worker, Part::Redis];

/// What an operator does. Every sequence of these leaves the sale of the load open: what ends one is done to a sale beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Add,
    Withdraw,
    Pause,
    Resume,
    Extend,
    CancelOrder,
    /// Its unit is not sold again.
    CancelOrderAndUnit,
    Publish,
    End,
    CancelSale,
}

impl Action {
    const ALL: [Self; 10] = [
        Self::Add,
        Self::Publish,
        Self::Pause,
        Self::Withdraw,
        Self::Extend,
        Self::Resume,
        Self::CancelOrder,
        Self::End,
        Self::CancelOrderAndUnit,
        Self::CancelSale,
    ];

    /// The state in the ledger of the sale beside that of the load that it changes; `None`: it changes that of the load.
    fn state_of_sale_beside(self) -> Option<&'static str> {
        match self {
            Self::Publish => Some("DRAFT"),
            Self::End | Self::CancelSale => Some("LIVE"),
            _ => None,
        }
    }

    /// What is applied of it if it is applied wholly. There are more units than that.
    fn units(self) -> i64 {
        match self {
            Self::Add => UNITS,
            Self::Withdraw => -UNITS,
            Self::CancelOrderAndUnit => -1,
            _ => 0,
        }
    }
}

/// What the ledger says of a sale: what actions change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Terms {
    units: i64,
    paused: bool,
    state: String,
    /// In milliseconds; `None`: it is over.
    end: Option<i64>,
    /// Orders that stand no more.
    cancelled: i64,
}

impl Terms {
    async fn of(bed: &TestBed, sale: i64) -> Self {
        let query = format!(
            "SELECT initial_stock::bigint, paused_at IS NOT NULL, state, \
                 CASE WHEN end_time > now() THEN (extract(epoch FROM end_time) * 1000)::bigint END, \
                 (SELECT count(*) FROM orders WHERE status <> 'SUCCESS' AND flash_sale_id = s.id) \
             FROM flash_sales s WHERE id = {sale}"
        );
        let row = bed.system.database.query(&query).await.remove(0);
        Self {
            units: row.get(0),
            paused: row.get(1),
            state: row.get(2),
            end: row.get(3),
            cancelled: row.get(4),
        }
    }

    /// After the action, of which so many units were applied.
    fn after(&self, action: Action, applied: i64) -> Self {
        let mut after = self.clone();
        after.units += applied;
        match action {
            Action::Add | Action::Withdraw => {}
            Action::Pause => after.paused = true,
            Action::Resume => after.paused = false,
            Action::Extend => after.end = self.end.map(|end| end + EXTENSION_MS),
            Action::CancelOrder | Action::CancelOrderAndUnit => after.cancelled += 1,
            Action::Publish => "LIVE".clone_into(&mut after.state),
            Action::End => after.end = None,
            Action::CancelSale => "CANCELLED".clone_into(&mut after.state),
        }
        after
    }
}

/// A request of an operator, which can be sent again.
struct Order {
    /// The sale that it changes.
    sale: i64,
    method: Method,
    path: String,
    /// By which the change is made once: a key or, of a PATCH, the version that was seen.
    once: (&'static str, String),
    body: Value,
}

impl Order {
    async fn send(&self, port: u16, token: &str) -> (Reply, Value) {
        let url = format!("http://127.0.0.1:{port}/api/admin{}", self.path);
        let (header, value) = &self.once;
        let request = reqwest::Client::new()
            .request(self.method.clone(), url)
            .bearer_auth(token)
            .header(*header, value)
            .timeout(PATIENCE)
            .json(&self.body);
        exchange(request).await
    }

    /// Sends it until it is answered with success, or with the refusal of a version that it has raised itself.
    async fn send_until_answered(&self, bed: &TestBed, token: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for port in bed.fronts() {
                let (reply, body) = self.send(port, token).await;
                match reply.status() {
                    200 | 202 => return body["data"].clone(),
                    412 if self.method == Method::PATCH => return Value::Null,
                    // A process is away, or the first request is still under way.
                    0 | 408 | 409 | 503 => {}
                    _ => panic!("{}: {reply:?} {body}", self.path),
                }
                assert!(Instant::now() < deadline, "{}: {reply:?} {body}", self.path);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Panics if anything is not as it must be.
pub async fn run(kills: usize, seed: u64) {
    println!("{kills} actions with a kill during each, with seed {seed}");
    let mut bed = TestBed::start(Topology::Single, ACCOUNTS).await;
    let mut random = Random(seed);
    let operator = bed.system.shoppers(1).await.remove(0);
    let load = Load::open(&bed, STOCK, PACE).await;
    let steady = load.start();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut had = BTreeMap::<String, usize>::new();
    for n in 0..kills {
        let token = Shopper::with_account(operator.id)
            .with_role(Role::Operator)
            .token;
        if n % 100 == 99 {
            bed.renew_tokens();
        }
        let action = Action::ALL[n % Action::ALL.len()];
        let victim = VICTIMS[n % VICTIMS.len()];
        let told = interrupted(&mut bed, &load, action, victim, &mut random, &token).await;
        println!("{n:4}  {action:?}, {victim} killed: {told}");
        *had.entry(told.to_owned()).or_default() += 1;
        load.normal_again(&bed, Instant::now()).await;
    }
    if Terms::of(&bed, load.sale).await.paused {
        let token = Shopper::with_account(operator.id)
            .with_role(Role::Operator)
            .token;
        let resume = order(&bed, &load, Action::Resume).await;
        resume.send_until_answered(&bed, &token).await;
    }
    steady.stop().await;
    load.sell_out(&bed).await;
    let faults = VICTIMS.map(Fault::Killed);
    check::check(&bed, &load, &faults).await;
    bed.assert_whole().await;
    check::audit(&bed, &[]).await;
    println!(
        "{kills} actions, each applied wholly or not at all, and once when it was sent again: {had:?}"
    );
}

/// Starts an action, kills a process meanwhile, and checks what is left. Says how the first request ended.
async fn interrupted(
    bed: &mut TestBed,
    load: &Arc<Load>,
    action: Action,
    victim: Part,
    random: &mut Random,
    token: &str,
) -> &'static str {
    let order = Arc::new(order(bed, load, action).await);
    let before = Terms::of(bed, order.sale).await;
    in_agreement(bed, order.sale, token).await;
    let request = {
        let (order, port, token) = (Arc::clone(&order), bed.fronts()[0], token.to_owned());
        tokio::spawn(async move { order.send(port, &token).await })
    };
    tokio::time::sleep(Duration::from_millis(random.below(LONGEST_PAUSE_MS))).await;
    Fault::Killed(victim).strike(bed, load).await;
    let (reply, _) = request.await.unwrap();

    // Whether or not the answer came: the control loop completes what was begun.
    in_agreement(bed, order.sale, token).await;
    let left = Terms::of(bed, order.sale).await;
    let whole = before.after(action, action.units());
    assert!(
        left == before || left == whole,
        "{action:?}, of {before:?} is left {left:?}"
    );
    let was_applied = left != before;
    if matches!(reply.status(), 200 | 202) {
        assert_eq!(left, whole, "{action:?} was answered: {before:?}");
    }

    let answer = order.send_until_answered(bed, token).await;
    in_agreement(bed, order.sale, token).await;
    let after = Terms::of(bed, order.sale).await;
    if let (Action::Withdraw, Some(applied)) = (action, answer["applied"].as_i64()) {
        assert_eq!(applied, action.units(), "{answer}");
    }
    assert_eq!(after, whole, "{action:?} was sent again: {answer}");
    assert!(
        !was_applied || after == left,
        "{action:?} was applied twice: {left:?} {after:?}"
    );
    if order.sale == load.sale {
        load.note_units(after.units);
    } else {
        press_beside(bed, action, order.sale).await;
    }
    match (reply.status(), was_applied) {
        (200 | 202, _) => "answered",
        (_, true) => "no answer, applied",
        (_, false) => "no answer, not applied",
    }
}

async fn order(bed: &TestBed, load: &Load, action: Action) -> Order {
    let sale = match action.state_of_sale_beside() {
        Some(state) => sale_beside(bed, state).await,
        None => load.sale,
    };
    let reason = "Test of kills";
    let stock = |units: i64, mode| json!({"delta": units, "mode": mode, "reason": reason});
    let of_sale = |what: &str| format!("/sales/{sale}/{what}");
    let why = json!({"reason": reason});
    let (path, body) = match action {
        Action::Add => (of_sale("stock"), stock(UNITS, "exact")),
        Action::Withdraw => (of_sale("stock"), stock(-UNITS, "upTo")),
        Action::Pause => (of_sale("pause"), why),
        Action::Resume => (of_sale("resume"), why),
        Action::Publish => (of_sale("publish"), why),
        Action::End => (of_sale("end"), why),
        Action::CancelSale => (of_sale("cancel"), why),
        Action::Extend => return extension(bed, sale, reason).await,
        Action::CancelOrder | Action::CancelOrderAndUnit => {
            let restock = action == Action::CancelOrder;
            let attempt = first_order(bed, load).await;
            (
                format!("/orders/{attempt}/cancel"),
                json!({"restock": restock, "reason": reason}),
            )
        }
    };
    let key = uuid::Uuid::new_v4().simple().to_string();
    Order {
        sale,
        method: Method::POST,
        path,
        once: ("Idempotency-Key", format!("\"{key}\"")),
        body,
    }
}

async fn extension(bed: &TestBed, sale: i64, reason: &str) -> Order {
    let end = Terms::of(bed, sale).await.end.unwrap() + EXTENSION_MS;
    let end = chrono::DateTime::from_timestamp_millis(end).unwrap();
    let version = format!("SELECT version FROM flash_sales WHERE id = {sale}");
    let version = bed.system.number(&version).await;
    Order {
        sale,
        method: Method::PATCH,
        path: format!("/sales/{sale}"),
        once: ("If-Match", format!("\"v{version}\"")),
        body: json!({"endTime": end.to_rfc3339(), "reason": reason}),
    }
}

/// The attempt of the sale's first order that stands. After its cancellation the buyer has no result.
async fn first_order(bed: &TestBed, load: &Load) -> String {
    let first = format!(
        "SELECT attempt_id::text, user_id FROM orders WHERE flash_sale_id = {} AND status = 'SUCCESS' \
         ORDER BY created_at LIMIT 1",
        load.sale
    );
    let rows = bed.system.database.query(&first).await;
    let (attempt, buyer): (String, i64) = (rows[0].get(0), rows[0].get(1));
    load.client_log().ended.insert(buyer);
    attempt
}

/// A sale in this state that would be open now, of a product of its own.
async fn sale_beside(bed: &TestBed, state: &str) -> i64 {
    let sku = uuid::Uuid::new_v4().simple().to_string();
    bed.system
        .sql(&format!(
            "WITH p AS (INSERT INTO products (sku, name, description, price_cents) \
                 VALUES ('{sku}', 'Beside', 'Of a test', 100) RETURNING id) \
             INSERT INTO flash_sales (product_id, start_time, end_time, initial_stock, remaining_stock, state) \
             SELECT id, now() - interval '1 minute', now() + interval '1 hour', 5, 5, '{state}' FROM p"
        ))
        .await;
    bed.system
        .number(&format!(
            "SELECT s.id FROM flash_sales s JOIN products p ON p.id = s.product_id WHERE p.sku = '{sku}'"
        ))
        .await
}

/// A node answers a shopper of a sale by the action.
async fn press_beside(bed: &TestBed, action: Action, sale: i64) {
    let expected = if action == Action::Publish { 200 } else { 410 };
    let shopper = bed.system.shoppers(1).await.remove(0);
    let url = format!(
        "http://127.0.0.1:{}/api/flash-sale/attempt/{sale}",
        bed.fronts()[1]
    );
    wait_until(
        "a shopper is answered by it",
        limits::recovery(&bed.config),
        || async {
            let request = reqwest::Client::new().post(&url);
            let request = request.bearer_auth(&shopper.token).timeout(PATIENCE);
            exchange(request).await.0.status() == expected
        },
    )
    .await;
}

/// Waits until the gate has what the ledger has, and nothing is left to be done. The gate never has a draft.
async fn in_agreement(bed: &TestBed, sale: i64, token: &str) {
    let left = format!(
        "SELECT (SELECT count(*) FROM stock_movements WHERE state = 'PENDING' AND flash_sale_id = {sale}) \
             + (SELECT count(*) FROM released_orders WHERE applied_at IS NULL AND flash_sale_id = {sale})"
    );
    wait_until(
        "gate and ledger agree",
        limits::recovery(&bed.config),
        || async {
            let terms = Terms::of(bed, sale).await;
            let balance = balance(bed, sale, token).await;
            let where_it_is = if terms.state == "DRAFT" {
                "ledger"
            } else {
                "gate"
            };
            balance["source"] == where_it_is
                && balance["drift"] == 0
                && balance["total"] == terms.units
                && bed.system.number(&left).await == 0
        },
    )
    .await;
}

async fn balance(bed: &TestBed, sale: i64, token: &str) -> Value {
    let port = bed.fronts()[1];
    let url = format!("http://127.0.0.1:{port}/api/admin/sales/{sale}/balance");
    let request = reqwest::Client::new().get(url).bearer_auth(token);
    exchange(request.timeout(PATIENCE)).await.1["data"].clone()
}
