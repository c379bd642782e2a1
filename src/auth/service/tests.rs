//! Registering and logging in, over accounts in memory.

use std::time::Duration;

use super::*;
use crate::{
    auth::{Identity, PasswordError, accounts::Accounts},
    clock::SystemClock,
    config::{AuthConfig, Secret},
};

fn auth() -> (Auth, Arc<Tokens>) {
    let config = AuthConfig {
        jwt_secret: Secret::new("a secret of the tests, with more than 32 bytes"),
        token_ttl: Duration::from_mins(1),
        password_memory_kib: 64,
        password_passes: 1,
        password_threads: 1,
        password_queue: 1,
    };
    let tokens = Arc::new(Tokens::new(&config));
    let passwords = Passwords::new(&config).unwrap();
    let auth = Auth::new(
        Arc::new(Accounts::default()),
        passwords,
        Arc::clone(&tokens),
        Arc::new(SystemClock),
    );
    (auth, tokens)
}

async fn register(auth: &Auth, username: &str, email: &str) -> Result<Account, AuthError> {
    let [username, email, password] = [username, email, "secret"].map(|text| Some(text.to_owned()));
    auth.register(RegistrationForm {
        username,
        email,
        password,
        full_name: None,
    })
    .await
}

async fn login(auth: &Auth, username: &str, password: &str) -> Result<Session, AuthError> {
    let [username, password] = [username, password].map(|text| Some(text.to_owned()));
    auth.login(LoginForm { username, password }).await
}

#[tokio::test]
async fn who_registers_can_log_in() {
    let (auth, tokens) = auth();
    let account = register(&auth, "User1", "user1@example.com").await.unwrap();
    let session = login(&auth, "user1", "secret").await.ok().unwrap();
    assert_eq!(session.user, account.user);
    assert_eq!(
        tokens.verify(&session.token),
        Ok(Identity {
            user: account.user,
            role: Role::User
        })
    );
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
