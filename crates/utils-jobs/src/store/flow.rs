//! Jobs that wait for others, in SQL. Whoever ends a job lets those go on that waited for it, in the same transaction.
use std::collections::{BTreeMap, BTreeSet};

use diesel::QueryResult;

use super::{
    Dialect,
    conn::{JobConn, Statement, Value},
    insert,
    row::{Finish, NewRow, RECORD},
    sql::{FREE_KEY, change_by_id, ids},
};
use crate::JobsError;

/// Jobs and who waits for whom.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewFlow {
    pub rows: Vec<NewRow>,
    pub links: Vec<Link>,
    /// Those that get a list of results which is empty: they wait for nobody.
    pub without_members: Vec<String>,
}

/// One job waits for another.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub job: String,
    pub next: String,
    /// [`SINGLE`], [`NO_RESULT`], or the place of the result in the list that the next job gets.
    pub position: i64,
}

/// The result is all that the next job gets.
pub(crate) const SINGLE: i64 = -1;

/// The next job waits for the end, and gets no result: the group between the two has no members.
pub(crate) const NO_RESULT: i64 = -2;

/// What a job waits for when one of them was deleted: it can never run.
pub(crate) const NEVER: i64 = -1;

/// How many rows or ids go into one statement.
const CHUNK: usize = 500;

impl NewFlow {
    /// How many jobs each of those that wait waits for.
    pub(crate) fn waits(&self) -> BTreeMap<&str, i64> {
        let mut waits = BTreeMap::new();
        for link in &self.links {
            *waits.entry(link.next.as_str()).or_default() += 1;
        }
        waits
    }

    /// Those that others wait for.
    pub(crate) fn leading(&self) -> BTreeSet<&str> {
        self.links.iter().map(|link| link.job.as_str()).collect()
    }
}

/// The results, in order, as what the next job gets.
pub(crate) fn input_of(is_single: bool, mut results: Vec<String>) -> String {
    match results.pop() {
        Some(only) if is_single => only,
        last => {
            results.extend(last);
            format!("[{}]", results.join(","))
        }
    }
}

/// The most bytes of results that a job can get from those before it. A database takes only so much at once, and an end
/// that it never takes would be tried again for ever.
pub(crate) const MAX_INPUT: usize = 8 << 20;

/// Why a job that waited is a dead letter when those before it have ended.
pub(crate) fn too_large(size: usize) -> String {
    format!("the results of the jobs before it take {size} bytes together, above the maximum of {MAX_INPUT}")
}

/// Why a job that waits will not run, for as long as nobody deals with the one before it.
pub(crate) fn reason(name: &str, error: Option<&str>) -> String {
    format!("the job {name} before it did not end well: {}", error.unwrap_or("nobody knows why"))
}

/// Puts all jobs of a flow into the table, or none, in the transaction that the connection is in or one of its own.
pub(crate) fn insert<C: JobConn>(conn: &mut C, flow: &NewFlow) -> Result<(), JobsError> {
    conn.write_tx(|conn| {
        let inserted = insert::insert(conn, &flow.rows)?;
        let mut both = inserted.iter().zip(&flow.rows);
        if let Some((_, row)) = both.find(|(inserted, _)| !inserted.is_new) {
            return Err(JobsError::KeyTaken { name: row.name.clone() });
        }
        Ok(connect(conn, flow)?)
    })
}

fn connect<C: JobConn>(conn: &mut C, flow: &NewFlow) -> QueryResult<()> {
    for chunk in flow.links.chunks(CHUNK) {
        let mut insert = Statement::new("INSERT INTO utils_jobs_next (job_id, next_id, position) VALUES ");
        for (number, link) in chunk.iter().enumerate() {
            insert.push(if number > 0 { ", " } else { "" });
            let binds = [Value::Text(&link.job), Value::Text(&link.next), Value::Big(link.position)];
            insert.push_with("(?, ?, ?)", binds);
        }
        conn.execute(insert)?;
    }
    let mut waiting: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for (id, waits_for) in flow.waits() {
        waiting.entry(waits_for).or_default().push(id);
    }
    for (waits_for, ids) in waiting {
        let set = || Statement::new("UPDATE utils_jobs SET state = 7, waits_for = ?").bind(waits_for);
        change_by_id(conn, set, &ids)?;
    }
    let leading: Vec<&str> = flow.leading().into_iter().collect();
    change_by_id(conn, || Statement::new("UPDATE utils_jobs SET has_next = 1"), &leading)?;
    let alone: Vec<&str> = flow.without_members.iter().map(String::as_str).collect();
    change_by_id(conn, || Statement::new("UPDATE utils_jobs SET input = '[]'"), &alone).map(drop)
}

