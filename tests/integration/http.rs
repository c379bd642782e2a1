//! The HTTP contract against the whole system: every line of the table in the design, and the original's words.

use serde_json::{Value, json};

use crate::support::{
    app::{Shopper, TestApp, Window, eventually},
    system::System,
};

const ACCEPTED: &str = "Your purchase attempt has been received and is being processed.";
const NO_RESULT: &str = "Order status not found. The purchase attempt may not have been processed yet or the key does not exist in Redis.";

on_systems! { TestApp::<S>::start() =>
    a_purchase_goes_its_way,
    the_same_attempt_again_is_the_same_attempt,
    who_comes_too_late_is_told_so_and_reads_failed,
    a_sale_has_its_window,
    what_is_not_there_is_404_and_what_is_no_id_400,
    the_status_shows_the_sale_and_what_is_left,
    a_login_gives_a_token_that_works,
    an_account_is_taken_whatever_the_case,
    a_sound_system_is_ready,
    requests_are_counted_by_route_and_status_and_never_by_path,
    a_trailing_slash_is_the_same_path,
}

/// What came back.
struct Answer {
    status: u16,
    retry_after: Option<String>,
    body: Value,
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let retry_after = response
        .headers()
        .get("retry-after")
        .map(|value| value.to_str().unwrap().to_owned());
    Answer {
        status: response.status().as_u16(),
        retry_after,
        body: response.json().await.unwrap(),
    }
}

async fn attempt(
    app: &TestApp<impl System>,
    shopper: &Shopper,
    sale: impl std::fmt::Display,
) -> Answer {
    let url = format!("{}/api/flash-sale/attempt/{sale}", app.url);
    answer(app.http.post(url).bearer_auth(&shopper.token)).await
}

async fn order_status(
    app: &TestApp<impl System>,
    shopper: &Shopper,
    product: impl std::fmt::Display,
) -> Answer {
    let url = format!("{}/api/orders/status/{product}", app.url);
    answer(app.http.get(url).bearer_auth(&shopper.token)).await
}

async fn sale_status(app: &TestApp<impl System>, shopper: &Shopper) -> Answer {
    answer(
        app.http
            .get(format!("{}/api/flash-sale/status", app.url))
            .bearer_auth(&shopper.token),
    )
    .await
}

fn assert_failure(answer: &Answer, status: u16, category: &str, code: &str, message: &str) {
    let expected = json!({"success": false, "error": category, "message": message, "code": code});
    assert_eq!((answer.status, &answer.body), (status, &expected));
    assert_eq!(answer.retry_after.is_some(), status == 503);
}

async fn a_purchase_goes_its_way<S: System>(app: TestApp<S>) {
    let shopper = app.register("shopper").await;
    let sale = app.sale(5, Window::Open).await;
    let product = app.product_of(sale).await;
    let before = order_status(&app, &shopper, product).await;
    assert_failure(&before, 400, "Bad Request", "result_not_found", NO_RESULT);

    let first = attempt(&app, &shopper, sale).await;
    assert_eq!(first.status, 200);
    let id = first.body["data"]["attemptId"].as_str().unwrap();
    let expected = json!({"success": true, "message": ACCEPTED, "data": {"attemptId": id, "status": "PENDING"}});
    assert_eq!(first.body, expected);

    let expected = json!({
        "success": true,
        "data": {"productId": product.value(), "userId": shopper.user_id.to_string(), "status": "SUCCESS"},
    });
    eventually("the order stands", async || {
        order_status(&app, &shopper, product).await.body == expected
    })
    .await;

    let again = attempt(&app, &shopper, sale).await;
    let expected = json!({
        "success": true,
        "message": "You have already purchased this item.",
        "data": {"attemptId": id, "status": "SUCCESS"},
    });
    assert_eq!((again.status, again.body), (200, expected));
    app.assert_promises().await;
}

async fn the_same_attempt_again_is_the_same_attempt<S: System>(app: TestApp<S>) {
    let shopper = app.register("shopper").await;
    let sale = app.sale(5, Window::Open).await;
    let answers = futures::future::join_all((0..20).map(|_| attempt(&app, &shopper, sale))).await;
    for answer in &answers {
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.body["data"]["attemptId"],
            answers[0].body["data"]["attemptId"]
        );
    }
    app.assert_promises().await;
}

async fn who_comes_too_late_is_told_so_and_reads_failed<S: System>(app: TestApp<S>) {
    let (winner, loser) = (app.register("winner").await, app.register("loser").await);
    let sale = app.sale(1, Window::Open).await;
    let product = app.product_of(sale).await;
    assert_eq!(attempt(&app, &winner, sale).await.status, 200);
    for _ in 0..3 {
        let refused = attempt(&app, &loser, sale).await;
        assert_failure(
            &refused,
            409,
            "Conflict",
            "sold_out",
            "Sorry, the item is out of stock.",
        );
    }
    assert_eq!(
        attempt(&app, &winner, sale).await.status,
        200,
        "a holder is told of the attempt, sold out or not"
    );
    let read =
        async || order_status(&app, &loser, product).await.body["data"]["status"] == "FAILED";
    eventually("the loser can read it", read).await;
    app.assert_promises().await;
}

