//! Looks at a sale without changing it.

use super::{
    connection::Connection,
    hold::parse_user,
    keys::{holders_key, sale_keys},
    reply::{self, unexpected},
    scripts::SCRIPTS,
};
use crate::{
    ids::{SaleId, UserId},
    port::{GateError, GateStatus, SaleWindow},
};

/// Holders a page: under a millisecond of the server.
const PAGE: i64 = 500;

pub(super) async fn status(connection: &Connection, sale: SaleId) -> Result<GateStatus, GateError> {
    let answer = reply::list(
        connection
            .run(&SCRIPTS.sale_status, sale_keys(sale), Vec::new())
            .await?,
    )?;
    match answer.as_slice() {
        [] => Ok(GateStatus::Unknown),
        [pending] => Ok(GateStatus::Closed {
            pending: reply::count(pending)?,
        }),
        [pending, available, start, end, returns] => Ok(GateStatus::Open {
            window: SaleWindow {
                start: reply::time(start)?,
                end: reply::time(end)?,
            },
            available: reply::number(available)?,
            pending: reply::count(pending)?,
            returns: reply::count(returns)?,
        }),
        _ => Err(unexpected("not a status")),
    }
}

pub(super) async fn holders(
    connection: &Connection,
    sale: SaleId,
) -> Result<Vec<UserId>, GateError> {
    let mut users = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let args = vec![cursor.as_str().into(), PAGE.into()];
        let page = reply::list(
            connection
                .run(&SCRIPTS.list_holders, vec![holders_key(sale)], args)
                .await?,
        )?;
        let (next, found) = page.split_first().ok_or_else(|| unexpected("no cursor"))?;
        for user in found {
            users.push(parse_user(user)?);
        }
        reply::text(next)?.clone_into(&mut cursor);
        if cursor == "0" {
            break;
        }
    }
    // A scan may meet a holder twice while the server's table grows.
    users.sort_unstable();
    users.dedup();
    Ok(users)
}
