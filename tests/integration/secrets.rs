//! Secrets that are planted in settings, in whole and in broken forms, show in nothing that is printed.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::{process::Process, system::OneProcess};

/// Part of every planted secret.
const PLANTED: &str = "pl4nted";

/// The settings that are secrets.
const SECRETS: [&str; 7] = [
    "JWT_SECRET",
    "JWT_SECRET_PREVIOUS",
    "POSTGRES_PASSWORD",
    "ORIGINAL_POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "REDIS_SENTINEL_PASSWORD",
    "KAFKA_SASL_PASSWORD",
];

/// Servers at ports where nobody listens, with every way to log in.
fn environment() -> BTreeMap<String, String> {
    let mut environment = OneProcess::environment();
    for (name, value) in [
        ("STARTUP_TIMEOUT_SECS", "1"),
        ("KAFKA_SASL_MECHANISM", "PLAIN"),
        ("KAFKA_SASL_USERNAME", "flashsale"),
        ("KAFKA_SASL_PASSWORD", "other"),
        ("ALLOW_PASSWORDS_IN_CLEAR", "true"),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    environment
}

/// Runs a command in a directory.
async fn run_in(
    directory: &Path,
    arguments: &[&str],
    environment: &BTreeMap<String, String>,
) -> (bool, String) {
    let change = format!(
        "cd '{}' && exec '{}' \"$@\"",
        directory.display(),
        env!("CARGO_BIN_EXE_flashsale")
    );
    let arguments = [&["-c", &change, "sh"], arguments].concat();
    let shell = Process::start_program("/bin/sh".as_ref(), &arguments, environment);
    shell.outcome().await
}

/// What a command says to a `.env`.
async fn with_env_file(
    content: impl AsRef<[u8]>,
    arguments: &[&str],
    more: &[(&str, &str)],
) -> (bool, String) {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(".env"), content).unwrap();
    let mut environment = environment();
    environment.extend(
        more.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    for (name, _) in more.iter().filter(|(_, value)| value.is_empty()) {
        environment.remove(*name);
    }
    run_in(home.path(), arguments, &environment).await
}

const LOOK: [&str; 5] = [
    "migrate",
    "status",
    "--embedded",
    "--data-dir",
    "nothing-here",
];

#[tokio::test]
async fn a_broken_line_of_env_says_its_name_and_shows_no_value() {
    for name in SECRETS {
        for broken in [
            format!("{name}=\"{PLANTED}"),
            format!("{name}='{PLANTED}"),
            format!("{name}=\"{PLANTED}\"{PLANTED}"),
            format!("{name} {PLANTED}"),
            format!("{name}: {PLANTED}"),
        ] {
            let content = format!("# first\n{broken}\n{PLANTED}\nREDIS_HOST={PLANTED}\n");
            let (success, said) = with_env_file(&content, &LOOK, &[]).await;
            assert!(!success, "{broken}: {said}");
            assert!(said.contains(".env, line 2"), "{broken}: {said}");
            assert!(
                said.contains(name) || broken.contains(": "),
                "{broken}: {said}"
            );
            assert!(!said.contains(PLANTED), "{broken}: {said}");
        }
    }
    let not_text = [b"POSTGRES_PASSWORD=", PLANTED.as_bytes(), b"\xff\n"].concat();
    let (_, said) = with_env_file(&not_text, &LOOK, &[]).await;
    assert!(said.contains("POSTGRES_PASSWORD is not UTF-8"), "{said}");
    assert!(!said.contains(PLANTED), "{said}");
}

#[tokio::test]
async fn values_of_env_are_literal() {
    for (line, expected) in [
        ("FLASHSALE_DATA_DIR=a$HOME-${USER}b", "a$HOME-${USER}b"),
        ("FLASHSALE_DATA_DIR=\"a$HOME\"", "a$HOME"),
        ("FLASHSALE_DATA_DIR='a$(id)'", "a$(id)"),
    ] {
        let content = format!("HOME=/replaced\nUSER=replaced\n{line}\n");
        let (_, said) = with_env_file(&content, &LOOK[..3], &[]).await;
        assert!(said.contains(expected), "{line}: {said}");
    }
}

#[tokio::test]
async fn env_is_not_read_in_production_however_that_is_spelt() {
    let broken = "JWT_SECRET='x\n";
    let secret = "0123456789abcdef0123456789ABCDEF";
    let (_, said) = with_env_file(broken, &LOOK, &[("NODE_ENV", "development")]).await;
    assert!(said.contains(".env, line 1"), "{said}");
    for variable in ["NODE_ENV", "APP_ENV"] {
        for production in ["production", "Production", "PRODUCTION", " production "] {
            let more = [(variable, production), ("JWT_SECRET", secret)];
            let (_, said) = with_env_file(broken, &LOOK, &more).await;
            assert!(!said.contains(".env"), "{variable}={production}: {said}");
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "[server]\nenvironment = \"Production\"\n").unwrap();
    let path = file.path().to_str().unwrap();
    for (arguments, more) in [
        (
            [&LOOK[..], &["--config", path]].concat(),
            ("LOG_LEVEL", "info"),
        ),
        (LOOK.to_vec(), ("FLASHSALE_CONFIG", path)),
    ] {
        let (_, said) = with_env_file(broken, &arguments, &[more]).await;
        assert!(!said.contains(".env"), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn no_broken_setting_shows_a_secret() {
    let home = tempfile::tempdir().unwrap();
    let url = format!("scheme://user:{PLANTED}@host:1/0");
    let mut said = Vec::new();
    // Addresses with a password where a host belongs.
    for name in [
        "REDIS_HOST",
        "POSTGRES_HOST",
        "HOST",
        "WORKER_HOST",
        "KAFKA_BROKERS",
        "REDIS_SENTINELS",
        "FRONTEND_URL",
        "API_BASE_URL",
        "TRUSTED_PROXIES",
        "PORT",
        "JWT_EXPIRES_IN",
        "NODE_ENV",
        "FLASH_SALE_START_TIME",
        "REDIS_PORT",
        "POSTGRES_PORT",
        "KAFKA_TLS",
    ] {
        let mut environment = environment();
        environment.insert(name.to_owned(), url.clone());
        environment.insert("REDIS_SENTINEL_MASTER".to_owned(), "mymaster".to_owned());
        if name != "REDIS_SENTINELS" {
            environment.remove("REDIS_SENTINEL_MASTER");
        }
        for command in [&["serve"][..], &["stress"], &["work"]] {
            let (success, output) = run_in(home.path(), command, &environment).await;
            assert!(!success, "{name}: {output}");
            said.push((name, output));
        }
    }
    // Files of secrets.
    let long = vec![b'x'; 70_000];
    for (content, what) in [
        ([PLANTED.as_bytes(), b"\xff"].concat(), "is not UTF-8"),
        ([PLANTED.as_bytes(), &long[..]].concat(), "cannot be read"),
        ([PLANTED.as_bytes(), b"\0"].concat(), "NUL"),
    ] {
        let path = home.path().join("secret");
        fs::write(&path, content).unwrap();
        for name in SECRETS {
            let mut environment = environment();
            environment.remove(name);
            environment.insert(format!("{name}_FILE"), path.display().to_string());
            let (success, output) = run_in(home.path(), &["serve"], &environment).await;
            assert!(!success && output.contains(what), "{name}: {output}");
            said.push((name, output));
        }
    }
    // A configuration file that is no TOML.
    let file = home.path().join("config.toml");
    for broken in [
        format!("[postgres]\npassword = \"{PLANTED}\n"),
        format!("[postgres]\npassword = {PLANTED}\n"),
        format!("[postgres]\npassword {PLANTED}\n"),
        format!("[postgres]\npassword = '{PLANTED}' {PLANTED}\n"),
        format!("[postgres]\npassword = \"\"\"{PLANTED}\nport = 5\n"),
        format!("[postgres]\npassword = [\"{PLANTED}\"]\n"),
        format!("[postgres]\npassword = \"\\q{PLANTED}\"\n"),
    ] {
        fs::write(&file, &broken).unwrap();
        let arguments = ["--config", file.to_str().unwrap(), "serve"];
        let (success, output) = run_in(home.path(), &arguments, &environment()).await;
        assert!(
            !success && output.contains("config.toml"),
            "{broken}: {output}"
        );
        said.push(("config.toml", output));
    }
    for (name, output) in said {
        assert!(!output.contains(PLANTED), "{name}: {output}");
    }
}

#[tokio::test]
async fn no_command_shows_the_secrets_that_it_uses() {
    let home = tempfile::tempdir().unwrap();
    let mut environment = environment();
    for name in SECRETS {
        environment.insert(
            name.to_owned(),
            format!("{PLANTED}-{name}-0123456789abcdef"),
        );
    }
    let token = home.path().join("token");
    fs::write(&token, format!("{{\"{PLANTED}\": broken json\n")).unwrap();
    environment.insert("LOG_LEVEL".to_owned(), "debug".to_owned());
    let bearer = {
        let mut environment = environment.clone();
        environment.insert("KAFKA_SASL_MECHANISM".to_owned(), "OAUTHBEARER".to_owned());
        environment.insert(
            "KAFKA_SASL_TOKEN_FILE".to_owned(),
            token.display().to_string(),
        );
        environment
    };
    for environment in [&environment, &bearer] {
        for command in [
            &["doctor"][..],
            &["doctor", "--json"],
            &["serve"],
            &["work"],
            &["migrate"],
            &["seed"],
            &["audit"],
            &["dead-letters", "list"],
            &["stress", "--mint-tokens"],
            &["import", "--from-original", "elsewhere"],
        ] {
            let (success, output) = run_in(home.path(), command, environment).await;
            assert!(!success, "{command:?}: {output}");
            assert!(!output.contains(PLANTED), "{command:?}: {output}");
        }
    }
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn a_token_is_good_for_a_minute_to_thirty_days() {
    for (lifetime, is_taken) in [
        ("1m", true),
        ("30d", true),
        ("24h", true),
        ("59s", false),
        ("0s", false),
        ("31d", false),
        ("1000years", false),
        ("3600", false),
        ("99999999999999999999y", false),
        ("-1h", false),
    ] {
        let (_, said) = with_env_file("", &["serve"], &[("JWT_EXPIRES_IN", lifetime)]).await;
        let is_refused = said.contains("JWT_EXPIRES_IN");
        assert_eq!(is_refused, !is_taken, "{lifetime}: {said}");
        assert!(is_taken || said.contains("from 1m to 30days"), "{said}");
    }
}
