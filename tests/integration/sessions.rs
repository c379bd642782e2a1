//! Tokens that end before they expire: logging out, other passwords, roles and disabled accounts, on every node.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    api::{Api, Shopper},
    process::Process,
    system::{OneProcess, Servers, System},
    wait_until,
};

/// Within which every node refuses a token that was ended.
const EVERYWHERE: Duration = Duration::from_secs(5);

/// A system with the command `user` on it.
trait WithUsers: System {
    fn user(&self, arguments: &[&str]) -> Process;

    /// Its APIs: two on servers.
    async fn nodes(&self) -> Vec<Api>;
}

impl WithUsers for Servers {
    fn user(&self, arguments: &[&str]) -> Process {
        self.run(&[&["user"], arguments].concat())
    }

    async fn nodes(&self) -> Vec<Api> {
        vec![self.serve().await, self.serve().await]
    }
}

impl WithUsers for OneProcess {
    fn user(&self, arguments: &[&str]) -> Process {
        self.run(&[&["user"], arguments].concat())
    }

    async fn nodes(&self) -> Vec<Api> {
        vec![self.serve().await]
    }
}

/// What the command says, as JSON.
async fn user(system: &impl WithUsers, arguments: &[&str]) -> Value {
    let process = system.user(&[arguments, &["--json", "--by", "a test"]].concat());
    let (succeeded, output) = process.outcome().await;
    assert!(succeeded, "{arguments:?}: {output}");
    serde_json::from_str(&process.answer()).unwrap()
}

/// Whether a token is let in.
async fn is_good(api: &Api, shopper: &Shopper) -> bool {
    let (status, body) = api.get("/api/orders/status/99999", Some(shopper)).await;
    match status {
        400 => true,
        401 => {
            assert_eq!(body["code"], "token_invalid");
            false
        }
        other => panic!("{other}: {body}"),
    }
}

async fn refused_everywhere(nodes: &[Api], shopper: &Shopper) {
    let ended = Instant::now();
    for node in nodes {
        wait_until("the token is refused", EVERYWHERE, || async {
            !is_good(node, shopper).await
        })
        .await;
    }
    assert!(ended.elapsed() < EVERYWHERE);
}

async fn login(api: &Api, name: &str, password: &str) -> (u16, Value) {
    let login = json!({"username": name, "password": password});
    api.post("/api/auth/login", None, Some(login)).await
}

async fn change(api: &Api, shopper: &Shopper, current: &str, new: &str) -> (u16, Value) {
    let form = json!({"currentPassword": current, "newPassword": new});
    api.post("/api/auth/password", Some(shopper), Some(form))
        .await
}

async fn reset(api: &Api, token: &str, new: &str) -> (u16, Value) {
    let form = json!({"token": token, "newPassword": new});
    api.post("/api/auth/reset", None, Some(form)).await
}

/// The claims of a token.
fn claims(shopper: &Shopper) -> Value {
    jsonwebtoken::dangerous::insecure_decode::<Value>(&shopper.token)
        .unwrap()
        .claims
}

on_systems! {
    logging_out_ends_every_token_of_the_account_and_no_other,
    another_password_ends_the_other_tokens_and_gives_one_that_is_good,
    a_reset_token_sets_the_password_once,
    disabling_and_changes_of_the_role_by_command_or_sql_end_the_tokens,
}

async fn logging_out_ends_every_token_of_the_account_and_no_other(system: impl WithUsers) {
    let nodes = &system.nodes().await[..];
    let (here, there) = (&nodes[0], &nodes[nodes.len() - 1]);
    let first = here.register("ada").await;
    let second = there.login("ada", "password123").await;
    let neighbour = there.register("bob").await;
    let without = here.post("/api/auth/logout", None, None).await;
    assert_eq!(
        (without.0, &without.1["code"]),
        (401, &"token_missing".into())
    );
    assert_eq!(
        here.post("/api/auth/logout", Some(&first), None).await.0,
        204
    );
    // The node that was asked knows at once.
    assert!(!is_good(here, &first).await && !is_good(here, &second).await);
    // In the same second, a new token is good everywhere, and told apart from the ended ones.
    let third = there.login("ada", "password123").await;
    refused_everywhere(nodes, &first).await;
    refused_everywhere(nodes, &second).await;
    for node in nodes {
        assert!(is_good(node, &third).await && is_good(node, &neighbour).await);
        // What everybody is told alike is told by memory alone.
        wait_until("an ended token is none", EVERYWHERE, || async {
            node.get("/api/flash-sale/status", Some(&first)).await.0 == 401
        })
        .await;
    }
    let again = here.post("/api/auth/logout", Some(&first), None).await;
    assert_eq!(again.0, 401, "an ended token ends nothing");
    assert!(is_good(here, &third).await);
    // A second round, at the other node.
    assert_eq!(
        there.post("/api/auth/logout", Some(&third), None).await.0,
        204
    );
    refused_everywhere(nodes, &third).await;
    assert_eq!(
        system
            .number("SELECT count(*) FROM users WHERE tokens_valid_from IS NOT NULL")
            .await,
        1
    );
}

