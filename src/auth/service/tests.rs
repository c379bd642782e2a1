//! Registering and logging in, over accounts in memory.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::mpsc,
    time::Duration,
};

use super::*;
use crate::{
    auth::{
        PasswordError,
        accounts::{Accounts, directory},
    },
    clock::SystemClock,
    config::{AuthConfig, LimitsConfig, Secret},
    lifecycle::Lifecycle,
    port::{NewUser, Role},
};

/// Where the tests are.
fn here() -> Network {
    Network::from(IpAddr::from(Ipv4Addr::LOCALHOST))
}

fn auth() -> (Auth, Arc<Tokens>) {
    auth_with(&LimitsConfig {
        logins_per_address: 0,
        failed_logins_per_account: 0,
        registrations_per_address: 0,
        registrations_per_account: 0,
        attempts_per_user: 0,
        loopback: true,
        attempts_per_address: 0,
    })
}

fn auth_with(limits: &LimitsConfig) -> (Auth, Arc<Tokens>) {
    let config = AuthConfig {
        jwt_secret: Secret::new("a secret of the tests, with more than 32 bytes"),
        jwt_secret_previous: None,
        token_ttl: Duration::from_mins(1),
        password_memory_kib: 64,
        password_passes: 1,
        password_threads: 1,
        password_queue: 2,
        password_blocklist: false,
    };
    let tokens = Arc::new(Tokens::new(&config));
    let passwords = Passwords::new(&config).unwrap();
    let accounts = Arc::new(Accounts::default());
    let auth = Auth::new(
        accounts.clone(),
        accounts.clone(),
        directory(&Lifecycle::default(), accounts),
        AuthLimits::new(limits),
        passwords,
        Arc::clone(&tokens),
        Arc::new(SystemClock),
    );
    (auth, tokens)
}

async fn register(auth: &Auth, username: &str, email: &str) -> Result<Account, AuthError> {
    let [username, email, password] = [username, email, "secret"].map(|text| Some(text.to_owned()));
    let form = RegistrationForm {
        username,
        email,
        password,
        full_name: None,
    };
    auth.register(form, here()).await
}

async fn login(auth: &Auth, username: &str, password: &str) -> Result<LoginSession, AuthError> {
    let [username, password] = [username, password].map(|text| Some(text.to_owned()));
    auth.login(LoginForm { username, password }, here()).await
}

#[tokio::test]
async fn who_registers_can_log_in() {
    let (auth, tokens) = auth();
    let account = register(&auth, "User1", "user1@example.com").await.unwrap();
    let session = login(&auth, "user1", "secret").await.ok().unwrap();
    assert_eq!(session.user, account.user);
    let identity = tokens.verify(&session.token).unwrap();
    assert_eq!((identity.user, identity.role), (account.user, Role::User));
}

#[tokio::test]
async fn names_and_addresses_are_taken_once() {
    let (auth, _) = auth();
    register(&auth, "user1", "user1@example.com").await.unwrap();
    assert!(matches!(
        register(&auth, "USER1", "other@example.com").await,
        Err(AuthError::UsernameTaken)
    ));
    assert!(matches!(
        register(&auth, "user2", "USER1@example.com").await,
        Err(AuthError::EmailTaken)
    ));
}

#[tokio::test]
async fn no_failed_login_tells_whether_there_is_an_account() {
    let (auth, _) = auth();
    register(&auth, "user1", "user1@example.com").await.unwrap();
    let huge = "x".repeat(10_000);
    for (username, password) in [
        ("user1", "Secret"),
        ("user2", "secret"),
        ("user1", &huge),
        (&huge, "secret"),
        ("user1\0", "secret"),
        ("a", "b"),
    ] {
        let answer = login(&auth, username, password).await;
        assert!(
            matches!(answer, Err(AuthError::WrongCredentials)),
            "{username:.10} {password:.10}"
        );
    }
}

#[tokio::test]
async fn a_login_costs_a_hash_even_without_an_account() {
    let (auth, _) = auth();
    auth.passwords.fill();
    let huge = "x".repeat(10_000);
    for (username, password) in [("nobody", "secret"), ("a", "secret"), ("nobody", &huge)] {
        let answer = login(&auth, username, password).await;
        assert!(
            matches!(answer, Err(AuthError::Password(PasswordError::Busy))),
            "{username}"
        );
    }
}

fn limits() -> LimitsConfig {
    LimitsConfig {
        logins_per_address: 0,
        failed_logins_per_account: 3,
        registrations_per_address: 3,
        registrations_per_account: 3,
        attempts_per_user: 0,
        loopback: true,
        attempts_per_address: 0,
    }
}

#[tokio::test]
async fn too_many_wrong_passwords_are_told_so_whether_there_is_an_account_or_not() {
    let (auth, _) = auth_with(&limits());
    register(&auth, "user1", "user1@example.com").await.unwrap();
    for username in ["user1", "nobody"] {
        for _ in 0..3 {
            let answer = login(&auth, username, "wrong").await;
            assert!(matches!(answer, Err(AuthError::WrongCredentials)));
        }
        for password in ["wrong", "secret"] {
            let answer = login(&auth, username, password).await;
            let Err(AuthError::TooMany(refused)) = answer else {
                panic!("{username} is let in")
            };
            // Three in 15 minutes: one comes back every five.
            let wait = refused.retry_after;
            assert!(wait > Duration::from_secs(290) && wait <= Duration::from_mins(5));
        }
    }
}