/// Lets go those that waited for these jobs, which have ended well in this transaction, and for no others any more.
/// Gives back how many.
///
/// The row of the one that waits is locked by counting down, so of several transactions that end jobs of one group each
/// sees what those before it have done, and one alone is the last. All lock in the order of ids.
pub(crate) fn advance<C: JobConn>(conn: &mut C, ended: &[&Finish], now: i64) -> QueryResult<usize> {
    let mut counted: BTreeMap<String, i64> = BTreeMap::new();
    for finish in ended {
        let result = finish.result.as_deref().unwrap_or("null");
        let keep = Statement::new("UPDATE utils_jobs_next SET result = ? WHERE job_id = ?");
        conn.execute(keep.bind(result).bind(&finish.id))?;
        let next = Statement::new("SELECT next_id AS t FROM utils_jobs_next WHERE job_id = ?");
        for row in conn.texts(next.bind(&finish.id))? {
            *counted.entry(row.t).or_default() += 1;
        }
    }
    let mut freed = 0;
    for (next, count) in &counted {
        let down =
            Statement::new("UPDATE utils_jobs SET waits_for = waits_for - ? WHERE id = ? AND waits_for > 0");
        conn.execute(down.bind(*count).bind(next))?;
        let left = Statement::new("SELECT waits_for AS n FROM utils_jobs WHERE id = ?").bind(next);
        if conn.number(left)? == Some(0) && let_go(conn, next, now)? {
            freed += 1;
        }
    }
    if freed > 0 {
        insert::notify(conn)?;
    }
    Ok(freed)
}

/// Waits until nobody else is at the rows of those that wait for this job.
pub(crate) fn touch_next<C: JobConn>(conn: &mut C, id: &str) -> QueryResult<()> {
    let next = Statement::new("SELECT next_id AS t FROM utils_jobs_next WHERE job_id = ? ORDER BY next_id");
    let next = ids(conn, next.bind(id))?;
    let next: Vec<&str> = next.iter().map(String::as_str).collect();
    change_by_id(conn, || Statement::new("UPDATE utils_jobs SET waits_for = waits_for"), &next).map(drop)
}

/// Gives a job its input. One that was cancelled meanwhile stays so, and has its input if it is requeued. False when the
/// input is too large: the job is a dead letter then.
fn let_go<C: JobConn>(conn: &mut C, id: &str, now: i64) -> QueryResult<bool> {
    let size = usize::try_from(size_of_results(conn, id)?).unwrap_or(0);
    if size > MAX_INPUT {
        bury(conn, id, &too_large(size), now)?;
        return Ok(false);
    }
    let first = Statement::new("SELECT MIN(position) AS n FROM utils_jobs_next WHERE next_id = ?");
    let is_single = conn.number(first.bind(id))? == Some(SINGLE);
    let mut results = Statement::new(
        "SELECT COALESCE(result, 'null') AS t FROM utils_jobs_next WHERE next_id = ? AND position > -2 ORDER BY position",
    )
    .bind(id);
    if C::DIALECT == Dialect::Mysql {
        results.push(" LOCK IN SHARE MODE"); // the newest rows, not this transaction's snapshot
    }
    let results = conn.texts(results)?.into_iter().map(|row| row.t).collect();
    let input = input_of(is_single, results);
    let mut update = Statement::new("UPDATE utils_jobs SET ");
    update.push_with(
        "input = ?, state = CASE WHEN state <> 7 THEN state WHEN run_at > ? THEN 5 ELSE 0 END WHERE id = ?",
        [Value::Text(&input), Value::Big(now), Value::Text(id)],
    );
    conn.execute(update)?;
    conn.execute(Statement::new("DELETE FROM utils_jobs_next WHERE next_id = ?").bind(id))?;
    Ok(true)
}

