//! The SQL, once for three databases. States are written as numbers so that partial indexes apply.
use std::collections::BTreeMap;

use diesel::QueryResult;

use super::{
    CancelFound, Dialect, Round, RoundDone, WorkerRow,
    conn::{JobConn, Statement, Value},
    flow,
    row::{
        Batching, CLAIMED, Claimed, Count, Finish, Inserted, Lease, Names, NewRow, Progress, RECORD, Record,
        SeenWorker, Want, state,
    },
};
use crate::list::{Filter, Order};

/// How many rows go into one statement; every database takes 15 times as many binds.
const CHUNK: usize = 500;
/// How many bytes of arguments and the like go into one statement, but for a single larger job: MySQL refuses packets
/// that are larger than its `max_allowed_packet`, of 4 MiB and up.
const CHUNK_BYTES: usize = 1024 * 1024;
/// How often the holder of a unique key is looked for before giving up: each time, another one must have ended.
const LOOKS: usize = 20;
/// How many jobs are promoted, taken back or expired in one round.
const SWEPT: i64 = 1_000;

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
    if !rows.is_empty() {
        notify(conn)?;
    }
    Ok(inserted)
}

/// The channel on which PostgreSQL announces new jobs.
pub(crate) const CHANNEL: &str = "utils_jobs";

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

fn insert_chunk<C: JobConn>(conn: &mut C, rows: &[NewRow]) -> QueryResult<usize> {
    let mut statement = Statement::new(
        "INSERT INTO utils_jobs (id, name, queue, args, state, priority, attempts, max_attempts, run_at, created_at, \
         expires_at, unique_key, keep_key, meta) VALUES ",
    );
    for (position, row) in rows.iter().enumerate() {
        if position > 0 {
            statement.push(", ");
        }
        statement.push_with(
            "(?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?)",
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
            ],
        );
    }
    if rows.iter().any(|row| row.unique_key.is_some()) {
        statement.push(match C::DIALECT {
            Dialect::Mysql => " ON DUPLICATE KEY UPDATE id = id",
            _ => " ON CONFLICT (name, unique_key) WHERE unique_key IS NOT NULL DO NOTHING",
        });
    }
    conn.execute(statement)
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
        if record(conn, &row.id)?.is_some() {
            return Ok(Inserted { id: row.id.clone(), is_new: true });
        }
        insert_chunk(conn, std::slice::from_ref(row))?;
    }
    // Never said to be enqueued when it was not.
    Err(diesel::result::Error::NotFound)
}

/// One round of a worker; the caller opens the transaction.
pub(crate) fn round<C: JobConn>(conn: &mut C, round: &Round<'_>) -> QueryResult<RoundDone> {
    let mut done = RoundDone::default();
    for progress in round.progress {
        save_progress(conn, round.worker, progress)?;
    }
    let ended = finish(conn, round.worker, round.finish, round.now)?;
    done.refused = round.finish.len().saturating_sub(ended.count);
    done.freed = ended.freed;
    if let Some(held) = round.renew {
        if C::DIALECT == Dialect::Sqlite {
            // The others do so in a transaction of its own, before.
            renew(conn, round.worker, held, round.lease_until)?;
        }
        done.leases = Some(leases(conn, round.worker)?);
    }
    if round.reap {
        done.reaped = reap(conn, round.now)?;
        expire(conn, round.now)?;
    }
    if round.promote {
        promote(conn, round.now)?;
        done.next_due = next_due(conn)?;
    }
    done.claim_all(round, |done, want, limit| {
        match want.batch {
            None => done.claimed.extend(claim(conn, round, want, limit)?),
            Some(batching) => claim_batch(conn, round, want, batching, done)?,
        }
        QueryResult::Ok(())
    })?;
    Ok(done)
}

fn claim<C: JobConn>(
    conn: &mut C,
    round: &Round<'_>,
    want: &Want,
    limit: usize,
) -> QueryResult<Vec<Claimed>> {
    let Some(pick) = pick::<C>(round, want, limit) else { return Ok(Vec::new()) };
    if C::DIALECT == Dialect::Mysql {
        let ids = lock(conn, pick)?;
        return take_ids(conn, round, &ids);
    }
    let mut no_ids = Vec::new();
    let Some(these) = these(conn, pick, &mut no_ids)? else { return Ok(Vec::new()) };
    take(conn, round, these, &[])
}

