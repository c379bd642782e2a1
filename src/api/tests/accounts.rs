//! Registering and logging in, to the letter of the original service.

use serde_json::{Value, json};

use super::{Server, failure};

const REGISTER: &str = "/api/auth/register";
const LOGIN: &str = "/api/auth/login";

fn new_user() -> Value {
    json!({"username": "newuser", "email": "newuser@example.com", "password": "password123", "fullName": "New User"})
}

#[tokio::test]
async fn an_account_is_made_and_used() {
    let server = Server::start().await;
    let made = server
        .post(REGISTER)
        .json(&new_user())
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 201);
    let expected = r#"{"success":true,"data":{"userId":"1","username":"newuser","email":"newuser@example.com","fullName":"New User"}}"#;
    assert_eq!(made.text().await.unwrap(), expected);
    let nameless =
        json!({"username": "nameless", "email": "nameless@example.com", "password": "password123"});
    let made: Value = server
        .post(REGISTER)
        .json(&nameless)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(made["data"]["fullName"], Value::Null);
    assert!(made["data"].as_object().unwrap().contains_key("fullName"));

    let login = json!({"username": "newuser", "password": "password123"});
    let session: Value = server
        .post(LOGIN)
        .json(&login)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&session["success"], &session["data"]["userId"]),
        (&json!(true), &json!("1"))
    );
    let token = session["data"]["token"].as_str().unwrap();
    failure(
        server.get("/api/orders/status/x").bearer_auth(token),
        400,
        "invalid_id",
    )
    .await;
}

#[tokio::test]
async fn what_is_taken_is_409() {
    let server = Server::start().await;
    assert_eq!(
        server
            .post(REGISTER)
            .json(&new_user())
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
    let again = server.post(REGISTER).json(&new_user());
    assert_eq!(
        failure(again, 409, "username_taken").await,
        "Username already exists"
    );
    let mut same_address = new_user();
    same_address["username"] = json!("another");
    let again = server.post(REGISTER).json(&same_address);
    assert_eq!(
        failure(again, 409, "email_taken").await,
        "Email already exists"
    );
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let server = Server::start().await;
    for body in [
        json!({}),
        json!({"username": null, "email": "", "password": "x"}),
    ] {
        let message = failure(server.post(REGISTER).json(&body), 400, "validation_failed").await;
        assert_eq!(message, "username, email, and password are required");
        let message = failure(
            server.post(LOGIN).json(&json!({"username": "x"})),
            400,
            "validation_failed",
        )
        .await;
        assert_eq!(message, "username and password are required");
    }
}

#[tokio::test]
async fn a_failed_login_is_the_same_for_everybody() {
    let server = Server::start().await;
    assert_eq!(
        server
            .post(REGISTER)
            .json(&new_user())
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
    for (username, password) in [
        ("newuser", "wrong"),
        ("nobody", "wrong"),
        ("newuser", &"x".repeat(9000)),
        ("\0", "\0"),
    ] {
        let login = server
            .post(LOGIN)
            .json(&json!({"username": username, "password": password}));
        assert_eq!(
            failure(login, 401, "invalid_credentials").await,
            "Invalid credentials"
        );
    }
}

#[tokio::test]
async fn a_form_of_a_browser_is_as_good_as_json() {
    let server = Server::start().await;
    let form = |path: &str, body: &'static str| {
        server
            .post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    };
    let body = "username=newuser&email=new%2Buser%40example.com&password=p%C3%A4ss+word%26&fullName=New+User";
    let made = form(REGISTER, body).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let expected = r#"{"success":true,"data":{"userId":"1","username":"newuser","email":"new+user@example.com","fullName":"New User"}}"#;
    assert_eq!(made.text().await.unwrap(), expected);
    let login = form(LOGIN, "username=newuser&password=p%C3%A4ss+word%26");
    assert_eq!(login.send().await.unwrap().status(), 200);
    let login = json!({"username": "newuser", "password": "p\u{e4}ss word&"});
    let login = server.post(LOGIN).json(&login);
    assert_eq!(login.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn what_is_wrong_with_a_registration_is_told_in_the_originals_words() {
    let server = Server::start().await;
    for (field, wrong, message) in [
        ("email", "a@b", "Invalid email format"),
        ("email", "nobody", "Invalid email format"),
        (
            "password",
            "12345",
            "Password must be at least 6 characters long",
        ),
    ] {
        let mut form = new_user();
        form[field] = json!(wrong);
        let request = server.post(REGISTER).json(&form);
        let response = request.try_clone().unwrap().send().await.unwrap();
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"], "Validation error");
        assert_eq!(failure(request, 400, "validation_failed").await, message);
    }
}
