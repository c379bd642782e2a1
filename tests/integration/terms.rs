//! What an operator changes in the ledger of a running sale reaches the gate; what the gate loses or gets wrong is found.

use std::time::{Duration, Instant};

use futures::future::join_all;
use uuid::Uuid;

use flashsale::{
    ids::{AttemptId, SaleId, UserId},
    port::{GateReads, GateStatus, Holder, Reservations, ReserveOutcome},
};

use crate::support::{
    api::{Api, Shopper},
    postgres::TestDatabase,
    system::{Servers, System},
    wait_until,
};

/// How long a change in the ledger, or a lost key, may take until the gate has it right.
const SOON: Duration = Duration::from_secs(2);

on_systems! {
    nobody_who_was_accepted_fails_because_units_were_taken_away,
    who_was_accepted_gets_an_order_though_the_sale_is_shortened_at_once,
    units_added_can_be_bought_at_once,
    an_order_that_ends_frees_its_unit_and_its_shopper,
    an_order_that_stands_again_takes_its_unit_again,
}

async fn buy(api: &Api, sale: i64, shopper: &Shopper) -> u16 {
    api.attempt(sale, shopper).await.0
}

async fn all_buy(api: &Api, sale: i64, shoppers: &[Shopper]) {
    let answers = join_all(shoppers.iter().map(|shopper| buy(api, sale, shopper))).await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
}

async fn nobody_who_was_accepted_fails_because_units_were_taken_away(system: impl System) {
    let (api, _worker) = (system.serve().await, system.worker().await);
    let (sale, product) = system.sale(2_000).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(700).await;

    // A hundred a second: the 400 that are left last longer than the gate takes to be told.
    let begun = Instant::now();
    let mut accepted = Vec::new();
    for (n, shopper) in (0_u32..).zip(&shoppers) {
        tokio::time::sleep_until((begun + n * Duration::from_millis(10)).into()).await;
        match api.attempt(sale, shopper).await {
            (200, _) => accepted.push(shopper),
            (409, body) => assert_eq!(body["code"], "sold_out", "{body}"),
            other => panic!("{other:?}"),
        }
        if n == 30 {
            system
                .sql(&format!(
                    "UPDATE flash_sales SET initial_stock = 400, remaining_stock = remaining_stock - 1600 WHERE id = {sale}"
                ))
                .await;
        }
    }
    assert_eq!(accepted.len(), 400, "the gate sold more than there is");
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (400, 0));
    for shopper in accepted {
        let result = api.result(product, shopper).await;
        assert_eq!(result.as_deref(), Some("SUCCESS"));
    }
}

async fn who_was_accepted_gets_an_order_though_the_sale_is_shortened_at_once(system: impl System) {
    let (api, _worker) = (system.serve().await, system.worker().await);
    let now = chrono::Utc::now();
    let begin = now - Duration::from_hours(2);
    let (sale, product) = system
        .sale_in(9, begin, now + Duration::from_hours(1))
        .await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(9).await;
    all_buy(&api, sale, &shoppers).await;
    // As if it had ended an hour before they came.
    let end = system.instant(now - Duration::from_hours(1));
    let shorten = format!("UPDATE flash_sales SET end_time = '{end}' WHERE id = {sale}");
    system.sql(&shorten).await;
    for shopper in &shoppers {
        wait_until("the order stands", SOON * 5, || async {
            api.result(product, shopper).await.as_deref() == Some("SUCCESS")
        })
        .await;
    }
    assert_eq!(system.balance(sale).await.orders, 9);
    assert_eq!(system.dead_letter_causes().await, [""; 0]);
}

async fn units_added_can_be_bought_at_once(system: impl System) {
    let (api, _worker) = (system.serve().await, system.worker().await);
    let (sale, product) = system.sale(3).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(6).await;
    all_buy(&api, sale, &shoppers[..3]).await;
    system.check_promises(sale).await;
    // The node refuses by heart from now on.
    wait_until("sold out", SOON, || async {
        buy(&api, sale, &shoppers[3]).await == 409
    })
    .await;

    system
        .sql(&format!(
            "UPDATE flash_sales SET initial_stock = 5 WHERE id = {sale}"
        ))
        .await;
    wait_until("a unit can be bought", SOON, || async {
        buy(&api, sale, &shoppers[3]).await == 200
    })
    .await;
    assert_eq!(buy(&api, sale, &shoppers[4]).await, 200);
    assert_eq!(buy(&api, sale, &shoppers[5]).await, 409);
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.initial, balance.orders), (5, 5));
    for shopper in &shoppers[..5] {
        let result = api.result(product, shopper).await;
        assert_eq!(result.as_deref(), Some("SUCCESS"));
    }
}

