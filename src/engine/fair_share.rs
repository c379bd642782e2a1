//! How the partitions of a log are shared out among those who read it, the same in every ledger.

/// The partitions divided evenly; the first members get one more while it does not divide. `place` counts from 0.
pub(super) fn fair_share(partitions: i64, place: i64, members: i64) -> i64 {
    let members = members.max(1);
    partitions / members + i64::from(place < partitions % members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_differ_by_one_at_most_and_add_up() {
        for (members, expected) in [
            (1, vec![7]),
            (3, vec![3, 2, 2]),
            (8, vec![1, 1, 1, 1, 1, 1, 1, 0]),
        ] {
            let shares: Vec<_> = (0..members)
                .map(|place| fair_share(7, place, members))
                .collect();
            assert_eq!(shares, expected);
        }
    }
}
