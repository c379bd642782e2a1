//! A hand-written statement that every connection prepares once. With Diesel's `sql_query`, the server would parse and plan it
//! on every call. The statements themselves are in the engines.

use diesel::{
    backend::Backend,
    expression::{AsExpression, TypedExpressionType},
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::{Error, QueryResult},
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

    fn other_count(&self) -> Error {
        let (places, binds) = (self.sql.matches('?').count(), self.binds.len());
        Error::QueryBuilderError(
            format!(
                "{binds} values are bound to {places} places of: {}",
                self.sql
            )
            .into(),
        )
    }
}

impl<DB: Backend> QueryFragment<DB> for Prepared<DB> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let (mut pieces, mut binds) = (self.sql.split('?'), self.binds.iter());
        out.push_sql(pieces.next().unwrap_or_default());
        for piece in pieces {
            let bind = binds.next().ok_or_else(|| self.other_count())?;
            bind.walk_ast(out.reborrow())?;
            out.push_sql(piece);
        }
        match binds.next() {
            None => Ok(()),
            Some(_) => Err(self.other_count()),
        }
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

#[cfg(test)]
mod tests {
    use diesel::{
        query_builder::QueryBuilder,
        sql_types::Integer,
        sqlite::{Sqlite, SqliteQueryBuilder},
    };

    use super::*;

    fn build(query: &Prepared<Sqlite>) -> Result<String, String> {
        let mut builder = SqliteQueryBuilder::new();
        let built = query.to_sql(&mut builder, &Sqlite);
        built
            .map(|()| builder.finish())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_place_needs_a_value_and_each_value_a_place() {
        let with = |values: i32| {
            let query = Prepared::new("SELECT ? + ?");
            build(&(0..values).fold(query, Prepared::bind::<Integer, _>))
        };
        assert_eq!(with(2).as_deref(), Ok("SELECT ? + ?"));
        for values in [1, 3] {
            let expected = format!("{values} values are bound to 2 places of: SELECT ? + ?");
            assert_eq!(with(values), Err(expected));
        }
    }
}