async fn an_order_that_ends_frees_its_unit_and_its_shopper(system: impl System) {
    let (api, _worker) = (system.serve().await, system.worker().await);
    let (sale, product) = system.sale(3).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(5).await;
    let [deleted, failed, kept, next, late] = &shoppers[..] else {
        panic!("five shoppers");
    };
    all_buy(&api, sale, &shoppers[..3]).await;
    system.check_promises(sale).await;
    wait_until("sold out", SOON, || async {
        buy(&api, sale, next).await == 409
    })
    .await;

    system
        .sql(&format!(
            "DELETE FROM orders WHERE flash_sale_id = {sale} AND user_id = {}",
            deleted.id
        ))
        .await;
    wait_until("the unit can be bought", SOON, || async {
        buy(&api, sale, next).await == 200
    })
    .await;
    assert_eq!(api.result(product, deleted).await, None);
    assert_eq!(system.check_promises(sale).await.orders, 3);

    system
        .sql(&format!(
            "UPDATE orders SET status = 'FAILED' WHERE flash_sale_id = {sale} AND user_id = {}",
            failed.id
        ))
        .await;
    // The shopper themselves may buy again, in place of the row that is there.
    wait_until("the shopper can buy again", SOON, || async {
        let (status, body) = api.attempt(sale, failed).await;
        status == 200 && body["data"]["status"] == "PENDING"
    })
    .await;
    assert_eq!(buy(&api, sale, deleted).await, 409);
    assert_eq!(buy(&api, sale, late).await, 409);
    assert_eq!(system.check_promises(sale).await.orders, 3);
    for shopper in [failed, kept, next] {
        let result = api.result(product, shopper).await;
        assert_eq!(result.as_deref(), Some("SUCCESS"));
    }
    let rows = format!("SELECT count(*) FROM released_orders WHERE flash_sale_id = {sale}");
    assert_eq!(system.number(&rows).await, 2);
    wait_until("the ledger knows that it is done", SOON, || async {
        let open = format!("{rows} AND applied_at IS NULL");
        system.number(&open).await == 0
    })
    .await;
}

async fn an_order_that_stands_again_takes_its_unit_again(system: impl System) {
    let (api, _worker) = (system.serve().await, system.worker().await);
    let (sale, product) = system.sale(3).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(4).await;
    let [first, second, ..] = &shoppers[..] else {
        panic!("four shoppers");
    };
    all_buy(&api, sale, &shoppers[..1]).await;
    system.check_promises(sale).await;

    let change = async |what: &str| {
        let change = format!("UPDATE orders SET {what} WHERE flash_sale_id = {sale}");
        system.sql(&change).await;
    };
    let ended = async || {
        wait_until("it has ended in the gate", SOON, || async {
            let gate = system.gate_balance(sale).await;
            gate.is_some_and(|gate| gate.available == 3)
        })
        .await;
        assert_eq!(api.result(product, first).await, None);
    };
    change("status = 'FAILED'").await;
    ended().await;
    change("status = 'SUCCESS'").await;
    assert_eq!(system.check_promises(sale).await.orders, 1);
    let result = api.result(product, first).await;
    assert_eq!(result.as_deref(), Some("SUCCESS"));

    // Or of somebody else.
    change(&format!("user_id = {}", second.id)).await;
    ended().await;
    assert_eq!(system.check_promises(sale).await.orders, 1);
    let result = api.result(product, second).await;
    assert_eq!(result.as_deref(), Some("SUCCESS"));
    all_buy(&api, sale, &shoppers[2..]).await;
    assert_eq!(buy(&api, sale, first).await, 409);
    assert_eq!(system.check_promises(sale).await.orders, 3);
}

