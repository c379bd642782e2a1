//! Chance that can be repeated: set `FLASHSALE_TEST_SEED` to the seed that a failed test printed.

/// A sequence of numbers that look like chance (Steele, Lea, Flood: `SplitMix64`, 2014).
pub struct Seed(u64);

impl Seed {
    /// The one of the environment, or a new one. Prints it; a test's output is shown when it fails.
    pub fn print() -> Self {
        let given = std::env::var("FLASHSALE_TEST_SEED").ok();
        let seed = given.map_or_else(
            || uuid::Uuid::new_v4().as_u64_pair().1,
            |text| text.parse().expect("FLASHSALE_TEST_SEED is a number"),
        );
        eprintln!("FLASHSALE_TEST_SEED={seed}");
        Self(seed)
    }

    /// The next number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % end
    }
}
