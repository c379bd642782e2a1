//! Faults of processes that a deployment or a machine makes.

use super::LASTING;
use crate::{bed::TestBed, support::process::faketime};

/// Each is told to end and replaced once it has ended. New connections of shoppers go to the other API node as soon as one
/// drains, as a load balancer does that asks for its readiness.
pub async fn rolled_over(bed: &mut TestBed) {
    for n in 0..bed.nodes.len() {
        let mut others = bed.nodes.iter().enumerate();
        let other = others.find_map(|(other, node)| node.port.filter(|_| other != n));
        if let (Some(front), Some(other)) = (&bed.nodes[n].front, other) {
            front.lead_to(other);
        }
        let node = &mut bed.nodes[n];
        node.process.terminate();
        let ended = node.process.end().await;
        assert!(ended.success(), "{}", node.process.output());
        node.start_again().await;
    }
}

/// Ten minutes behind: tokens that it issues would be older than the accounts they are for.
pub async fn clock_wrong(bed: &mut TestBed) {
    let node = &mut bed.nodes[0];
    node.kill();
    node.start_again_with(&faketime("-600s")).await;
    tokio::time::sleep(LASTING).await;
    node.kill();
    node.start_again().await;
}
