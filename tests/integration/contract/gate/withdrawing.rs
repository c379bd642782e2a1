//! Units that leave an open sale: set aside first, cleared once the ledger has lowered its numbers.

use chrono::DateTime;
use flashsale::port::{
    CloseRequest, GateStatus, LoadStart, LoadStep, Movement, MovementId, MovementMode,
    MovementState, Outcome, PurchaseResult, ReserveOutcome, ResultEntry, SaleTerms, TermsOutcome,
    WithdrawOutcome,
};
use futures::future::{join, join_all};
use uuid::Uuid;

use super::{
    Engine, Server,
    scene::{LEASE, Scene, in_two_hours, new_shopper, new_token, open_window, terms},
};
use MovementMode::{Exact, UpTo};

fn new_movement() -> MovementId {
    MovementId(Uuid::new_v4())
}

fn version(version: u64, total: u64) -> SaleTerms {
    SaleTerms {
        version,
        ..terms(open_window(), total)
    }
}

async fn withdraw<E: Engine>(
    scene: &Scene<E>,
    movement: MovementId,
    units: u32,
    mode: MovementMode,
) -> WithdrawOutcome {
    let newest = 1_000_000;
    withdraw_seeing(scene, movement, units, mode, newest).await
}

/// By a caller that saw this version of the terms.
async fn withdraw_seeing<E: Engine>(
    scene: &Scene<E>,
    movement: MovementId,
    units: u32,
    mode: MovementMode,
    seen: u64,
) -> WithdrawOutcome {
    let taken = scene.gate.withdraw(scene.sale, movement, units, mode, seen);
    taken.await.unwrap()
}

fn pending<E>(scene: &Scene<E>, id: MovementId, requested: u32, mode: MovementMode) -> Movement {
    Movement {
        id,
        sale: scene.sale,
        mode,
        requested,
        applied: 0,
        state: MovementState::Pending,
        requested_at: DateTime::UNIX_EPOCH,
    }
}

pub async fn units_that_are_set_aside_cannot_be_bought(engine: impl Engine) {
    let scene = Scene::open(engine, 5).await;
    let (holder, movement) = (scene.reserved().await, new_movement());
    assert_eq!(
        withdraw(&scene, movement, 3, UpTo).await,
        WithdrawOutcome::Withdrawn(3)
    );
    scene.check_balance().await;
    assert_eq!(scene.withdrawn().await, [(movement, 3)].into());
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::Reserved);
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::SoldOut);
    assert!(
        scene.is_holder(holder.user).await,
        "what is held is never taken"
    );
    scene.check_balance().await;
}

pub async fn up_to_takes_what_is_available_and_exact_all_or_none(engine: impl Engine) {
    let scene = Scene::open(engine, 5).await;
    scene.reserved().await;
    let [all, rest, none] = [(); 3].map(|()| new_movement());
    let outcomes = [
        withdraw(&scene, all, 5, Exact).await,
        withdraw(&scene, rest, 1_000, UpTo).await,
        withdraw(&scene, none, 1, UpTo).await,
    ];
    assert_eq!(outcomes, [0, 4, 0].map(WithdrawOutcome::Withdrawn));
    scene.check_balance().await;
    assert_eq!(
        scene.withdrawn().await,
        [(all, 0), (rest, 4), (none, 0)].into()
    );
    let exact = new_movement();
    scene.apply(version(2, 1), &[rest]).await;
    assert_eq!(
        withdraw(&scene, exact, 1, Exact).await,
        WithdrawOutcome::Withdrawn(0)
    );
    scene.apply(version(3, 3), &[]).await;
    assert_eq!(
        withdraw(&scene, new_movement(), 2, Exact).await,
        WithdrawOutcome::Withdrawn(2)
    );
}

