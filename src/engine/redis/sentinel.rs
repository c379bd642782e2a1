//! Finds the primary by asking the Sentinels one after the other, each with a time limit.

use super::{
    client::{Address, ConnectError, Login},
    failure,
    opening::open_session,
    reply,
    session::Session,
};
use crate::config::{RedisConfig, SentinelConfig};

/// Connects to the primary that a Sentinel names. If that server accepts no writes, the Sentinel may not know of a failover yet,
/// and the next one is asked.
pub(super) async fn connect(
    config: &RedisConfig,
    probe_key: &str,
) -> Result<Session, ConnectError> {
    let Some(sentinels) = &config.sentinel else {
        return Err(ConnectError::NoPrimary("none is configured".to_owned()));
    };
    let mut last = ConnectError::NoPrimary("none is configured".to_owned());
    let mut tried = Vec::new();
    for (host, port) in &sentinels.addresses {
        let sentinel = Address::new(host.clone(), *port);
        let primary = match ask_primary(config, sentinels, &sentinel).await {
            Ok(primary) => primary,
            Err(error) => {
                last = error;
                continue;
            }
        };
        if tried.contains(&primary) {
            continue;
        }
        match open_session(config, &primary, probe_key).await {
            Ok(session) => return Ok(session),
            Err(error) => last = error,
        }
        tried.push(primary);
    }
    Err(last)
}

/// The primary's address from the first Sentinel that names one. The address is not connected to.
pub(super) async fn find(
    config: &RedisConfig,
    sentinels: &SentinelConfig,
) -> Result<Address, ConnectError> {
    let mut last = ConnectError::NoPrimary("none is configured".to_owned());
    for (host, port) in &sentinels.addresses {
        match ask_primary(config, sentinels, &Address::new(host.clone(), *port)).await {
            Ok(primary) => return Ok(primary),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks one Sentinel for the primary's address.
async fn ask_primary(
    config: &RedisConfig,
    sentinels: &SentinelConfig,
    at: &Address,
) -> Result<Address, ConnectError> {
    let login = Login {
        username: sentinels.username.as_deref(),
        password: sentinels.password.as_ref(),
    };
    let unknown = |cause: String| ConnectError::NoPrimary(format!("{at}: {cause}"));
    let session = Session::bare(config, at, login)
        .await
        .map_err(|error| match error {
            ConnectError::CredentialsRefused(cause) => ConnectError::SentinelRefuses(cause),
            ConnectError::Tls(_) | ConnectError::PasswordInClear(_) => error,
            ConnectError::Unreachable(cause) => ConnectError::NoPrimary(cause),
            other => unknown(other.to_string()),
        })?;
    let args = vec![
        "GET-MASTER-ADDR-BY-NAME".into(),
        sentinels.master.as_str().into(),
    ];
    let answer = session
        .command("SENTINEL", args, false)
        .await
        .map_err(|failed| match failure::code(&failed.error) {
            Some("NOPERM" | "NOAUTH") => {
                ConnectError::SentinelRefuses(format!("{at}: {}", failed.error.details()))
            }
            _ => unknown(failed.error.to_string()),
        })?;
    if answer.is_null() {
        return Err(unknown(format!("knows no primary {:?}", sentinels.master)));
    }
    let unreadable = |_| unknown("its answer cannot be read".to_owned());
    let parts = reply::list(answer).map_err(unreadable)?;
    let [host, port] = &parts[..] else {
        return Err(unknown("its answer cannot be read".to_owned()));
    };
    let host = reply::text(host).map_err(unreadable)?;
    let port = reply::text(port).map_err(unreadable)?;
    port.parse()
        .map(|port| Address::new(host, port))
        .map_err(|_| unknown("its answer cannot be read".to_owned()))
}