/// One batch, if it is ready. It stays in the table until then, so a batch that fills is in nobody's hands: nothing is
/// lost with a worker, and several workers do not share it out among them.
fn claim_batch<C: JobConn>(
    conn: &mut C,
    round: &Round<'_>,
    want: &Want,
    batching: Batching,
    done: &mut RoundDone,
) -> QueryResult<()> {
    /// When to look again at what another worker is about to take, in milliseconds.
    const AGAIN: i64 = 5;
    let Some(ready) = ready::<C>(round, want) else { return Ok(()) };
    let max = i64::try_from(batching.max).unwrap_or(i64::MAX);
    let mut count = Statement::new("SELECT COUNT(*) AS n FROM (SELECT id");
    count.append(ready.clone());
    count.push_with(" LIMIT ?) AS ready", [Value::Big(max)]);
    let count = conn.number(count)?.unwrap_or(0);
    if count == 0 {
        return Ok(());
    }
    let is_full = count >= max;
    if !is_full {
        let mut first = Statement::new("SELECT MIN(run_at) AS n");
        first.append(ready);
        let ready_at = conn.number(first)?.unwrap_or(0).saturating_add(batching.within);
        if ready_at > round.now {
            done.ready_by(ready_at);
            return Ok(());
        }
    }
    let Some(pick) = pick::<C>(round, want, batching.max) else { return Ok(()) };
    let ids = lock(conn, pick)?;
    if ids.is_empty() || (is_full && ids.len() < batching.max) {
        // Another worker takes these jobs right now; what it leaves may wait for more.
        done.ready_by(round.now.saturating_add(AGAIN));
        return Ok(());
    }
    done.batches.push(take_ids(conn, round, &ids)?);
    Ok(())
}

/// The ids that a query finds and nobody else has locked, locked from now on.
fn lock<C: JobConn>(conn: &mut C, mut pick: Statement<'_>) -> QueryResult<Vec<String>> {
    if C::DIALECT != Dialect::Sqlite {
        pick.push(" FOR UPDATE SKIP LOCKED");
    }
    Ok(conn.texts(pick)?.into_iter().map(|row| row.t).collect())
}

fn take_ids<C: JobConn>(conn: &mut C, round: &Round<'_>, ids: &[String]) -> QueryResult<Vec<Claimed>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut these = Statement::new("id IN (");
    these.push_with(&format!("{})", marks(ids.len())), ids.iter().map(Value::from));
    take(conn, round, these, ids)
}

/// `FROM` and the condition for the jobs that a want may have; `None` when it can have none.
fn ready<'a, C: JobConn>(round: &Round<'_>, want: &'a Want) -> Option<Statement<'a>> {
    let mut ready = Statement::new(match C::DIALECT {
        Dialect::Mysql => " FROM utils_jobs WHERE waiting_in = ?",
        Dialect::Sqlite | Dialect::Postgres | Dialect::Memory => {
            " FROM utils_jobs WHERE state = 0 AND queue = ?"
        }
    })
    .bind(&want.queue);
    if let Names::Only(names) | Names::AllBut(names) = &want.names {
        if names.is_empty() {
            return None;
        }
        let not = if matches!(want.names, Names::AllBut(_)) { " NOT" } else { "" };
        ready
            .push_with(&format!(" AND name{not} IN ({})", marks(names.len())), names.iter().map(Value::from));
    }
    ready.push_with(
        " AND (expires_at IS NULL OR expires_at > ?) \
         AND NOT EXISTS (SELECT 1 FROM utils_jobs_queues q WHERE q.queue = ? AND q.paused = 1)",
        [Value::Big(round.now), Value::Text(&want.queue)],
    );
    Some(ready)
}

/// The ids of the most urgent of them.
fn pick<'a, C: JobConn>(round: &Round<'_>, want: &'a Want, limit: usize) -> Option<Statement<'a>> {
    let mut pick = Statement::new("SELECT id AS t");
    pick.append(ready::<C>(round, want)?);
    pick.push(match C::DIALECT {
        Dialect::Mysql => " ORDER BY urgency", // as its index has it
        Dialect::Sqlite | Dialect::Postgres | Dialect::Memory => " ORDER BY priority DESC",
    });
    pick.push_with(", run_at, id LIMIT ?", [Value::Big(i64::try_from(limit).unwrap_or(i64::MAX))]);
    Some(pick)
}

