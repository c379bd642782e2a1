//! Divides the partitions of a log among the workers that read it, in the same way in every ledger.

/// The number of partitions of the member at `place`, counted from 0. The shares are equal, except that the remainder of the
/// division is distributed over the first members, one partition each.
#[must_use]
pub fn fair_share(partitions: i64, place: i64, members: i64) -> i64 {
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
