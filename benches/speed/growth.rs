//! What it costs as it grows: holders, sales, API nodes, workers, partitions.

use std::time::{Duration, Instant};

use flashsale::stress::{Target, Token};

use crate::{
    bed::TestBed,
    measure::{Measured, Path, attempt},
    meter::Meter,
    paths::drain,
    support::{system::System, wait_until},
};

const PARTITIONS: i32 = 3;
/// Attempts of one measurement of a rate, at most.
const ATTEMPTS: usize = 120_000;
/// Of a drain.
const BACKLOG: usize = 60_000;

/// All tables.
pub struct Growth {
    pub tables: Vec<Table>,
}

/// How some figures change with a number.
pub struct Table {
    pub title: &'static str,
    /// What the number counts.
    pub of: &'static str,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Row>,
}

/// The figures at one number.
pub struct Row {
    pub at: f64,
    pub values: Vec<f64>,
}

pub async fn run(time: Duration) -> Growth {
    // Half as long: there are many.
    let time = (time / 2).max(Duration::from_secs(3));
    Growth {
        tables: vec![
            holders(time).await,
            sales(time).await,
            apis(time).await,
            partitions(time).await,
            workers().await,
        ],
    }
}

fn columns_of_rate() -> Vec<&'static str> {
    vec![
        "accepted/s",
        "p99 ms",
        "API µs",
        "Redis µs",
        "Kafka µs",
        "PostgreSQL µs",
        "worker µs",
    ]
}

fn values(measured: &Measured) -> Vec<f64> {
    let cpu = ["API", "Redis", "Kafka", "PostgreSQL", "worker"];
    let cpu = cpu.map(|name| measured.cpu_of(name).unwrap_or_default());
    [measured.rate, measured.full.p99]
        .into_iter()
        .chain(cpu)
        .collect()
}

fn buying(
    bed: &TestBed,
    target: &Target,
    sale: i64,
    tokens: &[Token],
    name: &str,
    time: Duration,
) -> Measured {
    Path {
        name,
        target,
        method: "POST",
        uri: attempt(sale),
        tokens,
        status: 200,
        buys: true,
        meters: bed.meters(),
        time,
    }
    .measure_rate(&[])
}

/// One sale with so many holders already.
async fn holders(time: Duration) -> Table {
    let mut rows = Vec::new();
    for holders in [1_000, 10_000, 100_000, 1_000_000] {
        let bed = TestBed::whole(holders + ATTEMPTS, PARTITIONS).await;
        let empty = bed.redis_memory();
        let now = chrono::Utc::now();
        let hour = Duration::from_hours(1);
        let (sale, _) = bed
            .system
            .sale_in(
                u32::try_from(holders + ATTEMPTS).unwrap(),
                now + hour,
                now + hour * 2,
            )
            .await;
        bed.system
            .sql(&format!(
                "INSERT INTO orders (user_id, product_id, flash_sale_id, status, attempt_id) \
                 SELECT n, s.product_id, s.id, 'SUCCESS', gen_random_uuid() FROM flash_sales s, generate_series(1, {holders}) n WHERE s.id = {sale}"
            ))
            .await;
        bed.system
            .sql(&format!(
                "UPDATE flash_sales SET start_time = now() - interval '1 minute' WHERE id = {sale}"
            ))
            .await;
        bed.system.redis.as_ref().unwrap().flushall();
        let begun = Instant::now();
        wait_until("the sale is loaded", Duration::from_mins(2), || async {
            bed.system.gate_balance(sale).await.is_some()
        })
        .await;
        let loaded = begun.elapsed().as_secs_f64();
        for api in &bed.apis {
            api.wait_until_open(&bed.system, sale).await;
        }
        let loaded_bytes = (bed.redis_memory() - empty) / holders as f64;
        let target = bed.target();
        let measured = buying(
            &bed,
            &target,
            sale,
            &bed.tokens[holders..],
            &format!("{holders} holders"),
            time,
        );
        bed.settle(sale).await;
        let sold = bed.orders().await as f64;
        let mut values = values(&measured);
        values.extend([
            loaded,
            loaded_bytes,
            (bed.redis_memory() - empty) / sold,
            bed.api_meter().memory_mb(),
        ]);
        rows.push(Row {
            at: holders as f64,
            values,
        });
        bed.audit().await;
    }
    let mut columns = columns_of_rate();
    columns.extend([
        "loaded anew after s",
        "Redis bytes a holder loaded",
        "bytes a holder with bought ones",
        "API MB",
    ]);
    Table {
        title: "Holders of one sale",
        of: "holders",
        columns,
        rows,
    }
}