/// Takes the jobs that a condition finds. MySQL cannot tell which they were, so it needs their ids as well.
fn take<C: JobConn>(
    conn: &mut C,
    round: &Round<'_>,
    these: Statement<'_>,
    ids: &[String],
) -> QueryResult<Vec<Claimed>> {
    let mut take = Statement::new(format!(
        "UPDATE {} SET state = 1, attempts = attempts + 1, worker = ?, lease_until = ?, started_at = ?, \
         progress = NULL, progress_note = NULL WHERE ",
        by_id::<C>()
    ))
    .bind(round.worker)
    .bind(round.lease_until)
    .bind(round.now);
    take.append(these);
    let mut claimed = if C::DIALECT == Dialect::Mysql {
        conn.execute(take)?;
        let mut rows = Statement::new(format!("SELECT {CLAIMED} FROM utils_jobs WHERE id IN ("));
        rows.push_with(&format!("{})", marks(ids.len())), ids.iter().map(Value::from));
        conn.claimed(rows)?
    } else {
        take.push(&format!(" RETURNING {CLAIMED}"));
        conn.claimed(take)?
    };
    claimed.sort_by(|a, b| (-a.priority, a.run_at, &a.id).cmp(&(-b.priority, b.run_at, &b.id)));
    Ok(claimed)
}

/// What [`finish`] did.
pub(crate) struct Ended {
    /// How many attempts ended.
    pub count: usize,
    /// How many jobs that waited for them may run now.
    pub freed: usize,
}

/// Ends attempts, and lets go those that waited for them. Fenced: only the attempt that holds the job may end it.
pub(crate) fn finish<C: JobConn>(conn: &mut C, worker: &str, all: &[Finish], now: i64) -> QueryResult<Ended> {
    let (leading, others): (Vec<&Finish>, Vec<&Finish>) =
        all.iter().partition(|each| each.has_next && each.state == state::DONE);
    let mut count = end(conn, worker, &others, now)?;
    let mut ended = Vec::new();
    for each in leading {
        // one at a time: nobody may go on because of an end that was refused
        if end(conn, worker, &[each], now)? == 1 {
            count += 1;
            ended.push(each);
        }
    }
    Ok(Ended { count, freed: flow::advance(conn, &ended, now)? })
}

/// Ends attempts. Gives back how many did.
fn end<C: JobConn>(conn: &mut C, worker: &str, all: &[&Finish], now: i64) -> QueryResult<usize> {
    // Equal ends go into one statement: those of jobs without a result, mostly, and of first attempts.
    type End<'a> = (i32, Option<i64>, Option<&'a str>, Option<&'a str>, bool, i32);
    let mut groups: BTreeMap<End<'_>, Vec<&Finish>> = BTreeMap::new();
    for &each in all {
        let (result, error) = (each.result.as_deref(), each.error.as_deref());
        let end = (each.state, each.run_at, result, error, each.uncount, each.attempts);
        groups.entry(end).or_default().push(each);
    }
    let mut finished = 0;
    for ((to, run_at, result, error, uncount, attempts), group) in groups {
        for chunk in group.chunks(CHUNK) {
            let mut update = Statement::new(format!("UPDATE {} SET ", by_id::<C>()));
            if state::is_final(to) {
                update.push_with(
                    "state = CASE WHEN cancel_requested = 1 AND ? = 3 THEN 4 ELSE ? END, finished_at = ?, \
                     unique_key = CASE WHEN keep_key = 1 THEN unique_key ELSE NULL END",
                    [Value::Int(to), Value::Int(to), Value::Big(now)],
                );
                if to == state::DONE {
                    update.push(", progress = CASE WHEN progress IS NULL THEN NULL ELSE 1 END");
                }
            } else {
                // A cancelled job is not tried again.
                update.push_with(
                    "state = CASE WHEN cancel_requested = 1 THEN 4 ELSE ? END, \
                     finished_at = CASE WHEN cancel_requested = 1 THEN ? ELSE NULL END, \
                     unique_key = CASE WHEN cancel_requested = 1 AND keep_key = 0 THEN NULL ELSE unique_key END",
                    [Value::Int(to), Value::Big(now)],
                );
            }
            if let Some(run_at) = run_at {
                update.push_with(", run_at = ?", [Value::Big(run_at)]);
            }
            if uncount {
                update.push(", attempts = attempts - 1");
            } else {
                update.push_with(", result = ?, error = ?", [Value::OptText(result), Value::OptText(error)]);
            }
            update.push_with(
                ", worker = NULL, lease_until = NULL WHERE worker = ? AND state = 1 AND attempts = ? AND id IN (",
                [Value::Text(worker), Value::Int(attempts)],
            );
            let ids = chunk.iter().map(|each| Value::Text(&each.id));
            update.push_with(&format!("{})", marks(chunk.len())), ids);
            finished += conn.execute(update)?;
        }
    }
    Ok(finished)
}

