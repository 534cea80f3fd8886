//! New jobs, in SQL.
use diesel::QueryResult;

use super::{
    Dialect,
    conn::{Array, JobConn, Statement, Value},
    row::{Inserted, NewRow},
    sql,
};

/// How many rows go into one statement; every database takes 13 times as many binds.
const CHUNK: usize = 500;
/// How many bytes of arguments and the like go into one statement, but for a single larger job: MySQL refuses packets
/// that are larger than its `max_allowed_packet`, of 4 MiB and up.
const CHUNK_BYTES: usize = 1024 * 1024;
/// How often the holder of a unique key is looked for before giving up: each time, another one must have ended.
const LOOKS: usize = 20;
/// The channel on which PostgreSQL announces new jobs.
pub(crate) const CHANNEL: &str = "utils_jobs";

/// Puts jobs into the table, in the transaction that the connection is in.
pub(crate) fn insert<C: JobConn>(conn: &mut C, rows: &[NewRow]) -> QueryResult<Vec<Inserted>> {
    let mut inserted = Vec::with_capacity(rows.len());
    for chunk in chunks(rows) {
        insert_chunk(conn, chunk)?;
        for row in chunk {
            inserted.push(match &row.unique_key {
                None => Inserted { id: row.id.clone(), is_new: true },
                Some(key) => holder_of(conn, row, key)?,
            });
        }
    }
    Ok(inserted)
}

/// Whether [`insert`] puts these rows into the table at once, and asks for nothing else.
pub(crate) fn is_one_statement(rows: &[NewRow]) -> bool {
    chunks(rows).nth(1).is_none() && rows.iter().all(|row| row.unique_key.is_none())
}

/// The rows in pieces that fit into a statement each.
fn chunks(rows: &[NewRow]) -> impl Iterator<Item = &[NewRow]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0_usize;
        let fit = rest.iter().take(CHUNK).take_while(|row| {
            bytes = bytes.saturating_add(row.bytes());
            bytes <= CHUNK_BYTES
        });
        let (chunk, after) = rest.split_at_checked(fit.count().max(1))?;
        rest = after;
        Some(chunk)
    })
}

/// Tells the workers of other processes. Delivered at commit, dropped at rollback.
pub(super) fn notify<C: JobConn>(conn: &mut C) -> QueryResult<()> {
    if C::DIALECT == Dialect::Postgres {
        conn.texts(Statement::new(format!("SELECT CAST(pg_notify('{CHANNEL}', '') AS TEXT) AS t")))?;
    }
    Ok(())
}

/// On PostgreSQL it announces them as well: an exchange with the server less for each job.
fn insert_chunk<C: JobConn>(conn: &mut C, rows: &[NewRow]) -> QueryResult<usize> {
    const COLUMNS: &str = "id, name, queue, args, state, priority, max_attempts, run_at, created_at, expires_at, \
                           unique_key, keep_key, meta";
    let mut statement = Statement::new(format!("INSERT INTO utils_jobs ({COLUMNS}, attempts) "));
    if C::DIALECT == Dialect::Postgres && rows.len() > 1 {
        statement.push_with(
            &format!(
                "SELECT {COLUMNS}, 0 FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) AS job ({COLUMNS})"
            ),
            columns(rows).map(Value::Array),
        );
    } else {
        statement.push("VALUES ");
        for (position, row) in rows.iter().enumerate() {
            statement.push(if position > 0 { ", " } else { "" });
            statement.push_with("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", values(row));
        }
    }
    if rows.iter().any(|row| row.unique_key.is_some()) {
        statement.push(match C::DIALECT {
            Dialect::Mysql => " ON DUPLICATE KEY UPDATE id = id",
            _ => " ON CONFLICT (name, unique_key) WHERE unique_key IS NOT NULL DO NOTHING",
        });
    }
    if C::DIALECT == Dialect::Postgres {
        statement.push(&format!(" RETURNING pg_notify('{CHANNEL}', '')"));
    }
    conn.execute(statement.kept(C::DIALECT == Dialect::Postgres || rows.len() == 1))
}

fn values(row: &NewRow) -> [Value<'_>; 13] {
    [
        Value::Text(&row.id),
        Value::Text(&row.name),
        Value::Text(&row.queue),
        Value::Bytes(&row.args),
        Value::Int(row.state()),
        Value::Int(row.priority),
        Value::Int(row.max_attempts),
        Value::Big(row.run_at),
        Value::Big(row.created_at),
        Value::OptBig(row.expires_at),
        Value::OptText(row.unique_key.as_deref()),
        Value::Int(row.keep_key.into()),
        Value::Text(&row.meta),
    ]
}

