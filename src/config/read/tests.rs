//! Settings as users give them, and what is said about wrong ones.

use std::time::Duration;

use super::super::{
    Config, ConfigErrors, PostgresConfig, Sources, TlsMode, VARIABLES, sources::SECRETS,
};

fn with(variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Config::load(&Sources {
        variables,
        ..Sources::default()
    })
}

#[test]
fn the_defaults_are_the_original_s() {
    let config = with(&[]).unwrap();
    assert_eq!(
        (config.server.port, config.redis.port, config.postgres.port),
        (3000, 6379, 5433)
    );
    assert_eq!(config.kafka.brokers, ["localhost:9092"]);
    assert_eq!(config.kafka.topic, "flashsale.attempts");
    assert_eq!(config.kafka.dead_letter_topic, "flashsale.attempts.dlq");
    assert_eq!(config.kafka.consumer_group, "flash-sale-worker-group");
    assert_eq!(config.auth.token_ttl, Duration::from_hours(24));
    assert_eq!(
        (config.sale.total_stock, config.worker.enabled),
        (1000, true)
    );
}

/// The variables of the original's README, which are those of its `.env.example`, and of its stress client.
#[test]
fn the_env_file_of_the_original_is_taken_as_it_is_shipped() {
    let config = with(&[
        ("PORT", "3000"),
        ("NODE_ENV", "development"),
        ("REDIS_HOST", "localhost"),
        ("REDIS_PORT", "6379"),
        ("REDIS_PASSWORD", ""),
        ("REDIS_CLUSTER_MODE", "false"),
        ("KAFKA_BROKERS", "localhost:9092"),
        ("KAFKA_CLIENT_ID", "flash-sale-api"),
        ("KAFKA_TOPIC_FLASH_SALE_ATTEMPTS", "flashsale.attempts"),
        ("KAFKA_CONSUMER_GROUP", "flash-sale-worker-group"),
        ("POSTGRES_HOST", "localhost"),
        ("POSTGRES_PORT", "5433"),
        ("POSTGRES_USER", "postgres1"),
        ("POSTGRES_PASSWORD", "postgres1"),
        ("POSTGRES_DB", "flash_sale"),
        ("FLASH_SALE_START_TIME", "2024-01-01T00:00:00Z"),
        ("FLASH_SALE_END_TIME", "2024-01-01T23:59:59Z"),
        ("FLASH_SALE_PRODUCT_ID", "flash-sale-product-001"),
        ("FLASH_SALE_TOTAL_STOCK", "1000"),
        ("JWT_SECRET", "your-secret-key-change-in-production"),
        ("JWT_EXPIRES_IN", "24h"),
        ("ENABLE_CONSUMER", "true"),
        ("STRESS_TEST_USERS", "100"),
        ("STRESS_TEST_CONCURRENT", "50"),
    ]);
    assert_eq!(config.unwrap().sale.product_sku, "FLASH-001");
}

#[test]
fn origins_of_pages_are_taken_as_a_policy_spells_them() {
    let pages = with(&[
        ("PAGE_IMAGE_ORIGINS", "https: http://127.0.0.1:9000"),
        ("PAGE_FRAME_ANCESTORS", "'self' https://*.shop.example"),
    ]);
    let pages = pages.unwrap().server.pages;
    assert_eq!(pages.image_origins, ["https:", "http://127.0.0.1:9000"]);
    assert_eq!(pages.frame_ancestors, ["'self'", "https://*.shop.example"]);
    for wrong in [
        "shop.example",
        "https://a.example/path",
        "https://a.example;script-src",
        "https://a.example,https://b.example",
        "'unsafe-inline'",
        "https://",
        "*",
    ] {
        for setting in ["PAGE_IMAGE_ORIGINS", "PAGE_FRAME_ANCESTORS"] {
            let problems = with(&[(setting, wrong)]).unwrap_err();
            assert!(problems.0[0].contains(setting), "{wrong}: {problems}");
        }
    }
}

