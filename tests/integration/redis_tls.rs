//! Redis over TLS: what is trusted, what is refused, and what the error messages name.

use std::time::Duration;

use flashsale::{
    config::{RedisConfig, Secret, SentinelConfig, TlsConfig, TlsMode},
    engine::redis::{ConnectError, RedisGate},
    port::GateProbe,
};

use crate::support::{
    kafka,
    postgres::TestDatabase,
    process::free_port,
    redis::{RedisOptions, RedisServer},
    redis_topology::Certificates,
    system::{Servers, System},
    wait_until,
    wire::Wire,
};

const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// An address of another machine, which nobody has (RFC 5737).
const ELSEWHERE: &str = "192.0.2.1";

/// A server that speaks TLS on one port and plain text on another, which only this file's `redis-cli` uses.
fn server(certificates: &Certificates, clients: &str) -> (RedisServer, u16) {
    let port = free_port();
    let (tls_port, path) = (port.to_string(), |name| certificates.path(name));
    let (ca, certificate, key) = (path("ca.crt"), path("server.crt"), path("server.key"));
    let more = [
        "--tls-port",
        &tls_port,
        "--tls-ca-cert-file",
        &ca,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        clients,
    ];
    (
        RedisServer::start_with(RedisOptions::default(), &more),
        port,
    )
}

fn config(server: &RedisServer, port: u16, tls: TlsConfig) -> RedisConfig {
    RedisConfig {
        port,
        tls,
        ..server.config(COMMAND_TIMEOUT)
    }
}

