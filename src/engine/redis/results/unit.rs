//! Units of shoppers in a sale, read with their result keys in one call.

use fred::{prelude::Value, types::Key};

use super::super::{
    connection::Connection,
    keys::{holders_key, meta_key, pending_key, stock_key, user_arg},
    reply::{self, unexpected},
    scripts::SCRIPTS,
};
use crate::{
    ids::{SaleId, UserId},
    port::{GateError, Standing},
    rules::shopper_result::Holders,
};

/// The state of a shopper's unit in a sale.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UnitState {
    /// The shopper holds no unit.
    None,
    /// The gate does not have the sale: nothing is known of its shoppers.
    Unlisted,
    /// Unknown: the sale is being loaded, or its keys may have lost holders.
    Closed,
    Pending,
    Ordered,
}

impl UnitState {
    /// The unit, and what is known of the sale's holders.
    pub(super) fn known(self) -> (Option<Standing>, Holders) {
        match self {
            Self::None => (None, Holders::Complete),
            Self::Unlisted => (None, Holders::Absent),
            Self::Closed => (None, Holders::InDoubt),
            Self::Pending => (Some(Standing::Pending), Holders::Complete),
            Self::Ordered => (Some(Standing::Success), Holders::Complete),
        }
    }
}

/// The state of a shopper's unit, and the value of the result key if one is given.
pub(super) async fn read_unit_state(
    connection: &Connection,
    sale: SaleId,
    user: UserId,
    result: Option<Key>,
) -> Result<(UnitState, Value), GateError> {
    let results = result.into_iter().collect();
    let unit_states = read_unit_states(connection, sale, &[user], results).await?;
    unit_states
        .into_iter()
        .next()
        .ok_or_else(|| unexpected("nothing of a shopper"))
}

/// The states of shoppers' units, and the values of their result keys. `results` has one key for each shopper, or none at all.
pub(super) async fn read_unit_states(
    connection: &Connection,
    sale: SaleId,
    users: &[UserId],
    results: Vec<Key>,
) -> Result<Vec<(UnitState, Value)>, GateError> {
    let mut keys = vec![
        holders_key(sale),
        meta_key(sale),
        stock_key(sale),
        pending_key(sale),
    ];
    keys.extend(results);
    let mut args = connection.args();
    args.extend(users.iter().map(|user| user_arg(*user)));
    let answer = reply::list(connection.run(&SCRIPTS.user_status, keys, args).await?)?;
    let Some((closed, shoppers)) = answer.split_first() else {
        return Err(unexpected("nothing"));
    };
    let (shoppers, rest) = shoppers.as_chunks::<2>();
    if shoppers.len() != users.len() || !rest.is_empty() {
        return Err(unexpected("not a state and a result for each"));
    }
    let without_unit = match reply::number(closed)? {
        0 => UnitState::None,
        1 => UnitState::Closed,
        _ => UnitState::Unlisted,
    };
    let parse_state = |[state, written]: &[Value; 2]| {
        let unit_state = match reply::text(state)? {
            "p" | "c" => UnitState::Pending,
            "s" | "l" => UnitState::Ordered,
            "" => without_unit,
            _ => return Err(unexpected("an unknown state")),
        };
        Ok((unit_state, written.clone()))
    };
    shoppers.iter().map(parse_state).collect()
}
