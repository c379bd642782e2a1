//! Redis over TLS: what is trusted, what is refused, and what the error messages name.

use std::time::Duration;

use flashsale::{
    config::{RedisConfig, TlsConfig, TlsMode},
    engine::redis::{ConnectError, RedisGate},
    port::GateProbe,
};

use crate::support::{
    kafka,
    postgres::TestDatabase,
    redis::{RedisOptions, RedisServer},
    redis_topology::Certificates,
    system::{Servers, System},
    wire::Wire,
};

const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// A server that speaks TLS on one port and plain text on another, which only this file's `redis-cli` uses.
fn server(certificates: &Certificates, clients: &str) -> (RedisServer, u16) {
    let port = crate::support::process::free_port();
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
