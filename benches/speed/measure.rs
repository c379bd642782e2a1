//! One path under load: its rate at full speed, its latency at half of it, and what every process spends on a request.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use flashsale::stress::{Load, Plan, Stats, Target, Token};
use hdrhistogram::Histogram;

use crate::meter::Meter;

pub const CONNECTIONS: usize = 64;
/// Not measured: connections and caches warm up.
const WARM_UP: Duration = Duration::from_secs(2);

/// What one path costs.
pub struct Measured {
    pub name: String,
    pub rate: f64,
    pub full: Latency,
    /// At half the rate, in the open model; if it was asked for.
    pub half: Option<Latency>,
    /// Microseconds of processor time a request: of the load itself first.
    pub cpu: Vec<(&'static str, f64)>,
}

/// In milliseconds.
#[derive(Clone, Copy)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

/// What is asked, of whom, and what it must answer.
pub struct Path<'a> {
    pub name: &'a str,
    pub target: &'a Target,
    pub method: &'a str,
    pub uri: String,
    /// Request after request the next of them, from the first again after the last.
    pub tokens: &'a [Token],
    pub status: u16,
    /// Each shopper may come only once.
    pub buys: bool,
    pub meters: Vec<Meter>,
    pub time: Duration,
}

impl Path<'_> {
    /// At full speed, then at half of the rate that was reached.
    pub async fn measure(&self) -> Measured {
        self.measure_with(async || {}).await
    }

    /// The same with something to be done between the two.
    pub async fn measure_with(&self, between: impl AsyncFnOnce()) -> Measured {
        let next = AtomicU64::new(0);
        let mut measured = self.full_speed(&next, &[]);
        between().await;
        let half = self.load(
            &next,
            &[],
            CONNECTIONS,
            lasting(self.time, Some(measured.rate / 2.0)),
        );
        measured.half = Some(Latency::of(&half));
        // What the load itself was late for says nothing of the system.
        let late = (half.late + half.unsent) as f64 / half.answers() as f64;
        if late > 0.001 {
            println!(
                "{}: {:.1} % were sent late at half the rate",
                self.name,
                late * 100.0
            );
        }
        println!("{}", measured.line());
        measured
    }

    /// At full speed only; with sales, each attempt is one at the next of them.
    pub fn measure_rate(&self, sales: &[i64]) -> Measured {
        let measured = self.full_speed(&AtomicU64::new(0), sales);
        println!("{}", measured.line());
        measured
    }

    fn full_speed(&self, next: &AtomicU64, sales: &[i64]) -> Measured {
        self.load(next, sales, CONNECTIONS, lasting(WARM_UP, None));
        let before: Vec<_> = self.meters.iter().map(Meter::cpu).collect();
        let full = self.load(next, sales, CONNECTIONS, lasting(self.time, None));
        Measured::of(self.name.to_owned(), &[full], &self.meters, &before)
    }

    /// One of so many loads at the same time, which share the connections.
    pub fn share_of_load(&self, shares: usize) -> Stats {
        let plan = lasting(self.time, None);
        self.load(&AtomicU64::new(0), &[], CONNECTIONS / shares, plan)
    }

    /// Once with every token.
    pub fn press_all(&self) -> Stats {
        self.once(None)
    }

    /// The same at so many requests a second, in the open model.
    pub fn press_all_at(&self, rate: f64) -> Stats {
        self.once(Some(rate))
    }

    fn once(&self, rate: Option<f64>) -> Stats {
        let plan = Plan {
            requests: Some(self.tokens.len() as u64),
            rate,
            ..Plan::default()
        };
        self.load(&AtomicU64::new(0), &[], CONNECTIONS, plan)
    }

    /// Panics if anything is answered that should not be.
    fn load(&self, next: &AtomicU64, sales: &[i64], connections: usize, plan: Plan) -> Stats {
        let request_of = |path: &str| {
            let request = if self.method == "POST" {
                self.target.post(path)
            } else {
                self.target.get(path)
            };
            request.unwrap()
        };
        let requests: Vec<_> = if sales.is_empty() {
            vec![request_of(&self.uri)]
        } else {
            let of_sale = |sale: &i64| request_of(&attempt(*sale));
            sales.iter().map(of_sale).collect()
        };
        let load = Load {
            target: self.target,
            connections,
            threads: 1,
            timeout: Duration::from_secs(30),
            plan,
        };
        let stats = load
            .run(
                |_| {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let turn = usize::try_from(turn).unwrap();
                    let request = &requests[turn % requests.len()];
                    request.with_token(&self.tokens[turn % self.tokens.len()])
                },
                |_, _| {},
            )
            .unwrap();
        // Whoever presses again is answered without a unit, and cheaper.
        let taken = usize::try_from(next.load(Ordering::Relaxed)).unwrap();
        assert!(
            !self.buys || taken <= self.tokens.len(),
            "{}: it ran out of shoppers",
            self.name
        );
        let all_as_expected = stats.statuses.keys().eq([&self.status]);
        assert!(
            all_as_expected && stats.unanswered() == 0,
            "{}: answered {:?}, not answered {:?}",
            self.name,
            stats.statuses,
            stats.no_answers
        );
        stats
    }
}

/// The path of an attempt.
pub fn attempt(sale: i64) -> String {
    format!("/api/flash-sale/attempt/{sale}")
}

/// The one in the middle.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn lasting(time: Duration, rate: Option<f64>) -> Plan {
    Plan {
        requests: None,
        duration: Some(time),
        rate,
    }
}

impl Measured {
    /// Of one load, or of several at the same time; with what the processes had spent before.
    pub fn of(name: String, loads: &[Stats], meters: &[Meter], before: &[Duration]) -> Self {
        let requests = loads.iter().map(Stats::answers).sum::<u64>() as f64;
        let micros = |spent: Duration| spent.as_secs_f64() * 1e6 / requests;
        let load = loads.iter().filter_map(|load| load.cpu).sum();
        let mut cpu = vec![("load", micros(load))];
        for (meter, before) in meters.iter().zip(before) {
            cpu.push((meter.name, micros(meter.cpu().saturating_sub(*before))));
        }
        let mut latency = loads[0].latency.clone();
        for load in &loads[1..] {
            latency.add(&load.latency).unwrap();
        }
        Self {
            name,
            rate: loads.iter().map(Stats::throughput).sum(),
            full: Latency::of_histogram(&latency),
            half: None,
            cpu,
        }
    }

    pub fn cpu_of(&self, name: &str) -> Option<f64> {
        let mut all = self.cpu.iter();
        all.find(|(of, _)| *of == name).map(|(_, micros)| *micros)
    }

    fn line(&self) -> String {
        let cpu: Vec<_> = self
            .cpu
            .iter()
            .map(|(name, micros)| format!("{name} {micros:.1}"))
            .collect();
        let half = self.half.map_or(String::new(), |half| {
            format!("   at half: p99 {:.2} p99.9 {:.2} ms", half.p99, half.p999)
        });
        format!(
            "{:<24} {:>7.0} /s   p50 {:.2} p99 {:.2} p99.9 {:.2} ms{}   CPU µs: {}",
            self.name,
            self.rate,
            self.full.p50,
            self.full.p99,
            self.full.p999,
            half,
            cpu.join(", ")
        )
    }
}

impl Latency {
    fn of(stats: &Stats) -> Self {
        Self::of_histogram(&stats.latency)
    }

    fn of_histogram(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
        }
    }
}
