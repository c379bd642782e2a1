//! Everything that is told of a run, and the figures that text, JSON and page share.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hdrhistogram::Histogram;

use super::super::audit;
use crate::{
    ids::{ProductId, SaleId},
    order::audit::Report,
    stress::{
        SLICE, Stats,
        presses::Pressed,
        promises::{Counts, Promise, Standing},
    },
};

/// The quantiles that are told.
pub(super) const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
];

/// A run shorter than this is shown by the slice, a longer one by the second.
const SHORT: Duration = Duration::from_secs(20);

/// What was run.
pub(super) struct Settings {
    pub(super) url: String,
    pub(super) sale: SaleId,
    pub(super) product: ProductId,
    pub(super) product_name: String,
    pub(super) initial_stock: u64,
    pub(super) shoppers: usize,
    pub(super) is_minted: bool,
    pub(super) presses: u32,
    pub(super) connections: usize,
    pub(super) threads: usize,
    pub(super) rate: Option<f64>,
    pub(super) seconds: Option<u32>,
    pub(super) started_at: DateTime<Utc>,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) settings: Settings,
    pub(super) pressed: Pressed,
    pub(super) counts: Counts,
    pub(super) promises: Vec<Promise>,
    pub(super) audited: Option<Audited>,
}

/// The audit, or why there is none.
pub(super) struct Audited(pub(super) Result<Report, String>);

/// Answers a second, for one piece of time after the other.
pub(super) struct OverTime {
    /// How long each is; the last one ends when the run does.
    pub(super) step: Duration,
    pub(super) end: Duration,
    pub(super) answers: Vec<f64>,
    /// Those with a 2xx.
    pub(super) successes: Vec<f64>,
}

impl Audited {
    pub(super) fn promise(&self) -> Promise {
        let (standing, found) = match &self.0 {
            Ok(report) if report.is_clean() => {
                (Standing::Kept, "gate, log and ledger agree".to_owned())
            }
            Ok(report) => (Standing::Broken, audit::text::findings(report).join("; ")),
            Err(error) => (Standing::Unknown, error.clone()),
        };
        Promise {
            name: "audit",
            title: "the servers' audit",
            standing,
            found,
        }
    }
}

impl Outcome {
    pub(super) fn stats(&self) -> &Stats {
        &self.pressed.stats
    }

    /// True if every promise was kept.
    pub(super) fn is_kept(&self) -> bool {
        let mut promises = self.promises.iter();
        promises.all(|promise| promise.standing == Standing::Kept)
    }

    /// Answers with their status, code (empty for a success) and count.
    pub(super) fn answers(&self) -> impl Iterator<Item = (u16, &str, u64)> {
        self.pressed.answers.iter().flat_map(|(status, codes)| {
            let codes = codes.iter();
            codes.map(|(code, count)| (*status, code.as_str(), *count))
        })
    }

    pub(super) fn over_time(&self) -> OverTime {
        let stats = self.stats();
        let together = if stats.elapsed < SHORT { 1 } else { 10 };
        let step = SLICE * together;
        let mut pieces: Vec<Piece> = Vec::new();
        let mut start = Duration::ZERO;
        for slices in stats.slices.chunks(together as usize) {
            let piece = Piece {
                length: step.min(stats.elapsed.saturating_sub(start)),
                answers: slices.iter().map(|slice| slice.answers).sum(),
                successes: slices.iter().map(|slice| slice.successes).sum(),
            };
            start += step;
            match pieces.last_mut() {
                // The end of a run: too short for a rate of its own.
                Some(last) if piece.length < step / 2 => last.extend(&piece),
                _ => pieces.push(piece),
            }
        }
        OverTime {
            step,
            end: pieces.iter().map(|piece| piece.length).sum(),
            answers: pieces
                .iter()
                .map(|piece| piece.rate(piece.answers))
                .collect(),
            successes: pieces
                .iter()
                .map(|piece| piece.rate(piece.successes))
                .collect(),
        }
    }
}

/// What was counted in a piece of time.
struct Piece {
    length: Duration,
    answers: u64,
    successes: u64,
}

impl Piece {
    fn extend(&mut self, next: &Self) {
        self.length += next.length;
        self.answers += next.answers;
        self.successes += next.successes;
    }

    #[allow(clippy::cast_precision_loss)] // for people
    fn rate(&self, count: u64) -> f64 {
        count as f64 / self.length.as_secs_f64().max(1e-6)
    }
}

