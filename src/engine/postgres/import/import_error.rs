//! Why nothing was imported.

use diesel::result::Error;

use crate::engine::{
    postgres::connect,
    transfer::{self, Seals},
};

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Connect(#[from] connect::ConnectError),
    #[error(
        "the database is not empty ({users} users, {products} products, {sales} sales, {orders} orders); import into a new one: choose another POSTGRES_DB and run `flashsale migrate`"
    )]
    NotEmpty {
        users: i64,
        products: i64,
        sales: i64,
        orders: i64,
    },
    #[error(transparent)]
    Read(#[from] transfer::ReadError),
    #[error("importing: {0}")]
    Sql(#[from] Error),
    #[error("importing: {0}")]
    Line(#[from] std::io::Error),
    #[error("the export was not read to its end")]
    NoEnd,
    /// Ends a dry run, so that everything is rolled back. Has the seals of the rows.
    #[error("dry run")]
    DryRun(Box<Seals>),
}
