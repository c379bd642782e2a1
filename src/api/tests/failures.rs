//! Every failure is JSON of one shape, or a problem.

use serde_json::{Value, json};

use super::{Server, failure, token};

const ATTEMPT: &str = "/api/flash-sale/attempt";
const NO_TOKEN: &str =
    "No token provided. Please send it in the header Authorization: Bearer <token>.";
const UNAUTHORIZED: &str = "User authentication required. Please provide a valid token.";

#[tokio::test]
async fn unknown_paths_are_404() {
    let server = Server::start().await;
    for path in [
        "/nothing",
        "/api",
        "/api/orders/status",
        "/api/orders/status/1/2",
        "/api-docs/nothing.js",
        "/%00",
    ] {
        failure(server.get(path), 404, "not_found").await;
        let post = if path.starts_with("/api-docs") {
            continue;
        } else {
            server.post(path)
        };
        failure(post, 404, "not_found").await;
    }
}

#[tokio::test]
async fn a_path_has_one_spelling_only() {
    let server = Server::start().await;
    let raw = async |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        server.raw(&request).await
    };
    for target in [
        "/%6detrics",
        "/metric%73",
        "//metrics",
        "/./metrics",
        "/x/../metrics",
        "/metrics/.",
        "/api-docs//",
        "/api-docs/..%2fmetrics",
        "/api-docs/%2e%2e/metrics",
        "/metrics%2f",
        "/metrics%00",
        "/api/./flash-sale/status",
        "/%61pi/orders/status/1",
        "/api/auth/log%69n",
        "/api/auth/registe%72",
        "/api/flash-sale/%61ttempt/1",
        "/api/flash-sale/attempt%2f1",
        "/api/flash-sale%2fst%61tus",
        "/api/orders/st%61tus/1",
        "/api/orders/..%2f..%2f..%2fmetrics",
        "/api/orders/%2e%2e/%2e%2e/metrics",
        "//api/flash-sale/status",
        "http://x//metrics",
    ] {
        let answer = raw(target).await;
        let is_404 = answer.starts_with("HTTP/1.1 404") && answer.contains("not_found");
        assert!(is_404, "{target}: {answer}");
    }
    // What a proxy takes for another path, and the framework for the same.
    for target in ["/metrics#", "/metrics#/", "/health?x#y"] {
        let answer = raw(target).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{target}: {answer}");
    }
    // The token is what is missing: the path is read.
    for target in [
        "/api/orders/status/%31",
        "/api/flash-sale/st%61tus",
        "/api/flash-sale/%73%74%61%74%75%73",
    ] {
        let answer = raw(target).await;
        let is_401 = answer.starts_with("HTTP/1.1 401") && answer.contains("token_missing");
        assert!(is_401, "{target}: {answer}");
    }
    for target in [
        "/metrics",
        "/metrics?a=//%6d",
        "http://x/metrics",
        "/health/",
        "/api-docs/",
    ] {
        let answer = raw(target).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{target}: {answer}");
    }
}

#[tokio::test]
async fn wrong_methods_are_405_and_told_the_right_ones() {
    let server = Server::start().await;
    for (path, allow) in [
        ("/health", "GET, HEAD"),
        ("/api/auth/login", "POST"),
        ("/api/flash-sale/attempt/1", "POST"),
        ("/api/orders/status/1", "GET, HEAD"),
        ("/api-docs/", "GET, HEAD"),
    ] {
        let response = server
            .http
            .delete(format!("{}{path}", server.url))
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["allow"], allow, "{path}");
        failure(
            server.http.delete(format!("{}{path}", server.url)),
            405,
            "method_not_allowed",
        )
        .await;
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::start().await;
    let response = server
        .http
        .head(format!("{}/health", server.url))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "");
}