#[tokio::test]
async fn right_passwords_are_never_too_many_for_the_account() {
    let (auth, _) = auth_with(&limits());
    register(&auth, "user1", "user1@example.com").await.unwrap();
    assert!(login(&auth, "user1", "wrong").await.is_err());
    for _ in 0..50 {
        assert!(login(&auth, "user1", "secret").await.is_ok());
    }
}

#[tokio::test]
async fn who_is_refused_costs_no_hash_and_what_is_not_hashed_is_no_failure() {
    let (auth, _) = auth_with(&limits());
    auth.passwords.fill();
    for _ in 0..50 {
        let answer = login(&auth, "user1", "secret").await;
        assert!(matches!(
            answer,
            Err(AuthError::Password(PasswordError::Busy))
        ));
    }
    for n in 0..6 {
        let answer = register(&auth, &format!("user{n}"), "user1@example.com").await;
        match answer {
            Err(AuthError::Password(PasswordError::Busy)) if n < 3 => {}
            Err(AuthError::TooMany(_)) if n >= 3 => {}
            other => panic!("{n}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_password_over_the_length_is_refused_before_it_is_hashed() {
    let (auth, _) = auth();
    auth.passwords.fill();
    let register = async |length: usize| {
        let [username, email, password] =
            ["user1", "user1@example.com", &"x".repeat(length)].map(|text| Some(text.to_owned()));
        let form = RegistrationForm {
            username,
            email,
            password,
            full_name: None,
        };
        auth.register(form, here()).await
    };
    let hashed = register(128).await;
    assert!(matches!(
        hashed,
        Err(AuthError::Password(PasswordError::Busy))
    ));
    let refused = register(129).await;
    assert!(matches!(refused, Err(AuthError::Invalid(_))), "{refused:?}");
}

/// The stored hash of an account.
async fn stored(auth: &Auth, username: &str) -> String {
    let found = auth.credentials.find_user(username).await.unwrap();
    found.unwrap().password_hash
}

#[tokio::test]
async fn an_account_of_the_original_logs_in_and_gets_a_hash_of_ours() {
    let (auth, _) = auth();
    for (username, password) in [
        ("joe@shop.com", "joe's"),
        ("ab", "x"),
        ("Lo Ser", "pässword"),
    ] {
        let account = NewUser {
            username: username.to_owned(),
            email: format!("{username}@example.com"),
            password_hash: bcrypt::hash(password, 4).unwrap(),
            full_name: None,
        };
        auth.directory.register(&account).await.unwrap();
        let wrong = login(&auth, username, "wrong").await;
        assert!(matches!(wrong, Err(AuthError::WrongCredentials)));
        assert_eq!(stored(&auth, username).await, account.password_hash);
        assert!(login(&auth, username, password).await.is_ok(), "{username}");
        let renewed = stored(&auth, username).await;
        assert!(renewed.starts_with("$argon2id$"), "{renewed}");
        assert!(login(&auth, username, password).await.is_ok());
        assert!(login(&auth, username, "wrong").await.is_err());
        assert_eq!(stored(&auth, username).await, renewed, "once");
    }
}

#[tokio::test]
async fn a_login_does_not_wait_in_the_queue_again_to_renew_its_hash() {
    let (auth, _) = auth();
    let account = NewUser {
        username: "joe".to_owned(),
        email: "joe@example.com".to_owned(),
        password_hash: bcrypt::hash("secret", 4).unwrap(),
        full_name: None,
    };
    auth.directory.register(&account).await.unwrap();
    let (end_first, first) = mpsc::channel();
    let (end_last, last) = mpsc::channel();
    // One thread, and who waits for it has it in this order.
    let is_queued = async |free| {
        let queued = async {
            while auth.passwords.free_places() > free {
                tokio::task::yield_now().await;
            }
        };
        let patience = Duration::from_secs(5);
        tokio::time::timeout(patience, queued).await.unwrap();
    };
    let queue = async {
        is_queued(2).await;
        let login = login(&auth, "joe", "secret");
        let others = async {
            is_queued(1).await;
            let last = auth.passwords.occupy(last);
            let start = async {
                is_queued(0).await;
                drop(end_first);
            };
            tokio::join!(last, start).0
        };
        let in_time = async {
            let session = tokio::time::timeout(Duration::from_secs(5), login).await;
            drop(end_last);
            session
        };
        tokio::join!(in_time, others)
    };
    let (occupied, (session, others)) = tokio::join!(auth.passwords.occupy(first), queue);
    assert!(occupied.is_ok() && others.is_ok());
    let session = session.expect("the login has its answer while another password is hashed");
    assert!(session.is_ok());
    assert_eq!(stored(&auth, "joe").await, account.password_hash);
    assert!(login(&auth, "joe", "secret").await.is_ok());
    let renewed = stored(&auth, "joe").await;
    assert!(renewed.starts_with("$argon2id$"), "{renewed}");
}

#[tokio::test]
async fn an_account_without_a_hash_is_no_error_and_nobody_s() {
    let (auth, _) = auth();
    let account = NewUser {
        username: "nobody".to_owned(),
        email: "nobody@example.com".to_owned(),
        password_hash: "-".to_owned(),
        full_name: None,
    };
    auth.directory.register(&account).await.unwrap();
    for password in ["-", "secret"] {
        let refused = login(&auth, "nobody", password).await;
        assert!(matches!(refused, Err(AuthError::WrongCredentials)));
    }
}
