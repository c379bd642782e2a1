//! What shoppers are told.

use flashsale::{
    ids::SaleId,
    port::{
        Holder, LoadStart, LoadStep, Outcome, PurchaseResult, ReserveOutcome, ResultEntry,
        ResultQuery,
    },
};

use super::{
    Engine, RESULT_TTL,
    scene::{
        LEASE, Scene, again, in_two_hours, new_sale, new_shopper, new_token, open_window, terms,
    },
};

const SUCCESS: Option<PurchaseResult> = Some(PurchaseResult::Success);
const FAILED: Option<PurchaseResult> = Some(PurchaseResult::Failed);

pub async fn results_of_settlements_can_be_read(engine: impl Engine) {
    let mut scene = Scene::open(engine, 10).await;
    for (outcome, expected) in [
        (Outcome::Ordered, SUCCESS),
        (Outcome::SoldOut, FAILED),
        (Outcome::Rejected, FAILED),
        (
            Outcome::AlreadyOrdered {
                by: new_shopper().attempt,
            },
            SUCCESS,
        ),
    ] {
        let holder = scene.reserved().await;
        assert_eq!(scene.result(holder.user).await, None, "pending");
        if expected == SUCCESS {
            scene.remaining -= 1;
        }
        scene.record_twice(holder, outcome).await;
        assert_eq!(scene.result(holder.user).await, expected, "{outcome:?}");
        assert_eq!(
            scene
                .gate
                .read_result(holder.user, scene.product, None)
                .await
                .unwrap(),
            expected
        );
    }
    assert_eq!(scene.result(new_shopper().user).await, None);
}

pub async fn a_rejected_attempt_says_nothing_of_a_shopper_who_does_not_wait(engine: impl Engine) {
    let scene = Scene::open(engine, 10).await;
    let stranger = new_shopper();
    scene.record_twice(stranger, Outcome::Rejected).await;
    assert_eq!(scene.result(stranger.user).await, None);
}

pub async fn a_failed_result_never_replaces_a_success_of_the_same_sale(engine: impl Engine) {
    let mut scene = Scene::open(engine, 10).await;
    let holder = scene.reserved().await;
    scene.remaining -= 1;
    scene.record(holder, Outcome::Ordered).await;
    let refused = new_shopper();
    let failed = |user| ResultEntry {
        sale: scene.sale,
        product: scene.product,
        user,
        result: PurchaseResult::Failed,
    };
    for _ in 0..2 {
        scene
            .gate
            .write_results(&[failed(holder.user), failed(refused.user)])
            .await
            .unwrap();
        scene.record(again(holder), Outcome::SoldOut).await;
        assert_eq!(
            scene
                .gate
                .read_result(holder.user, scene.product, None)
                .await
                .unwrap(),
            SUCCESS
        );
        assert_eq!(
            scene
                .gate
                .read_result(refused.user, scene.product, None)
                .await
                .unwrap(),
            FAILED
        );
    }
    // The other way round it may.
    scene.remaining -= 1;
    scene.record_twice(refused, Outcome::Ordered).await;
    assert_eq!(
        scene
            .gate
            .read_result(refused.user, scene.product, None)
            .await
            .unwrap(),
        SUCCESS
    );
    scene.gate.write_results(&[]).await.unwrap();
    // More than one call of the engine's takes.
    let many: Vec<_> = (0..2_100).map(|_| failed(new_shopper().user)).collect();
    scene.gate.write_results(&many).await.unwrap();
    for entry in [many[0], many[2_099]] {
        assert_eq!(scene.result(entry.user).await, FAILED);
    }
}

pub async fn a_result_of_a_newer_sale_replaces_an_older_one(engine: impl Engine) {
    let scene = Scene::open(engine, 10).await;
    let (user, product) = (new_shopper().user, scene.product);
    let entry = |sale, result| ResultEntry {
        sale,
        product,
        user,
        result,
    };
    scene
        .gate
        .write_results(&[entry(new_sale(), PurchaseResult::Success)])
        .await
        .unwrap();
    assert_eq!(scene.result(user).await, SUCCESS);
    scene
        .gate
        .write_results(&[entry(scene.sale, PurchaseResult::Failed)])
        .await
        .unwrap();
    assert_eq!(scene.result(user).await, FAILED);
}

