//! Checks that apply in production only: secrets that are known or easy to guess, passwords sent unencrypted, and accounts with
//! known passwords are refused. Each problem names its setting, and is reported together with all others of the configuration.

use super::{Config, Intent, reader::Reader};

/// The secret of tokens where none is set, as in config/default.toml.
const DEFAULT_JWT_SECRET: &str = "your-secret-key-change-in-production";
/// Shortest token secret, in bytes: RFC 7518, 3.2, requires a key of at least the size of the hash.
const SECRET_BYTES: usize = 32;
/// Smallest number of different bytes in a secret. The probability that 32 random hexadecimal digits have fewer is 1 in 28
/// million.
const SECRET_VARIETY: usize = 8;
/// A secret must not repeat a text of fewer bytes than this: the repetition does not make it harder to guess.
const SECRET_PERIOD: usize = 16;

/// Parts of the secrets in examples of this project, of the original service, and of others, in lower case.
const EXAMPLE_SECRETS: &[&str] = &[
    "your-secret-key",
    "your_secret_key",
    "your-super-secret",
    "your-256-bit-secret",
    "change-in-production",
    "change-me",
    "change_me",
    "changeme",
    "secret-key-here",
];

/// The default password, those of container images and guides, and those that attackers try first, in lower case.
const KNOWN_PASSWORDS: &[&str] = &[
    "postgres1",
    "postgres",
    "postgres123",
    "postgresql",
    "password",
    "password1",
    "password123",
    "passw0rd",
    "admin",
    "admin123",
    "root",
    "secret",
    "test",
    "example",
    "changeme",
    "change-me",
    "change_me",
    "mysecretpassword",
    "your-password",
    "your_password",
    "flashsale",
    "flash_sale",
    "flash-sale",
    "123456",
    "12345678",
    "123456789",
    "qwerty",
    "letmein",
];

/// The reason why a secret is too weak to sign tokens with; `None` if it is strong enough.
#[must_use]
pub fn weakness_of_secret(secret: &str) -> Option<String> {
    let bytes = secret.as_bytes();
    let lower = secret.to_ascii_lowercase();
    if EXAMPLE_SECRETS
        .iter()
        .any(|example| lower.contains(example))
    {
        return Some("is an example, which everybody knows".to_owned());
    }
    if bytes.len() < SECRET_BYTES {
        return Some(format!(
            "has {} bytes; it must have {SECRET_BYTES} or more",
            bytes.len()
        ));
    }
    let mut distinct = bytes.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < SECRET_VARIETY {
        return Some(format!(
            "has {} different bytes; it must have {SECRET_VARIETY} or more",
            distinct.len()
        ));
    }
    let repeats = |period: usize| {
        bytes
            .iter()
            .zip(bytes.iter().skip(period))
            .all(|(a, b)| a == b)
    };
    (1..SECRET_PERIOD)
        .any(repeats)
        .then(|| "repeats a shorter text".to_owned())
}

/// True for a password that attackers try first. False for an empty one, which means that the login uses another method.
#[must_use]
pub fn is_known_password(password: &str) -> bool {
    KNOWN_PASSWORDS.contains(&password.to_ascii_lowercase().as_str())
}

/// Adds the problems that production refuses to those of `read`. They stop every command, whichever settings it uses; only a secret of
/// tokens that is not set stops the commands that use it: workers and migrations need not be given one.
pub(super) fn check(config: &Config, intent: Intent, read: &mut Reader) {
    let is_set = read.text("auth.jwt_secret") != DEFAULT_JWT_SECRET;
    if is_set {
        read.concern_all();
    } else {
        read.note_missing("auth.jwt_secret");
    }
    if let Some(weakness) = weakness_of_secret(config.auth.jwt_secret.reveal()) {
        read.problem(
            "auth.jwt_secret",
            &format!(
                "{weakness}; production needs one of its own, e.g. from `openssl rand -base64 32`"
            ),
        );
    }
    read.concern_all();
    if let Some(previous) = &config.auth.jwt_secret_previous {
        if let Some(weakness) = weakness_of_secret(previous.reveal()) {
            read.problem(
                "auth.jwt_secret_previous",
                &format!("{weakness}; whoever has it can forge a token until it is removed"),
            );
        }
        if previous.reveal() == config.auth.jwt_secret.reveal() {
            read.problem(
                "auth.jwt_secret_previous",
                "is the same as JWT_SECRET; it is for the secret before that one",
            );
        }
    }
    if intent.demo_accounts {
        read.problem(
            "server.environment",
            "is production, where `seed` would make admin with the password admin123, which everybody knows (--force makes it all the same)",
        );
    }
    if !intent.embedded {
        check_servers(config, read);
    }
}

