//! What the service that this one replaces left behind: its programs, its settings, its statuses, its database.

mod database;
mod moving;
mod programs;

use std::collections::BTreeMap;

use chrono::Utc;
use flashsale::{
    auth::Passwords,
    config::{AuthConfig, Secret},
};
use serde_json::{Value, json};

use crate::support::{
    api::{Api, Shopper},
    postgres::TestDatabase,
    process::{Process, complaint},
    system::{OneProcess, Servers, System},
};

on_systems! {
    its_programs_get_through_with_their_default_settings,
    its_programs_get_through_on_what_seed_made,
    refused_attempts_have_its_status_if_that_is_wanted,
}

/// An empty variable counts as not set: the limits are the defaults.
const DEFAULT_LIMITS: &[(&str, &str)] = &[
    ("LIMIT_LOGINS_PER_ADDRESS", ""),
    ("LIMIT_FAILED_LOGINS_PER_ACCOUNT", ""),
    ("LIMIT_REGISTRATIONS_PER_ADDRESS", ""),
    ("LIMIT_REGISTRATIONS_PER_ACCOUNT", ""),
    ("LIMIT_ATTEMPTS_PER_USER", ""),
    // A hundred registrations at once wait for five connections on a machine that runs other tests as well.
    ("POSTGRES_POOL_TIMEOUT_MS", "30000"),
];

/// A hash as `seed` makes it, at less cost.
fn hash_of(password: &str) -> String {
    let passwords = Passwords::new(&AuthConfig {
        jwt_secret: Secret::new("not used"),
        jwt_secret_previous: None,
        token_ttl: std::time::Duration::from_mins(1),
        password_memory_kib: 64,
        password_passes: 1,
        password_threads: 1,
        password_queue: 1,
        password_blocklist: false,
    });
    passwords.unwrap().hash_now(password).unwrap()
}

async fn its_programs_get_through_with_their_default_settings(system: impl System) {
    let _worker = system.worker().await;
    let api = system.serve_as(DEFAULT_LIMITS).await;
    let (sale, _) = system.sale(30).await;
    api.wait_until_open(&system, sale).await;
    let report = programs::stress(&api.url).await;
    let expected = programs::Report {
        registered: programs::USERS,
        logged_in: programs::USERS,
        succeeded: 30,
        failed: programs::USERS - 30,
    };
    assert_eq!(report, expected);
    assert_eq!(system.check_promises(sale).await.orders, 30);
    // The name is reserved: `seed` makes the account, or a statement by hand.
    let admin = json!({"username": "admin", "email": "admin@example.com", "password": "admin123"});
    let made = api.post("/api/auth/register", None, Some(admin)).await;
    assert_eq!(made.0, 400, "{}", made.1);
    let hash = hash_of("admin123");
    system
        .sql(&format!(
            "INSERT INTO users (username, email, password_hash, role) VALUES ('admin', 'admin@example.com', '{hash}', 'admin')"
        ))
        .await;
    programs::log_in_as_admin(&api.url).await;
}

/// Settings of the test system that a user of the defaults does not have. Empty counts as not set. The cost of a hash stays that of tests: a
/// machine that runs other tests as well would answer some of 100 logins at once with 503.
const NO_SETTINGS_OF_TESTS: &[(&str, &str)] = &[
    ("LIMIT_LOGINS_PER_ADDRESS", ""),
    ("LIMIT_FAILED_LOGINS_PER_ACCOUNT", ""),
    ("LIMIT_REGISTRATIONS_PER_ADDRESS", ""),
    ("LIMIT_REGISTRATIONS_PER_ACCOUNT", ""),
    ("LIMIT_ATTEMPTS_PER_USER", ""),
    ("POSTGRES_POOL_SIZE", ""),
    ("POSTGRES_POOL_TIMEOUT_MS", ""),
];

/// A system on which `seed` can be run.
trait Seeded: System {
    fn seed(&self) -> Process;
}

impl Seeded for Servers {
    fn seed(&self) -> Process {
        self.run_with(&["seed"], NO_SETTINGS_OF_TESTS)
    }
}

impl Seeded for OneProcess {
    fn seed(&self) -> Process {
        self.run_with(&["seed"], NO_SETTINGS_OF_TESTS)
    }
}

/// The admin's account, the sale and its stock are those of `seed`, and the hashes cost what they cost.
async fn its_programs_get_through_on_what_seed_made(system: impl Seeded) {
    let seed = system.seed();
    let (done, output) = seed.outcome().await;
    assert!(done, "{output}");
    let _worker = system.worker().await;
    let api = system.serve_as(NO_SETTINGS_OF_TESTS).await;
    let sale = system.number("SELECT max(id) FROM flash_sales").await;
    api.wait_until_open(&system, sale).await;
    let report = programs::stress(&api.url).await;
    let expected = programs::Report {
        registered: programs::USERS,
        logged_in: programs::USERS,
        succeeded: programs::USERS,
        failed: 0,
    };
    assert_eq!(report, expected);
    programs::log_in_as_admin(&api.url).await;
    let balance = system.check_promises(sale).await;
    assert_eq!(balance.orders, i64::try_from(programs::USERS).unwrap());
}

