//! Accounts of the shop's issuer: what a press costs with a token that was exchanged, beside one that was issued here; and what a flood of
//! tokens with unknown key ids costs those who press. Rounds take turns, so that whatever else the machine does falls on all alike.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use flashsale::stress::{Load, Plan, Request, Target, Token};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{
    bare::Bare,
    bed::TestBed,
    measure::{CONNECTIONS, Path, attempt, median},
    support::{
        issuer::{SigningKey, TestIssuer},
        wait_until,
    },
};

/// Accounts of each kind, each with a unit in every sale.
const SHOPPERS: usize = 20_000;
/// Of each kind.
const ROUNDS: usize = 5;
/// Tokens with unknown key ids in a second.
const FLOOD: f64 = 10_000.0;
/// Connections of the flood.
const FLOOD_CONNECTIONS: usize = 16;
const PARTITIONS: i32 = 3;

pub async fn run(time: Duration) {
    let key = SigningKey::ed("known");
    let issuer = TestIssuer::start(&[&key]).await;
    let mut bed = TestBed::start(SHOPPERS, PARTITIONS).await;
    let issued_here = issuer.environment();
    let environment = issued_here.map(|(name, value)| (name.to_owned(), value.to_owned()));
    bed.system.environment.extend(environment);
    bed.serve().await;
    bed.work().await;
    let exchanged = exchange_all(&bed, &key).await;
    tokens_side_by_side(&bed, &exchanged, time).await;
    beside_unknown_keys(&bed, &issuer, time).await;
    bed.audit().await;
}

async fn exchange_one(bed: &TestBed, token: &str) -> Option<String> {
    let api = &bed.apis[0];
    let request = api.http.post(format!("{}/api/auth/exchange", api.url));
    let answer = request.json(&json!({"token": token})).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    body["data"]["token"].as_str().map(str::to_owned)
}

/// Tokens of subjects of the issuer.
async fn exchange_all(bed: &TestBed, key: &SigningKey) -> Vec<Token> {
    wait_until(
        "the issuer's key is known",
        Duration::from_secs(15),
        || async { exchange_one(bed, &key.token("first")).await.is_some() },
    )
    .await;
    let begun = Instant::now();
    let tokens: Vec<_> = stream::iter(0..SHOPPERS)
        .map(|number| async move {
            let token = key.token(&format!("customer-{number}"));
            Token::new(&exchange_one(bed, &token).await.unwrap()).unwrap()
        })
        .buffer_unordered(CONNECTIONS)
        .collect()
        .await;
    println!(
        "first exchanges: {:.0} /s",
        SHOPPERS as f64 / begun.elapsed().as_secs_f64()
    );
    tokens
}

/// Attempts at a sale that are all to be answered with this status.
fn press<'a>(
    bed: &TestBed,
    target: &'a Target,
    sale: i64,
    tokens: &'a [Token],
    status: u16,
    time: Duration,
) -> Path<'a> {
    Path {
        name: "press",
        target,
        method: "POST",
        uri: attempt(sale),
        tokens,
        status,
        buys: status == 200,
        meters: vec![bed.api_meter()],
        time,
    }
}

/// Rates and the API's processor time of presses that are accepted, and of presses that come too late.
async fn tokens_side_by_side(bed: &TestBed, exchanged: &[Token], time: Duration) {
    let (target, kinds) = (bed.target(), [bed.tokens.as_slice(), exchanged]);
    let [mut rates, mut costs] = [(); 2].map(|()| [(); 2].map(|()| Vec::new()));
    // The first round of each kind warms up and is not counted.
    for round in 0..=ROUNDS {
        for (kind, tokens) in kinds.iter().enumerate() {
            let (sale, _) = bed.sale(SHOPPERS).await;
            let (begun, before) = (Instant::now(), bed.api_meter().cpu());
            press(bed, &target, sale, tokens, 200, time).press_all();
            let (took, spent) = (
                begun.elapsed(),
                bed.api_meter().cpu().saturating_sub(before),
            );
            if round > 0 {
                rates[kind].push(SHOPPERS as f64 / took.as_secs_f64());
                costs[kind].push(spent.as_secs_f64() * 1e6 / SHOPPERS as f64);
            }
            bed.settle(sale).await;
        }
    }
    print_pair("accepted", rates, costs);

    let (sold_out, _) = bed.sale(1).await;
    press(bed, &target, sold_out, &bed.tokens[..1], 200, time).press_all();
    bed.settle(sold_out).await;
    let [mut rates, mut costs] = [(); 2].map(|()| [(); 2].map(|()| Vec::new()));
    for _ in 0..ROUNDS {
        for (kind, tokens) in kinds.iter().enumerate() {
            let measured = press(bed, &target, sold_out, &tokens[1..], 409, time).measure_rate(&[]);
            rates[kind].push(measured.rate);
            costs[kind].push(measured.cpu_of("API").unwrap());
        }
    }
    print_pair("sold out", rates, costs);
}

