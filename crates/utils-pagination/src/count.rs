#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
use diesel::{
    QueryResult,
    query_builder::{AstPass, QueryFragment},
};
use diesel::{
    RunQueryDsl,
    query_builder::{Query, QueryId},
    sql_types::BigInt,
};

/// `SELECT COUNT(*)` of any select. If `CAPPED`, it stops after `cap` rows.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(any(feature = "sqlite", feature = "postgres", feature = "mysql")), expect(dead_code))]
pub struct CountOf<Q, const CAPPED: bool> {
    pub(crate) query: Q,
    pub(crate) cap: i64,
}

impl<Q: Query, const CAPPED: bool> Query for CountOf<Q, CAPPED> {
    type SqlType = BigInt;
}

impl<Q, C, const CAPPED: bool> RunQueryDsl<C> for CountOf<Q, CAPPED> {}

/// Counts of one select are one prepared statement, the capped and the full one apart.
impl<Q: QueryId, const CAPPED: bool> QueryId for CountOf<Q, CAPPED> {
    type QueryId = CountOf<Q::QueryId, CAPPED>;

    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

/// A derived table: SQLite and PostgreSQL let it have two columns of one name, as every join has.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
macro_rules! count_a_derived_table {
    ($Backend:ty) => {
        impl<Q: QueryFragment<$Backend>, const CAPPED: bool> QueryFragment<$Backend> for CountOf<Q, CAPPED> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, $Backend>) -> QueryResult<()> {
                out.push_sql("SELECT COUNT(*) FROM (");
                self.query.walk_ast(out.reborrow())?;
                if CAPPED {
                    out.push_sql(" LIMIT ");
                    out.push_bind_param::<BigInt, _>(&self.cap)?;
                }
                out.push_sql(") AS paged");
                Ok(())
            }
        }
    };
}

#[cfg(feature = "sqlite")]
count_a_derived_table!(diesel::sqlite::Sqlite);
#[cfg(feature = "postgres")]
count_a_derived_table!(diesel::pg::Pg);

/// MySQL and MariaDB refuse two columns of one name in a derived table (error 1060), so the columns get names
/// of their own, which only a common table expression can give them from outside.
#[cfg(feature = "mysql")]
impl<Q, const CAPPED: bool> QueryFragment<diesel::mysql::Mysql> for CountOf<Q, CAPPED>
where
    Q: Query + QueryFragment<diesel::mysql::Mysql>,
    diesel::mysql::Mysql: diesel::expression::QueryMetadata<Q::SqlType>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, diesel::mysql::Mysql>) -> QueryResult<()> {
        use diesel::{expression::QueryMetadata, mysql::Mysql};

        let mut columns = Vec::new();
        <Mysql as QueryMetadata<Q::SqlType>>::row_metadata(&mut (), &mut columns);
        let names: Vec<_> = (0..columns.len()).map(|index| format!("c{index}")).collect();
        out.push_sql(&format!("WITH paged({}) AS (", names.join(", ")));
        self.query.walk_ast(out.reborrow())?;
        if CAPPED {
            out.push_sql(" LIMIT ");
            out.push_bind_param::<BigInt, _>(&self.cap)?;
        }
        out.push_sql(") SELECT COUNT(*) FROM paged");
        Ok(())
    }
}