fn check_servers(config: &Config, read: &mut Reader) {
    let postgres = &config.postgres;
    let password = postgres.password.reveal();
    let is_own_name = [&postgres.user, &postgres.database]
        .iter()
        .any(|name| name.eq_ignore_ascii_case(password));
    if is_known_password(password) || is_own_name {
        read.problem(
            "postgres.password",
            "is the default, an obvious one, or the name of the user or database; production needs one of its own",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ConfigErrors, Secret, Sources},
        *,
    };

    const GOOD: &[(&str, &str)] = &[
        ("NODE_ENV", "production"),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ("POSTGRES_PASSWORD", "Kd93hSl-own"),
    ];

    fn load(intent: Intent, variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        let all = GOOD.iter().chain(variables);
        Config::load(&Sources {
            variables: all
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            intent,
            ..Sources::default()
        })
    }

    /// The problems of a production configuration with these variables.
    fn problems(variables: &[(&str, &str)]) -> Vec<String> {
        load(Intent::default(), variables).map_or_else(|errors| errors.0, |_| Vec::new())
    }

    #[test]
    fn all_refusals_are_reported_at_once() {
        let variables = [
            ("JWT_SECRET", "your-secret-key-change-in-production"),
            ("POSTGRES_PASSWORD", "postgres1"),
            ("KAFKA_BROKERS", "kafka.example:9092"),
            ("KAFKA_TLS", "disable"),
            ("KAFKA_SASL_MECHANISM", "PLAIN"),
            ("KAFKA_SASL_USERNAME", "shop"),
            ("KAFKA_SASL_PASSWORD", "Pq71xTz"),
        ];
        let intent = Intent {
            demo_accounts: true,
            ..Intent::default()
        };
        let errors = load(intent, &variables).unwrap_err();
        assert_eq!(errors.0.len(), 4, "{errors}");
        let text = errors.to_string();
        for expected in [
            "JWT_SECRET",
            "POSTGRES_PASSWORD",
            "KAFKA_SASL_MECHANISM",
            "seed",
            "--force",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        for secret in ["postgres1", "Pq71xTz", "your-secret"] {
            assert!(!text.contains(secret), "{text}");
        }
        // Development accepts all of them but the password in clear.
        let development = [&variables[..], &[("NODE_ENV", "development")]].concat();
        let errors = load(intent, &development).unwrap_err();
        assert_eq!(errors.0.len(), 1, "{errors}");
        assert!(
            errors.to_string().contains("KAFKA_SASL_MECHANISM"),
            "{errors}"
        );
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused() {
        let long = "x9".repeat(40);
        for (weak, why) in [
            ("your-secret-key-change-in-production", "example"),
            ("My-Company-CHANGE-ME-9a8b7c6d5e4f3a2b1c", "example"),
            ("0123456789abcdef0123456789abcde", "31 bytes"),
            (&"a".repeat(32), "1 different"),
            (&"ab".repeat(64), "2 different"),
            (&long, "2 different"),
            (&"password".repeat(4), "7 different"),
            (&"12345678".repeat(5), "repeats"),
            (&"0123456789".repeat(4), "repeats"),
        ] {
            let reported = problems(&[("JWT_SECRET", weak)]);
            assert!(
                reported.len() == 1
                    && reported[0].contains("JWT_SECRET")
                    && reported[0].contains(why),
                "{weak}: {reported:?}"
            );
            assert!(
                !reported[0].contains(weak),
                "a secret shows in {reported:?}"
            );
        }
        for good in [
            "0123456789abcdef0123456789abcdef",
            "8KQ2m1uB3v9xq0cJ7nZr5tYwLhGfDsAa",
            "correct horse battery staple, and more of it",
        ] {
            assert_eq!(problems(&[("JWT_SECRET", good)]), [""; 0], "{good}");
        }
    }

    #[test]
    fn the_previous_secret_is_as_strong_and_another_one() {
        let with = |previous| problems(&[("JWT_SECRET_PREVIOUS", previous)]);
        assert_eq!(with("8KQ2m1uB3v9xq0cJ7nZr5tYwLhGfDsAa"), [""; 0]);
        for (wrong, why) in [
            ("your-secret-key-change-in-production", "example"),
            ("0123456789abcdef0123456789abcdef", "the same"),
        ] {
            let told = with(wrong);
            assert!(
                told.len() == 1 && told[0].contains("JWT_SECRET_PREVIOUS") && told[0].contains(why),
                "{told:?}"
            );
        }
        let both = [
            ("NODE_ENV", "development"),
            ("JWT_SECRET_PREVIOUS", "another"),
        ];
        let config = load(Intent::default(), &both).unwrap();
        let previous = config.auth.jwt_secret_previous;
        assert_eq!(previous.as_ref().map(Secret::reveal), Some("another"));
    }

    #[test]
    fn a_database_password_that_can_be_guessed_is_refused() {
        for weak in [
            "postgres1",
            "Postgres",
            "password",
            "admin123",
            "changeme",
            "shopdb",
            "SHOP",
        ] {
            let variables = [
                ("POSTGRES_PASSWORD", weak),
                ("POSTGRES_USER", "shop"),
                ("POSTGRES_DB", "shopdb"),
            ];
            let reported = problems(&variables);
            assert!(
                reported.len() == 1 && reported[0].contains("POSTGRES_PASSWORD"),
                "{weak}: {reported:?}"
            );
        }
        // The embedded engines use no database, and so no password.
        let embedded = Intent {
            embedded: true,
            ..Intent::default()
        };
        assert!(load(embedded, &[("POSTGRES_PASSWORD", "postgres1")]).is_ok());
    }
}