/// `[of tokens that were issued here, of tokens that were exchanged]`.
fn print_pair(name: &str, rates: [Vec<f64>; 2], costs: [Vec<f64>; 2]) {
    let ([here, exchanged], [here_cost, exchanged_cost]) = (rates.map(median), costs.map(median));
    println!(
        "{name}: token issued here {here:.0} /s, {here_cost:.1} µs of the API; exchanged {exchanged:.0} /s, {exchanged_cost:.1} µs: \
         {:.1} % of the rate",
        exchanged / here * 100.0
    );
}

/// A token that names this key of the issuer. Whether its signature is good is never asked.
fn unknown_key(number: u64) -> Value {
    let header = json!({"alg": "EdDSA", "kid": format!("unknown {number}")}).to_string();
    let encoded = BASE64_URL_SAFE_NO_PAD.encode(header);
    json!({"token": format!("{encoded}.eyJzdWIiOiIxIn0.{}", "A".repeat(86))})
}

/// Sends the flood for a while. Returns how many were answered in a second.
fn flood(
    target: &Target,
    request: &Request,
    numbers: &AtomicU64,
    status: u16,
    time: Duration,
) -> f64 {
    let load = Load {
        target,
        connections: FLOOD_CONNECTIONS,
        threads: 1,
        timeout: Duration::from_secs(30),
        plan: Plan {
            requests: None,
            duration: Some(time),
            rate: Some(FLOOD),
        },
    };
    let next = |_| {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        request.clone().with_document(&unknown_key(number))
    };
    let answered = load.run(next, |_, _| {}).unwrap();
    let statuses: Vec<_> = answered.statuses.keys().copied().collect();
    assert_eq!(statuses, [status], "the flood is answered");
    answered.throughput()
}

/// Presses that come too late: alone, beside the flood, and beside the same flood to a server that does nothing, which shows what
/// sending it costs this machine.
async fn beside_unknown_keys(bed: &TestBed, issuer: &TestIssuer, time: Duration) {
    let (target, bare) = (bed.target(), Bare::start());
    let elsewhere = Target::new(&bare.url).unwrap();
    let (sale, _) = bed.sale(1).await;
    press(bed, &target, sale, &bed.tokens[..1], 200, time).press_all();
    bed.settle(sale).await;
    let too_late = press(bed, &target, sale, &bed.tokens[1..], 409, time);
    let rate = || too_late.share_of_load(1).throughput();
    let (numbers, begun, before) = (AtomicU64::new(0), Instant::now(), issuer.fetches());
    let [mut alone, mut beside, mut sent, mut answered] = [(); 4].map(|()| Vec::new());
    for _ in 0..ROUNDS {
        alone.push(rate());
        for (of, target, uri, status, rates) in [
            ("flooded", &target, "/api/auth/exchange", 401, &mut beside),
            ("sent elsewhere", &elsewhere, "/swallow", 404, &mut sent),
        ] {
            let (request, numbers) = (target.post(uri).unwrap(), &numbers);
            let (rate, flooded) = thread::scope(|scope| {
                let flooding = scope.spawn(move || flood(target, &request, numbers, status, time));
                (rate(), flooding.join().unwrap())
            });
            println!("sold out beside a flood ({of}, {flooded:.0} tokens/s): {rate:.0} /s");
            rates.push(rate);
            if status == 401 {
                answered.push(flooded);
            }
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let [alone, beside, sent, answered] = [alone, beside, sent, answered].map(median);
    println!(
        "sold out: alone {alone:.0} /s; beside {answered:.0} tokens/s with unknown key ids {beside:.0} /s ({:.1} %); beside as many sent to \
         another server {sent:.0} /s ({:.1} %)",
        beside / alone * 100.0,
        sent / alone * 100.0
    );
    println!(
        "the keys were asked for {} times in {took:.0} s",
        issuer.fetches() - before
    );
}
