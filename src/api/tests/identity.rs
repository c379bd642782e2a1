//! The ids of requests in answers: `x-request-id` and `traceparent`.

use reqwest::{Method, Response, header::HeaderMap};

use super::{Server, token};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The request id, the trace id and the span id of an answer.
fn ids(answer: &Response) -> (String, String, String) {
    let text = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    let traceparent = text("traceparent");
    let [version, trace, span, flags] = traceparent
        .split('-')
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!((version, flags), ("00", "00"), "nothing is sampled here");
    assert_eq!((trace.len(), span.len()), (32, 16), "{traceparent}");
    (text("x-request-id"), trace.to_owned(), span.to_owned())
}

async fn ask(server: &Server, headers: &[(&str, &str)]) -> Response {
    let mut request = server
        .post("/api/flash-sale/attempt/x")
        .bearer_auth(token());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn every_answer_has_ids_of_its_own() {
    let server = Server::start().await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        for path in [
            "/api/flash-sales",
            "/nowhere",
            "/%6detrics",
            "/api/auth/login",
        ] {
            let answer = server.http.get(format!("{}{path}", server.url));
            let (id, trace, span) = ids(&answer.send().await.unwrap());
            assert_eq!(id, trace, "the trace id stands for the request id");
            assert!(seen.insert(trace) && seen.insert(span), "{path}");
        }
    }
}

#[tokio::test]
async fn a_client_s_ids_are_kept() {
    let server = Server::start().await;
    let answer = ask(
        &server,
        &[("x-request-id", "cart-7"), ("traceparent", PARENT)],
    )
    .await;
    assert_eq!(answer.status(), 400);
    let (id, trace, span) = ids(&answer);
    assert_eq!((id.as_str(), trace.as_str()), ("cart-7", TRACE));
    assert_ne!(span, "b7ad6b7169203331", "the answer has a span of its own");
}

#[tokio::test]
async fn ids_that_are_not_valid_are_replaced() {
    let server = Server::start().await;
    let long = "x".repeat(129);
    for bad in ["", "a b", "a\"b", &long] {
        let (id, trace, _) = ids(&ask(&server, &[("x-request-id", bad)]).await);
        assert_eq!(id, trace, "{bad}");
    }
    for bad in [
        "",
        "00",
        "00-0-0-0",
        &PARENT.to_uppercase(),
        &PARENT.replace("00-", "ff-"),
    ] {
        let (_, trace, _) = ids(&ask(&server, &[("traceparent", bad)]).await);
        assert_ne!(trace, TRACE, "{bad}");
    }
    let twice = ask(
        &server,
        &[
            ("x-request-id", "a"),
            ("x-request-id", "b"),
            ("traceparent", PARENT),
            ("traceparent", PARENT),
        ],
    )
    .await;
    let (id, trace, _) = ids(&twice);
    assert_eq!(id, trace);
    assert_ne!(trace, TRACE);
}

#[tokio::test]
async fn a_preflight_request_has_them_too() {
    let server = Server::with_origins(&["https://shop.example"]).await;
    let url = format!("{}/api/flash-sales", server.url);
    let mut headers = HeaderMap::new();
    headers.insert("origin", "https://shop.example".parse().unwrap());
    headers.insert("access-control-request-method", "GET".parse().unwrap());
    let preflight = server.http.request(Method::OPTIONS, url).headers(headers);
    ids(&preflight.send().await.unwrap());
}
