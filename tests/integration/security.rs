//! Hostile clients, and settings that let them in: what production refuses, what one network can take, and what is left in the log.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::support::{
    api::{Api, Shopper},
    process::{Process, free_port},
    system::{OneProcess, System},
    wait_until,
};

const PRODUCTION: (&str, &str) = ("NODE_ENV", "production");
const PATIENCE: Duration = Duration::from_secs(20);

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let variables = variables.iter();
    variables
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn production_says_at_once_all_that_it_refuses() {
    let weak = environment(&[
        PRODUCTION,
        ("JWT_SECRET", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("KAFKA_BROKERS", "kafka.example:9092"),
        ("KAFKA_TLS", "disable"),
        ("KAFKA_SASL_MECHANISM", "PLAIN"),
        ("KAFKA_SASL_USERNAME", "shop"),
        ("KAFKA_SASL_PASSWORD", "Pq71xTz"),
    ]);
    for command in ["serve", "work", "seed"] {
        let (success, output) = Process::start(&[command], &weak).outcome().await;
        assert!(!success, "{output}");
        for name in ["JWT_SECRET", "POSTGRES_PASSWORD"] {
            assert!(output.contains(name), "{command}: {name} in {output}");
        }
        // `seed` logs in to no broker.
        let logs_in = output.contains("KAFKA_SASL_MECHANISM");
        assert_eq!(logs_in, command != "seed", "{command}: {output}");
        assert_eq!(output.contains("admin123"), command == "seed", "{output}");
        assert!(!output.contains("Pq71xTz"), "{output}");
    }
}

#[tokio::test]
async fn demo_accounts_are_made_in_production_by_force_only() {
    let system = OneProcess::on_nothing();
    let (success, output) = system.run_with(&["seed"], &[PRODUCTION]).outcome().await;
    assert!(!success && output.contains("--force"), "{output}");
    assert!(!system.file().exists(), "nothing is made");
    // Nor does the database's password matter here, which is the default.
    let forced = system.run_with(&["seed", "--force"], &[PRODUCTION]);
    let (success, output) = forced.outcome().await;
    assert!(success, "{output}");
    assert_eq!(system.number("SELECT count(*) FROM users").await, 4);
}

#[tokio::test]
async fn development_on_an_address_that_others_reach_warns() {
    let system = OneProcess::start().await;
    let warns = async |variables: &[(&str, &str)]| {
        let api = system.serve_as(variables).await;
        api.process.output().contains("development on an address")
    };
    assert!(warns(&[("HOST", "0.0.0.0")]).await);
    assert!(!warns(&[("HOST", "127.0.0.1")]).await);
    assert!(!warns(&[("HOST", "0.0.0.0"), PRODUCTION]).await);
    // The second listener takes logins and operators, too.
    let port = free_port().to_string();
    let metrics = |host| {
        [
            ("HOST", "127.0.0.1"),
            ("METRICS_PORT", &*port),
            ("METRICS_HOST", host),
        ]
    };
    assert!(warns(&metrics("0.0.0.0")).await);
    assert!(!warns(&metrics("127.0.0.1")).await);
}

/// An API in production, with metrics and probes on a port of their own.
async fn in_production(system: &OneProcess, more: &[(&str, &str)]) -> (Api, String) {
    let port = free_port().to_string();
    let own = [
        PRODUCTION,
        ("METRICS_HOST", "127.0.0.1"),
        ("METRICS_PORT", &port),
    ];
    let api = system.serve_as(&[&own[..], more].concat()).await;
    (api, format!("http://127.0.0.1:{port}"))
}

async fn status_of(url: String) -> u16 {
    reqwest::get(url).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn in_production_metrics_are_on_their_own_port_only() {
    let system = OneProcess::start().await;
    let (api, inside) = in_production(&system, &[]).await;
    for (path, outside_status, inside_status) in [
        ("/metrics", 404, 200),
        ("/health", 200, 200),
        ("/health/ready", 200, 200),
        ("/api/flash-sale/status", 401, 404),
    ] {
        let told = (
            status_of(format!("{}{path}", api.url)).await,
            status_of(format!("{inside}{path}")).await,
        );
        assert_eq!(told, (outside_status, inside_status), "{path}");
    }
    api.process.terminate();
    let (success, output) = api.process.outcome().await;
    assert!(success, "{output}");
}

/// A request from an address of this machine.
async fn get_from(source: [u8; 4], url: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let address: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((IpAddr::from(source), 0).into()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    let in_time = tokio::time::timeout(PATIENCE / 4, read).await;
    // One that is turned away may be reset before it has read why.
    let _ = in_time.expect("it is answered");
    answer
}

#[tokio::test]
async fn one_network_cannot_take_all_connections() {
    let system = OneProcess::start().await;
    let most = [("MAX_CONNECTIONS", "50"), ("REQUEST_TIMEOUT_MS", "60000")];
    let (api, inside) = in_production(&system, &most).await;
    let address = api.url.trim_start_matches("http://");
    let mut held: Vec<_> = (0..60)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    // Ten have a place; the others are told why they have none.
    let mut turned_away = 0;
    for stream in &mut held {
        stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let mut answer = [0; 12];
        match stream.read(&mut answer) {
            Ok(0) => turned_away += 1,
            Ok(_) => {
                assert_eq!(&answer, b"HTTP/1.1 429");
                turned_away += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    assert_eq!(turned_away, 50);
    // Its neighbours in the same /24 have as many again, and everybody else is not concerned.
    assert!(
        get_from([127, 0, 0, 2], &api.url, "/health")
            .await
            .contains(" 200 ")
    );
    assert!(
        get_from([127, 0, 9, 1], &api.url, "/health")
            .await
            .contains(" 200 ")
    );
    assert_eq!(status_of(format!("{inside}/health/ready")).await, 200);
    let page = reqwest::get(format!("{inside}/metrics")).await.unwrap();
    let page = page.text().await.unwrap();
    let counted = "flashsale_http_turned_away_total{reason=\"network_crowded\"} 50";
    assert!(page.contains(counted), "{page}");
    assert!(api.process.output().contains("MAX_CONNECTIONS_PER_NETWORK"));
    drop(held);
    wait_until("places are free again", PATIENCE, || async {
        get_from([127, 0, 0, 1], &api.url, "/health")
            .await
            .contains(" 200 ")
    })
    .await;
}

#[tokio::test]
async fn a_trusted_proxy_has_as_many_connections_as_there_are() {
    let system = OneProcess::start().await;
    let settings = [
        ("MAX_CONNECTIONS", "50"),
        ("REQUEST_TIMEOUT_MS", "60000"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let (api, _) = in_production(&system, &settings).await;
    let address = api.url.trim_start_matches("http://");
    let mut held: Vec<_> = (0..49)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    for stream in &mut held {
        stream
            .write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
}

/// Kilobytes of memory that a process has in use.
fn resident(api: &Api) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", api.process.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_heads_of_120_kb_that_are_half_sent_hold_little() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let system = OneProcess::start().await;
    let api = system.serve_as(&[("REQUEST_TIMEOUT_MS", "60000")]).await;
    let address = api.url.trim_start_matches("http://").to_owned();
    let before = resident(&api);
    let head = format!(
        "GET /health HTTP/1.1\r\nhost: x\r\nx: {}",
        "y".repeat(120_000)
    );
    let mut streams = Vec::new();
    for _ in 0..2_000 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        // It is turned away in the middle of it.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = [0; 12];
        let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await;
        read.expect("it is turned away").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 431");
        streams.push(stream);
    }
    let used = resident(&api).saturating_sub(before) / 1_024;
    // 255 MiB when heads were read up to 128 KiB.
    assert!(used < 100, "{used} MiB are held");
    assert_eq!(api.get("/health", None).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_connections_hold_has_a_bound_and_small_requests_stay_possible() {
    use tokio::io::AsyncWriteExt;

    let system = OneProcess::start().await;
    let settings = [("REQUEST_TIMEOUT_MS", "60000"), ("MAX_BUFFERED_MIB", "1")];
    let api = system.serve_as(&settings).await;
    let address = api.url.trim_start_matches("http://").to_owned();
    // Beyond the 8 KiB that everybody has, each takes another 8: 128 of them have taken the whole MiB.
    let half = format!(
        "GET /health HTTP/1.1\r\nhost: x\r\nx: {}",
        "y".repeat(15_000)
    );
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let _ = stream.write_all(half.as_bytes()).await;
        held.push(stream);
    }
    let large = api
        .http
        .get(format!("{}/health", api.url))
        .header("x", "y".repeat(15_000));
    wait_until("there is no room left", PATIENCE, || async {
        let answer = large.try_clone().unwrap().send().await;
        answer.is_ok_and(|answer| answer.status() == 503)
    })
    .await;
    assert_eq!(api.get("/health", None).await.0, 200);
    drop(held);
    wait_until("there is room again", PATIENCE, || async {
        let answer = large.try_clone().unwrap().send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}

#[tokio::test]
async fn requests_that_are_not_http_leave_no_error_in_the_log() {
    let system = OneProcess::start().await;
    let api = system
        .serve_as(&[("LOG_LEVEL", "info,flashsale=info")])
        .await;
    let address = api.url.trim_start_matches("http://");
    for n in 0..3_000 {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(format!("nonsense {n}\r\n\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    let page = reqwest::get(format!("{}/metrics", api.url)).await.unwrap();
    let page = page.text().await.unwrap();
    let counted = "flashsale_http_turned_away_total{reason=\"malformed\"} 3000";
    assert!(page.contains(counted), "{page}");
    let log = api.process.output();
    assert!(!log.contains("ERROR"), "{log}");
    let told = log.lines().filter(|line| line.contains("not HTTP")).count();
    assert!((1..20).contains(&told), "{told} lines:\n{log}");
}

/// The lines of the security log, as a machine reads them.
fn security_log(output: &str) -> Vec<Value> {
    let lines = output
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["target"] == "security")
        .map(|line| line["fields"].clone())
        .collect()
}

/// A login of somebody behind the proxy that is trusted.
async fn log_in(api: &Api, name: &str, password: &str, address: &str) -> u16 {
    let form = json!({"username": name, "password": password});
    let request = api.http.post(format!("{}/api/auth/login", api.url));
    let request = request.header("x-forwarded-for", address).json(&form);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn who_registers_and_logs_in_and_who_fails_is_in_the_security_log() {
    let system = OneProcess::start().await;
    let settings = [
        ("LOG_FORMAT", "json"),
        ("LOG_LEVEL", "error,flashsale::commands=info"),
        ("LIMIT_FAILED_LOGINS_PER_ACCOUNT", "1"),
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    let api = system.serve_as(&settings).await;
    api.register("joe").await;
    for (name, status) in [("joe", 401), ("joe", 429), ("evil\nname \"x\"", 401)] {
        assert_eq!(
            log_in(&api, name, "a-wrong-Pq71xTz", "2001:db8::7").await,
            status
        );
    }
    let line = |event, outcome, who, address| json!({"message": "security", "event": event, "outcome": outcome, "who": who, "address": address, "about": "", "left_out": 0});
    wait_until("all is logged", PATIENCE, || async {
        security_log(&api.process.output()).len() == 5
    })
    .await;
    let output = api.process.output();
    assert_eq!(
        security_log(&output),
        [
            line("registration", "ok", "joe", "127.0.0.1"),
            line("login", "ok", "joe", "127.0.0.1"),
            line("login", "wrong_credentials", "joe", "2001:db8::7"),
            line("lock_out", "too_many", "joe", "2001:db8::7"),
            line(
                "login",
                "wrong_credentials",
                "evil\nname \"x\"",
                "2001:db8::7"
            ),
        ]
    );
    assert!(!output.contains("Pq71xTz") && !output.contains("password123"));
}

#[tokio::test]
async fn a_token_that_is_missing_forged_or_expired_on_a_path_of_operators_is_in_the_security_log() {
    let system = OneProcess::start().await;
    let settings = [("LOG_FORMAT", "json"), ("TRUSTED_PROXIES", "127.0.0.0/8")];
    let api = system.serve_as(&settings).await;
    let long_ago = chrono::Utc::now() - chrono::Duration::days(30);
    let user = flashsale::ids::UserId::new(1).unwrap();
    let expired = crate::support::api::tokens()
        .issue(user, "ann", flashsale::port::Role::Admin, long_ago)
        .unwrap();
    let nobody_s = Shopper::nobody()
        .with_role(flashsale::port::Role::Admin)
        .token;
    for token in [None, Some("forged"), Some(&*expired), Some(&*nobody_s)] {
        let request = api.http.get(format!("{}/api/admin/sales", api.url));
        let request = request.header("x-forwarded-for", "203.0.113.9");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
    wait_until("all is logged", PATIENCE, || async {
        security_log(&api.process.output()).len() == 4
    })
    .await;
    let output = api.process.output();
    for line in security_log(&output) {
        assert_eq!(line["event"], "admin_access", "{line}");
        assert_eq!(line["about"], "GET /api/admin/sales", "{line}");
        assert_eq!(line["address"], "203.0.113.9", "{line}");
    }
    let told: Vec<_> = security_log(&output)
        .iter()
        .map(|line| line["outcome"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        told[..3],
        ["token_missing", "token_invalid", "token_expired"]
    );
    assert!(!output.contains(&expired), "no token is logged");
}

#[tokio::test]
async fn a_flood_of_failed_logins_leaves_lines_and_numbers_and_no_flood() {
    let system = OneProcess::start().await;
    let settings = [("LOG_FORMAT", "json"), ("TRUSTED_PROXIES", "127.0.0.0/8")];
    let api = system.serve_as(&settings).await;
    for n in 0..1_034 {
        assert_eq!(
            log_in(&api, &format!("user{n}"), "wrong", "203.0.113.1").await,
            401
        );
    }
    assert_eq!(log_in(&api, "somebody", "wrong", "203.0.113.2").await, 401);
    let page = reqwest::get(format!("{}/metrics", api.url)).await.unwrap();
    let counted = "flashsale_logins_total{outcome=\"wrong_credentials\"} 1035";
    assert!(page.text().await.unwrap().contains(counted));
    wait_until("the last one is logged", PATIENCE, || async {
        let log = security_log(&api.process.output());
        log.last().is_some_and(|line| line["who"] == "somebody")
    })
    .await;
    let log = security_log(&api.process.output());
    assert!((21..300).contains(&log.len()), "{} lines", log.len());
    let left_out: u64 = log
        .iter()
        .filter_map(|line| line["left_out"].as_u64())
        .sum();
    assert_eq!(usize::try_from(left_out).unwrap() + log.len(), 1_035);
}

/// The status of a press from behind the proxy that is trusted.
async fn press(api: &Api, shopper: &Shopper, address: &str) -> u16 {
    let request = api
        .http
        .post(format!("{}/api/flash-sale/attempt/77", api.url));
    let request = request
        .header("x-forwarded-for", address)
        .bearer_auth(&shopper.token);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn many_accounts_of_one_network_share_its_presses() {
    let system = OneProcess::start().await;
    let settings = [
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
        ("LIMIT_ATTEMPTS_PER_ADDRESS", "6"),
    ];
    let (api, _) = in_production(&system, &settings).await;
    let shoppers = system.shoppers(10).await;
    let mut answers = BTreeMap::<u16, usize>::new();
    for shopper in &shoppers {
        let status = press(&api, shopper, "2001:db8::1").await;
        *answers.entry(status).or_default() += 1;
    }
    // Whoever is let through is told that there is no such sale.
    assert_eq!(answers, [(404, 6), (429, 4)].into());
    assert_eq!(press(&api, &shoppers[0], "2001:db8:1::1").await, 404);
    let from_here = async |api: &Api| {
        let mut refused = 0;
        for shopper in &shoppers {
            refused += usize::from(press(api, shopper, "127.0.0.1").await == 429);
        }
        refused
    };
    assert_eq!(from_here(&api).await, 4, "this machine is no exception");
    drop(api);
    let lenient = [&settings[..], &[("LIMIT_LOOPBACK", "false")]].concat();
    let (api, _) = in_production(&system, &lenient).await;
    assert_eq!(from_here(&api).await, 0, "unless the setting says so");
}
