//! Listeners of results at one node, told through Redis.

use crate::{
    bed::TestBed,
    listeners::{Node, accounts, measure},
};

const LISTENERS: usize = 10_000;
/// Orders a second, for some seconds.
const RATE: usize = 1_000;
const SECS: usize = 8;

pub async fn run() {
    let bed = TestBed::whole(accounts(LISTENERS), 3).await;
    let (sale, _) = bed.sale(accounts(LISTENERS)).await;
    let api = &bed.apis[0];
    let node = Node {
        address: api.url["http://".len()..].parse().unwrap(),
        pid: api.process.pid(),
        sale,
    };
    let is_within_bounds = measure(node, LISTENERS, RATE, SECS).await;
    bed.settle(sale).await;
    bed.audit().await;
    assert!(is_within_bounds, "a figure is out of its bound");
}