#[test]
fn every_setting_has_a_variable_and_its_comment_names_it() {
    let defaults = super::super::sources::DEFAULTS;
    let (texts, problems) = Sources::default().texts();
    assert_eq!(problems, []);
    assert_eq!(texts.len(), VARIABLES.len());
    for (setting, names) in VARIABLES {
        assert!(texts.contains_key(*setting), "{setting}");
        let key = setting.split('.').nth(1).unwrap();
        for name in *names {
            let found = defaults
                .lines()
                .any(|line| line.starts_with(&format!("{key} =")) && line.contains(name));
            assert!(found, "{setting}: {name} is not in its comment");
        }
    }
}

#[test]
fn all_problems_are_reported_at_once_by_the_variable_s_name() {
    let errors = with(&[
        ("PORT", "70000"),
        ("ENABLE_CONSUMER", "yes"),
        ("KAFKA_BROKERS", "kafka:nine"),
        ("JWT_EXPIRES_IN", "3600"),
        ("FLASH_SALE_START_TIME", "noon"),
        ("FRONTEND_URL", "shop.example"),
    ])
    .unwrap_err();
    let named = [
        "PORT",
        "ENABLE_CONSUMER",
        "KAFKA_BROKERS",
        "JWT_EXPIRES_IN",
        "FLASH_SALE_START_TIME",
        "FRONTEND_URL",
    ];
    assert_eq!(errors.0.len(), named.len(), "{errors}");
    for name in named {
        assert!(errors.to_string().contains(name), "{name} in {errors}");
    }
}

#[test]
fn over_tls_the_ipv6_address_of_a_broker_is_refused() {
    let brokers = |tls| with(&[("KAFKA_BROKERS", "kafka,[::1]:9093"), ("KAFKA_TLS", tls)]);
    assert!(brokers("disable").is_ok());
    let refused = brokers("require").unwrap_err().to_string();
    assert!(refused.contains("KAFKA_BROKERS"), "{refused}");
    assert!(refused.contains("not as ::1"), "{refused}");
}