/// Ends one attempt, or writes the substitute when the database takes that and not the end itself. The caller opens the
/// transaction. Gives back why the end was not taken.
///
/// The kind of an error does not tell what it is about: Diesel calls a locked file, a full disk and a text that is too
/// long all unknown. So the row is written first, which shows that the database takes writes and that nobody is in the
/// way; an end that fails after that fails because of what is in it.
pub(crate) fn finish_alone<C: JobConn>(
    conn: &mut C,
    worker: &str,
    end: &Finish,
    substitute: &Finish,
    now: i64,
) -> QueryResult<Option<diesel::result::Error>> {
    use diesel::result::{DatabaseErrorKind as Kind, Error};
    let mut touch = Statement::new(format!("UPDATE {} SET ", by_id::<C>()));
    touch.push_with(
        "lease_until = lease_until WHERE id = ? AND worker = ? AND attempts = ? AND state = 1",
        [Value::Text(&end.id), Value::Text(worker), Value::Int(end.attempts)],
    );
    conn.execute(touch)?;
    if end.has_next {
        flow::touch_next(conn, &end.id)?;
    }
    match conn.transaction(|conn| finish(conn, worker, std::slice::from_ref(end), now)) {
        Ok(_) => Ok(None),
        // The database is away, or asks us to try again.
        Err(
            error @ Error::DatabaseError(
                Kind::ClosedConnection
                | Kind::UnableToSendCommand
                | Kind::SerializationFailure
                | Kind::ReadOnlyTransaction,
                _,
            ),
        ) => Err(error),
        Err(error) => {
            finish(conn, worker, std::slice::from_ref(substitute), now)?;
            Ok(Some(error))
        }
    }
}

fn save_progress<C: JobConn>(conn: &mut C, worker: &str, progress: &Progress) -> QueryResult<usize> {
    let mut update = Statement::new(format!("UPDATE {} SET ", by_id::<C>()));
    update.push_with(
        "progress = ?, progress_note = ? WHERE id = ? AND worker = ? AND attempts = ? AND state = 1",
        [
            Value::Double(progress.fraction),
            Value::Text(&progress.note),
            Value::Text(&progress.id),
            Value::Text(worker),
            Value::Int(progress.attempts),
        ],
    );
    conn.execute(update)
}

/// Renews the leases of the jobs held, and only those: a claim whose commit was not confirmed must run out. A row that
/// somebody has locked is left out: nobody can take that job back either.
pub(crate) fn renew<C: JobConn>(conn: &mut C, worker: &str, held: &[String], until: i64) -> QueryResult<()> {
    for chunk in held.chunks(CHUNK) {
        let mut of = Statement::new("worker = ? AND state = 1 AND id IN (").bind(worker);
        of.push_with(&format!("{})", marks(chunk.len())), chunk.iter().map(Value::from));
        update_some(conn, Statement::new("lease_until = ?").bind(until), of)?;
    }
    Ok(())
}

/// What the table says a worker holds.
fn leases<C: JobConn>(conn: &mut C, worker: &str) -> QueryResult<Vec<Lease>> {
    let held = "SELECT id, attempts, cancel_requested FROM utils_jobs WHERE worker = ? AND state = 1";
    conn.leases(Statement::new(held).bind(worker))
}

/// Takes back the jobs of workers that died or stalled. Out of attempts: dead, so that a job that kills its worker ends.
fn reap<C: JobConn>(conn: &mut C, now: i64) -> QueryResult<usize> {
    let at = at::<C>("lease_until");
    update_some(
        conn,
        Statement::new(
            "state = CASE WHEN cancel_requested = 1 THEN 4 WHEN attempts >= max_attempts THEN 3 ELSE 0 END, \
             error = 'the worker died or stalled: its lease ran out', \
             finished_at = CASE WHEN cancel_requested = 1 OR attempts >= max_attempts THEN ? ELSE NULL END, \
             unique_key = CASE WHEN (cancel_requested = 1 OR attempts >= max_attempts) AND keep_key = 0 THEN NULL \
             ELSE unique_key END, worker = NULL, lease_until = NULL",
        )
        .bind(now),
        Statement::new(format!("state = 1 AND {at} < ? ORDER BY {at} LIMIT ?")).bind(now).bind(SWEPT),
    )
}

