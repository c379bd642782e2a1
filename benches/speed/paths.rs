//! All paths side by side.

use std::time::{Duration, Instant};

use flashsale::stress::{Target, Token};
use tempfile::TempDir;

use crate::{
    bare::Bare,
    bed::TestBed,
    measure::{Measured, Path, attempt},
    meter::Meter,
    one_process,
};

/// Units of the sale that is sold out.
const FEW: usize = 1_000;
/// What is left for a worker to settle.
const BACKLOG: usize = 100_000;
/// Bought before purchases are measured: Kafka's compiler and the caches of all need some ten seconds of them.
const WARM_UP: usize = 60_000;
/// More accepted attempts a second than these a system here does not take.
const MOST_A_SECOND: u64 = 40_000;
const PARTITIONS: i32 = 3;

/// What came of it all.
pub struct Findings {
    pub measured: Vec<Measured>,
    /// Orders that stood when the last attempt at full speed was accepted, for each attempt.
    pub persisted: f64,
    pub drain: Drain,
    pub api_memory_mb: f64,
}

/// A worker and its backlog.
pub struct Drain {
    pub orders: i64,
    pub rate: f64,
    /// Microseconds an order.
    pub cpu: Vec<(&'static str, f64)>,
}

pub async fn run(time: Duration) -> Findings {
    // Warming up, full rate, half rate.
    let shoppers = usize::try_from(MOST_A_SECOND * (time.as_secs() * 3 / 2 + 2)).unwrap();
    let mut bed = TestBed::whole(shoppers, PARTITIONS).await;
    let target = bed.target();
    let path = |name, method, uri, status| Path {
        name,
        target: &target,
        method,
        uri,
        tokens: &[],
        status,
        buys: method == "POST" && status == 200,
        meters: Vec::new(),
        time,
    };
    let mut measured = Vec::new();

    measured.extend(bare(&bed.tokens, time).await);

    let (few, _) = bed.sale(FEW).await;
    let buying = Path {
        tokens: &bed.tokens[..FEW],
        ..path("the few", "POST", attempt(few), 200)
    };
    buying.press_all();
    bed.settle(few).await;
    measured.push(
        Path {
            tokens: &bed.tokens[FEW..],
            meters: bed.meters(),
            ..path("sold out", "POST", attempt(few), 409)
        }
        .measure()
        .await,
    );
    measured.push(
        Path {
            tokens: &bed.tokens,
            meters: bed.meters(),
            ..path(
                "sale status",
                "GET",
                "/api/flash-sale/status".to_owned(),
                200,
            )
        }
        .measure()
        .await,
    );

    let (warm_up, _) = bed.sale(WARM_UP).await;
    let buying = Path {
        tokens: &bed.tokens[..WARM_UP],
        ..path("warming up", "POST", attempt(warm_up), 200)
    };
    buying.press_all();
    bed.settle(warm_up).await;

    let (sale, product) = bed.sale(shoppers).await;
    let buying = Path {
        tokens: &bed.tokens,
        meters: bed.meters(),
        ..path("accepted", "POST", attempt(sale), 200)
    };
    let before = bed.orders().await;
    let mut shares = (0, 0);
    let accepted = buying
        .measure_with(async || {
            let made = bed.orders().await - before;
            bed.settle(sale).await;
            shares = (made, bed.orders().await - before);
        })
        .await;
    measured.push(accepted);
    bed.settle(sale).await;
    let bought = usize::try_from(bed.orders().await - before).unwrap();
    measured.push(
        Path {
            tokens: &bed.tokens[..bought],
            meters: bed.meters(),
            ..path(
                "order status",
                "GET",
                format!("/api/orders/status/{product}"),
                200,
            )
        }
        .measure()
        .await,
    );

    let drain = drain(&mut bed, &target, BACKLOG, 1).await;
    let api_memory_mb = bed.api_meter().memory_mb();
    bed.audit().await;
    drop(bed);

    let directory = TempDir::with_prefix_in("flashsale-bench", "target").unwrap();
    measured.push(one_process::accepted(directory.path(), shoppers, time).await);
    Findings {
        measured,
        persisted: shares.0 as f64 / shares.1 as f64,
        drain,
        api_memory_mb,
    }
}

/// What everything is compared with.
async fn bare(tokens: &[Token], time: Duration) -> Vec<Measured> {
    let bare = Bare::start();
    let target = Target::new(&bare.url).unwrap();
    let mut measured = Vec::new();
    for (name, uri) in [("bare handler", "/"), ("bare handler, token", "/token")] {
        measured.push(
            Path {
                name,
                target: &target,
                method: "GET",
                uri: uri.to_owned(),
                tokens,
                status: 200,
                buys: false,
                meters: vec![Meter::new("API", [bare.pid()])],
                time,
            }
            .measure()
            .await,
        );
    }
    measured
}

/// Has a backlog made without a worker, and then so many workers settle it.
pub async fn drain(bed: &mut TestBed, target: &Target, backlog: usize, workers: usize) -> Drain {
    let (sale, _) = bed.sale(backlog).await;
    bed.end_workers().await;
    let buying = Path {
        name: "backlog",
        target,
        method: "POST",
        uri: attempt(sale),
        tokens: &bed.tokens[..backlog],
        status: 200,
        buys: true,
        meters: Vec::new(),
        time: Duration::ZERO,
    };
    buying.press_all();
    let before = bed.orders().await;
    let others: Vec<Meter> = bed.meters().split_off(2);
    let spent: Vec<_> = others.iter().map(Meter::cpu).collect();
    for _ in 0..workers {
        bed.work().await;
    }
    // From the first orders on: taking partitions comes before.
    let wanted = i64::try_from(backlog).unwrap();
    let mut first = None;
    let deadline = Instant::now() + Duration::from_mins(2);
    let rate = loop {
        let (now, orders) = (Instant::now(), bed.orders().await - before);
        match first {
            None if orders > 0 => first = Some((now, orders)),
            Some((since, some)) if orders >= wanted => {
                break (orders - some) as f64 / (now - since).as_secs_f64();
            }
            _ => assert!(now < deadline, "{orders} orders of {wanted}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let orders = wanted;
    let micros = |spent: Duration| spent.as_secs_f64() * 1e6 / orders as f64;
    let mut cpu = vec![("worker", micros(bed.meters()[1].cpu()))];
    for (meter, spent) in others.iter().zip(spent) {
        cpu.push((meter.name, micros(meter.cpu().saturating_sub(spent))));
    }
    bed.settle(sale).await;
    println!("backlog, {workers} workers       {rate:>7.0} orders/s");
    Drain { orders, rate, cpu }
}
