//! Shoppers who press "buy" until the process goes away, and what each of them was told.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, future::join_all, stream};
use tokio::sync::watch;

use crate::support::{
    api::{Api, Shopper},
    process::Process,
    system::{Balance, OneProcess, System},
};

/// One shopper in so many presses five times at once.
const IMPATIENT: usize = 4;

/// A sale, and the attempt that each of its accepted shoppers was told.
pub struct Sale {
    pub id: i64,
    product: i64,
    told: BTreeMap<i64, String>,
}

/// When the process is to end.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    /// When so many shoppers have an answer.
    Answers(usize),
    /// So long after the first press.
    After(Duration),
}

impl Sale {
    pub async fn of(system: &OneProcess, stock: u32) -> Self {
        let (id, product) = system.sale(stock).await;
        Self {
            id,
            product,
            told: BTreeMap::new(),
        }
    }

    pub fn accepted(&self) -> usize {
        self.told.len()
    }

    /// Everybody presses "buy", some of them five times at once, until all have an answer or none can come any more. At the
    /// given moment the process is ended.
    pub async fn press(
        &mut self,
        api: &Api,
        shoppers: &[Shopper],
        moment: Moment,
        end: impl FnOnce(&Process),
    ) {
        let sale = self.id;
        let (answers, mut answered) = watch::channel(Some(0));
        let presses = shoppers.iter().enumerate().map(|(n, shopper)| {
            let (times, answers) = (if n % IMPATIENT == 0 { 5 } else { 1 }, &answers);
            async move {
                let presses = (0..times).map(|_| press_once(api, sale, shopper, answers));
                let told: Vec<String> = join_all(presses).await.into_iter().flatten().collect();
                answers.send_modify(|count| *count = count.map(|count| count + 1));
                (shopper.id, told)
            }
        });
        let everybody = stream::iter(presses).buffer_unordered(64).collect();
        let ending = async {
            match moment {
                Moment::Answers(count) => {
                    let enough = |now: &Option<usize>| now.is_some_and(|now| now >= count);
                    answered.wait_for(enough).await.unwrap();
                }
                Moment::After(time) => tokio::time::sleep(time).await,
            }
            end(&api.process);
            // Who has no answer by now gets none: nobody presses at a port that may be somebody else's.
            answers.send_replace(None);
        };
        let (told, ()): (Vec<_>, _) = tokio::join!(everybody, ending);
        for (user, attempts) in told {
            for attempt in attempts {
                let first = self.told.entry(user).or_insert_with(|| attempt.clone());
                assert_eq!(*first, attempt, "shopper {user} was told of two attempts");
            }
        }
    }

    /// Once the system is quiet: its promises, and that everybody who was accepted has an order of the attempt that they
    /// were told, or FAILED because nothing was left.
    pub async fn check(&self, system: &OneProcess, api: &Api) -> Balance {
        let balance = system.check_promises(self.id).await;
        let orders = self.orders(system);
        for (user, attempt) in &self.told {
            let shopper = Shopper::with_account(*user);
            match api.result(self.product, &shopper).await.as_deref() {
                Some("SUCCESS") => {
                    assert_eq!(orders.get(user), Some(attempt), "the order of {user}");
                    let (status, again) = api.attempt(self.id, &shopper).await;
                    assert_eq!((status, &again["data"]["status"]), (200, &"SUCCESS".into()));
                    assert_eq!(again["data"]["attemptId"], **attempt);
                }
                Some("FAILED") => {
                    assert_eq!(balance.remaining, 0, "{user} failed with units left");
                    assert_eq!(orders.get(user), None, "{user} was told of a failure");
                }
                other => panic!("shopper {user} was accepted with {attempt} and reads {other:?}"),
            }
        }
        balance
    }

    /// The attempts that were ordered, by shopper.
    fn orders(&self, system: &OneProcess) -> BTreeMap<i64, String> {
        let rows = system.texts(&format!(
            "SELECT user_id || ' ' || hex(attempt_id) FROM orders WHERE flash_sale_id = {}",
            self.id
        ));
        let order = |row: String| {
            let (user, attempt) = row.split_once(' ').unwrap();
            let attempt = uuid::Uuid::try_parse(attempt).unwrap();
            (user.parse().unwrap(), attempt.to_string())
        };
        rows.into_iter().map(order).collect()
    }
}

/// One press, again for as long as the answer is to come again later. The attempt, if it was accepted.
async fn press_once(
    api: &Api,
    sale: i64,
    shopper: &Shopper,
    answers: &watch::Sender<Option<usize>>,
) -> Option<String> {
    while answers.borrow().is_some() {
        match api.try_attempt(sale, shopper).await {
            Ok((200, body)) => return Some(body["data"]["attemptId"].as_str().unwrap().to_owned()),
            Ok((409, body)) => {
                assert_eq!(body["code"], "sold_out");
                return None;
            }
            Ok((503, _)) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(other) => panic!("{other:?}"),
            Err(_) => return None,
        }
    }
    None
}