#[test]
fn a_wrong_setting_stops_only_commands_that_use_it() {
    let variables = [
        ("FLASH_SALE_START_TIME", "noon"),
        ("PORT", "x"),
        ("JWT_EXPIRES_IN", "soon"),
    ];
    let sources = Sources {
        variables: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..Sources::default()
    };
    let stopped_by = |used: &[&str]| match Config::load_for(&sources, used) {
        Ok((_, unused)) => (0, unused.len()),
        Err(errors) => (errors.0.len(), 0),
    };
    assert_eq!(stopped_by(&["postgres."]), (0, 3));
    assert_eq!(stopped_by(&["postgres.", "server."]), (1, 0));
    assert_eq!(stopped_by(&["sale.", "auth."]), (2, 0));
    assert_eq!(stopped_by(&["sale.result_ttl_secs"]), (0, 3));
    assert_eq!(stopped_by(&[""]), (3, 0));
    let missing = Sources {
        variables: [
            ("APP_ENV", "production"),
            ("POSTGRES_PASSWORD", "Kd93hSl-own"),
            ("REDIS_PASSWORD_FILE", "/nowhere"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        ..Sources::default()
    };
    let (_, unused) = Config::load_for(&missing, &["postgres.", "kafka."]).unwrap();
    assert!(
        unused.len() == 1 && unused[0].contains("REDIS_PASSWORD_FILE"),
        "a secret that is not needed is not missed: {unused:?}"
    );
    assert!(Config::load_for(&missing, &["postgres.", "redis."]).is_err());
    assert!(Config::load_for(&missing, &["postgres.", "auth."]).is_err());
    let unreadable = Sources {
        file: Some("/nowhere.toml".into()),
        ..Sources::default()
    };
    assert!(Config::load_for(&unreadable, &[]).is_err(), "all use it");
}

#[test]
fn in_development_limits_by_address_do_not_apply_to_this_machine() {
    let loopback = |variables: &[(&str, &str)]| {
        let mut all = vec![
            ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
            ("POSTGRES_PASSWORD", "Kd93hSl-own"),
        ];
        all.extend(variables);
        with(&all).unwrap().limits.loopback
    };
    let production = ("APP_ENV", "production");
    assert!(!loopback(&[]) && loopback(&[production]));
    assert!(loopback(&[("LIMIT_LOOPBACK", "true")]));
    assert!(!loopback(&[production, ("LIMIT_LOOPBACK", "false")]));
}

#[test]
fn trusted_proxies_are_networks_or_single_addresses() {
    let proxies = |text| with(&[("TRUSTED_PROXIES", text)]);
    let read = proxies("10.0.0.0/8, 192.0.2.7,fd00::/8 ,2001:db8::1")
        .unwrap()
        .server
        .trusted_proxies;
    let texts: Vec<_> = read.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["10.0.0.0/8", "192.0.2.7/32", "fd00::/8", "2001:db8::1/128"]
    );
    for wrong in ["balancer", "10.0.0.0/33", "10.0.0.0/8 192.0.2.7", "*"] {
        let problem = proxies(wrong).unwrap_err().to_string();
        assert!(problem.contains("TRUSTED_PROXIES"), "{problem}");
    }
    assert!(with(&[]).unwrap().server.trusted_proxies.is_empty());
}

#[test]
fn secrets_do_not_show() {
    let config = with(&[
        ("POSTGRES_PASSWORD", "hunter22"),
        ("REDIS_PASSWORD", "hunter22"),
    ])
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter22"));
}

#[test]
fn secrets_keep_the_blanks_around_them_and_other_settings_do_not() {
    let blanks = " \t x \u{a0}";
    for setting in SECRETS {
        for name in VARIABLES
            .iter()
            .filter(|(known, _)| known == setting)
            .flat_map(|(_, names)| *names)
        {
            let value = |content: &str| {
                let variables = [((*name).to_owned(), content.to_owned())].into();
                let sources = Sources {
                    variables,
                    ..Sources::default()
                };
                sources.texts().0[*setting].clone()
            };
            assert_eq!(value(blanks), blanks, "{name}");
            assert_eq!(value(" x\r\n"), " x", "{name}");
        }
    }
    let config = with(&[("POSTGRES_PASSWORD", " x "), ("POSTGRES_USER", " x ")]).unwrap();
    assert_eq!(config.postgres.password.reveal(), " x ");
    assert_eq!(config.postgres.user, "x");
}

#[test]
fn secrets_are_read_from_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("jwt"), "secret of a file\n").unwrap();
    std::fs::write(path("empty"), "\n").unwrap();
    let config = with(&[
        ("JWT_SECRET_FILE", &path("jwt")),
        ("POSTGRES_PASSWORD_FILE", &path("jwt")),
    ])
    .unwrap();
    assert_eq!(config.auth.jwt_secret.reveal(), "secret of a file");
    assert_eq!(config.postgres.password.reveal(), "secret of a file");
    for (variables, expected) in [
        (
            vec![("JWT_SECRET", "x"), ("JWT_SECRET_FILE", "/nowhere")],
            "JWT_SECRET and JWT_SECRET_FILE are both set",
        ),
        (
            vec![("REDIS_PASSWORD_FILE", "/nowhere")],
            "REDIS_PASSWORD_FILE: /nowhere cannot be read",
        ),
        (
            vec![("KAFKA_SASL_PASSWORD_FILE", path("empty").as_str())],
            "is empty",
        ),
    ] {
        let problem = with(&variables).unwrap_err().to_string();
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn in_production_the_certificate_of_a_server_on_another_machine_is_checked() {
    let secret = ("JWT_SECRET", "0123456789abcdef0123456789abcdef");
    let mode = |variables: &[(&str, &str)]| {
        let mut all = vec![secret, ("POSTGRES_PASSWORD", "Kd93hSl-own")];
        all.extend(variables);
        with(&all).unwrap().postgres.tls.mode
    };
    let production = ("APP_ENV", "production");
    let remote = ("POSTGRES_HOST", "db.example");
    assert_eq!(mode(&[production, remote]), TlsMode::VerifyFull);
    assert_eq!(
        mode(&[production, ("POSTGRES_HOST", "127.0.0.1,db.example")]),
        TlsMode::VerifyFull
    );
    assert_eq!(mode(&[remote]), TlsMode::Disable);
    assert_eq!(
        mode(&[production, ("POSTGRES_HOST", "localhost")]),
        TlsMode::Disable
    );
    assert_eq!(
        mode(&[production, remote, ("POSTGRES_TLS", "disable")]),
        TlsMode::Disable
    );
    let local = ("POSTGRES_HOST", "localhost");
    assert_eq!(
        mode(&[production, local, ("POSTGRES_TLS", "require")]),
        TlsMode::Require
    );
    assert_eq!(
        mode(&[remote, ("POSTGRES_TLS", "require")]),
        TlsMode::Require
    );
}

/// A configuration of production with these variables.
fn in_production(variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let own = [
        ("APP_ENV", "production"),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ("POSTGRES_PASSWORD", "Kd93hSl-own"),
    ];
    with(&[&own[..], variables].concat())
}

#[test]
fn production_takes_no_certificate_unchecked_from_another_machine() {
    let sentinel = ("REDIS_SENTINEL_MASTER", "shop");
    for (server, setting) in [
        (&[("POSTGRES_HOST", "db.example")][..], "POSTGRES_TLS"),
        (&[("POSTGRES_HOST", "localhost,db.example")], "POSTGRES_TLS"),
        (&[("ORIGINAL_POSTGRES_HOST", "db.old")], "POSTGRES_TLS"),
        (&[("REDIS_HOST", "redis.example")], "REDIS_TLS"),
        // These announce addresses.
        (&[("REDIS_CLUSTER_MODE", "true")], "REDIS_TLS"),
        (&[("REDIS_SENTINELS", "localhost"), sentinel], "REDIS_TLS"),
        (&[("KAFKA_BROKERS", "localhost:9092")], "KAFKA_TLS"),
    ] {
        let require = [server, &[(setting, "require")]].concat();
        let told = in_production(&require).unwrap_err();
        assert_eq!(told.0.len(), 1, "{server:?}: {told}");
        assert!(
            told.0[0].contains(setting) && told.0[0].contains("verify-full"),
            "{told}"
        );
        assert!(with(&require).is_ok(), "development takes it: {server:?}");
        let verified = [server, &[(setting, "verify-full")]].concat();
        assert!(in_production(&verified).is_ok(), "{server:?}");
    }
    let local = [("REDIS_HOST", "localhost"), ("REDIS_TLS", "require")];
    assert!(in_production(&local).is_ok());
}

#[test]
fn auto_encrypts_to_every_other_machine_also_to_those_that_are_announced() {
    let redis = |variables: &[(&str, &str)]| in_production(variables).unwrap().redis.tls.mode;
    let sentinels = |addresses| {
        redis(&[
            ("REDIS_SENTINELS", addresses),
            ("REDIS_SENTINEL_MASTER", "shop"),
        ])
    };
    let cluster = |host| redis(&[("REDIS_HOST", host), ("REDIS_CLUSTER_MODE", "true")]);
    assert_eq!(
        redis(&[("REDIS_HOST", "redis.example")]),
        TlsMode::VerifyFull
    );
    assert_eq!(redis(&[("REDIS_HOST", "127.0.0.1")]), TlsMode::Disable);
    assert_eq!(sentinels("localhost,sentinel.example"), TlsMode::VerifyFull);
    assert_eq!(sentinels("localhost,[::1]:26380"), TlsMode::VerifyOthers);
    assert_eq!(cluster("redis.example"), TlsMode::VerifyFull);
    assert_eq!(cluster("localhost"), TlsMode::VerifyOthers);
    let kafka = |brokers| {
        let config = in_production(&[("KAFKA_BROKERS", brokers)]);
        config.unwrap().kafka.tls.mode
    };
    assert_eq!(
        kafka("localhost:9092,kafka.example:9092"),
        TlsMode::VerifyFull
    );
    assert_eq!(kafka("localhost:9092,[::1]:9093"), TlsMode::VerifyOthers);
    let development = with(&[
        ("REDIS_HOST", "redis.example"),
        ("KAFKA_BROKERS", "kafka.example"),
    ])
    .unwrap();
    assert_eq!(development.redis.tls.mode, TlsMode::Disable);
    assert_eq!(development.kafka.tls.mode, TlsMode::Disable);
}

#[test]
fn kafka_gets_no_password_in_clear_in_any_environment_unless_a_setting_permits_it() {
    let variables = |mechanism, brokers, tls| {
        [
            ("KAFKA_SASL_MECHANISM", mechanism),
            ("KAFKA_BROKERS", brokers),
            ("KAFKA_TLS", tls),
            ("KAFKA_SASL_USERNAME", "shop"),
            ("KAFKA_SASL_PASSWORD", "Pq71xTz"),
            ("KAFKA_SASL_TOKEN_FILE", "/run/token"),
        ]
    };
    let remote = "localhost:9092,kafka.example:9092";
    // A broker on this machine announces other addresses, which are logged in to as well.
    let local = "127.0.0.1:9092,[::1]:9093";
    for load in [with, in_production] {
        for mechanism in ["PLAIN", "OAUTHBEARER"] {
            for (brokers, tls) in [(remote, "disable"), (local, "disable"), (local, "auto")] {
                let variables = variables(mechanism, brokers, tls);
                let told = load(&variables).unwrap_err().to_string();
                assert!(told.contains("ALLOW_PASSWORDS_IN_CLEAR"), "{told}");
                assert!(!told.contains("Pq71xTz"), "{told}");
                let permitted = [&variables[..], &[("ALLOW_PASSWORDS_IN_CLEAR", "true")]].concat();
                assert!(load(&permitted).is_ok(), "{mechanism} {brokers} {tls}");
            }
            assert!(load(&variables(mechanism, remote, "verify-full")).is_ok());
        }
        assert!(load(&variables("SCRAM-SHA-256", remote, "disable")).is_ok());
    }
    assert!(in_production(&variables("PLAIN", remote, "auto")).is_ok());
}

#[test]
fn the_connection_to_the_original_has_our_settings_unless_it_has_its_own() {
    let ours = with(&[("POSTGRES_PORT", "5432"), ("POSTGRES_USER", "shop")]).unwrap();
    let of = |config: &PostgresConfig| {
        let password = config.password.reveal().to_owned();
        (
            config.host.clone(),
            config.port,
            config.user.clone(),
            password,
        )
    };
    assert_eq!(of(&ours.original), of(&ours.postgres));
    let other = with(&[
        ("ORIGINAL_POSTGRES_HOST", "db.old"),
        ("ORIGINAL_POSTGRES_PORT", "5433"),
        ("ORIGINAL_POSTGRES_USER", "reader"),
        ("ORIGINAL_POSTGRES_PASSWORD", "secret"),
    ]);
    let expected = ("db.old".into(), 5433, "reader".into(), "secret".into());
    assert_eq!(of(&other.unwrap().original), expected);
}

#[test]
fn the_certificate_of_the_originals_server_is_checked_as_ours_is() {
    let mode = |host, tls| {
        let config = with(&[
            ("APP_ENV", "production"),
            ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
            ("POSTGRES_PASSWORD", "Kd93hSl-own"),
            ("ORIGINAL_POSTGRES_HOST", host),
            ("POSTGRES_TLS", tls),
        ]);
        let config = config.unwrap();
        (config.postgres.tls.mode, config.original.tls.mode)
    };
    let local = TlsMode::Disable;
    for host in ["127.0.0.1:5433", "[::1]:5433", "localhost,[::1]", "/run/x"] {
        assert_eq!(mode(host, "auto"), (local, local), "{host}");
    }
    for host in ["db.old", "127.0.0.1,db.old:5433"] {
        assert_eq!(mode(host, "auto"), (local, TlsMode::VerifyFull), "{host}");
        assert_eq!(mode(host, "disable"), (local, local), "{host}");
    }
    let wrong = with(&[("ORIGINAL_POSTGRES_HOST", "db"), ("POSTGRES_TLS", "yes")]);
    assert_eq!(wrong.unwrap_err().0.len(), 1, "it is told once");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    assert_eq!(with(&[("PORT", "")]).unwrap().server.port, 3000);
}