/// How many answers took up to so many microseconds, and more than the bound before: 1, 2, 5, 10 and so on, from the
/// first bound that somebody is within to the last.
pub(super) fn buckets(latency: &Histogram<u64>) -> Vec<(u64, u64)> {
    let mut buckets = Vec::new();
    let (mut below, mut decade) = (0, 1_u64);
    while below <= latency.max() && !latency.is_empty() {
        for bound in [1, 2, 5].map(|factor| decade * factor) {
            // What the histogram cannot tell from the bound is within it.
            let count = latency
                .iter_recorded()
                .filter(|value| {
                    let at = latency.lowest_equivalent(value.value_iterated_to());
                    at > below && at <= bound
                })
                .map(|value| value.count_at_value())
                .sum();
            if count > 0 || (!buckets.is_empty() && bound <= latency.max()) {
                buckets.push((bound, count));
            }
            below = bound;
        }
        decade = decade.saturating_mul(10);
    }
    let last = buckets.iter().rposition(|(_, count)| *count > 0);
    buckets.truncate(last.map_or(0, |last| last + 1));
    buckets
}

/// Microseconds as milliseconds.
#[allow(clippy::cast_precision_loss)] // for people
pub(super) fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::stress::presses::Answers;

    /// A small run with something of everything.
    pub(in super::super) fn outcome() -> Outcome {
        let mut stats = Stats::default();
        for (micros, count) in [(900, 3), (1_500, 5), (40_000, 2)] {
            stats.latency.record_n(micros, count).unwrap();
        }
        stats.elapsed = Duration::from_millis(250);
        stats.statuses = BTreeMap::from([(200, 2), (409, 8)]);
        stats.no_answers = BTreeMap::from([(crate::stress::NoAnswer::Timeout, 1)]);
        stats.slices = vec![
            crate::stress::Slice {
                answers: 5,
                successes: 1
            };
            2
        ];
        let sold_out = BTreeMap::from([("sold_out".to_owned(), 8)]);
        let answers = Answers::from([(200, BTreeMap::from([(String::new(), 2)])), (409, sold_out)]);
        let counts = Counts {
            initial_stock: 1,
            remaining_stock: Some(0),
            accepted: 2,
            success: 2,
            ..Counts::default()
        };
        let audited = Audited(Err("no <server> answers".to_owned()));
        Outcome {
            settings: Settings {
                url: "http://localhost:3000/<shop>".to_owned(),
                sale: SaleId::new(7).unwrap(),
                product: ProductId::new(3).unwrap(),
                product_name: "A <b>\"thing\"</b> & more".to_owned(),
                initial_stock: 1,
                shoppers: 11,
                is_minted: false,
                presses: 1,
                connections: 5,
                threads: 1,
                rate: Some(100.0),
                seconds: None,
                started_at: DateTime::from_timestamp(1_764_072_000, 0).unwrap(),
            },
            pressed: Pressed {
                stats,
                answers,
                told: Vec::new(),
            },
            counts,
            promises: counts
                .judge()
                .into_iter()
                .chain([audited.promise()])
                .collect(),
            audited: Some(audited),
        }
    }

    #[test]
    fn buckets_hold_every_answer_once() {
        let outcome = outcome();
        let buckets = buckets(&outcome.stats().latency);
        assert_eq!(
            buckets,
            [
                (1_000, 3),
                (2_000, 5),
                (5_000, 0),
                (10_000, 0),
                (20_000, 0),
                (50_000, 2)
            ]
        );
        assert_eq!(super::buckets(&Stats::default().latency), []);
    }

    #[test]
    fn a_short_run_is_shown_by_the_slice_and_a_long_one_by_the_second() {
        let mut outcome = outcome();
        let over_time = outcome.over_time();
        assert_eq!(over_time.answers, [50.0, 50.0]);
        assert_eq!(over_time.successes, [10.0, 10.0]);
        outcome.pressed.stats.elapsed = Duration::from_millis(125);
        let over_time = outcome.over_time();
        assert_eq!(
            over_time.answers,
            [80.0],
            "what is left over counts with what was before"
        );
        assert_eq!(over_time.end, Duration::from_millis(125));
        outcome.pressed.stats.elapsed = SHORT;
        let over_time = outcome.over_time();
        assert_eq!(
            (over_time.step.as_secs(), over_time.answers),
            (1, vec![10.0])
        );
    }
}
