//! Opens connections that are ready for the gate: their scripts are loaded and the rights of their user are checked.

use fred::interfaces::ClientLike;

use super::{
    client::{self, Address, ConnectError, Login},
    failure, rights,
    scripts::SCRIPTS,
    session::Session,
};
use crate::config::RedisConfig;

/// Connects, loads all scripts, and checks that the user has the permissions that the gate needs and that the server accepts
/// writes.
pub(super) async fn open_session(
    config: &RedisConfig,
    address: &Address,
    probe_key: &str,
) -> Result<Session, ConnectError> {
    let client = client::build(config, address, Login::of(config)).await?;
    let opening = async {
        let task = client
            .init()
            .await
            .map_err(|error| ConnectError::at(address, &error))?;
        let session = Session::of(config, address, &client, task);
        for script in SCRIPTS.all() {
            match script.load(&client).await {
                Ok(()) => {}
                // Loading is optional, since `EVAL` sends the text of a missing script. Other permissions, and whether the
                // server accepts writes, are checked below.
                Err(error) if failure::code(&error) == Some("NOPERM") => break,
                Err(error) => return Err(ConnectError::at(address, &error)),
            }
        }
        rights::check(config, &session, probe_key).await?;
        Ok(session)
    };
    match tokio::time::timeout(client::connect_timeout(config), Box::pin(opening)).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::too_late(address)),
    }
}