/// Jobs that may not run any more.
fn expire<C: JobConn>(conn: &mut C, now: i64) -> QueryResult<usize> {
    update_some(
        conn,
        Statement::new(
            "state = 6, finished_at = ?, \
             error = CASE WHEN attempts > 0 AND error IS NOT NULL THEN error ELSE 'expired before it could run' END, \
             unique_key = CASE WHEN keep_key = 1 THEN unique_key ELSE NULL END",
        )
        .bind(now),
        Statement::new(match C::DIALECT {
            Dialect::Mysql => "may_expire_at <= ? ORDER BY may_expire_at LIMIT ?",
            Dialect::Sqlite | Dialect::Postgres | Dialect::Memory => {
                "state IN (0, 5) AND expires_at IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?"
            }
        })
        .bind(now)
        .bind(SWEPT),
    )
}

/// Jobs whose time has come.
fn promote<C: JobConn>(conn: &mut C, now: i64) -> QueryResult<usize> {
    let at = at::<C>("run_at");
    update_some(
        conn,
        Statement::new("state = 0"),
        Statement::new(format!("state = 5 AND {at} <= ? ORDER BY {at} LIMIT ?")).bind(now).bind(SWEPT),
    )
}

/// When the next scheduled job is due.
fn next_due<C: JobConn>(conn: &mut C) -> QueryResult<Option<i64>> {
    let at = at::<C>("run_at");
    conn.number(Statement::new(format!("SELECT MIN({at}) AS n FROM utils_jobs WHERE state = 5")))
}

/// Updates the rows that a condition finds and nobody else has locked.
fn update_some<C: JobConn>(conn: &mut C, set: Statement<'_>, of: Statement<'_>) -> QueryResult<usize> {
    let mut ids = Vec::new();
    let mut pick = Statement::new("SELECT id AS t FROM utils_jobs WHERE ");
    pick.append(of);
    let Some(these) = these(conn, pick, &mut ids)? else { return Ok(0) };
    let mut update = Statement::new(format!("UPDATE {} SET ", by_id::<C>()));
    update.append(set);
    update.push(" WHERE ");
    update.append(these);
    conn.execute(update)
}

/// A condition for the rows that a query of ids finds, without waiting for anybody: `None` when it finds none.
///
/// MySQL has to ask first, into `ids`: an update that looks for its rows by itself locks what it passes, and runs into
/// deadlocks with those who update by id.
fn these<'a, C: JobConn>(
    conn: &mut C,
    mut pick: Statement<'a>,
    ids: &'a mut Vec<String>,
) -> QueryResult<Option<Statement<'a>>> {
    let mut these = match C::DIALECT {
        Dialect::Mysql => {
            *ids = lock(conn, pick)?;
            if ids.is_empty() {
                return Ok(None);
            }
            let mut these = Statement::new("id IN (");
            these.push_with(&marks(ids.len()), ids.iter().map(Value::from));
            these
        }
        Dialect::Postgres => {
            // An array is made once; a subquery with a limit may be run again and again by the plan.
            pick.push(" FOR UPDATE SKIP LOCKED)");
            let mut these = Statement::new("id = ANY (ARRAY(");
            these.append(pick);
            these
        }
        Dialect::Sqlite | Dialect::Memory => {
            let mut these = Statement::new("id IN (");
            these.append(pick);
            these
        }
    };
    these.push(")");
    Ok(Some(these))
}

/// Enqueues one tick of a schedule, once however many processes try; the caller opens the transaction.
pub(crate) fn tick<C: JobConn>(
    conn: &mut C,
    schedule: &str,
    tick: i64,
    job: Option<&NewRow>,
) -> QueryResult<Option<bool>> {
    let ignore = match C::DIALECT {
        Dialect::Mysql => "ON DUPLICATE KEY UPDATE name = name",
        _ => "ON CONFLICT (name) DO NOTHING",
    };
    let Some(job) = job else {
        let first = format!("INSERT INTO utils_jobs_schedules (name, last_tick) VALUES (?, ?) {ignore}");
        conn.execute(Statement::new(first).bind(schedule).bind(tick))?;
        return Ok(None);
    };
    let update =
        Statement::new("UPDATE utils_jobs_schedules SET last_tick = ? WHERE name = ? AND last_tick < ?");
    let won = conn.execute(update.bind(tick).bind(schedule).bind(tick))? == 1;
    if won {
        insert(conn, std::slice::from_ref(job))?;
    }
    Ok(Some(won))
}