pub async fn a_holder_is_never_told_an_older_sales_result(engine: impl Engine) {
    let mut scene = Scene::open(engine, 10).await;
    for (older, outcome, expected) in [
        (PurchaseResult::Success, Outcome::SoldOut, FAILED),
        (PurchaseResult::Failed, Outcome::Ordered, SUCCESS),
    ] {
        let holder = scene.reserved().await;
        let entry = ResultEntry {
            sale: new_sale(),
            product: scene.product,
            user: holder.user,
            result: older,
        };
        scene.gate.write_results(&[entry]).await.unwrap();
        assert_eq!(scene.result(holder.user).await, None, "pending");
        scene.gate.claim(scene.sale, &[holder]).await.unwrap();
        assert_eq!(scene.result(holder.user).await, None, "claimed");
        if expected == SUCCESS {
            scene.remaining -= 1;
        }
        scene.record_twice(holder, outcome).await;
        assert_eq!(scene.result(holder.user).await, expected);
    }
    // Even if the older result is written once more, out of turn.
    let holder = scene.reserved().await;
    scene.remaining -= 1;
    scene.record_twice(holder, Outcome::Ordered).await;
    let entry = ResultEntry {
        sale: new_sale(),
        product: scene.product,
        user: holder.user,
        result: PurchaseResult::Failed,
    };
    scene.gate.write_results(&[entry]).await.unwrap();
    assert_eq!(scene.result(holder.user).await, SUCCESS);
}

pub async fn results_are_written_for_an_unknown_sale(engine: impl Engine) {
    let scene = Scene::unknown(engine);
    let (winner, loser) = (new_shopper(), new_shopper());
    let settlements = [
        scene.settlement(winner, Outcome::Ordered),
        scene.settlement(loser, Outcome::SoldOut),
    ];
    for _ in 0..2 {
        scene.gate.record(scene.sale, &settlements).await.unwrap();
        assert_eq!(scene.result(winner.user).await, SUCCESS);
        assert_eq!(scene.result(loser.user).await, FAILED);
        assert_eq!(
            scene.gate.status(scene.sale).await.unwrap(),
            flashsale::port::GateStatus::Unknown
        );
        assert_eq!(scene.gate.holders(scene.sale).await.unwrap(), []);
    }
}

pub async fn results_of_the_original_service_are_read(engine: impl Engine) {
    let scene = Scene::open(engine, 10).await;
    for (word, expected) in [("SUCCESS", SUCCESS), ("FAILED", FAILED)] {
        let user = new_shopper().user;
        if scene
            .engine
            .write_raw_result(&format!("flashsale:result:{user}:{}", scene.product), word)
        {
            assert_eq!(scene.result(user).await, expected);
            assert_eq!(
                scene
                    .gate
                    .read_result(user, scene.product, None)
                    .await
                    .unwrap(),
                expected
            );
        }
    }
}

pub async fn results_are_forgotten_after_their_time(engine: impl Engine) {
    let scene = Scene::open(engine, 10).await;
    for result in [
        PurchaseResult::Success,
        PurchaseResult::Failed,
        PurchaseResult::Success,
    ] {
        let user = new_shopper().user;
        let entry = ResultEntry {
            sale: scene.sale,
            product: scene.product,
            user,
            result,
        };
        for _ in 0..2 {
            scene.gate.write_results(&[entry]).await.unwrap();
            if let Some(ttl) = scene
                .engine
                .result_ttl_secs(&format!("flashsale:result:{user}:{}", scene.product))
            {
                let whole = i64::try_from(RESULT_TTL.as_secs()).unwrap();
                assert!((whole - 60..=whole).contains(&ttl), "{ttl} s");
            }
        }
    }
}

