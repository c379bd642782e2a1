//! How a whole run reaches its servers, as `make test-tls` and `make test-pgbouncer` say in the environment, and which parts of a
//! test go past that.

#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml exempts only the tests' own bodies
#![allow(clippy::disallowed_methods)] // the environment is where a run's mode is said

use std::{collections::BTreeSet, io::Write, sync::Mutex};

use flashsale::config::{TlsConfig, TlsMode};

/// What was noted in this process.
static NOTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// TLS to a kind of server (`POSTGRES`, `REDIS`, `KAFKA`), as `scripts/services.sh env tls` prints it.
pub fn tls(server: &str) -> TlsConfig {
    let of = |name: &str| variable(&format!("{server}_{name}"));
    match of("TLS").as_deref() {
        Some("verify-full") => TlsConfig {
            mode: TlsMode::VerifyFull,
            ca_file: of("CA_FILE"),
            identity: of("CERT_FILE").zip(of("KEY_FILE")),
        },
        Some("disable") | None => TlsConfig::NONE,
        Some(other) => panic!("{server}_TLS={other}: tests know verify-full and disable"),
    }
}

/// What a process is told about TLS to a kind of server.
pub fn tls_environment(server: &str, tls: &TlsConfig) -> Vec<(String, String)> {
    if tls.mode != TlsMode::VerifyFull {
        return Vec::new();
    }
    let (certificate, key) = tls.identity.clone().unzip();
    [
        ("TLS", Some("verify-full".to_owned())),
        ("CA_FILE", tls.ca_file.clone()),
        ("CERT_FILE", certificate),
        ("KEY_FILE", key),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((format!("{server}_{name}"), value?)))
    .collect()
}

/// The files by which a server of a test's own speaks TLS, and how clients reach it.
#[derive(Clone)]
pub struct ServerTls {
    pub certificate: String,
    pub key: String,
    pub authority: String,
    pub client: TlsConfig,
}

impl ServerTls {
    /// In a run whose Redis servers speak TLS.
    pub fn of_redis() -> Option<Self> {
        let client = tls("REDIS");
        let file = |name: &str| {
            let directory = variable("FLASHSALE_TLS_DIR");
            let directory = directory.expect("FLASHSALE_TLS_DIR: see scripts/services.sh env tls");
            format!("{directory}/{name}")
        };
        (client.mode != TlsMode::Disable).then(|| Self {
            certificate: file("redis.crt"),
            key: file("redis.key"),
            authority: file("ca.crt"),
            client,
        })
    }

    /// The settings of a Redis or a Sentinel that speaks TLS on this port, with its replicas and the other nodes as well.
    pub fn redis_settings(&self, port: u16) -> Vec<(&'static str, String)> {
        vec![
            ("tls-port", port.to_string()),
            ("tls-ca-cert-file", self.authority.clone()),
            ("tls-cert-file", self.certificate.clone()),
            ("tls-key-file", self.key.clone()),
            ("tls-auth-clients", "optional".to_owned()),
            ("tls-replication", "yes".to_owned()),
            ("tls-cluster", "yes".to_owned()),
        ]
    }
}

/// Who looks on in place of the program's role, which the server on this port lets in over TLS alone.
pub fn onlooker(port: u16) -> Option<String> {
    let is_shared = variable("POSTGRES_PORT")? == port.to_string();
    variable("FLASHSALE_TEST_POSTGRES_USER").filter(|_| is_shared)
}

/// Notes that the test that runs has a server of its own that the mode of the run does not reach, if there is a mode.
pub fn note_own_server(server: &str, what: &str) {
    if tls(server).mode != TlsMode::Disable || (server == "POSTGRES" && has_pooler()) {
        note(what);
    }
}

/// Notes that the test that runs goes past the pooler of the run, if there is one.
pub fn note_past_pooler() {
    if has_pooler() {
        note("past the pooler: it needs a session, or the server's own answer");
    }
}

fn has_pooler() -> bool {
    variable("POSTGRES_POOLER").is_some()
}

/// The lines are shown after the run, by `scripts/test_mode.sh`.
fn note(what: &str) {
    let Some(file) = variable("FLASHSALE_TEST_EXCEPTIONS") else {
        return;
    };
    let thread = std::thread::current();
    let line = format!("{}: {what}", thread.name().unwrap_or("a test"));
    if NOTED.lock().unwrap().insert(line.clone()) {
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(file);
        writeln!(file.unwrap(), "{line}").unwrap();
    }
}
