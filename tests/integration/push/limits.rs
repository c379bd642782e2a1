//! How many may listen.

use std::time::Duration;

use crate::support::{
    events::{Event, Events},
    system::{OneProcess, System},
    wait_until,
};

#[tokio::test]
async fn listeners_above_the_limit_are_refused_while_buyers_get_in() {
    let system = OneProcess::start().await;
    // Fewer connections than listeners: they are counted apart.
    let limits = [("MAX_LISTENERS", "6"), ("MAX_CONNECTIONS", "3")];
    let api = system.serve_as(&limits).await;
    let (sale, _) = system.sale(5).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(4).await;
    let path = format!("/api/flash-sales/{sale}/events");
    let mut listeners = Vec::new();
    for shopper in &shoppers[..3] {
        listeners.push(Events::of_sale(&api, sale).await);
        listeners.push(Events::of_orders(&api, shopper).await);
    }
    for path in [path.as_str(), "/api/orders/events"] {
        let refused = Events::open(&api, path, Some(&shoppers[3])).await;
        let refused = refused.err().expect("there is no room");
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key("retry-after"));
        assert!(refused.text().await.unwrap().contains("\"busy\""));
    }
    assert_eq!(api.attempt(sale, &shoppers[3]).await.0, 200);
    let metrics = api.http.get(format!("{}/metrics", api.url));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("flashsale_listeners 6"), "{metrics}");

    listeners.pop();
    wait_until("its place is free", Duration::from_secs(5), || async {
        Events::open(&api, &path, None).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn an_account_has_ten_streams() {
    let system = OneProcess::start().await;
    let api = system.serve().await;
    let shoppers = system.shoppers(2).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(Events::of_orders(&api, &shoppers[0]).await);
    }
    let path = "/api/orders/events";
    let refused = Events::open(&api, path, Some(&shoppers[0])).await;
    let refused = refused.err().expect("there are ten");
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    Events::of_orders(&api, &shoppers[1]).await;
    streams.pop();
    wait_until("its place is free", Duration::from_secs(5), || async {
        Events::open(&api, path, Some(&shoppers[0])).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_network_has_as_many_streams_as_is_set_in_production() {
    let system = OneProcess::start().await;
    let proxied = [
        ("APP_ENV", "production"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
        ("MAX_LISTENERS_PER_NETWORK", "3"),
    ];
    let api = system.serve_as(&proxied).await;
    let (sale, _) = system.sale(5).await;
    api.wait_until_known(&system, sale).await;
    let open = async |from: &str| {
        let url = format!("{}/api/flash-sales/{sale}/events", api.url);
        let http = reqwest::Client::builder().pool_max_idle_per_host(0);
        let request = http.build().unwrap().get(url);
        request
            .header("x-forwarded-for", from)
            .send()
            .await
            .unwrap()
    };
    let mut streams = Vec::new();
    for _ in 0..3 {
        let stream = open("192.0.2.1").await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let refused = open("192.0.2.1").await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((5..=15).contains(&wait), "{wait}");
    assert_eq!(open("192.0.2.2").await.status(), 200);
}

#[tokio::test]
async fn a_token_that_expires_ends_its_stream() {
    let system = OneProcess::start().await;
    let api = system.serve_as(&[("JWT_EXPIRES_IN", "1m")]).await;
    let shopper = api.register("listener").await;
    let issued = tokio::time::Instant::now();
    let mut events = Events::of_orders(&api, &shopper).await;
    events.until(Event::is_ready).await;
    let ended = tokio::time::timeout(Duration::from_secs(70), events.next_or_end()).await;
    assert_eq!(ended.expect("within 5 s of its end"), None);
    let after = issued.elapsed();
    assert!(
        (Duration::from_secs(58)..Duration::from_secs(66)).contains(&after),
        "{after:?}"
    );
}
