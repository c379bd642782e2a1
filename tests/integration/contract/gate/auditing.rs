//! What audits read and repairs do.

use std::{collections::BTreeMap, time::Duration};

use flashsale::port::{
    ClaimOutcome, GateStatus, HeldUnit, LoadStart, LoadStep, Outcome, PurchaseResult,
    ReleaseOutcome, ResultEntry, Standing, UnloadOutcome,
};
use futures::future::join_all;

use super::{
    Engine,
    scene::{
        LEASE, Scene, again, in_two_hours, new_sale, new_shopper, new_token, open_window, terms,
    },
};

const SUCCESS: PurchaseResult = PurchaseResult::Success;
const FAILED: PurchaseResult = PurchaseResult::Failed;

impl<E: Engine> Scene<E> {
    /// What must always be the initial stock.
    async fn units(&self) -> i64 {
        match self.gate.status(self.sale).await.unwrap() {
            GateStatus::Open {
                available, holders, ..
            } => available + i64::try_from(holders).unwrap(),
            other => panic!("the sale is not open: {other:?}"),
        }
    }

    async fn standings(&self) -> BTreeMap<i64, HeldUnit> {
        let held_units = self.gate.held_units(self.sale).await.unwrap();
        held_units
            .into_iter()
            .map(|held_unit| (held_unit.user.value(), held_unit))
            .collect()
    }

    async fn stored(&self, users: &[flashsale::ids::UserId]) -> Vec<Option<PurchaseResult>> {
        let stored = self.gate.stored_results(self.sale, self.product, users);
        stored.await.unwrap()
    }
}

pub async fn available_units_and_holders_are_the_initial_stock_at_every_step(engine: impl Engine) {
    let mut scene = Scene::unknown(engine);
    // One of ten is sold before the sale is loaded.
    scene.load(9, open_window(), &[new_shopper()]).await;
    assert_eq!(scene.units().await, 10);

    let given_back = scene.reserved().await;
    assert_eq!(scene.units().await, 10);
    let released = scene.gate.release(scene.sale, given_back).await.unwrap();
    assert_eq!(released, ReleaseOutcome::Released);
    assert_eq!(scene.units().await, 10);

    let (ordered, failed, other) = (
        scene.reserved().await,
        scene.reserved().await,
        scene.reserved().await,
    );
    let by = new_shopper().attempt;
    for (holder, outcome) in [
        (ordered, Outcome::Ordered),
        (failed, Outcome::SoldOut),
        (other, Outcome::AlreadyOrdered { by }),
        (new_shopper(), Outcome::Ordered),
        (new_shopper(), Outcome::Rejected),
        (again(ordered), Outcome::AlreadyOrdered { by }),
    ] {
        scene.record(holder, outcome).await;
        assert_eq!(scene.units().await, 10, "{outcome:?}");
    }

    // Loaded again, with an order that is recorded meanwhile and is in no snapshot, and one that is.
    assert_eq!(
        scene.gate.unload(scene.sale).await.unwrap(),
        UnloadOutcome::Unloaded
    );
    let (token, early, late) = (new_token(), new_shopper(), new_shopper());
    assert_eq!(
        scene
            .gate
            .begin_load(scene.sale, token, LEASE)
            .await
            .unwrap(),
        LoadStart::Begun
    );
    scene.record(early, Outcome::Ordered).await;
    scene.record(late, Outcome::Ordered).await;
    let holders = [new_shopper(), early];
    let loaded = scene.gate.load_holders(scene.sale, token, &holders);
    assert_eq!(loaded.await.unwrap(), LoadStep::Applied);
    let opened = scene.gate.open(
        scene.sale,
        token,
        terms(open_window(), 10),
        8,
        &[],
        in_two_hours(),
    );
    assert_eq!(opened.await.unwrap(), LoadStep::Applied);
    assert_eq!(scene.units().await, 10);
}