fn size_of_results<C: JobConn>(conn: &mut C, id: &str) -> QueryResult<i64> {
    let sum = match C::DIALECT {
        Dialect::Sqlite | Dialect::Memory => "COALESCE(SUM(LENGTH(CAST(result AS BLOB)) + 1), 0)",
        Dialect::Postgres => "CAST(COALESCE(SUM(OCTET_LENGTH(result) + 1), 0) AS BIGINT)",
        Dialect::Mysql => "CAST(COALESCE(SUM(OCTET_LENGTH(result) + 1), 0) AS SIGNED)",
    };
    let mut size =
        Statement::new(format!("SELECT {sum} AS n FROM utils_jobs_next WHERE next_id = ? AND position > -2"))
            .bind(id);
    if C::DIALECT == Dialect::Mysql {
        size.push(" LOCK IN SHARE MODE"); // as below
    }
    Ok(conn.number(size)?.unwrap_or(0))
}

/// Makes a job that waited a dead letter, if it waits still.
fn bury<C: JobConn>(conn: &mut C, id: &str, error: &str, now: i64) -> QueryResult<()> {
    let mut bury = Statement::new("UPDATE utils_jobs SET ");
    bury.push_with(
        &format!("finished_at = ?, error = ?, {FREE_KEY}, state = 3 WHERE id = ? AND state = 7"),
        [Value::Big(now), Value::Text(error), Value::Text(id)],
    );
    conn.execute(bury)?;
    conn.execute(Statement::new("DELETE FROM utils_jobs_next WHERE next_id = ?").bind(id)).map(drop)
}

/// Why this job, which waits for others, will not run: one of them, or one that they wait for, did not end well.
pub(crate) fn broken<C: JobConn>(conn: &mut C, id: &str) -> QueryResult<Option<String>> {
    let before = Statement::new(format!(
        "WITH RECURSIVE earlier (id) AS (\
         SELECT job_id FROM utils_jobs_next WHERE next_id = ? AND result IS NULL UNION \
         SELECT link.job_id FROM utils_jobs_next link JOIN earlier ON link.next_id = earlier.id \
         WHERE link.result IS NULL) \
         SELECT {RECORD} FROM utils_jobs WHERE id IN (SELECT id FROM earlier) AND state IN (3, 4, 6) \
         ORDER BY id LIMIT 1"
    ));
    let failed = conn.records(before.bind(id))?.pop();
    Ok(failed.map(|record| reason(&record.name, record.error.as_deref())))
}

/// Cancels those that wait for these jobs, which have not ended well and are about to be deleted.
pub(crate) fn orphan<C: JobConn>(conn: &mut C, deleted: &[&str], before: i64) -> QueryResult<()> {
    let mut next = BTreeSet::new();
    for chunk in deleted.chunks(CHUNK) {
        let mut waiting =
            Statement::new("SELECT next_id AS t FROM utils_jobs_next WHERE result IS NULL AND ");
        waiting.push_in::<C>("job_id", chunk.iter().copied());
        next.extend(ids(conn, waiting)?);
    }
    let next: Vec<&str> = next.iter().map(String::as_str).collect();
    // The time of its end is that of the other's at the latest, so it is deleted with the next ones.
    let set = || {
        let mut cancel = Statement::new("UPDATE utils_jobs SET ");
        cancel.push_with(
            &format!(
                "waits_for = ?, finished_at = CASE WHEN state = 7 THEN ? ELSE finished_at END, \
                 error = CASE WHEN state = 7 THEN 'a job that it waited for was deleted' ELSE error END, {FREE_KEY}, \
                 state = CASE WHEN state = 7 THEN 4 ELSE state END"
            ),
            [Value::Big(NEVER), Value::Big(before)],
        );
        cancel
    };
    change_by_id(conn, set, &next).map(drop)
}