pub async fn a_repeated_withdrawal_takes_nothing_more(engine: impl Engine) {
    let scene = Scene::open(engine, 5).await;
    let (movement, none) = (new_movement(), new_movement());
    for _ in 0..3 {
        // Whatever it asks for by now.
        for units in [4, 5, 1] {
            assert_eq!(
                withdraw(&scene, movement, units, UpTo).await,
                WithdrawOutcome::Withdrawn(4)
            );
        }
        assert_eq!(
            withdraw(&scene, none, 2, Exact).await,
            WithdrawOutcome::Withdrawn(0)
        );
        scene.check_balance().await;
    }
    // Units come: whoever was told "none" stays so.
    scene.apply(version(2, 9), &[]).await;
    assert_eq!(
        withdraw(&scene, none, 2, Exact).await,
        WithdrawOutcome::Withdrawn(0)
    );
    assert_eq!(scene.figures().await.0, 5);
}

pub async fn a_closed_movement_is_not_subtracted_twice(engine: impl Engine) {
    let mut scene = Scene::open(engine, 10).await;
    let (movement, other) = (new_movement(), new_movement());
    withdraw(&scene, movement, 4, UpTo).await;
    withdraw(&scene, other, 1, UpTo).await;
    let returns = scene.figures().await.2;
    // The ledger has lowered its numbers by 4.
    scene.remaining = 6;
    for _ in 0..2 {
        scene.apply(version(2, 6), &[movement]).await;
        scene.check_balance().await;
        assert_eq!(scene.withdrawn().await, [(other, 1)].into());
        assert_eq!(scene.figures().await, (5, 0, returns));
    }
}

pub async fn a_movement_is_cleared_although_its_terms_are_in_force(engine: impl Engine) {
    let mut scene = Scene::open(engine, 10).await;
    let movement = new_movement();
    withdraw(&scene, movement, 4, UpTo).await;
    // Another process applied the version without the list: its units are taken twice for a moment.
    scene.apply(version(2, 6), &[]).await;
    assert_eq!(scene.figures().await.0, 2);
    scene.remaining = 6;
    let returns = scene.figures().await.2;
    for _ in 0..2 {
        scene.apply(version(2, 6), &[movement]).await;
        scene.check_balance().await;
        assert_eq!(scene.figures().await.0, 6);
    }
    assert!(
        scene.figures().await.2 > returns,
        "a node that refuses by heart must look again"
    );
}

pub async fn older_terms_clear_nothing(engine: impl Engine) {
    let scene = Scene::open(engine, 10).await;
    let movement = new_movement();
    scene.apply(version(5, 10), &[]).await;
    withdraw(&scene, movement, 4, UpTo).await;
    let older = scene.set(version(4, 10), &[movement]).await;
    assert_eq!(older, TermsOutcome::OthersInForce { version: 5 });
    scene.check_balance().await;
    assert_eq!(scene.withdrawn().await, [(movement, 4)].into());
}

pub async fn a_withdrawal_that_comes_late_is_given_back(engine: impl Engine) {
    let mut scene = Scene::open(engine, 4).await;
    let movement = new_movement();
    withdraw(&scene, movement, 1, UpTo).await;
    scene.remaining = 3;
    scene.apply(version(2, 3), &[movement]).await;
    // The same call again, which was on its way for long: the ledger has closed the movement, and does not lower again.
    withdraw(&scene, movement, 1, UpTo).await;
    scene.check_balance().await;
    assert_eq!(scene.figures().await.0, 2);
    let returns = scene.figures().await.2;
    scene.apply(version(2, 3), &[movement]).await;
    scene.check_balance().await;
    assert_eq!(scene.figures().await.0, 3);
    assert!(scene.figures().await.2 > returns);
}

pub async fn a_caller_that_saw_older_terms_takes_nothing_anew(engine: impl Engine) {
    let mut scene = Scene::open(engine, 4).await;
    let (closed, pending) = (new_movement(), new_movement());
    let taken = WithdrawOutcome::Withdrawn(1);
    for movement in [closed, pending] {
        assert_eq!(withdraw_seeing(&scene, movement, 1, UpTo, 1).await, taken);
    }
    scene.remaining = 3;
    scene.apply(version(2, 3), &[closed]).await;
    let before = scene.gate.status(scene.sale).await.unwrap();
    // It found the movement PENDING before another process completed it.
    let outdated = WithdrawOutcome::Outdated;
    assert_eq!(withdraw_seeing(&scene, closed, 1, UpTo, 1).await, outdated);
    // What is still set aside is told to everybody.
    assert_eq!(withdraw_seeing(&scene, pending, 1, UpTo, 1).await, taken);
    assert_eq!(scene.gate.status(scene.sale).await.unwrap(), before);
    let next = withdraw_seeing(&scene, new_movement(), 1, UpTo, 2).await;
    assert_eq!(next, taken);
    scene.check_balance().await;
}

