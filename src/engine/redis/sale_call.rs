//! Calls of the scripts that decide about a sale: each is told which ledger it serves, and knows a sale of another one.

use fred::{prelude::Value, types::scripts::Script};

use super::{connection::Connection, keys::sale_keys};
use crate::{
    ids::{LedgerId, SaleId},
    port::GateError,
};

impl Connection {
    /// The same connection for the sales of this ledger.
    pub(super) fn of_ledger(mut self, ledger: LedgerId) -> Self {
        self.ledger = if ledger == LedgerId::NONE {
            Value::from(String::new())
        } else {
            Value::from(ledger.to_string())
        };
        self
    }

    /// The first arguments of every script that decides about a sale.
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