async fn connect(config: &RedisConfig) -> Result<RedisGate, ConnectError> {
    RedisGate::connect(config, Duration::from_hours(1)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_server_of_a_trusted_authority_and_the_right_name_is_taken() {
    let certificates = Certificates::make();
    let (server, port) = server(&certificates, "no");
    let trusting = |ca: &str, mode| TlsConfig {
        mode,
        ca_file: Some(certificates.path(ca)),
        identity: None,
    };
    let verified = config(&server, port, trusting("ca.crt", TlsMode::VerifyFull));
    connect(&verified).await.unwrap().ping().await.unwrap();
    let foreign = config(
        &server,
        port,
        trusting("foreign-ca.crt", TlsMode::VerifyFull),
    );
    let error = connect(&foreign).await.err().unwrap();
    assert!(
        matches!(error, ConnectError::Tls(_)) && !error.is_passing(),
        "{error:?}"
    );
    assert!(error.to_string().contains("REDIS_CA_FILE"), "{error}");
    // `require` encrypts and asks nothing.
    let any = config(&server, port, trusting("foreign-ca.crt", TlsMode::Require));
    connect(&any).await.unwrap().ping().await.unwrap();
    // Another name than the certificate's leads to the same server.
    let wire = Wire::at("127.0.0.2:0", "127.0.0.1", port).await;
    let other_name = |mode| RedisConfig {
        host: "127.0.0.2".to_owned(),
        ..config(&server, wire.port, trusting("ca.crt", mode))
    };
    let error = connect(&other_name(TlsMode::VerifyFull)).await.err();
    assert!(matches!(error, Some(ConnectError::Tls(_))), "{error:?}");
    connect(&other_name(TlsMode::Require)).await.unwrap();
    // Plain text against TLS, and the other way round.
    let mut plain = verified.clone();
    plain.tls = TlsConfig::NONE;
    let error = connect(&plain).await.err().unwrap();
    assert!(error.to_string().contains("REDIS_TLS"), "{error}");
    let mut needless = verified;
    needless.port = server.port();
    let error = connect(&needless).await.err().unwrap();
    assert!(error.to_string().contains("REDIS_TLS"), "{error}");
}

/// A Sentinel on this machine that names a primary on another one.
fn sentinel_of_another_machine() -> (std::process::Child, u16, tempfile::TempDir) {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let file = dir.path().join("sentinel.conf");
    let settings =
        format!("port {port}\nbind 127.0.0.1\nsentinel monitor shop {ELSEWHERE} 6379 1\n");
    std::fs::write(&file, settings).unwrap();
    let child = std::process::Command::new("redis-server")
        .arg(&file)
        .arg("--sentinel")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    (child, port, dir)
}

#[tokio::test]
async fn no_password_goes_in_clear_to_another_machine_that_is_announced() {
    let refused = async |config: &RedisConfig| {
        let error = connect(config).await.err().expect("nobody is there");
        let told = error.to_string();
        (matches!(error, ConnectError::PasswordInClear(_)), told)
    };
    let announcing = [
        "--cluster-enabled",
        "yes",
        "--cluster-announce-ip",
        ELSEWHERE,
    ];
    let node = RedisServer::start_over(None, RedisOptions::default(), &announcing);
    assert_eq!(node.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]), "OK");
    let secret = Some(Secret::new("Pq71xTz"));
    assert_eq!(
        node.cli(&[
            "ACL", "SETUSER", "shop", "on", ">Pq71xTz", "~*", "&*", "+@all"
        ]),
        "OK"
    );
    let cluster = RedisConfig {
        cluster_mode: true,
        username: Some("shop".to_owned()),
        password: secret.clone(),
        tls: TlsConfig::NONE,
        ..node.config(COMMAND_TIMEOUT)
    };
    let (mut sentinel, port, _dir) = sentinel_of_another_machine();
    let sentinels = RedisConfig {
        sentinel: Some(SentinelConfig {
            addresses: vec![("127.0.0.1".to_owned(), port)],
            master: "shop".to_owned(),
            username: None,
            password: None,
        }),
        cluster_mode: false,
        ..cluster.clone()
    };
    wait_until("the Sentinel answers", COMMAND_TIMEOUT, || async {
        !refused(&sentinels).await.1.contains("names the primary")
    })
    .await;
    for config in [&cluster, &sentinels] {
        let (is_refused, told) = refused(config).await;
        assert!(
            is_refused && told.contains("ALLOW_PASSWORDS_IN_CLEAR"),
            "{told}"
        );
        assert!(
            told.contains(ELSEWHERE) && !told.contains("Pq71xTz"),
            "{told}"
        );
        let permitted = RedisConfig {
            passwords_in_clear: true,
            command_timeout: Duration::from_millis(200),
            ..config.clone()
        };
        assert!(!refused(&permitted).await.0, "it is permitted");
    }
    let _ = sentinel.kill();
    let _ = sentinel.wait();
}

#[tokio::test]
async fn a_sale_over_tls_with_a_client_s_certificate() {
    let certificates = Certificates::make();
    let (server, port) = server(&certificates, "yes");
    let tls = TlsConfig {
        mode: TlsMode::VerifyFull,
        ca_file: Some(certificates.path("ca.crt")),
        identity: None,
    };
    let nobody = connect(&config(&server, port, tls.clone())).await;
    assert!(nobody.is_err(), "a client without a certificate was let in");
    let identity = (
        certificates.path("client.crt"),
        certificates.path("client.key"),
    );
    let known = TlsConfig {
        identity: Some(identity.clone()),
        ..tls
    };
    let redis = config(&server, port, known);
    let mut system = Servers::of(TestDatabase::create().await, None, redis, kafka::config()).await;
    for (name, value) in [
        ("REDIS_TLS", "verify-full".to_owned()),
        ("REDIS_CA_FILE", certificates.path("ca.crt")),
        ("REDIS_CERT_FILE", identity.0),
        ("REDIS_KEY_FILE", identity.1),
    ] {
        system.environment.insert(name.to_owned(), value);
    }
    let (api, _worker) = (system.serve().await, system.work().await);
    let (sale, _) = system.sale(5).await;
    api.wait_until_open(&system, sale).await;
    for shopper in &system.shoppers(5).await {
        assert_eq!(api.attempt(sale, shopper).await.0, 200);
    }
    assert_eq!(system.check_promises(sale).await.orders, 5);
}