pub async fn units_are_set_aside_in_an_open_sale_only(engine: impl Engine) {
    let mut scene = Scene::unknown(engine);
    let (movement, token) = (new_movement(), new_token());
    let closed = WithdrawOutcome::NotOpen;
    assert_eq!(withdraw(&scene, movement, 1, UpTo).await, closed, "unknown");
    let (gate, sale) = (scene.gate.clone(), scene.sale);
    let begun = gate.begin_load(sale, token, LEASE).await;
    assert_eq!(begun.unwrap(), LoadStart::Begun);
    assert_eq!(withdraw(&scene, movement, 1, UpTo).await, closed, "loading");
    scene.open_loaded(token, version(1, 3), 3, &[]).await;
    assert_eq!(scene.withdrawn().await, [].into());
    assert_eq!(
        withdraw(&scene, movement, 1, UpTo).await,
        WithdrawOutcome::Withdrawn(1)
    );
    gate.close(sale, CloseRequest::Unconditional).await.unwrap();
    assert_eq!(withdraw(&scene, movement, 1, UpTo).await, closed, "closed");
}

pub async fn a_sale_is_loaded_with_the_units_of_pending_movements_set_aside(engine: impl Engine) {
    let mut scene = Scene::open(engine, 9).await;
    let [gone, up_to, exact, small] = [(); 4].map(|()| new_movement());
    withdraw(&scene, gone, 9, UpTo).await;
    scene
        .gate
        .close(scene.sale, CloseRequest::Unconditional)
        .await
        .unwrap();
    let movements = [
        pending(&scene, up_to, 4, UpTo),
        pending(&scene, exact, 4, Exact),
        pending(&scene, small, 2, UpTo),
    ];
    scene.load_with(version(7, 7), 7, &movements).await;
    // What was set aside before the loading is forgotten. Of an Exact one too: whoever took its units before may close it yet.
    let expected = [(up_to, 4), (exact, 3), (small, 0)];
    assert_eq!(scene.withdrawn().await, expected.into());
    for movement in movements {
        let units = expected.iter().find(|(id, _)| *id == movement.id);
        let units = u32::try_from(units.unwrap().1).unwrap();
        assert_eq!(
            withdraw(&scene, movement.id, 9, UpTo).await,
            WithdrawOutcome::Withdrawn(units)
        );
    }
    assert_eq!(scene.reserve(new_shopper()).await, ReserveOutcome::SoldOut);
    // The ledger has closed the last two as REFUSED.
    scene.remaining = 3;
    scene.apply(version(9, 3), &[up_to, exact, small]).await;
    scene.check_balance().await;
    assert_eq!(scene.withdrawn().await, [].into());
    assert_eq!(scene.figures().await.0, 3);
}

pub async fn a_repeated_opening_sets_nothing_aside_again(engine: impl Engine) {
    let mut scene = Scene::unknown(engine);
    let (movement, token) = (new_movement(), new_token());
    let movements = [pending(&scene, movement, 2, UpTo)];
    let (gate, sale) = (scene.gate.clone(), scene.sale);
    let begun = gate.begin_load(sale, token, LEASE).await;
    assert_eq!(begun.unwrap(), LoadStart::Begun);
    // An order that the snapshot does not have: recorded while the sale is loaded.
    scene.record(new_shopper(), Outcome::Ordered).await;
    let opened = gate.open(sale, token, version(1, 3), 3, &movements, in_two_hours());
    assert_eq!(opened.await.unwrap(), LoadStep::Applied);
    scene.remaining = 2;
    scene.check_balance().await;
    assert_eq!(scene.figures().await.0, 0);
    scene.apply(version(2, 1), &[movement]).await;
    let opened = gate.open(sale, token, version(1, 3), 3, &movements, in_two_hours());
    assert_eq!(opened.await.unwrap(), LoadStep::Applied);
    scene.remaining = 0;
    scene.check_balance().await;
    assert_eq!(scene.withdrawn().await, [].into());
}