#[tokio::test]
async fn all_orders_of_a_sale_can_end_at_once() {
    let system = Servers::start().await;
    let (api, _worker) = (system.serve().await, system.worker().await);
    let (sale, product) = system.sale(50).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(50).await;
    all_buy(&api, sale, &shoppers).await;
    system.check_promises(sale).await;
    system.sql("TRUNCATE orders").await;
    wait_until("everybody can buy again", SOON, || async {
        system.gate_balance(sale).await.unwrap().available == 50
    })
    .await;
    assert_eq!(api.result(product, &shoppers[7]).await, None);
    all_buy(&api, sale, &shoppers).await;
    assert_eq!(system.check_promises(sale).await.orders, 50);
}

/// The gate's status, once it is open and in order.
async fn is_sound(system: &Servers, sale: i64) -> bool {
    let status = system.gate().await.status(SaleId::new(sale).unwrap()).await;
    status
        .is_ok_and(|status| matches!(status, GateStatus::Open { .. }) && !status.is_contradictory())
}

/// A key of a sale is deleted in which five have bought, and of one attempt the gate alone knows.
async fn a_key_is_lost(key: &str) {
    let system = Servers::start().await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(20).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(9).await;
    all_buy(&api, sale, &shoppers[..5]).await;
    system.check_promises(sale).await;

    // As an API node that died before it appended.
    let held = Holder {
        user: UserId::new(shoppers[5].id).unwrap(),
        attempt: AttemptId(Uuid::now_v7()),
    };
    let gate = system.gate().await;
    let taken = gate.reserve(SaleId::new(sale).unwrap(), &[held]).await;
    assert_eq!(taken.unwrap(), [ReserveOutcome::Reserved]);
    let redis = system.redis.as_ref().unwrap();
    let name = format!("flashsale:{{{sale}}}:{key}");
    assert_eq!(redis.cli(&["DEL", &name]), "1");

    worker.wait_for_line("closed until it is loaded anew").await;
    wait_until("the sale is sound again", Duration::from_secs(5), || {
        is_sound(&system, sale)
    })
    .await;
    all_buy(&api, sale, &shoppers[6..]).await;
    // Without its holder, nobody can tell which attempt it was; whoever pressed was not answered.
    let known = i64::from(key != "holders");
    assert_eq!(system.check_promises(sale).await.orders, 8 + known);
    let result = api.result(product, &shoppers[5]).await;
    assert_eq!(result.is_some(), known == 1, "{result:?}");
    let audit = system.run(&["audit"]);
    assert_eq!(audit.end().await.code(), Some(0), "{}", audit.output());
}

#[tokio::test]
async fn a_sale_that_lost_its_stock_is_loaded_anew() {
    a_key_is_lost("stock").await;
}

#[tokio::test]
async fn a_sale_that_lost_its_holders_is_loaded_anew() {
    a_key_is_lost("holders").await;
}

#[tokio::test]
async fn a_sale_that_lost_its_pending_attempts_is_loaded_anew() {
    a_key_is_lost("pending").await;
}

#[tokio::test]
async fn a_sale_that_lost_its_meta_is_loaded_anew() {
    a_key_is_lost("meta").await;
}

#[tokio::test]
async fn a_difference_that_nothing_explains_has_the_sale_loaded_anew() {
    let system = Servers::start().await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, _) = system.sale(10).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(2).await;
    all_buy(&api, sale, &shoppers).await;
    system.check_promises(sale).await;
    // A holder who never was: the gate's own sum is right.
    let redis = system.redis.as_ref().unwrap();
    let key = |name: &str| format!("flashsale:{{{sale}}}:{name}");
    let both =
        "redis.call('HSET', KEYS[1], '777777', 's0123456789abcdef'); redis.call('DECR', KEYS[2])";
    redis.cli(&["EVAL", both, "2", &key("holders"), &key("stock")]);
    worker.wait_for_line("nothing explains it").await;
    assert_eq!(system.check_promises(sale).await.orders, 2);
    assert_eq!(redis.cli(&["HLEN", &key("holders")]), "2");
}

