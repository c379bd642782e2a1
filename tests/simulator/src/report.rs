//! What came of one history.

/// What came of one history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryReport {
    pub seed: u64,
    /// Promises that were broken, each in words; none, one hopes.
    pub broken: Vec<String>,
    /// Who did what and when, if it was asked for.
    pub trace: Vec<String>,
    pub totals: HistoryTotals,
}

/// What operators do, in the order of [`HistoryTotals::operations`].
pub const OPERATIONS: [&str; 9] = [
    "pause",
    "resume",
    "end",
    "cancel",
    "move the end",
    "add units",
    "withdraw units",
    "cancel an order",
    "cancel an order and its unit",
];

/// What there was in histories, for the judgement whether they mean something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistoryTotals {
    pub presses: u64,
    pub accepted: u64,
    pub orders: u64,
    /// Accepted attempts whose every trace was destroyed by two failures at once (`docs/LIMITS.md`).
    pub excused: u64,
    pub virtual_ms: u64,
    /// How often an operator was answered that each of [`OPERATIONS`] is made.
    pub operations: [u64; OPERATIONS.len()],
}

impl HistoryTotals {
    pub(super) fn add(&mut self, other: Self) {
        self.presses += other.presses;
        self.accepted += other.accepted;
        self.orders += other.orders;
        self.excused += other.excused;
        self.virtual_ms += other.virtual_ms;
        for (count, more) in self.operations.iter_mut().zip(other.operations) {
            *count += more;
        }
    }
}

impl HistoryReport {
    /// The history for a reader.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut lines = self.trace.clone();
        lines.extend(self.broken.iter().map(|broken| format!("BROKEN: {broken}")));
        lines.push(format!(
            "seed {seed}: `cargo run -p flashsale-simulator -- --seed {seed} --trace` plays it again",
            seed = self.seed
        ));
        lines.join("\n")
    }
}