/// Attempts spread over so many sales.
async fn sales(time: Duration) -> Table {
    let mut rows = Vec::new();
    for count in [1, 10, 100] {
        let bed = TestBed::whole(ATTEMPTS, PARTITIONS).await;
        let mut sales = Vec::new();
        for _ in 0..count {
            sales.push(bed.sale(ATTEMPTS).await.0);
        }
        let target = bed.target();
        let path = Path {
            name: &format!("{count} sales"),
            target: &target,
            method: "POST",
            uri: String::new(),
            tokens: &bed.tokens,
            status: 200,
            buys: true,
            meters: bed.meters(),
            time,
        };
        let measured = path.measure_rate(&sales);
        for sale in &sales {
            bed.settle(*sale).await;
        }
        rows.push(Row {
            at: f64::from(count),
            values: values(&measured),
        });
        bed.audit().await;
    }
    Table {
        title: "Sales at once",
        of: "sales",
        columns: columns_of_rate(),
        rows,
    }
}

/// The load spread over so many API nodes.
async fn apis(time: Duration) -> Table {
    let mut rows = Vec::new();
    for count in 1..=4 {
        let mut bed = TestBed::start(ATTEMPTS, PARTITIONS).await;
        for _ in 0..count {
            bed.serve().await;
        }
        bed.work().await;
        let (sale, _) = bed.sale(ATTEMPTS).await;
        let targets: Vec<_> = bed
            .apis
            .iter()
            .map(|api| Target::new(&api.url).unwrap())
            .collect();
        let share = ATTEMPTS / count;
        let meters = bed.meters();
        let before: Vec<_> = meters.iter().map(Meter::cpu).collect();
        let parts: Vec<_> = std::thread::scope(|scope| {
            let loads: Vec<_> = targets
                .iter()
                .zip(bed.tokens.chunks(share))
                .map(|(target, tokens)| {
                    let path = Path {
                        name: "a node",
                        target,
                        method: "POST",
                        uri: attempt(sale),
                        tokens,
                        status: 200,
                        buys: true,
                        meters: Vec::new(),
                        time,
                    };
                    scope.spawn(move || path.share_of_load(count))
                })
                .collect();
            loads.into_iter().map(|load| load.join().unwrap()).collect()
        });
        let measured = Measured::of(format!("{count} API nodes"), &parts, &meters, &before);
        bed.settle(sale).await;
        rows.push(Row {
            at: count as f64,
            values: values(&measured),
        });
        bed.audit().await;
    }
    Table {
        title: "API nodes sharing 64 connections",
        of: "nodes",
        columns: columns_of_rate(),
        rows,
    }
}

async fn partitions(time: Duration) -> Table {
    let mut rows = Vec::new();
    for count in [3, 6, 12, 24] {
        let mut bed = TestBed::whole(ATTEMPTS, count).await;
        let (sale, _) = bed.sale(ATTEMPTS).await;
        let target = bed.target();
        let measured = buying(
            &bed,
            &target,
            sale,
            &bed.tokens,
            &format!("{count} partitions"),
            time,
        );
        bed.settle(sale).await;
        let mut values = values(&measured);
        values.push(drain(&mut bed, &target, BACKLOG, 1).await.rate);
        rows.push(Row {
            at: f64::from(count),
            values,
        });
        bed.audit().await;
    }
    let mut columns = columns_of_rate();
    columns.push("drained by one worker, orders/s");
    Table {
        title: "Partitions of the log",
        of: "partitions",
        columns,
        rows,
    }
}

/// So many workers drain a backlog.
async fn workers() -> Table {
    let mut rows = Vec::new();
    for count in 1..=4 {
        let mut bed = TestBed::whole(BACKLOG, 12).await;
        let target = bed.target();
        let drain = drain(&mut bed, &target, BACKLOG, count).await;
        let cpu = drain.cpu.iter().map(|(_, micros)| *micros);
        rows.push(Row {
            at: count as f64,
            values: [drain.rate].into_iter().chain(cpu).collect(),
        });
        bed.audit().await;
    }
    Table {
        title: "Workers, 12 partitions",
        of: "workers",
        columns: vec![
            "drained orders/s",
            "worker µs",
            "Redis µs",
            "Kafka µs",
            "PostgreSQL µs",
        ],
        rows,
    }
}