async fn another_password_ends_the_other_tokens_and_gives_one_that_is_good(system: impl WithUsers) {
    let nodes = &system.nodes().await[..];
    let (here, there) = (&nodes[0], &nodes[nodes.len() - 1]);
    let stolen = there.register("ada").await;
    let own = here.login("ada", "password123").await;
    for (current, new, status, code) in [
        ("wrong", "another password", 401, "invalid_credentials"),
        ("", "another password", 400, "validation_failed"),
        ("password123", "short", 400, "validation_failed"),
    ] {
        let (answered, body) = change(here, &own, current, new).await;
        assert_eq!((answered, body["code"].as_str()), (status, Some(code)));
    }
    assert!(is_good(here, &stolen).await, "nothing was changed");
    let (status, body) = change(here, &own, "password123", "another password").await;
    assert_eq!(status, 200, "{body}");
    let new = Shopper {
        id: own.id,
        token: body["data"]["token"].as_str().unwrap().to_owned(),
    };
    assert!(!is_good(here, &stolen).await && !is_good(here, &own).await);
    refused_everywhere(nodes, &stolen).await;
    for node in nodes {
        assert!(is_good(node, &new).await);
        assert_eq!(login(node, "ada", "password123").await.0, 401);
        assert_eq!(login(node, "ada", "another password").await.0, 200);
    }
}

async fn a_reset_token_sets_the_password_once(system: impl WithUsers) {
    let nodes = &system.nodes().await[..];
    let (here, there) = (&nodes[0], &nodes[nodes.len() - 1]);
    let shopper = here.register("ada").await;
    let issue = || user(&system, &["passwd", "ada", "--reset-token"]);
    let expired = issue().await["resetToken"].as_str().unwrap().to_owned();
    system
        .sql(&format!(
            "UPDATE password_resets SET expires_at = '{}'",
            system.instant(chrono::Utc::now())
        ))
        .await;
    let issued = issue().await;
    assert_eq!(
        (&issued["expiresInSecs"], &issued["user"]["username"]),
        (&json!(3600), &json!("ada"))
    );
    let token = issued["resetToken"].as_str().unwrap();
    for wrong in [expired.as_str(), "a guess", &token.to_uppercase()] {
        let (status, body) = reset(there, wrong, "another password").await;
        assert_eq!(
            (status, body["code"].as_str()),
            (400, Some("reset_token_invalid"))
        );
    }
    let (status, body) = reset(there, token, "short").await;
    assert_eq!(
        (status, body["code"].as_str()),
        (400, Some("validation_failed"))
    );
    assert!(is_good(there, &shopper).await, "nothing was changed");
    assert_eq!(reset(there, token, "another password").await.0, 204);
    assert!(!is_good(there, &shopper).await, "this node knows at once");
    refused_everywhere(nodes, &shopper).await;
    assert_eq!(reset(here, token, "a third password").await.0, 400, "once");
    assert_eq!(login(here, "ada", "password123").await.0, 401);
    assert_eq!(login(here, "ada", "another password").await.0, 200);
    let hashes = "SELECT count(*) FROM password_resets";
    assert_eq!(system.number(hashes).await, 0);
}