pub async fn an_order_is_told_while_the_products_next_sale_is_on(engine: impl Engine) {
    let mut scene = Scene::open(engine, 10).await;
    let (earlier, holder) = (scene.sale, scene.reserved().await);
    scene.remaining -= 1;
    scene.record(holder, Outcome::Ordered).await;
    // Its number is higher, as numbers of later sales are.
    scene.sale = SaleId::new(earlier.value() + 1).unwrap();
    scene.load(10, open_window(), &[]).await;
    assert_eq!(scene.result(holder.user).await, SUCCESS);
    // A FAILED of the earlier sale that is written late says nothing.
    let failed = |sale| ResultEntry {
        sale,
        product: scene.product,
        user: holder.user,
        result: PurchaseResult::Failed,
    };
    scene.gate.write_results(&[failed(earlier)]).await.unwrap();
    assert_eq!(scene.result(holder.user).await, SUCCESS);
    // Who presses again waits for that result.
    let second = again(holder);
    assert_eq!(scene.reserve(second).await, ReserveOutcome::Reserved);
    assert_eq!(scene.result(holder.user).await, None);
    scene.record_twice(second, Outcome::SoldOut).await;
    assert_eq!(scene.result(holder.user).await, FAILED);
}

pub async fn a_failed_says_nothing_of_an_attempt_that_came_after_it(engine: impl Engine) {
    let mut scene = Scene::open(engine, 10).await;
    let earlier = scene.sale;
    let [settled, pending] = [scene.reserved().await, scene.reserved().await];
    for holder in [settled, pending] {
        let failed = ResultEntry {
            sale: earlier,
            product: scene.product,
            user: holder.user,
            result: PurchaseResult::Failed,
        };
        scene.gate.write_results(&[failed]).await.unwrap();
    }
    // Also when the product's next sale has begun, and when no sale is named.
    scene.sale = SaleId::new(earlier.value() + 1).unwrap();
    scene.load(10, open_window(), &[]).await;
    let told = async |holder: Holder| {
        let unnamed = scene
            .gate
            .read_result(holder.user, scene.product, None)
            .await
            .unwrap();
        assert_eq!(unnamed, scene.result(holder.user).await);
        unnamed
    };
    assert_eq!(told(settled).await, None);
    let mut order = scene.settlement(settled, Outcome::Ordered);
    order.attempt.sale = earlier;
    scene.gate.record(earlier, &[order]).await.unwrap();
    assert_eq!(told(settled).await, SUCCESS);
    assert_eq!(told(pending).await, None);
}

pub async fn many_are_told_at_once_what_each_is_told_alone(engine: impl Engine) {
    let scene = Scene::open(engine, 10).await;
    let pending = scene.reserved().await;
    let ordered = scene.reserved().await;
    scene.record(ordered, Outcome::Ordered).await;
    let question = |user, sale| ResultQuery {
        user,
        product: scene.product,
        sale,
    };
    let (mut asked, mut expected, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    // More than one call of the engine's takes, of two sales.
    for n in 0..900 {
        let (user, result) = match n % 4 {
            0 => (pending.user, None),
            1 => (ordered.user, SUCCESS),
            2 => (new_shopper().user, None),
            _ => {
                let user = new_shopper().user;
                refused.push(ResultEntry {
                    sale: if n % 8 == 3 { scene.sale } else { new_sale() },
                    product: scene.product,
                    user,
                    result: PurchaseResult::Failed,
                });
                (user, FAILED)
            }
        };
        asked.push(question(user, Some(scene.sale)));
        expected.push(result);
    }
    scene.gate.write_results(&refused).await.unwrap();
    assert_eq!(scene.results(&asked).await, expected);
    assert!(scene.results(&[]).await.is_empty());
}

pub async fn nobody_is_told_failed_while_the_sale_is_being_loaded(engine: impl Engine) {
    let scene = Scene::unknown(engine);
    let (user, token) = (new_shopper().user, new_token());
    let failed = ResultEntry {
        sale: scene.sale,
        product: scene.product,
        user,
        result: PurchaseResult::Failed,
    };
    scene.gate.write_results(&[failed]).await.unwrap();
    assert_eq!(scene.result(user).await, FAILED);
    let (gate, sale) = (&scene.gate, scene.sale);
    assert_eq!(
        gate.begin_load(sale, token, LEASE).await.unwrap(),
        LoadStart::Begun
    );
    for named in [Some(sale), None] {
        let told = gate.read_result(user, scene.product, named).await.unwrap();
        assert_eq!(told, None);
    }
    assert_eq!(
        gate.open(
            sale,
            token,
            terms(open_window(), 10),
            10,
            &[],
            in_two_hours()
        )
        .await
        .unwrap(),
        LoadStep::Applied
    );
    assert_eq!(scene.result(user).await, FAILED);
}
