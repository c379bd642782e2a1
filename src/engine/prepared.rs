//! A hand-written statement that every connection prepares once. With Diesel's `sql_query`, the server would parse and plan it
//! on every call. The statements themselves are in the engines.

use diesel::{
    backend::Backend,
    expression::{AsExpression, TypedExpressionType},
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{SqlType, Untyped},
};

/// SQL with a `?` for each bound value. The columns of its result are matched to fields by name.
pub struct Prepared<DB: Backend> {
    sql: &'static str,
    binds: Vec<Box<dyn QueryFragment<DB> + Send>>,
}

impl<DB: Backend> Prepared<DB> {
    pub fn new(sql: &'static str) -> Self {
        Self {
            sql,
            binds: Vec::new(),
        }
    }

    /// Binds the next `?`.
    pub fn bind<ST, T>(mut self, value: T) -> Self
    where
        ST: SqlType + TypedExpressionType,
        T: AsExpression<ST>,
        T::Expression: QueryFragment<DB> + Send + 'static,
    {
        self.binds.push(Box::new(value.as_expression()));
        self
    }
}

impl<DB: Backend> QueryFragment<DB> for Prepared<DB> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let mut pieces = self.sql.split('?');
        out.push_sql(pieces.next().unwrap_or_default());
        for (piece, bind) in pieces.zip(&self.binds) {
            bind.walk_ast(out.reborrow())?;
            out.push_sql(piece);
        }
        Ok(())
    }
}

impl<DB: Backend> QueryId for Prepared<DB> {
    type QueryId = ();

    // The connection caches prepared statements by their text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<DB: Backend> Query for Prepared<DB> {
    type SqlType = Untyped;
}

// diesel-async implements its trait of the same name for all types.
impl diesel::RunQueryDsl<diesel::SqliteConnection> for Prepared<diesel::sqlite::Sqlite> {}
