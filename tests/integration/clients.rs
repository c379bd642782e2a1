//! Requests as other clients write them, against the whole system: cases that users of such services have reported.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::support::{
    api::{Api, JWT_SECRET, Shopper},
    system::{Servers, System},
    wait_until,
};

/// For a press to be settled.
const SETTLED: Duration = Duration::from_secs(20);

/// A system that sells.
struct Started<S: System> {
    system: S,
    api: Api,
    _worker: S::Worker,
}

impl<S: System> Started<S> {
    async fn start() -> Self {
        let system = S::start().await;
        Self {
            _worker: system.worker().await,
            api: system.serve().await,
            system,
        }
    }
}

on_systems! { Started::<S>::start() =>
    a_press_whose_answer_was_lost_is_the_same_attempt,
    a_press_with_a_body_and_a_trailing_slash_is_the_same_press,
    a_percent_encoded_path_means_the_same,
    tokens_of_other_libraries_are_read,
}

async fn a_press_whose_answer_was_lost_is_the_same_attempt<S: System>(started: Started<S>) {
    let Started { system, api, .. } = &started;
    let (sale, product) = system.sale(10).await;
    api.wait_until_open(system, sale).await;
    let shopper = api.register("unlucky").await;
    let address = api.url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let press = format!(
        "POST /api/flash-sale/attempt/{sale} HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
        shopper.token
    );
    connection.write_all(press.as_bytes()).await.unwrap();
    drop(connection);
    let (first, again) = (
        api.attempt(sale, &shopper).await,
        api.attempt(sale, &shopper).await,
    );
    assert_eq!((first.0, again.0), (200, 200), "{first:?} {again:?}");
    assert_eq!(first.1["data"]["attemptId"], again.1["data"]["attemptId"]);
    wait_until("the order stands", SETTLED, || async {
        api.result(product, &shopper).await.as_deref() == Some("SUCCESS")
    })
    .await;
    system.check_promises(sale).await;
}

async fn a_press_with_a_body_and_a_trailing_slash_is_the_same_press<S: System>(
    started: Started<S>,
) {
    let Started { system, api, .. } = &started;
    let (sale, product) = system.sale(10).await;
    api.wait_until_open(system, sale).await;
    let shopper = api.register("thorough").await;
    assert_eq!(api.attempt(sale, &shopper).await.0, 200);
    wait_until("the order stands", SETTLED, || async {
        api.result(product, &shopper).await.as_deref() == Some("SUCCESS")
    })
    .await;
    let path = format!("/api/flash-sale/attempt/{sale}/");
    let (status, body) = api.post(&path, Some(&shopper), Some(json!({}))).await;
    assert_eq!((status, &body["data"]["status"]), (200, &json!("SUCCESS")));
    system.check_promises(sale).await;
}

async fn a_percent_encoded_path_means_the_same<S: System>(started: Started<S>) {
    let Started { system, api, .. } = &started;
    let (sale, _) = system.sale(10).await;
    api.wait_until_open(system, sale).await;
    let shopper = api.register("careful").await;
    for (plain, encoded) in [
        ("/api/orders/status/1", "/api/orders/status/%31"),
        ("/api/flash-sale/status", "/api/flash-sale/st%61tus"),
    ] {
        let told = api.get(plain, Some(&shopper)).await;
        let again = api.get(encoded, Some(&shopper)).await;
        assert_eq!(told.0, again.0, "{encoded}");
        assert_eq!(told.1["code"], again.1["code"], "{encoded}");
    }
}

async fn tokens_of_other_libraries_are_read<S: System>(started: Started<S>) {
    use jsonwebtoken::{EncodingKey, Header, encode};

    let Started { system, api, .. } = &started;
    let (sale, _) = system.sale(10).await;
    api.wait_until_open(system, sale).await;
    let id = api.register("traveller").await.id;
    let now = chrono::Utc::now().timestamp();
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    let status = async |claims: Value| {
        let token = encode(&Header::default(), &claims, &key).unwrap();
        let shopper = Shopper { id, token };
        api.get("/api/flash-sale/status", Some(&shopper)).await.0
    };
    let (text, number) = (id.to_string(), id);
    #[allow(clippy::cast_precision_loss)] // seconds of this century
    let later = now as f64 + 60.5;
    for claims in [
        json!({"userId": text, "username": "x", "iat": now, "exp": now + 60}),
        json!({"userId": number, "iat": now, "exp": now + 60}),
        json!({"userId": text, "role": "customer", "email": "x@example.com", "iat": now, "exp": now + 60, "jti": "1"}),
        json!({"userId": text, "iat": later - 60.0, "exp": later}),
    ] {
        assert_eq!(status(claims.clone()).await, 200, "{claims}");
    }
    let expired = json!({"userId": text, "iat": later - 200.0, "exp": later - 100.0});
    assert_eq!(status(expired).await, 401);
}

/// A port of `[::1]` that leads to a server on 127.0.0.1.
async fn over_ipv6(server: String) -> u16 {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    port
}

/// Every address in brackets: the API listens on one, and reaches PostgreSQL, Redis and Kafka by them.
#[tokio::test]
async fn a_system_is_reached_and_reaches_its_servers_over_ipv6() {
    let system = Servers::start().await;
    let setting = |name: &str| system.environment[name].clone();
    let postgres = format!("{}:{}", setting("POSTGRES_HOST"), setting("POSTGRES_PORT"));
    let redis = format!("{}:{}", setting("REDIS_HOST"), setting("REDIS_PORT"));
    let brokers = setting("KAFKA_BROKERS");
    let broker = brokers.split(',').next().unwrap().to_owned();
    let postgres = format!("[::1]:{}", over_ipv6(postgres).await);
    let redis = format!("[::1]:{}", over_ipv6(redis).await);
    // Over TLS brokers have no IPv6 address (KAFKA_BROKERS refuses it).
    let kafka = match system.environment.get("KAFKA_TLS").map(String::as_str) {
        None | Some("disable") => format!("[::1]:{}", over_ipv6(broker).await),
        Some(_) => broker,
    };
    let api = system
        .serve_with(&[
            ("HOST", "[::1]:0"),
            ("POSTGRES_HOST", &postgres),
            ("REDIS_HOST", &redis),
            ("KAFKA_BROKERS", &kafka),
        ])
        .await;
    assert!(api.url.starts_with("http://[::1]:"), "{}", api.url);
    let _worker = system.work().await;
    let (sale, product) = system.sale(1).await;
    api.wait_until_open(&system, sale).await;
    let shopper = api.register("modern").await;
    assert_eq!(api.attempt(sale, &shopper).await.0, 200);
    wait_until("the order stands", SETTLED, || async {
        api.result(product, &shopper).await.as_deref() == Some("SUCCESS")
    })
    .await;
    system.check_promises(sale).await;
}
