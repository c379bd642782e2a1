//! What is announced, and what shoppers are told of one sale.

use std::time::Duration;

use flashsale::{
    ids::UserId,
    port::{
        AnnouncementStream, EndOrdersOutcome, LoadStart, News, Outcome, PurchaseResult,
        ResultEntry, ResultReading, ShopperResult,
    },
};
use futures::StreamExt;

use super::{
    Engine,
    scene::{LEASE, Scene, new_sale, new_shopper, new_token},
};

/// What is announced of a shopper next.
async fn news_of(announcements: &mut AnnouncementStream, user: UserId) -> News {
    let of_user = async {
        loop {
            let announcement = announcements.next().await.expect("the stream goes on");
            let mut news = announcement.news.into_iter();
            if let Some((_, news)) = news.find(|(told, _)| *told == user) {
                return news;
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(5), of_user).await;
    in_time.expect("it is announced")
}

pub async fn results_are_announced_when_they_are_recorded(engine: impl Engine) {
    let mut scene = Scene::open(engine, 10).await;
    let sales = [scene.sale, new_sale()];
    let mut announcements = scene.gate.announcements(&sales).await.unwrap();

    let ordered = scene.reserved().await;
    scene.remaining -= 1;
    scene.record_twice(ordered, Outcome::Ordered).await;
    let news = news_of(&mut announcements, ordered.user).await;
    assert_eq!(news, News::Ordered);

    for outcome in [Outcome::SoldOut, Outcome::Rejected] {
        let failed = scene.reserved().await;
        scene.record_twice(failed, outcome).await;
        let news = news_of(&mut announcements, failed.user).await;
        assert_eq!(news, News::Changed, "{outcome:?}");
    }

    let refused = new_shopper().user;
    let entry = ResultEntry {
        sale: scene.sale,
        product: scene.product,
        user: refused,
        result: PurchaseResult::Failed,
    };
    scene.gate.write_results(&[entry]).await.unwrap();
    assert_eq!(news_of(&mut announcements, refused).await, News::Changed);
}

pub async fn results_of_a_sale_that_the_gate_does_not_know_are_announced(engine: impl Engine) {
    let scene = Scene::unknown(engine);
    let mut announcements = scene.gate.announcements(&[scene.sale]).await.unwrap();
    let shopper = new_shopper();
    let settled = scene.settlement(shopper, Outcome::Ordered);
    scene.gate.record(scene.sale, &[settled]).await.unwrap();
    let news = news_of(&mut announcements, shopper.user).await;
    assert_eq!(news, News::Changed, "it has to be read");
    let users = [shopper.user];
    let told = scene.gate.results_in(scene.sale, scene.product, &users);
    assert_eq!(
        told.await.unwrap(),
        [ResultReading::Is(ShopperResult::Success)]
    );
}

pub async fn shoppers_are_told_of_a_sale_what_it_and_its_results_say(engine: impl Engine) {
    let mut scene = Scene::open(engine, 10).await;
    let (pending, ordered, failed) = (
        scene.reserved().await,
        scene.reserved().await,
        scene.reserved().await,
    );
    scene.remaining -= 1;
    scene.record_twice(ordered, Outcome::Ordered).await;
    scene.record_twice(failed, Outcome::SoldOut).await;
    let elsewhere = new_shopper().user;
    let of_another_sale = ResultEntry {
        sale: new_sale(),
        product: scene.product,
        user: elsewhere,
        result: PurchaseResult::Success,
    };
    scene.gate.write_results(&[of_another_sale]).await.unwrap();

    let users = [
        pending.user,
        ordered.user,
        failed.user,
        elsewhere,
        new_shopper().user,
    ];
    let told = async || {
        let told = scene.gate.results_in(scene.sale, scene.product, &users);
        told.await.unwrap()
    };
    let [is_pending, success, is_failed] = [
        ShopperResult::Pending,
        ShopperResult::Success,
        ShopperResult::Failed,
    ]
    .map(ResultReading::Is);
    let none = ResultReading::Nothing;
    assert_eq!(told().await, [is_pending, success, is_failed, none, none]);
}

pub async fn an_order_that_ends_is_announced(engine: impl Engine) {
    let mut scene = Scene::open(engine, 10).await;
    let ordered = scene.reserved().await;
    scene.remaining -= 1;
    scene.record_twice(ordered, Outcome::Ordered).await;
    let mut announcements = scene.gate.announcements(&[scene.sale]).await.unwrap();
    let ended = [ordered];
    let ending = scene.gate.end_orders(scene.sale, scene.product, &ended);
    assert_eq!(ending.await.unwrap(), EndOrdersOutcome::TakenOut);
    let news = news_of(&mut announcements, ordered.user).await;
    assert_eq!(news, News::Changed);
    let users = [ordered.user];
    let told = scene.gate.results_in(scene.sale, scene.product, &users);
    assert_eq!(told.await.unwrap(), [ResultReading::Nothing]);
}

pub async fn nothing_is_certain_of_a_sale_whose_holders_are_unknown(engine: impl Engine) {
    let scene = Scene::unknown(engine);
    let users = [new_shopper().user];
    let told = async || {
        let told = scene.gate.results_in(scene.sale, scene.product, &users);
        told.await.unwrap()
    };
    assert_eq!(told().await, [ResultReading::Unknown], "it is not there");
    let begun = scene.gate.begin_load(scene.sale, new_token(), LEASE);
    assert_eq!(begun.await.unwrap(), LoadStart::Begun);
    assert_eq!(told().await, [ResultReading::Unknown], "it is being loaded");
}

pub async fn groups_of_sales_have_every_sale_once_and_can_be_followed(engine: impl Engine) {
    let scene = Scene::unknown(engine);
    let mut sales: Vec<_> = (0..20).map(|_| new_sale()).collect();
    let groups = scene.gate.groups(&sales);
    for group in &groups {
        let followed = scene.gate.announcements(group).await;
        assert!(followed.is_ok(), "{group:?}");
    }
    let mut grouped = groups.concat();
    grouped.sort_unstable();
    sales.sort_unstable();
    assert_eq!(grouped, sales);
}