async fn a_sale_has_its_window<S: System>(app: TestApp<S>) {
    let shopper = app.register("shopper").await;
    let (upcoming, ended) = (
        app.sale(5, Window::Upcoming).await,
        app.sale(5, Window::Ended).await,
    );
    let early = attempt(&app, &shopper, upcoming).await;
    let [start, _] = app.window_of(upcoming);
    let message = format!("Flash sale is not yet active. Start time: {start}");
    assert_eq!(
        (early.status, &early.body["code"]),
        (409, &json!("not_started"))
    );
    assert_eq!(early.body["message"], message);
    assert_eq!(early.body["startsAt"], start);
    assert!(early.body["serverTime"].is_string(), "{}", early.body);
    assert!(early.retry_after.is_some(), "when it starts");
    let late = attempt(&app, &shopper, ended).await;
    let [_, end] = app.window_of(ended);
    let message = format!("Flash sale has ended. End time: {end}");
    assert_failure(&late, 410, "Gone", "ended", &message);
    app.assert_promises().await;
}

async fn what_is_not_there_is_404_and_what_is_no_id_400<S: System>(app: TestApp<S>) {
    let shopper = app.register("shopper").await;
    for sale in ["999999", "9223372036854775807"] {
        let unknown = attempt(&app, &shopper, sale).await;
        let message = format!("Flash sale with ID {sale} not found.");
        assert_failure(&unknown, 404, "Not Found", "sale_not_found", &message);
    }
    for id in ["0", "-1", "x", "9223372036854775808"] {
        for (answer, name) in [
            (attempt(&app, &shopper, id).await, "saleId"),
            (order_status(&app, &shopper, id).await, "productId"),
        ] {
            let message = format!("{name} must be a positive integer");
            assert_failure(&answer, 400, "Validation error", "invalid_id", &message);
        }
    }
    let nothing = order_status(&app, &shopper, 999_999).await;
    assert_failure(&nothing, 400, "Bad Request", "result_not_found", NO_RESULT);
}

async fn the_status_shows_the_sale_and_what_is_left<S: System>(app: TestApp<S>) {
    let shopper = app.register("shopper").await;
    let none = sale_status(&app, &shopper).await;
    assert_failure(
        &none,
        404,
        "Not Found",
        "sale_not_found",
        "No flash sale found",
    );
    let sale = app.sale(5, Window::Open).await;
    let shown = async |remaining: u64| {
        let data = sale_status(&app, &shopper).await.body["data"].take();
        data["id"] == sale.value() && data["remainingStock"] == remaining
    };
    eventually("the sale is shown", async || shown(5).await).await;
    let data = sale_status(&app, &shopper).await.body["data"].take();
    let mut fields: Vec<&String> = data.as_object().unwrap().keys().collect();
    fields.sort();
    let mut expected = [
        "id",
        "status",
        "startTime",
        "endTime",
        "currentTime",
        "productId",
        "productName",
        "productDescription",
        "initialStock",
        "remainingStock",
    ];
    expected.sort_unstable();
    assert_eq!(fields, expected);
    assert_eq!(
        (&data["status"], &data["initialStock"]),
        (&json!("active"), &json!(5))
    );
    for field in ["startTime", "endTime", "currentTime"] {
        let text = data[field].as_str().unwrap();
        assert!(
            text.len() == 24 && text.ends_with('Z') && text.as_bytes()[19] == b'.',
            "{field}: {text}"
        );
    }
    assert_eq!(attempt(&app, &shopper, sale).await.status, 200);
    eventually("one unit is gone", async || shown(4).await).await;
    app.assert_promises().await;
}

async fn a_login_gives_a_token_that_works<S: System>(app: TestApp<S>) {
    let registered = app.register("shopper").await;
    let session = app.login("SHOPPER").await;
    assert_eq!(
        session.user_id, registered.user_id,
        "whatever the case of the name"
    );
    let nothing = order_status(&app, &session, 1).await;
    assert_failure(&nothing, 400, "Bad Request", "result_not_found", NO_RESULT);
}

async fn an_account_is_taken_whatever_the_case<S: System>(app: TestApp<S>) {
    app.register("shopper").await;
    let register = async |username: &str, email: &str| {
        let form = json!({"username": username, "email": email, "password": "password123"});
        answer(
            app.http
                .post(format!("{}/api/auth/register", app.url))
                .json(&form),
        )
        .await
    };
    let taken = register("ShoPPer", "else@example.com").await;
    assert_failure(
        &taken,
        409,
        "Conflict",
        "username_taken",
        "Username already exists",
    );
    let taken = register("another", "SHOPPER@EXAMPLE.COM").await;
    assert_failure(
        &taken,
        409,
        "Conflict",
        "email_taken",
        "Email already exists",
    );
}

async fn a_sound_system_is_ready<S: System>(app: TestApp<S>) {
    let ready = answer(app.http.get(format!("{}/health/ready", app.url))).await;
    assert_eq!(
        (ready.status, &ready.body["status"]),
        (200, &json!("ready"))
    );
    assert_eq!(
        ready.body["dependencies"],
        json!({"gate": "up", "log": "up", "ledger": "up", "clock": "up", "settlement": "up"})
    );
}

async fn requests_are_counted_by_route_and_status_and_never_by_path<S: System>(app: TestApp<S>) {
    let shopper = app.register("shopper").await;
    attempt(&app, &shopper, "999999").await;
    answer(app.http.get(format!("{}/secret-path", app.url))).await;
    let page = app
        .http
        .get(format!("{}/metrics", app.url))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for line in [
        r#"route="attempt",status="404""#,
        r#"route="unmatched",status="404""#,
    ] {
        assert!(page.contains(line), "{line} in {page}");
    }
    assert!(!page.contains("999999") && !page.contains("secret-path"));
}

async fn a_trailing_slash_is_the_same_path<S: System>(app: TestApp<S>) {
    let health = answer(app.http.get(format!("{}/health/", app.url))).await;
    assert_eq!(health.status, 200);
    let shopper = app.register("shopper").await;
    let order = order_status(&app, &shopper, "1/").await;
    assert_failure(&order, 400, "Bad Request", "result_not_found", NO_RESULT);
}
