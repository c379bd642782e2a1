//! Calls of the scripts that work on a sale. Each script takes the ledger's id, by which it recognises a sale of another
//! ledger.

use fred::{prelude::Value, types::scripts::Script};

use super::{connection::Connection, keys::sale_keys};
use crate::{
    ids::{LedgerId, SaleId},
    port::GateError,
};

impl Connection {
    /// The same connection, for the sales of the given ledger.
    pub(super) fn of_ledger(mut self, ledger: LedgerId) -> Self {
        self.ledger = if ledger == LedgerId::NONE {
            Value::from(String::new())
        } else {
            Value::from(ledger.to_string())
        };
        self
    }

    /// The first arguments of every script that works on a sale.
    pub(super) fn args(&self) -> Vec<Value> {
        vec![self.ledger.clone()]
    }

    /// Runs a script on all keys of a sale.
    pub(super) async fn run_on(
        &self,
        script: &Script,
        sale: SaleId,
        args: Vec<Value>,
    ) -> Result<Value, GateError> {
        self.run(script, sale_keys(sale), args).await
    }
}