#[tokio::test]
async fn bodies_that_are_not_what_is_asked_for_are_told_so() {
    let server = Server::start().await;
    for path in ["/api/auth/login", "/api/auth/register"] {
        let json = |text: &str| {
            server
                .post(path)
                .header("content-type", "application/json")
                .body(text.to_owned())
        };
        for text in [
            "",
            "{",
            "{\"username\":",
            "nonsense",
            "{'username': 'x'}",
            "{\"username\": \"\\ud800\"}",
        ] {
            failure(json(text), 400, "invalid_json").await;
        }
        for body in [
            json!({"username": 1}),
            json!({"username": ["x"]}),
            json!("text"),
            json!(1),
            json!(null),
        ] {
            let message = failure(json(&body.to_string()), 400, "validation_failed").await;
            assert!(
                !message.contains("Form"),
                "names of types are ours: {message}"
            );
        }
        failure(server.post(path).body("{}"), 415, "unsupported_media_type").await;
        failure(
            server
                .post(path)
                .header("content-type", "text/plain")
                .body("{}"),
            415,
            "unsupported_media_type",
        )
        .await;
        let form = |body: &'static str| {
            server
                .post(path)
                .header(
                    "content-type",
                    "application/x-www-form-urlencoded; charset=UTF-8",
                )
                .body(body)
        };
        for incomplete in ["", "username=x", "{}", "username"] {
            let message = failure(form(incomplete), 400, "validation_failed").await;
            assert!(message.ends_with("password are required"), "{message}");
        }
        failure(form("username=x&username=y"), 400, "validation_failed").await;
        failure(form("username=%FF"), 400, "bad_request").await;
    }
    let bytes = server
        .post("/api/auth/login")
        .header("content-type", "application/json");
    failure(
        bytes.body(b"{\"username\":\"\xff\"}".to_vec()),
        400,
        "invalid_json",
    )
    .await;
}

#[tokio::test]
async fn without_a_valid_token_nothing_else_is_told() {
    let server = Server::start().await;
    let expired = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAA";
    let requests = |path: &'static str| {
        if path.starts_with(ATTEMPT) {
            server.post(path)
        } else {
            server.get(path)
        }
    };
    for path in [
        "/api/flash-sale/status",
        "/api/flash-sale/attempt/1",
        "/api/flash-sale/attempt/nonsense",
        "/api/orders/status/1",
        "/api/orders/status/0",
    ] {
        for header in [None, Some("Basic YTpi"), Some("Bearer"), Some("nonsense")] {
            let request = header.map_or(requests(path), |header| {
                requests(path).header("authorization", header)
            });
            assert_eq!(failure(request, 401, "token_missing").await, NO_TOKEN);
        }
        for token in ["", " ", "nonsense", expired, "\u{e4}"] {
            let request =
                requests(path).header("authorization", format!("Bearer {token}").as_bytes());
            // A header's blanks at the end are not part of it.
            let (code, message) = if token.trim().is_empty() {
                ("token_missing", NO_TOKEN)
            } else {
                ("token_invalid", UNAUTHORIZED)
            };
            assert_eq!(failure(request, 401, code).await, message);
        }
    }
}

#[tokio::test]
async fn ids_are_looked_at_once_the_token_is_good() {
    let server = Server::start().await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = server
            .post("/api/flash-sale/attempt/x")
            .header("authorization", format!("{scheme} {}", token()));
        failure(request, 400, "invalid_id").await;
    }
    for id in [
        "0",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "x",
        "%20",
        "1%00",
        "%FF",
        "%2F",
        "99999999999999999999",
        "1%20OR%201=1",
    ] {
        let attempt = server.post(&format!("{ATTEMPT}/{id}")).bearer_auth(token());
        let message = failure(attempt, 400, "invalid_id").await;
        assert_eq!(message, "saleId must be a positive integer");
        let order = server
            .get(&format!("/api/orders/status/{id}"))
            .bearer_auth(token());
        let message = failure(order, 400, "invalid_id").await;
        assert_eq!(message, "productId must be a positive integer");
    }
}

#[tokio::test]
async fn who_asks_for_a_problem_gets_one() {
    let server = Server::start().await;
    let request = server
        .get("/api/flash-sale/status")
        .header("accept", "application/problem+json");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let body: Value = response.json().await.unwrap();
    let expected = json!({
        "type": "urn:flashsale:error:token_missing", "title": "Unauthorized", "status": 401, "detail": NO_TOKEN,
        "success": false, "error": "Unauthorized", "message": NO_TOKEN, "code": "token_missing",
    });
    assert_eq!(body, expected);
    for (path, status) in [("/nothing", 404), ("/api/auth/login", 405)] {
        let response = server
            .get(path)
            .header("accept", "application/problem+json")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
    }
}

#[tokio::test]
async fn a_failure_of_the_framework_says_nothing_of_the_inside() {
    let server = Server::start().await;
    // The catalog is not hung up in these tests, of which the framework complains with our types' names.
    let request = server.get("/api/flash-sale/status").bearer_auth(token());
    assert_eq!(
        failure(request, 500, "internal").await,
        "An unexpected error occurred."
    );
}

#[tokio::test]
async fn nobody_is_connected_to_another_server() {
    let server = Server::start().await;
    for target in ["x:80", "/health"] {
        let request = format!(
            "CONNECT {target} HTTP/1.1\r\nhost: x\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\n\r\n"
        );
        let answer = server.raw(&request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{target}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
}
