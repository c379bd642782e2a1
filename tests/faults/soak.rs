//! A soak: sale after sale under load, with faults at random, for as long as asked for.

use std::time::{Duration, Instant};

use crate::{
    bed::{TestBed, Topology},
    check,
    client_log::Request,
    fault::Fault,
    limits,
    load::{Load, Pace},
    random::Random,
};

const ACCOUNTS: usize = 24_000;
const FAULTS_A_SALE: usize = 3;

/// Units of a sale, and how fast shoppers come. Clusters are ten servers more on the same machine.
const fn setting(topology: Topology) -> (u32, Pace) {
    let (stock, attempts, results) = match topology {
        Topology::Single => (9_000, 5, 2),
        Topology::Clusters => (6_000, 3, 1),
    };
    (stock, Pace { attempts, results })
}

/// The pause before a fault, at least and in addition.
const PAUSE_MS: (u64, u64) = (1_000, 3_000);

/// The faults that may follow these in a sale: no two servers lose data.
fn possible(all: &[Fault], had: &[Fault]) -> Vec<Fault> {
    let lost = had.iter().find_map(|fault| fault.loses_data_of());
    let fits = |fault: &&Fault| {
        let losing = fault.loses_data_of();
        lost.is_none() || losing.is_none() || lost == losing
    };
    all.iter().filter(fits).copied().collect()
}

/// Panics if anything is not as it must be.
pub async fn run(time: Duration, topology: Topology, seed: u64) {
    println!(
        "soak of {} s with seed {seed} on {topology:?}",
        time.as_secs()
    );
    let begun = Instant::now();
    let all = Fault::of_a_soak(topology);
    let (stock, pace) = setting(topology);
    let mut bed = TestBed::start(topology, ACCOUNTS).await;
    let mut random = Random(seed);
    let (mut attempts, mut faults, mut sales, mut orders) = (0, 0, 0, 0);
    let mut slowest = (Duration::ZERO, String::new());
    while begun.elapsed() < time {
        bed.renew_tokens();
        let load = Load::open(&bed, stock, pace).await;
        let steady = load.start();
        let mut had = Vec::new();
        for _ in 0..FAULTS_A_SALE {
            let pause = PAUSE_MS.0 + random.below(PAUSE_MS.1);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let fault = random.one_of(&possible(&all, &had));
            println!("{:4} s  {fault}", begun.elapsed().as_secs());
            had.push(fault);
            load.client_log().accounts_may_go |= fault.loses_accounts();
            fault.strike(&mut bed, &load).await;
            let over = Instant::now();
            let normal = load.normal_again(&bed, over).await;
            slowest = slowest.max((normal - over, fault.to_string()));
            if fault.mend(&mut bed).await {
                load.normal_again(&bed, Instant::now()).await;
            }
        }
        steady.stop().await;
        load.sell_out(&bed).await;
        let outcome = check::check(&bed, &load, &had).await;
        bed.assert_whole().await;
        let (pressed, longest) = waits(&bed, &load, &had);
        load.end(&bed).await;
        attempts += pressed;
        faults += had.len();
        sales += 1;
        orders += load.units();
        println!(
            "{:4} s  sold out: {pressed} attempts, {} accepted, longest wait {:.1} s, last order after {:.1} s",
            begun.elapsed().as_secs(),
            outcome.accepted,
            longest.as_secs_f64(),
            outcome.last_order_after.as_secs_f64()
        );
    }
    check::audit(&bed, &[]).await;
    println!(
        "soak is over: {attempts} attempts in {sales} sales with {faults} faults, {orders} orders, every promise kept; \
         normal again after {:.1} s at most ({})",
        slowest.0.as_secs_f64(),
        slowest.1
    );
}

/// Holds every wait against the most lenient limit of the faults that were. How many attempts, and the longest wait for one.
fn waits(bed: &TestBed, load: &Load, had: &[Fault]) -> (usize, Duration) {
    let limit = |request| {
        let limits = had
            .iter()
            .map(|fault| limits::answer(request, *fault, &bed.config));
        limits.max().unwrap_or_default()
    };
    let connection_faults = had.iter().any(|fault| fault.is_seen_by_shoppers());
    let (mut pressed, mut longest) = (0, Duration::ZERO);
    for exchange in &load.client_log().exchanges {
        let limit = limit(exchange.sent.request);
        assert!(
            exchange.took() <= limit,
            "longer than {limit:?}: {exchange:?}"
        );
        assert!(
            connection_faults || !exchange.reply.is_of_the_connection(),
            "{exchange:?}"
        );
        if exchange.sent.request == Request::Attempt {
            pressed += 1;
            longest = longest.max(exchange.took());
        }
    }
    (pressed, longest)
}