pub async fn available_units_and_holders_add_up_while_shoppers_come_and_go(engine: impl Engine) {
    let scene = Scene::open(engine, 20).await;
    let shoppers = (0..8).map(|shopper| {
        let scene = &scene;
        async move {
            for press in 0..25 {
                let holder = new_shopper();
                scene.reserve(holder).await;
                if (shopper + press) % 3 == 0 {
                    scene.record(holder, Outcome::SoldOut).await;
                } else {
                    scene.gate.release(scene.sale, holder).await.unwrap();
                }
            }
        }
    });
    let looking = async {
        for _ in 0..100 {
            assert_eq!(scene.units().await, 20);
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    };
    tokio::join!(join_all(shoppers), looking);
}

pub async fn everyone_s_holding_is_listed_with_how_far_it_has_come(engine: impl Engine) {
    let scene = Scene::open(engine, 3_000).await;
    assert_eq!(scene.standings().await, BTreeMap::new());
    let mut expected = BTreeMap::new();
    let shoppers: Vec<_> = (0..1_500).map(|_| new_shopper()).collect();
    scene.gate.reserve(scene.sale, &shoppers).await.unwrap();
    let claimed = scene.gate.claim(scene.sale, &shoppers[..10]).await.unwrap();
    assert_eq!(claimed, [ClaimOutcome::Claimed; 10]);
    let ordered: Vec<_> = shoppers[500..]
        .iter()
        .map(|holder| scene.settlement(*holder, Outcome::Ordered))
        .collect();
    scene.gate.record(scene.sale, &ordered).await.unwrap();
    for (n, holder) in shoppers.iter().enumerate() {
        let standing = if n < 500 {
            Standing::Pending
        } else {
            Standing::Success
        };
        let held_unit = HeldUnit {
            user: holder.user,
            attempt: holder.attempt,
            standing,
        };
        expected.insert(holder.user.value(), held_unit);
    }
    assert_eq!(scene.standings().await, expected);
}

pub async fn stored_results_are_those_of_the_sale_alone(engine: impl Engine) {
    let scene = Scene::open(engine, 10).await;
    let (refused, elsewhere, nobody) = (new_shopper().user, new_shopper().user, new_shopper().user);
    let entry = |user, sale| ResultEntry {
        sale,
        product: scene.product,
        user,
        result: FAILED,
    };
    let written = [entry(refused, scene.sale), entry(elsewhere, new_sale())];
    scene.gate.write_results(&written).await.unwrap();
    assert_eq!(
        scene.stored(&[nobody, refused, elsewhere]).await,
        [None, Some(FAILED), None]
    );
    assert_eq!(scene.stored(&[]).await, []);
    // The original service's words: one may be of an earlier sale, the other contradicts any order.
    let original = |user| format!("flashsale:result:{user}:{}", scene.product);
    if scene.engine.write_raw_result(&original(refused), "SUCCESS")
        && scene
            .engine
            .write_raw_result(&original(elsewhere), "FAILED")
    {
        assert_eq!(
            scene.stored(&[refused, elsewhere]).await,
            [None, Some(FAILED)]
        );
    }
}

pub async fn a_result_is_forgotten_only_while_it_stands_as_given(engine: impl Engine) {
    let scene = Scene::open(engine, 10).await;
    let entry = |user, sale, result| ResultEntry {
        sale,
        product: scene.product,
        user,
        result,
    };
    let users: Vec<_> = (0..3).map(|_| new_shopper().user).collect();
    let written = [
        entry(users[0], scene.sale, SUCCESS),
        entry(users[1], scene.sale, FAILED),
        entry(users[2], scene.sale, SUCCESS),
    ];
    scene.gate.write_results(&written).await.unwrap();
    let forget = [
        entry(users[0], scene.sale, SUCCESS),
        entry(users[1], scene.sale, SUCCESS),
        entry(users[2], new_sale(), SUCCESS),
    ];
    for _ in 0..2 {
        scene.gate.forget_results(&forget).await.unwrap();
        assert_eq!(
            scene.stored(&users).await,
            [None, Some(FAILED), Some(SUCCESS)]
        );
    }
}

pub async fn a_sale_is_unloaded_once_nothing_is_pending_and_can_be_loaded_again(
    engine: impl Engine,
) {
    let mut scene = Scene::open(engine, 10).await;
    let holder = scene.reserved().await;
    assert_eq!(
        scene.gate.unload(scene.sale).await.unwrap(),
        UnloadOutcome::AttemptsPending
    );
    assert!(scene.is_holder(holder.user).await, "nothing was forgotten");
    scene.check_balance().await;

    scene.record(holder, Outcome::Ordered).await;
    for _ in 0..2 {
        assert_eq!(
            scene.gate.unload(scene.sale).await.unwrap(),
            UnloadOutcome::Unloaded
        );
        let status = scene.gate.status(scene.sale).await.unwrap();
        assert_eq!(status, GateStatus::Unknown);
        assert_eq!(scene.standings().await, BTreeMap::new());
    }
    scene.load(9, open_window(), &[holder]).await;
    assert!(scene.is_holder(holder.user).await);
}
