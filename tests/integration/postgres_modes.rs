//! PostgreSQL as it is run elsewhere: read-only for a while, with TLS, behind PgBouncer, with a role that owns nothing.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use flashsale::{
    config::{PostgresConfig, Secret, TlsConfig, TlsMode},
    engine::postgres::{ConnectError, PostgresLedger, migrate},
    port::{AccountDirectory, LedgerProbe, NewUser, Registration},
};

use crate::support::{
    postgres_server::{Beside, PostgresServer},
    process::free_port,
    wait_until,
    wire::Wire,
};

/// After a fault everything works again within this time, with no operator at work.
const BACK: Duration = Duration::from_secs(10);

async fn migrated(server: &PostgresServer) -> PostgresConfig {
    let config = server.config("shop");
    migrate::ensure_database(&config).await.unwrap();
    migrate::run(&config).await.unwrap();
    config
}

async fn register(ledger: &PostgresLedger, name: &str) -> Result<Registration, String> {
    let user = NewUser {
        username: name.to_owned(),
        email: format!("{name}@example.com"),
        password_hash: "none".to_owned(),
        full_name: None,
    };
    let registered = ledger.register(&user, 0).await;
    registered.map_err(|error| error.to_string())
}

async fn comes_back(ledger: &PostgresLedger, name: &str) {
    let begun = Instant::now();
    wait_until("the ledger takes writes again", BACK, || async {
        ledger.ping().await.is_ok() && register(ledger, name).await.is_ok()
    })
    .await;
    assert!(begun.elapsed() < BACK, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_answers_but_takes_no_writes_is_not_ready_and_comes_back() {
    let server = PostgresServer::start().await;
    let ledger = PostgresLedger::connect(&migrated(&server).await)
        .await
        .unwrap();
    register(&ledger, "before").await.unwrap();
    server
        .set("default_transaction_read_only", Some("on"))
        .await;
    wait_until("readiness is lost", BACK, || async {
        ledger.ping().await.is_err()
    })
    .await;
    assert!(register(&ledger, "meanwhile").await.is_err());
    server.set("default_transaction_read_only", None).await;
    comes_back(&ledger, "after").await;
}

#[tokio::test]
async fn a_session_whose_server_had_no_room_on_disk_is_replaced() {
    let server = PostgresServer::start().await;
    let config = migrated(&server).await;
    let ledger = PostgresLedger::connect(&config).await.unwrap();
    register(&ledger, "before").await.unwrap();
    let client = server.client("shop").await;
    let own: i32 = client
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    let sessions = async || {
        let pids = "SELECT pid FROM pg_stat_activity WHERE usename = 'shop' AND pid <> $1 AND backend_type = 'client backend' ORDER BY pid";
        let rows = client.query(pids, &[&own]).await.unwrap();
        rows.iter()
            .map(|row| row.get::<_, i32>(0))
            .collect::<Vec<_>>()
    };
    for (code, is_kept) in [("53100", false), ("22001", true)] {
        let refuse = format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON users EXECUTE FUNCTION refuse()"
        );
        client.batch_execute(&refuse).await.unwrap();
        let before = sessions().await;
        assert!(register(&ledger, "meanwhile").await.is_err());
        client
            .batch_execute("DROP TRIGGER refuse ON users")
            .await
            .unwrap();
        wait_until("the ledger takes writes", BACK, || async {
            register(&ledger, &format!("after-{code}")).await.is_ok()
        })
        .await;
        let after = sessions().await;
        let all_kept = before.iter().all(|pid| after.contains(pid));
        assert_eq!(all_kept, is_kept, "{code}: {before:?}, then {after:?}");
    }
}

/// What a role or a database is set to holds for the whole session, also when it is taken back.
#[tokio::test]
async fn sessions_that_began_read_only_are_not_kept() {
    let server = PostgresServer::start().await;
    let config = migrated(&server).await;
    let ledger = PostgresLedger::connect(&config).await.unwrap();
    server
        .admin_sql("ALTER ROLE shop SET default_transaction_read_only = on")
        .await;
    server
        .admin_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'")
        .await;
    wait_until("no session takes writes", BACK, || async {
        ledger.ping().await.is_err()
    })
    .await;
    let refused = PostgresLedger::connect(&config).await.err();
    assert!(
        matches!(refused, Some(ConnectError::ReadOnly { .. })),
        "{refused:?}"
    );
    server
        .admin_sql("ALTER ROLE shop RESET default_transaction_read_only")
        .await;
    comes_back(&ledger, "after").await;
}

#[tokio::test]
async fn of_several_hosts_the_one_that_takes_writes_is_used() {
    let (standby, primary) = tokio::join!(PostgresServer::start(), PostgresServer::start());
    migrated(&primary).await;
    let config = migrated(&standby).await;
    standby
        .set("default_transaction_read_only", Some("on"))
        .await;
    // All hosts have one port. Nobody listens on the first address, and the second one takes no writes.
    let third = format!("127.0.0.3:{}", standby.port());
    let _wire = Wire::at(&third, "127.0.0.1", primary.port()).await;
    let several = PostgresConfig {
        host: "127.0.0.2, 127.0.0.1,127.0.0.3".to_owned(),
        ..config
    };
    wait_until("the setting holds for new sessions", BACK, || async {
        let standby = standby.config("shop");
        let refused = PostgresLedger::connect(&standby).await.err();
        matches!(refused, Some(ConnectError::ReadOnly { .. }))
    })
    .await;
    let ledger = PostgresLedger::connect(&several).await.unwrap();
    register(&ledger, "shopper").await.unwrap();
    let there = primary.client("shop").await;
    let found = there
        .query_one("SELECT count(*) FROM users", &[])
        .await
        .unwrap();
    assert_eq!(found.get::<_, i64>(0), 1);
}

/// As of a machine that is switched off: connecting to it, or its answer, takes all the time that there is.
#[tokio::test]
async fn a_host_that_does_not_answer_leaves_time_for_the_next_one() {
    let server = PostgresServer::start().await;
    let config = migrated(&server).await;
    let silent = std::net::TcpListener::bind(("127.0.0.2", server.port())).unwrap();
    let several = PostgresConfig {
        host: format!("127.0.0.2,{}", config.host),
        ..config
    };
    let ledger = PostgresLedger::connect(&several).await.unwrap();
    register(&ledger, "shopper").await.unwrap();
    drop(silent);
}

/// Another database in the place of the one that was opened: nothing is read from it or written to it.
#[tokio::test]
async fn a_pool_does_not_go_on_with_another_ledger() {
    let server = PostgresServer::start().await;
    let ledger = PostgresLedger::connect(&migrated(&server).await)
        .await
        .unwrap();
    server
        .admin_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'")
        .await;
    server.admin_sql("ALTER DATABASE shop RENAME TO old").await;
    migrated(&server).await;
    wait_until("the other ledger is refused", BACK, || async {
        let refused = register(&ledger, "stranger").await.err();
        refused.is_some_and(|cause| cause.contains("ledger is"))
    })
    .await;
}

/// An authority, a server's certificate for `localhost` and 127.0.0.1, and a client's for the role.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let script = r#"
            set -e
            ca() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
                -addext basicConstraints=critical,CA:TRUE -keyout "$1.key" -out "$1.crt"; }
            signed() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr"
                printf 'subjectAltName=%s\n' "$2" >"$1.ext"
                openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.crt"; }
            ca ca; ca foreign
            signed server DNS:localhost,IP:127.0.0.1; signed elsewhere DNS:elsewhere.example; signed shop DNS:shop"#;
        let made = Command::new("bash")
            .args(["-c", script])
            .current_dir(directory.path())
            .output()
            .expect("openssl runs");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn content(&self, name: &str) -> Vec<u8> {
        fs::read(Path::new(&self.path(name))).unwrap()
    }

    async fn install(&self, server: &PostgresServer, name: &str) {
        for (setting, file) in [
            ("ssl_cert_file", format!("{name}.crt")),
            ("ssl_key_file", format!("{name}.key")),
            ("ssl_ca_file", "ca.crt".to_owned()),
        ] {
            let path = server.file(&file, &self.content(&file));
            server.set(setting, Some(&path.display().to_string())).await;
        }
        server.set("ssl", Some("on")).await;
        server.let_in("hostssl all all 127.0.0.1/32 trust").await;
    }

    fn client(&self, mode: TlsMode, authority: &str) -> TlsConfig {
        TlsConfig {
            mode,
            ca_file: Some(self.path(authority)),
            identity: None,
        }
    }
}