pub(crate) fn last_tick<C: JobConn>(conn: &mut C, schedule: &str) -> QueryResult<Option<i64>> {
    conn.number(
        Statement::new("SELECT last_tick AS n FROM utils_jobs_schedules WHERE name = ?").bind(schedule),
    )
}

pub(crate) fn record<C: JobConn>(conn: &mut C, id: &str) -> QueryResult<Option<Record>> {
    Ok(conn.records(Statement::new(format!("SELECT {RECORD} FROM utils_jobs WHERE id = ?")).bind(id))?.pop())
}

/// Those of these jobs that there are, some hundred a statement.
pub(crate) fn records<C: JobConn>(conn: &mut C, ids: &[String]) -> QueryResult<Vec<Record>> {
    let mut found = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let mut some = Statement::new(format!("SELECT {RECORD} FROM utils_jobs WHERE id IN ("));
        some.push_with(&format!("{})", marks(chunk.len())), chunk.iter().map(Value::from));
        found.extend(conn.records(some)?);
    }
    Ok(found)
}

pub(crate) fn list<C: JobConn>(conn: &mut C, filter: &Filter) -> QueryResult<Vec<Record>> {
    let mut statement = Statement::new(format!("SELECT {RECORD} FROM utils_jobs WHERE 1 = 1"));
    if let Some(wanted) = filter.state {
        statement.push(&format!(" AND state = {}", wanted.code()));
        if wanted.is_final() {
            statement.push(" AND finished_at IS NOT NULL");
        }
    }
    if let Some(name) = &filter.name {
        statement.push_with(" AND name = ?", [Value::Text(name)]);
    }
    if let Some(queue) = &filter.queue {
        statement.push_with(" AND queue = ?", [Value::Text(queue)]);
    }
    statement.push(&match filter.order {
        Order::NewestFirst => " ORDER BY id DESC".to_owned(),
        Order::LastFinishedFirst => format!(" ORDER BY {} DESC, id DESC", at::<C>("finished_at")),
    });
    statement
        .push_with(" LIMIT ? OFFSET ?", [Value::Big(filter.limit.into()), Value::Big(filter.offset.into())]);
    conn.records(statement)
}

pub(crate) fn counts<C: JobConn>(conn: &mut C) -> QueryResult<Vec<Count>> {
    conn.counts(Statement::new("SELECT queue, state, COUNT(*) AS n FROM utils_jobs GROUP BY queue, state"))
}

/// Each branch has an index of its own to read, and on most databases nothing else: what is constant is not looked up.
pub(crate) fn open_counts<C: JobConn>(conn: &mut C) -> QueryResult<Vec<Count>> {
    let branches = [
        (state::WAITING, waiting::<C>()),
        (state::RUNNING, "state = 1"),
        (state::SCHEDULED, "state = 5"),
        (state::BLOCKED, "state = 7"),
        (state::DEAD, "state = 3 AND finished_at IS NOT NULL"),
    ];
    let branches = branches.map(|(state, of)| {
        let queue = if state == state::WAITING { waiting_queue::<C>() } else { "queue" };
        format!("SELECT {queue} AS queue, {state} AS state, COUNT(*) AS n FROM utils_jobs WHERE {of} GROUP BY {queue}")
    });
    conn.counts(Statement::new(branches.join(" UNION ALL ")))
}

pub(crate) fn oldest_waiting<C: JobConn>(conn: &mut C) -> QueryResult<Vec<Count>> {
    let (of, queue) = (waiting::<C>(), waiting_queue::<C>());
    conn.counts(Statement::new(format!(
        "SELECT {queue} AS queue, 0 AS state, MIN(run_at) AS n FROM utils_jobs WHERE {of} GROUP BY {queue}"
    )))
}

/// Ids are in the order of enqueueing, and the primary key: this reads no more than it counts.
pub(crate) fn counts_between<C: JobConn>(conn: &mut C, from: &str, before: &str) -> QueryResult<Vec<Count>> {
    let between = Statement::new(
        "SELECT queue, MIN(state) AS state, COUNT(*) AS n FROM utils_jobs WHERE id >= ? AND id < ? GROUP BY queue",
    );
    conn.counts(between.bind(from).bind(before))
}