#[tokio::test]
async fn terms_that_the_ledger_does_not_have_are_replaced() {
    let system = Servers::start().await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, _) = system.sale(10).await;
    api.wait_until_open(&system, sale).await;
    // As after the ledger was set back: the gate has a version that the ledger has not reached, and everything else agrees.
    let redis = system.redis.as_ref().unwrap();
    let meta = format!("flashsale:{{{sale}}}:meta");
    redis.cli(&["HSET", &meta, "version", "9"]);
    worker.wait_for_line("closed until it is loaded anew").await;
    wait_until("the ledger's terms are in force", SOON, || async {
        redis.cli(&["HGET", &meta, "version"]) == "1"
    })
    .await;
    // Or later terms would count as older ones.
    system
        .sql(&format!(
            "UPDATE flash_sales SET initial_stock = 12 WHERE id = {sale}"
        ))
        .await;
    wait_until("later terms are in force", SOON, || async {
        system
            .gate_balance(sale)
            .await
            .is_some_and(|gate| gate.available == 12)
    })
    .await;
}

#[tokio::test]
async fn the_gate_of_another_ledger_is_not_mistaken_for_this_one() {
    let mut old = Servers::start().await;
    let (old_sale, shopper, bought) = {
        let (api, _worker) = (old.serve().await, old.work().await);
        let (sale, _) = old.sale(1).await;
        api.wait_until_open(&old, sale).await;
        let shoppers = old.shoppers(1).await;
        let (status, body) = api.attempt(sale, &shoppers[0]).await;
        assert_eq!(status, 200, "{body}");
        old.check_promises(sale).await;
        let bought = body["data"]["attemptId"].clone();
        (sale, shoppers.into_iter().next().unwrap(), bought)
    };

    // A new database: its numbers begin again. Redis is the one of before.
    let redis = old.redis.take();
    let config = redis.as_ref().unwrap().config(Duration::from_secs(2));
    let database = TestDatabase::create().await;
    let new = Servers::of(database, redis, config, crate::support::kafka::config()).await;
    // Test databases are copies of one, id included.
    new.sql("UPDATE ledger_identity SET ledger_id = gen_random_uuid()")
        .await;
    let (sale, _) = new.sale(1).await;
    let shoppers = new.shoppers(1).await;
    assert_eq!((sale, shoppers[0].id), (old_sale, shopper.id));
    let (api, worker) = (new.serve().await, new.work().await);
    wait_until(
        "the sale is loaded from its own ledger",
        Duration::from_secs(10),
        || async {
            let (status, body) = api.attempt(sale, &shoppers[0]).await;
            assert_ne!(body["data"]["attemptId"], bought, "{body}");
            status == 200
        },
    )
    .await;
    assert_eq!(new.check_promises(sale).await.orders, 1);
    // Should the other shop still be there, an operator has to know.
    worker.wait_for_line("sale of another database").await;
}

#[tokio::test]
async fn a_sale_loaded_by_the_version_before_goes_on_and_takes_its_terms() {
    let system = Servers::start().await;
    let (api, worker) = (system.serve().await, system.work().await);
    let (sale, _) = system.sale(10).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(3).await;
    all_buy(&api, sale, &shoppers[..2]).await;
    system.check_promises(sale).await;

    // What that version did not write.
    worker.pause();
    let redis = system.redis.as_ref().unwrap();
    let key = |name: &str| format!("flashsale:{{{sale}}}:{name}");
    redis.cli(&["HDEL", &key("meta"), "ledger", "version", "total"]);
    redis.cli(&["DEL", &key("pending")]);
    assert_eq!(buy(&api, sale, &shoppers[2]).await, 200);
    system
        .sql(&format!(
            "UPDATE flash_sales SET initial_stock = 12 WHERE id = {sale}"
        ))
        .await;
    worker.resume();
    wait_until("the terms are in force", Duration::from_secs(5), || async {
        redis.cli(&["HGET", &key("meta"), "version"]) == "2"
    })
    .await;
    let balance = system.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (3, 9));
    assert!(is_sound(&system, sale).await);
    assert!(
        !worker.output().contains("loaded anew"),
        "it was not interrupted"
    );
}