fn with(config: &PostgresConfig, tls: TlsConfig) -> PostgresConfig {
    PostgresConfig {
        tls,
        ..config.clone()
    }
}

#[tokio::test]
async fn the_server_proves_its_name_where_that_is_asked_for() {
    let server = PostgresServer::start().await;
    let config = migrated(&server).await;
    let certificates = Certificates::make();
    certificates.install(&server, "server").await;
    let tls = |mode, authority: &str| with(&config, certificates.client(mode, authority));

    let encrypted = PostgresLedger::connect(&tls(TlsMode::VerifyFull, "ca.crt")).await;
    register(&encrypted.unwrap(), "encrypted").await.unwrap();
    let anybody = PostgresLedger::connect(&tls(TlsMode::Require, "foreign.crt")).await;
    assert!(anybody.is_ok(), "no certificate is checked");

    let foreign = PostgresLedger::connect(&tls(TlsMode::VerifyFull, "foreign.crt")).await;
    let error = foreign.err().unwrap();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error}");
    assert!(!error.is_passing());
    let plain = PostgresLedger::connect(&config).await.err().unwrap();
    assert!(!plain.is_passing(), "the server wants TLS: {plain}");
    let missing = tls(TlsMode::VerifyFull, "nowhere.crt");
    let missing = PostgresLedger::connect(&missing).await.err().unwrap();
    assert!(
        missing.to_string().contains("POSTGRES_CA_FILE"),
        "{missing}"
    );

    certificates.install(&server, "elsewhere").await;
    wait_until(
        "a certificate for another name is refused",
        BACK,
        || async {
            let refused = PostgresLedger::connect(&tls(TlsMode::VerifyFull, "ca.crt")).await;
            matches!(refused.err(), Some(ConnectError::Tls { .. }))
        },
    )
    .await;
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart_from_one_that_is_away() {
    let server = PostgresServer::start().await;
    let config = migrated(&server).await;
    let certificates = Certificates::make();
    let asked = with(&config, certificates.client(TlsMode::Require, "ca.crt"));
    let refused = PostgresLedger::connect(&asked).await.err().unwrap();
    assert!(!refused.is_passing(), "{refused}");
    assert!(refused.to_string().contains("POSTGRES_TLS"), "{refused}");
}