pub(crate) fn workers<C: JobConn>(conn: &mut C) -> QueryResult<Vec<SeenWorker>> {
    conn.workers(Statement::new(
        "SELECT name, queues, release_name, started_at, seen_at FROM utils_jobs_workers ORDER BY name",
    ))
}

/// Ends a job that has not started; asks for the end of one that runs. The caller opens the transaction.
pub(crate) fn cancel<C: JobConn>(conn: &mut C, id: &str, now: i64) -> QueryResult<CancelFound> {
    // Again: between our updates, a worker may start the job or give it back.
    for _ in 0..LOOKS {
        let at_once = Statement::new(
            "UPDATE utils_jobs SET state = 4, finished_at = ?, error = 'cancelled before it started', \
             unique_key = CASE WHEN keep_key = 1 THEN unique_key ELSE NULL END WHERE id = ? AND state IN (0, 5, 7)",
        );
        if conn.execute(at_once.bind(now).bind(id))? == 1 {
            return Ok(CancelFound::AtOnce);
        }
        let running = "UPDATE utils_jobs SET cancel_requested = 1 WHERE id = ? AND state = 1";
        if conn.execute(Statement::new(running).bind(id))? == 1 {
            return Ok(CancelFound::Running);
        }
        match state_of(conn, id)? {
            None => return Ok(CancelFound::Missing),
            Some(state::WAITING | state::RUNNING | state::SCHEDULED | state::BLOCKED) => {}
            Some(_) => return Ok(CancelFound::TooLate),
        }
    }
    Ok(CancelFound::TooLate)
}

fn state_of<C: JobConn>(conn: &mut C, id: &str) -> QueryResult<Option<i32>> {
    let mut look = Statement::new("SELECT CAST(state AS SIGNED) AS n FROM utils_jobs WHERE id = ?").bind(id);
    if C::DIALECT != Dialect::Mysql {
        look = Statement::new("SELECT CAST(state AS BIGINT) AS n FROM utils_jobs WHERE id = ?").bind(id);
    }
    Ok(conn.number(look)?.map(|state| i32::try_from(state).unwrap_or(i32::MAX)))
}

/// Gives a dead, cancelled or expired job a new start.
pub(crate) fn requeue<C: JobConn>(conn: &mut C, id: &str, now: i64) -> QueryResult<bool> {
    let again = Statement::new(
        "UPDATE utils_jobs SET state = CASE WHEN waits_for > 0 THEN 7 ELSE 0 END, attempts = 0, run_at = ?, finished_at = NULL, expires_at = NULL, result = NULL, \
         cancel_requested = 0, progress = NULL, progress_note = NULL \
         WHERE id = ? AND state IN (3, 4, 6) AND waits_for >= 0",
    );
    let requeued = conn.execute(again.bind(now).bind(id))? == 1;
    if requeued {
        notify(conn)?;
    }
    Ok(requeued)
}

/// Deletes finished jobs, the oldest first.
pub(crate) fn purge<C: JobConn>(conn: &mut C, of: i32, before: i64, limit: usize) -> QueryResult<usize> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    if of != state::DONE {
        flow::orphan(conn, of, before)?;
    }
    let at = at::<C>("finished_at");
    let old = Statement::new(format!(
        "SELECT id AS t FROM utils_jobs WHERE state = {of} AND finished_at IS NOT NULL AND {at} < ? \
         ORDER BY {at} LIMIT ?"
    ));
    let mut ids = Vec::new();
    let Some(these) = these(conn, old.bind(before).bind(limit), &mut ids)? else { return Ok(0) };
    let mut delete = Statement::new("DELETE FROM utils_jobs WHERE ");
    delete.append(these);
    conn.execute(delete)
}

pub(crate) fn pause<C: JobConn>(conn: &mut C, queue: &str, paused: bool) -> QueryResult<usize> {
    let update = match C::DIALECT {
        Dialect::Mysql => "ON DUPLICATE KEY UPDATE paused = VALUES(paused)",
        _ => "ON CONFLICT (queue) DO UPDATE SET paused = excluded.paused",
    };
    let sql = format!("INSERT INTO utils_jobs_queues (queue, paused) VALUES (?, ?) {update}");
    conn.execute(Statement::new(sql).bind(queue).bind(i32::from(paused)))
}

pub(crate) fn paused<C: JobConn>(conn: &mut C) -> QueryResult<Vec<String>> {
    let rows = conn
        .texts(Statement::new("SELECT queue AS t FROM utils_jobs_queues WHERE paused = 1 ORDER BY queue"))?;
    Ok(rows.into_iter().map(|row| row.t).collect())
}

