//! kill -9 under load, again and again on one directory.

use std::time::Duration;

use super::load::{Moment, Sale};
use crate::support::{
    api::Api,
    process::Process,
    seed::Seed,
    system::{OneProcess, System},
};

const SHOPPERS: usize = 200;
/// Each is killed under twice.
const SALES: usize = 10;
/// Stock for some of the shoppers, for most, and for more than there are.
const STOCKS: [u32; 3] = [60, 150, 250];

fn moment(seed: &mut Seed) -> Moment {
    if seed.below(2) == 0 {
        Moment::Answers(usize::try_from(seed.below(SHOPPERS as u64)).unwrap())
    } else {
        Moment::After(Duration::from_millis(seed.below(600)))
    }
}

#[tokio::test]
async fn what_was_accepted_is_settled_after_each_of_twenty_kills() {
    let mut seed = Seed::print();
    let system = OneProcess::start().await;
    let shoppers = system.shoppers(SHOPPERS).await;
    let mut sales = Vec::new();
    for _ in 0..SALES {
        let stock = STOCKS[usize::try_from(seed.below(3)).unwrap()];
        sales.push(Sale::of(&system, stock).await);
    }

    let mut api = system.serve().await;
    for sale in &mut sales {
        // Once while the sale is open, once from the first moment of a process that has yet to load it.
        for _ in 0..2 {
            let moment = moment(&mut seed);
            sale.press(&api, &shoppers, moment, Process::kill).await;
            eprintln!("killed at {moment:?}, {} accepted so far", sale.accepted());
            api = system.serve().await;
        }
        sale.check(&system, &api).await;
    }
    let accepted: usize = sales.iter().map(Sale::accepted).sum();
    assert!(accepted > SHOPPERS, "the load was no load: {accepted}");
    every_unit_that_is_left_can_be_bought(&system, &api, &sales).await;
}

/// And not one more.
async fn every_unit_that_is_left_can_be_bought(system: &OneProcess, api: &Api, sales: &[Sale]) {
    let newcomers = system.shoppers(251).await;
    for sale in sales {
        let left = sale.check(system, api).await.remaining;
        let mut sold = 0;
        for newcomer in &newcomers {
            match api.attempt(sale.id, newcomer).await.0 {
                200 => sold += 1,
                409 => break,
                other => panic!("{other}"),
            }
        }
        assert_eq!(sold, left);
        assert_eq!(system.check_promises(sale.id).await.remaining, 0);
    }
}