#[tokio::test]
async fn a_client_can_log_in_by_its_certificate() {
    let server = PostgresServer::start().await;
    let config = migrated(&server).await;
    let certificates = Certificates::make();
    certificates.install(&server, "server").await;
    server.let_in("hostssl all all 127.0.0.1/32 cert").await;
    let without = certificates.client(TlsMode::VerifyFull, "ca.crt");
    let identity = (certificates.path("shop.crt"), certificates.path("shop.key"));
    let with_identity = TlsConfig {
        identity: Some(identity),
        ..without.clone()
    };
    let refused = PostgresLedger::connect(&with(&config, without)).await;
    assert!(!refused.err().unwrap().is_passing());
    let ledger = PostgresLedger::connect(&with(&config, with_identity)).await;
    register(&ledger.unwrap(), "certified").await.unwrap();
}

/// SCRAM over TLS binds the login to the server's certificate.
#[tokio::test]
async fn passwords_work_over_tls() {
    let server = PostgresServer::start().await;
    let config = migrated(&server).await;
    let certificates = Certificates::make();
    certificates.install(&server, "server").await;
    server
        .admin_sql("SET password_encryption = 'scram-sha-256'; ALTER ROLE shop PASSWORD 'right'")
        .await;
    server
        .let_in("hostssl all all 127.0.0.1/32 scram-sha-256")
        .await;
    let tls = with(&config, certificates.client(TlsMode::VerifyFull, "ca.crt"));
    let password = |word: &str| PostgresConfig {
        password: Secret::new(word),
        ..tls.clone()
    };
    assert!(PostgresLedger::connect(&password("right")).await.is_ok());
    let wrong = PostgresLedger::connect(&password("wrong")).await.err();
    assert!(
        matches!(wrong, Some(ConnectError::Credentials { .. })),
        "{wrong:?}"
    );
}

/// The real pooler before the server, in one of its modes.
async fn bouncer(server: &PostgresServer, mode: &str) -> (Beside, u16) {
    let port = free_port();
    let users = server.file("users.txt", b"\"shop\" \"none\"\n");
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\ndefault_pool_size = 20\n",
        server.port(),
        users.display()
    );
    let path = server.file("pgbouncer.ini", settings.as_bytes());
    let pooler = server.beside("pgbouncer", &["-q", &path.display().to_string()]);
    wait_until("PgBouncer listens", BACK, || async {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
    })
    .await;
    (pooler, port)
}

#[tokio::test]
async fn pgbouncer_in_session_mode_is_as_good_as_the_server() {
    let server = PostgresServer::start().await;
    let (_pooler, port) = bouncer(&server, "session").await;
    let direct = server.config("shop");
    migrate::ensure_database(&direct).await.unwrap();
    let config = PostgresConfig { port, ..direct };
    migrate::run(&config).await.unwrap();
    let (one, other) = tokio::join!(
        PostgresLedger::connect(&config),
        PostgresLedger::connect(&config)
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    let names = 0..40;
    let registered = names.map(|n| {
        let ledger = if n % 2 == 0 {
            one.clone()
        } else {
            other.clone()
        };
        async move { register(&ledger, &format!("shopper{n}")).await }
    });
    for registered in futures::future::join_all(registered).await {
        registered.unwrap();
    }
}

#[tokio::test]
async fn a_pooler_that_shares_sessions_is_refused_with_what_to_do() {
    let server = PostgresServer::start().await;
    let direct = migrated(&server).await;
    for mode in ["transaction", "statement"] {
        let (_pooler, port) = bouncer(&server, mode).await;
        let config = PostgresConfig {
            port,
            ..direct.clone()
        };
        let refused = PostgresLedger::connect(&config).await.err().unwrap();
        assert!(
            matches!(refused, ConnectError::SharedSessions { .. }),
            "{mode}: {refused}"
        );
        assert!(!refused.is_passing());
        assert!(refused.to_string().contains("pool_mode = session"));
        let refused = migrate::run(&config).await.err().unwrap().to_string();
        assert!(refused.contains("pool_mode = session"), "{mode}: {refused}");
    }
}