pub async fn withdrawals_and_presses_at_once_share_the_units(engine: impl Engine) {
    let scene = Scene::open(engine, 40).await;
    let movements: Vec<_> = (0..8).map(|_| new_movement()).collect();
    let withdrawals = movements
        .iter()
        .chain(&movements)
        .map(|id| withdraw(&scene, *id, 3, UpTo));
    let presses = (0..40).map(|_| scene.reserve(new_shopper()));
    let (taken, answers) = join(join_all(withdrawals), join_all(presses)).await;
    let (first, second) = taken.split_at(8);
    assert_eq!(first, second, "repeated, it answers the same");
    let taken: u32 = first
        .iter()
        .map(|outcome| match outcome {
            WithdrawOutcome::Withdrawn(units) => *units,
            other => panic!("the sale is open: {other:?}"),
        })
        .sum();
    let reserved = answers
        .iter()
        .filter(|outcome| **outcome == ReserveOutcome::Reserved);
    assert_eq!(taken as usize + reserved.count(), 40);
    scene.check_balance().await;
}

pub async fn a_sale_with_units_set_aside_is_sound_and_tells_results(engine: impl Engine) {
    let scene = Scene::open(engine, 3).await;
    withdraw(&scene, new_movement(), 3, UpTo).await;
    let (gate, refused) = (scene.gate.clone(), new_shopper());
    assert_eq!(
        gate.close(scene.sale, CloseRequest::IfInconsistent)
            .await
            .unwrap(),
        None
    );
    let entry = ResultEntry {
        sale: scene.sale,
        product: scene.product,
        user: refused.user,
        result: PurchaseResult::Failed,
    };
    gate.write_results(&[entry]).await.unwrap();
    assert_eq!(
        scene.result(refused.user).await,
        Some(PurchaseResult::Failed)
    );
}

pub async fn a_hundred_movements_are_listed_and_cleared_at_once(engine: impl Engine) {
    let mut scene = Scene::open(engine, 1_000).await;
    let movements: Vec<_> = (0..100).map(|_| new_movement()).collect();
    for movement in &movements {
        withdraw(&scene, *movement, 3, Exact).await;
    }
    scene.check_balance().await;
    let withdrawn = scene.withdrawn().await;
    assert!(withdrawn.len() == 100 && withdrawn.values().all(|units| *units == 3));
    scene.remaining = 700;
    scene.apply(version(2, 700), &movements).await;
    scene.check_balance().await;
    assert_eq!(scene.withdrawn().await, [].into());
    assert_eq!(scene.figures().await.0, 700);
}

/// Of a server: what a sale keeps beside its holders is one key, and goes with it.
pub async fn units_set_aside_are_forgotten_with_their_key_and_set_aside_anew<E: Server>(engine: E) {
    use flashsale::rules::sale::Part;

    let mut scene = Scene::open(engine, 5).await;
    let movement = new_movement();
    withdraw(&scene, movement, 2, UpTo).await;
    scene.engine.lose(scene.sale, Part::Meta);
    assert!(
        scene
            .gate
            .close(scene.sale, CloseRequest::IfInconsistent)
            .await
            .unwrap()
            .is_some()
    );
    let status = scene.gate.status(scene.sale).await.unwrap();
    assert!(matches!(status, GateStatus::Closed { .. }));
    let movements = [pending(&scene, movement, 2, UpTo)];
    scene.load_with(version(1, 5), 5, &movements).await;
    assert_eq!(scene.withdrawn().await, [(movement, 2)].into());

    // A sale whose holders were lost is noticed with units set aside, too.
    scene.reserved().await;
    scene.engine.lose(scene.sale, Part::Holders);
    assert!(
        scene
            .gate
            .close(scene.sale, CloseRequest::IfInconsistent)
            .await
            .unwrap()
            .is_some()
    );
}
