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

const VICTIMS: [Part; 3] = [Part::Api, Part::Worker, Part::Redis];

/// What an operator does. Every sequence of these leaves the sale open.
#[derive(Debug, Clone, Copy)]
enum Action {
    Add,
    Withdraw,
    Pause,
    Resume,
    CancelOrder,
}

impl Action {
    const ALL: [Self; 5] = [
        Self::Add,
        Self::Pause,
        Self::Withdraw,
        Self::Resume,
        Self::CancelOrder,
    ];
}

/// What the ledger says of the sale: what actions change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Terms {
    units: i64,
    paused: bool,
    /// Orders that stand no more.
    cancelled: i64,
}

impl Terms {
    async fn of(bed: &TestBed, load: &Load) -> Self {
        let number = async |what: &str, from: &str| {
            let query = format!("SELECT {what} FROM {from} = {}", load.sale);
            bed.system.number(&query).await
        };
        let sale = "flash_sales WHERE id";
        Self {
            units: number("initial_stock::bigint", sale).await,
            paused: number("(paused_at IS NOT NULL)::int::bigint", sale).await == 1,
            cancelled: number(
                "count(*)",
                "orders WHERE status <> 'SUCCESS' AND flash_sale_id",
            )
            .await,
        }
    }

    /// After the action, of which so many units were applied.
    fn after(mut self, action: Action, applied: i64) -> Self {
        match action {
            Action::Add | Action::Withdraw => self.units += applied,
            Action::Pause => self.paused = true,
            Action::Resume => self.paused = false,
            Action::CancelOrder => self.cancelled += 1,
        }
        self
    }
}

/// A request of an operator, which can be sent again.
struct Order {
    path: String,
    key: String,
    body: Value,
}

impl Order {
    async fn send(&self, port: u16, token: &str) -> (Reply, Value) {
        let url = format!("http://127.0.0.1:{port}/api/admin{}", self.path);
        let request = reqwest::Client::new()
            .request(Method::POST, url)
            .bearer_auth(token)
            .header("Idempotency-Key", format!("\"{}\"", self.key))
            .timeout(PATIENCE)
            .json(&self.body);
        exchange(request).await
    }

    /// Sends it until it is answered with success.
    async fn send_until_answered(&self, bed: &TestBed, token: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for port in bed.fronts() {
                let (reply, body) = self.send(port, token).await;
                match reply.status() {
                    200 | 202 => return body["data"].clone(),
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
    if Terms::of(&bed, &load).await.paused {
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
    let before = Terms::of(bed, load).await;
    let order = Arc::new(order(bed, load, action).await);
    let request = {
        let (order, port, token) = (Arc::clone(&order), bed.fronts()[0], token.to_owned());
        tokio::spawn(async move { order.send(port, &token).await })
    };
    tokio::time::sleep(Duration::from_millis(random.below(LONGEST_PAUSE_MS))).await;
    Fault::Killed(victim).strike(bed, load).await;
    let (reply, _) = request.await.unwrap();

    // Whether or not the answer came: the control loop completes what was begun.
    in_agreement(bed, load, token).await;
    let left = Terms::of(bed, load).await;
    let whole = |left: Terms| match action {
        // There are more units than that.
        Action::Withdraw => left == before.after(action, -UNITS),
        _ => left == before.after(action, UNITS),
    };
    assert!(
        left == before || whole(left),
        "{action:?}, of {before:?} is left {left:?}"
    );
    let was_applied = left != before;
    if matches!(reply.status(), 200 | 202) {
        assert!(whole(left), "{action:?} was answered: {before:?} {left:?}");
    }

    let answer = order.send_until_answered(bed, token).await;
    in_agreement(bed, load, token).await;
    let after = Terms::of(bed, load).await;
    // A repetition of an answer 202 cannot say what was withdrawn later.
    let withdrawn = after.units - before.units;
    let applied = match action {
        Action::Add => UNITS,
        Action::Withdraw => answer["applied"].as_i64().unwrap_or(withdrawn),
        _ => 0,
    };
    assert_eq!(after, before.after(action, applied), "{action:?}: {answer}");
    assert!(whole(after), "{action:?}: {after:?} {answer}");
    assert!(
        !was_applied || after == left,
        "{action:?} was applied twice: {left:?} {after:?}"
    );
    load.note_units(after.units);
    match (reply.status(), was_applied) {
        (200 | 202, _) => "answered",
        (_, true) => "no answer, applied",
        (_, false) => "no answer, not applied",
    }
}

async fn order(bed: &TestBed, load: &Load, action: Action) -> Order {
    let key = uuid::Uuid::new_v4().simple().to_string();
    let of_sale = |what: &str| format!("/sales/{}/{what}", load.sale);
    let reason = "Test of kills";
    let (path, body) = match action {
        Action::Add => (
            of_sale("stock"),
            json!({"delta": UNITS, "mode": "exact", "reason": reason}),
        ),
        Action::Withdraw => (
            of_sale("stock"),
            json!({"delta": -UNITS, "mode": "upTo", "reason": reason}),
        ),
        Action::Pause => (of_sale("pause"), json!({"reason": reason})),
        Action::Resume => (of_sale("resume"), json!({"reason": reason})),
        Action::CancelOrder => {
            let first = format!(
                "SELECT attempt_id::text, user_id FROM orders WHERE flash_sale_id = {} AND status = 'SUCCESS' \
                 ORDER BY created_at LIMIT 1",
                load.sale
            );
            let rows = bed.system.database.query(&first).await;
            let (attempt, buyer): (String, i64) = (rows[0].get(0), rows[0].get(1));
            load.client_log().ended.insert(buyer);
            (
                format!("/orders/{attempt}/cancel"),
                json!({"restock": true, "reason": reason}),
            )
        }
    };
    Order { path, key, body }
}

/// Waits until the gate has what the ledger has, and nothing is left to be done.
async fn in_agreement(bed: &TestBed, load: &Load, token: &str) {
    let movements = format!(
        "SELECT count(*) FROM stock_movements WHERE state = 'PENDING' AND flash_sale_id = {}",
        load.sale
    );
    wait_until(
        "gate and ledger agree",
        limits::recovery(&bed.config),
        || async {
            let terms = Terms::of(bed, load).await;
            let balance = balance(bed, load.sale, token).await;
            balance["source"] == "gate"
                && balance["drift"] == 0
                && balance["total"] == terms.units
                && bed.system.number(&movements).await == 0
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