#[tokio::test]
async fn in_production_its_stress_client_is_one_address_like_any_other() {
    let system = OneProcess::start().await;
    // The password of its shoppers is one of the commonest, which production refuses unless told otherwise.
    let own = [("APP_ENV", "production"), ("PASSWORD_BLOCKLIST", "false")];
    let production = [DEFAULT_LIMITS, &own].concat();
    let api = system.serve_as(&production).await;
    let (sale, _) = system.sale(30).await;
    // Metrics, which tell whether it is open, are not on the port of the API.
    api.wait_until_known(&system, sale).await;
    let report = programs::stress(&api.url).await;
    // Sixty a minute, and one more for each second that it took.
    assert!((60..75).contains(&report.registered), "{report:?}");
    assert!(report.logged_in < programs::USERS, "{report:?}");
}

async fn refused_attempts_have_its_status_if_that_is_wanted(system: impl System) {
    let _worker = system.worker().await;
    let api = system.serve_as(&[("ORIGINAL_STATUS_CODES", "true")]).await;
    let hour = chrono::Duration::hours(1);
    let now = Utc::now();
    let (upcoming, _) = system.sale_in(1, now + hour, now + hour * 2).await;
    let (ended, _) = system.sale_in(1, now - hour * 2, now - hour).await;
    let (sale, _) = system.sale(1).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(2).await;
    assert_eq!(api.attempt(sale, &shoppers[0]).await.0, 200);
    for (sale, code, begins) in [
        (sale, "sold_out", "Sorry, the item is out of stock."),
        (
            upcoming,
            "not_started",
            "Flash sale is not yet active. Start time: ",
        ),
        (ended, "ended", "Flash sale has ended. End time: "),
        (9999, "sale_not_found", "Flash sale with ID 9999 not found."),
    ] {
        let (status, body) = api.attempt(sale, &shoppers[1]).await;
        assert_eq!((status, &body["code"]), (400, &json!(code)));
        assert_eq!(body["success"], false);
        assert!(
            body["message"].as_str().unwrap().starts_with(begins),
            "{body}"
        );
        let problem = problem(&api, sale, &shoppers[1]).await;
        assert_eq!(
            (&problem["status"], &problem["code"]),
            (&json!(400), &json!(code))
        );
    }
    let path = format!("/api/flash-sale/attempt/{sale}");
    let nobody = api.post(&path, None, None).await;
    assert_eq!(nobody.0, 401, "what is no refusal stays what it is");
    let (status, body) = api.get("/nothing", None).await;
    assert_eq!((status, &body["code"]), (404, &json!("not_found")));
    assert_eq!(system.check_promises(sale).await.orders, 1);
}

/// The answer to an attempt of who asks for a problem; its status is that of the head.
async fn problem(api: &Api, sale: i64, shopper: &Shopper) -> Value {
    let url = format!("{}/api/flash-sale/attempt/{sale}", api.url);
    let request = api.http.post(url).bearer_auth(&shopper.token);
    let request = request.header("accept", "application/problem+json");
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    body
}

#[tokio::test]
async fn a_wrong_setting_stops_only_the_commands_that_use_it() {
    // `migrate` needs a session of its own.
    let database = TestDatabase::create().await.past_pooler();
    let mut environment = database.environment();
    environment.extend(
        [
            ("FLASH_SALE_START_TIME", "2024-01-01 00:00"),
            ("JWT_EXPIRES_IN", "a day"),
            ("STRESS_TEST_USERS", "many"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let run = async |arguments: &[&str], environment: &BTreeMap<String, String>| {
        Process::start(arguments, environment).outcome().await
    };
    let (done, output) = run(&["migrate", "--no-topics"], &environment).await;
    assert!(done && output.contains("nothing applied"), "{output}");
    assert!(
        output.contains("FLASH_SALE_START_TIME"),
        "it is told: {output}"
    );
    let (done, output) = run(&["seed"], &environment).await;
    assert!(!done, "{output}");
    let refused = output.lines().filter(|line| !line.contains("WARN"));
    let refused: String = refused.collect();
    assert!(complaint(&output).contains("1 problem"), "{output}");
    assert!(refused.contains("FLASH_SALE_START_TIME"), "{output}");
    assert!(!refused.contains("JWT_EXPIRES_IN"), "{output}");
    let (done, output) = run(&["serve"], &environment).await;
    assert!(!done && output.contains("JWT_EXPIRES_IN"), "{output}");
    assert!(complaint(&output).contains("1 problem"), "{output}");
}