/// The [`values`] of many rows.
fn columns(rows: &[NewRow]) -> [Array<'_>; 13] {
    [
        Array::Texts(rows.iter().map(|row| row.id.as_str()).collect()),
        Array::Texts(rows.iter().map(|row| row.name.as_str()).collect()),
        Array::Texts(rows.iter().map(|row| row.queue.as_str()).collect()),
        Array::Bytes(rows.iter().map(|row| row.args.as_slice()).collect()),
        Array::Ints(rows.iter().map(NewRow::state).collect()),
        Array::Ints(rows.iter().map(|row| row.priority).collect()),
        Array::Ints(rows.iter().map(|row| row.max_attempts).collect()),
        Array::Bigs(rows.iter().map(|row| row.run_at).collect()),
        Array::Bigs(rows.iter().map(|row| row.created_at).collect()),
        Array::OptBigs(rows.iter().map(|row| row.expires_at).collect()),
        Array::OptTexts(rows.iter().map(|row| row.unique_key.as_deref()).collect()),
        Array::Ints(rows.iter().map(|row| row.keep_key.into()).collect()),
        Array::Texts(rows.iter().map(|row| row.meta.as_str()).collect()),
    ]
}

/// Who has the unique key: the row just inserted, or the one that kept it out.
fn holder_of<C: JobConn>(conn: &mut C, row: &NewRow, key: &str) -> QueryResult<Inserted> {
    // Again: the holder may finish, and free its key, between our insert and our look.
    for _ in 0..LOOKS {
        let mut look = Statement::new("SELECT id AS t FROM utils_jobs WHERE name = ? AND unique_key = ?")
            .bind(&row.name)
            .bind(key);
        if C::DIALECT == Dialect::Mysql {
            look.push(" LOCK IN SHARE MODE"); // the newest row, not this transaction's snapshot
        }
        if let Some(holder) = conn.texts(look)?.pop() {
            let is_new = holder.t == row.id;
            return Ok(Inserted { id: holder.t, is_new });
        }
        // Without a transaction around us, our own job may have ended already.
        if sql::record(conn, &row.id)?.is_some() {
            return Ok(Inserted { id: row.id.clone(), is_new: true });
        }
        insert_chunk(conn, std::slice::from_ref(row))?;
    }
    // Never said to be enqueued when it was not.
    Err(diesel::result::Error::NotFound)
}

#[cfg(test)]
mod tests {
    use super::chunks;
    use crate::store::row::NewRow;

    fn row(id: &str, bytes: usize) -> NewRow {
        NewRow {
            id: id.to_owned(),
            name: "job".to_owned(),
            queue: "default".to_owned(),
            args: vec![b'1'; bytes],
            priority: 0,
            max_attempts: 3,
            created_at: 0,
            run_at: 0,
            expires_at: None,
            unique_key: None,
            keep_key: false,
            meta: "{}".to_owned(),
        }
    }

    #[track_caller]
    fn check(sizes: &[usize], expected: &[usize]) {
        let rows: Vec<_> = sizes.iter().map(|bytes| row("x", *bytes)).collect();
        assert_eq!(chunks(&rows).map(<[_]>::len).collect::<Vec<_>>(), expected, "{sizes:?}");
    }

    #[test]
    fn rows_are_put_into_statements_by_their_number_and_their_size() {
        const HALF: usize = 500 * 1024;
        check(&[], &[]);
        check(&[1], &[1]);
        check(&[1; 1_001], &[500, 500, 1]);
        check(&[HALF; 5], &[2, 2, 1]);
        check(&[3 * HALF, 1, 1, 3 * HALF, 3 * HALF], &[1, 2, 1, 1]);
    }

    #[cfg(feature = "sqlite")]
    mod sqlite {
        use diesel::{Connection, SqliteConnection, connection::SimpleConnection};

        use super::{super::insert, row};
        use crate::store::row::{Inserted, NewRow};

        fn table(trigger: &str) -> SqliteConnection {
            let mut conn = SqliteConnection::establish(":memory:").unwrap();
            crate::migrate(&mut conn).unwrap();
            conn.batch_execute(trigger).unwrap();
            conn
        }

        fn keyed() -> NewRow {
            NewRow { unique_key: Some("key".to_owned()), ..row("mine", 1) }
        }

        #[test]
        fn a_job_that_ended_before_its_key_was_looked_for_is_the_new_one() {
            let mut conn = table(
                "CREATE TRIGGER ends AFTER INSERT ON utils_jobs BEGIN \
                 UPDATE utils_jobs SET state = 2, unique_key = NULL WHERE id = NEW.id; END",
            );
            let inserted = insert(&mut conn, &[keyed()]).unwrap();
            assert_eq!(inserted, [Inserted { id: "mine".to_owned(), is_new: true }]);
        }

        #[test]
        fn a_job_that_was_not_inserted_is_not_said_to_be_new() {
            // As when the key's holder ends each time between the insert and the look.
            let mut conn =
                table("CREATE TRIGGER held BEFORE INSERT ON utils_jobs BEGIN SELECT RAISE(IGNORE); END");
            let refused = insert(&mut conn, &[keyed()]);
            assert!(refused.is_err(), "{refused:?}");
        }
    }
}