pub(crate) fn seen<C: JobConn>(conn: &mut C, worker: &WorkerRow<'_>) -> QueryResult<usize> {
    let update = match C::DIALECT {
        Dialect::Mysql => "ON DUPLICATE KEY UPDATE seen_at = VALUES(seen_at)",
        _ => "ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at",
    };
    let sql = format!(
        "INSERT INTO utils_jobs_workers (name, queues, release_name, started_at, seen_at) VALUES (?, ?, ?, ?, ?) {update}"
    );
    conn.execute(
        Statement::new(sql)
            .bind(worker.name)
            .bind(worker.queues)
            .bind(worker.release)
            .bind(worker.started_at)
            .bind(worker.seen_at),
    )
}

/// Forgets a worker, and those that were last seen before a time: they were killed.
pub(crate) fn gone<C: JobConn>(conn: &mut C, worker: &str, before: i64) -> QueryResult<usize> {
    let forget = Statement::new("DELETE FROM utils_jobs_workers WHERE name = ? OR seen_at < ?");
    conn.execute(forget.bind(worker).bind(before))
}

pub(crate) fn server_time<C: JobConn>(conn: &mut C) -> QueryResult<Option<i64>> {
    match C::DIALECT {
        Dialect::Postgres => conn.number(Statement::new(
            "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS n",
        )),
        // UNIX_TIMESTAMP(NOW()) goes by way of the session's time zone, where an hour comes twice in autumn.
        Dialect::Mysql => conn.number(Statement::new(
            "SELECT CAST(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000 AS SIGNED) AS n",
        )),
        // the same machine's clock
        Dialect::Sqlite | Dialect::Memory => Ok(None),
    }
}

/// The column that the index of a state is about. MySQL has one index for all states, in place of partial ones.
fn at<C: JobConn>(column: &'static str) -> &'static str {
    match C::DIALECT {
        Dialect::Mysql => "state_at",
        Dialect::Sqlite | Dialect::Postgres | Dialect::Memory => column,
    }
}

/// The queue of a waiting job, as its index has it.
fn waiting_queue<C: JobConn>() -> &'static str {
    match C::DIALECT {
        Dialect::Mysql => "waiting_in",
        Dialect::Sqlite | Dialect::Postgres | Dialect::Memory => "queue",
    }
}

fn waiting<C: JobConn>() -> &'static str {
    match C::DIALECT {
        Dialect::Mysql => "waiting_in IS NOT NULL",
        Dialect::Sqlite | Dialect::Postgres | Dialect::Memory => "state = 0",
    }
}

/// The table, in an update of rows by their ids. Left to itself, MySQL may lock all running rows to find one.
fn by_id<C: JobConn>() -> &'static str {
    match C::DIALECT {
        Dialect::Mysql => "utils_jobs FORCE INDEX (PRIMARY)",
        Dialect::Sqlite | Dialect::Postgres | Dialect::Memory => "utils_jobs",
    }
}

pub(super) fn marks(count: usize) -> String {
    let mut marks = "?, ".repeat(count);
    marks.truncate(marks.len().saturating_sub(2));
    marks
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

    #[cfg(feature = "mysql")]
    mod mysql {
        use diesel::{Connection, MysqlConnection, connection::SimpleConnection};

        use super::super::server_time;

        /// Half an hour before and after summer ends in Berlin. A server with zone tables, or in such a zone itself,
        /// shows most; the others show that the zone does not matter.
        #[test]
        fn the_servers_time_is_right_in_every_zone_and_in_the_hour_that_comes_twice() {
            let url = std::env::var("TEST_MYSQL_URL")
                .expect("TEST_MYSQL_URL must name a MySQL or MariaDB database");
            let mut conn = MysqlConnection::establish(&url).unwrap();
            for zone in ["SYSTEM", "+00:00", "+05:30", "-08:00", "Europe/Berlin"] {
                if conn.batch_execute(&format!("SET time_zone = '{zone}'")).is_err() {
                    assert_eq!(zone, "Europe/Berlin", "an offset needs no tables");
                    continue;
                }
                for seconds in [1_761_438_600, 1_761_442_200] {
                    conn.batch_execute(&format!("SET timestamp = {seconds}.25")).unwrap();
                    assert_eq!(server_time(&mut conn).unwrap(), Some(seconds * 1_000 + 250), "{zone}");
                }
            }
        }
    }
}