async fn disabling_and_changes_of_the_role_by_command_or_sql_end_the_tokens(
    system: impl WithUsers,
) {
    let nodes = &system.nodes().await[..];
    let (here, there) = (&nodes[0], &nodes[nodes.len() - 1]);
    let made = user(
        &system,
        &[
            "add",
            "olga",
            "--email",
            "olga@shop.example",
            "--role",
            "operator",
        ],
    )
    .await;
    let password = made["password"].as_str().unwrap().to_owned();
    assert_eq!(made["user"]["role"], "operator");
    let olga = here.login("olga", &password).await;
    assert_eq!(claims(&olga)["role"], "operator");
    assert!(is_good(there, &olga).await);

    user(&system, &["disable", "olga"]).await;
    refused_everywhere(nodes, &olga).await;
    let (status, body) = login(here, "olga", &password).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (401, Some("invalid_credentials"))
    );
    user(&system, &["enable", "olga"]).await;
    let second = here.login("olga", &password).await;
    wait_until("the account is let in again", EVERYWHERE, || async {
        is_good(here, &second).await && is_good(there, &second).await
    })
    .await;
    assert!(!is_good(here, &olga).await && !is_good(there, &olga).await);

    let changed = user(&system, &["role", "olga", "auditor"]).await;
    assert_eq!(changed["user"]["role"], "auditor");
    refused_everywhere(nodes, &second).await;
    let third = there.login("olga", &password).await;
    assert_eq!(claims(&third)["role"], "auditor");

    let at = system.instant(chrono::Utc::now());
    system
        .sql(&format!(
            "UPDATE users SET disabled_at = '{at}' WHERE username = 'olga'"
        ))
        .await;
    refused_everywhere(nodes, &third).await;
    let listed = user(&system, &["list"]).await;
    let listed = listed["users"].as_array().unwrap();
    // Commands are noted, statements by hand are not.
    let noted = "SELECT count(*) FROM admin_actions WHERE actor = 'cli:a test' AND action =";
    for (action, expected) in [
        ("create_user", 1),
        ("disable_user", 1),
        ("enable_user", 1),
        ("set_role", 1),
    ] {
        let number = system.number(&format!("{noted} '{action}'")).await;
        assert_eq!(number, expected, "{action}");
    }
    assert_eq!(listed.len(), 1, "shoppers are not listed");
    assert_eq!(
        (&listed[0]["username"], &listed[0]["disabled"]),
        (&json!("olga"), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_knows_what_was_ended_before() {
    let system = Servers::start().await;
    let first = system.serve().await;
    let (ended, good) = (first.register("ada").await, first.register("bob").await);
    assert_eq!(
        first.post("/api/auth/logout", Some(&ended), None).await.0,
        204
    );
    drop(first);
    let second = system.serve().await;
    assert!(!is_good(&second, &ended).await && is_good(&second, &good).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_come_from_standard_input_or_chance_and_never_from_arguments() {
    let system = OneProcess::start().await;
    let api = system.serve().await;
    let given = |password: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_flashsale"));
        let directory = system.directory();
        command
            .arg("user")
            .args(arguments)
            .args([
                "--password-stdin",
                "--by",
                "a test",
                "--embedded",
                "--data-dir",
            ])
            .arg(directory)
            .env_clear()
            .envs(OneProcess::environment())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "{password}").unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let add = [
        "add",
        "admin",
        "--email",
        "admin@shop.example",
        "--role",
        "admin",
    ];
    for guessed in ["admin123", "admin", "short", ""] {
        assert!(!given(guessed, &add).0, "{guessed}");
    }
    let (is_made, said) = given("a long and strange one", &add);
    assert!(
        is_made && !said.contains("a long and strange one"),
        "{said}"
    );
    assert!(
        !given("a long and strange one", &add).0,
        "the name is taken"
    );
    let admin = api.login("admin", "a long and strange one").await;
    assert_eq!(claims(&admin)["role"], "admin");
    assert!(given("yet another one", &["passwd", "admin"]).0);
    refused_everywhere(std::slice::from_ref(&api), &admin).await;
    assert_eq!(login(&api, "admin", "yet another one").await.0, 200);
    let generated = user(&system, &["passwd", "admin"]).await;
    let generated = generated["password"].as_str().unwrap();
    assert_eq!(login(&api, "admin", generated).await.0, 200);
    let unknown = system.user(&["passwd", "nobody", "--by", "a test"]);
    assert!(!unknown.outcome().await.0);
}

const PRODUCTION: [(&str, &str); 2] = [
    ("NODE_ENV", "production"),
    ("JWT_SECRET", "8KQ2m1uB3v9xq0cJ7nZr5tYwLhGfDsAa"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_serves_no_admin_whose_password_everybody_knows() {
    let system = OneProcess::on_nothing();
    // With the demo data.
    drop(system.serve_with(&[], &[]).await);
    let (served, told) = system.run_with(&["serve"], &PRODUCTION).outcome().await;
    assert!(!served);
    assert!(
        told.contains("admin (admin)") && told.contains("flashsale user passwd"),
        "{told}"
    );
    assert!(!told.contains("admin123"), "{told}");
    // Shoppers with such passwords are nobody's danger but their own.
    user(&system, &["disable", "admin", "--force"]).await;
    let api = system.serve_with(&[], &PRODUCTION).await;
    assert_eq!(login(&api, "user1", "password123").await.0, 200);
    // Enabled meanwhile, or set by SQL: the login is refused as a wrong password is, and noted.
    user(&system, &["enable", "admin"]).await;
    let (status, body) = login(&api, "admin", "admin123").await;
    assert_eq!(
        (status, body["code"].as_str()),
        (401, Some("invalid_credentials"))
    );
    api.process.wait_for_line("known_password").await;
    let set = user(&system, &["passwd", "admin"]).await;
    let password = set["password"].as_str().unwrap();
    assert_eq!(login(&api, "admin", password).await.0, 200);
    drop(api);
    drop(system.serve_with(&[], &PRODUCTION).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_stay_good_while_the_secret_is_replaced_node_by_node() {
    let system = Servers::start().await;
    let old = system.serve().await;
    let before = old.register("ada").await;
    let secret = ("JWT_SECRET", "the next secret of the tests, with 32 bytes");
    let previous = ("JWT_SECRET_PREVIOUS", crate::support::api::JWT_SECRET);
    // First every node takes both, then every node signs with the new one.
    let both = system.serve_as(&[("JWT_SECRET_PREVIOUS", secret.1)]).await;
    let new = system.serve_as(&[secret, previous]).await;
    assert!(is_good(&both, &before).await && is_good(&new, &before).await);
    let after = new.login("ada", "password123").await;
    assert!(is_good(&both, &after).await && !is_good(&old, &after).await);
    let rotated = system.serve_as(&[secret]).await;
    assert!(is_good(&rotated, &after).await && !is_good(&rotated, &before).await);
}
