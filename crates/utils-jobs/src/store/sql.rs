//! The SQL, once for three databases. States are written as numbers so that partial indexes apply.
use diesel::QueryResult;

use super::{
    CancelFound, Dialect, Round, RoundDone, WorkerRow,
    conn::{JobConn, Statement, Value},
    ends::{self, Ending},
    flow,
    insert::{insert, notify},
    row::{
        Batching, CLAIMED, Claimed, Count, Lease, Names, NewRow, Place, RECORD, Record, SeenWorker, Want,
        state,
    },
};
use crate::{
    State,
    failed::LEASE_RAN_OUT,
    list::{Filter, Order},
};

/// How many ids go into one statement.
const CHUNK: usize = 500;
/// How often a job that is to be cancelled is looked at before giving up: each time, it was started or given back.
const LOOKS: usize = 20;
/// How many jobs are promoted, taken back or expired in one round.
const SWEPT: i64 = 1_000;

/// One round of a worker; the caller opens the transaction.
pub(crate) fn round<C: JobConn>(conn: &mut C, round: &Round<'_>) -> QueryResult<RoundDone> {
    let mut done = RoundDone::default();
    for progress in round.progress {
        ends::save_progress(conn, round.worker, progress)?;
    }
    let ending = Ending { worker: round.worker, now: round.now, in_round: true };
    let ended = ends::finish(conn, &ending, round.finish)?;
    done.refused = round.finish.len().saturating_sub(ended.count);
    done.freed = ended.freed;
    if let Some(held) = round.renew {
        if C::DIALECT == Dialect::Sqlite && !round.careful {
            // The others do so in a transaction of its own, before.
            renew(conn, round.worker, held, round.lease_until)?;
        }
        done.leases = Some(leases(conn, round.worker)?);
    }
    if !round.careful {
        for sweep in Sweep::of(round) {
            let swept = sweep_all(conn, sweep, round.now)?;
            if sweep == Sweep::Reap {
                done.reaped = swept;
            }
        }
    }
    if round.promote {
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
    let mut claimed = match &want.behind {
        Some(place) => claim_from(conn, round, want, Some(place), limit)?,
        None => Vec::new(),
    };
    if claimed.len() < limit {
        claimed.extend(claim_from(conn, round, want, None, limit - claimed.len())?);
    }
    Ok(claimed)
}

fn claim_from<C: JobConn>(
    conn: &mut C,
    round: &Round<'_>,
    want: &Want,
    behind: Option<&Place>,
    limit: usize,
) -> QueryResult<Vec<Claimed>> {
    let Some(pick) = pick::<C>(round, want, behind, limit) else { return Ok(Vec::new()) };
    if C::DIALECT == Dialect::Mysql {
        let ids = ids(conn, pick.kept(true))?;
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
    let count = conn.number(count.kept(true))?.unwrap_or(0);
    if count == 0 {
        return Ok(());
    }
    let is_full = count >= max;
    if !is_full {
        let mut first = Statement::new("SELECT MIN(run_at) AS n");
        first.append(ready);
        let ready_at = conn.number(first.kept(true))?.unwrap_or(0).saturating_add(batching.within);
        if ready_at > round.now {
            done.ready_by(ready_at);
            return Ok(());
        }
    }
    let Some(pick) = pick::<C>(round, want, None, batching.max) else { return Ok(()) };
    let ids = ids(conn, pick.kept(true))?;
    if ids.is_empty() || (is_full && ids.len() < batching.max) {
        // Another worker takes these jobs right now; what it leaves may wait for more.
        done.ready_by(round.now.saturating_add(AGAIN));
        return Ok(());
    }
    done.batches.push(take_ids(conn, round, &ids)?);
    Ok(())
}

pub(super) fn ids<C: JobConn>(conn: &mut C, of: Statement<'_>) -> QueryResult<Vec<String>> {
    Ok(conn.texts(of)?.into_iter().map(|row| row.t).collect())
}

fn take_ids<C: JobConn>(conn: &mut C, round: &Round<'_>, ids: &[String]) -> QueryResult<Vec<Claimed>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut these = Statement::default();
    these.push_in::<C>("id", ids.iter().map(String::as_str));
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
        ready.push(if matches!(want.names, Names::AllBut(_)) { " AND NOT " } else { " AND " });
        ready.push_in::<C>("name", names.iter().map(String::as_str));
    }
    ready.push_with(
        " AND (expires_at IS NULL OR expires_at > ?) \
         AND NOT EXISTS (SELECT 1 FROM utils_jobs_queues q WHERE q.queue = ? AND q.paused = 1)",
        [Value::Big(round.now), Value::Text(&want.queue)],
    );
    Some(ready)
}

/// The ids of the most urgent of them, locked; or of those in the same priority behind a job.
fn pick<'a, C: JobConn>(
    round: &Round<'_>,
    want: &'a Want,
    behind: Option<&'a Place>,
    limit: usize,
) -> Option<Statement<'a>> {
    let mut ready = ready::<C>(round, want)?;
    if let Some(place) = behind {
        let place = [Value::Int(place.priority), Value::Big(place.run_at), Value::Text(&place.id)];
        ready.push_with(" AND priority = ? AND (run_at, id) > (?, ?)", place);
    }
    let mut pick = Statement::new("SELECT id AS t");
    match C::DIALECT {
        Dialect::Mysql => {
            pick.append(ready);
            pick.push(" ORDER BY urgency, run_at, id LIMIT ?"); // as its index has it
            pick.push(SKIP_LOCKED);
        }
        Dialect::Postgres => {
            // A plan that is kept knows no limit, so it would be one for a tenth of all that waits. It gets one to go by:
            // powers of two, or there would be a plan for each number of free places.
            let about = limit.checked_next_power_of_two().unwrap_or(limit);
            pick.push(" FROM (SELECT id");
            pick.append(ready);
            pick.push(&format!(
                " ORDER BY priority DESC, run_at, id LIMIT {about}{SKIP_LOCKED}) AS ready LIMIT ?"
            ));
        }
        Dialect::Sqlite | Dialect::Memory => {
            pick.append(ready);
            pick.push(" ORDER BY priority DESC, run_at, id LIMIT ?");
        }
    }
    Some(pick.bind(i64::try_from(limit).unwrap_or(i64::MAX)))
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
        conn.execute(take.kept(true))?;
        let mut rows = Statement::new(format!("SELECT {CLAIMED} FROM utils_jobs WHERE "));
        rows.push_in::<C>("id", ids.iter().map(String::as_str));
        conn.claimed(rows.kept(true))?
    } else {
        take.push(&format!(" RETURNING {CLAIMED}"));
        conn.claimed(take.kept(true))?
    };
    claimed.sort_by(|a, b| (b.priority, a.run_at, &a.id).cmp(&(a.priority, b.run_at, &b.id)));
    Ok(claimed)
}

/// Renews the leases of the jobs held, and only those: a claim whose commit was not confirmed must run out. A row that
/// somebody has locked is left out: nobody can take that job back either.
pub(crate) fn renew<C: JobConn>(
    conn: &mut C,
    worker: &str,
    held: &[String],
    until: i64,
) -> QueryResult<usize> {
    let mut renewed = 0;
    for chunk in held.chunks(CHUNK) {
        let mut of = Statement::new(format!("{} AND ", held_by(C::DIALECT))).bind(worker);
        of.push_in::<C>("id", chunk.iter().map(String::as_str));
        renewed += update_some(conn, Statement::new("lease_until = ?").bind(until), of)?;
    }
    Ok(renewed)
}

/// What the table says a worker holds.
fn leases<C: JobConn>(conn: &mut C, worker: &str) -> QueryResult<Vec<Lease>> {
    let held = "SELECT id, attempts, cancel_requested FROM utils_jobs WHERE worker = ? AND state = 1";
    conn.leases(Statement::new(held).bind(worker))
}

/// What is done to many jobs at once, whoever's they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sweep {
    /// Take back the jobs of workers that died or stalled. Out of attempts: dead, so that a job that kills its worker ends.
    Reap,
    /// End jobs that may not run any more.
    Expire,
    /// Jobs whose time has come.
    Promote,
}

/// Part of a SET that frees the unique key of a job that ends. The order matters on MySQL, where later ones see earlier ones.
pub(super) const FREE_KEY: &str = "ended_key = COALESCE(unique_key, ended_key), \
                                   unique_key = CASE WHEN keep_key = 1 THEN unique_key ELSE NULL END";

/// The same for jobs of which some end.
pub(super) fn free_key_if(ends: &str) -> String {
    format!(
        "ended_key = COALESCE(unique_key, ended_key), \
         unique_key = CASE WHEN {ends} AND keep_key = 0 THEN NULL ELSE unique_key END"
    )
}

impl Sweep {
    /// Those of a round.
    pub(crate) fn of(round: &Round<'_>) -> impl Iterator<Item = Self> + use<> {
        let all = [(Self::Reap, round.reap), (Self::Expire, round.reap), (Self::Promote, round.promote)];
        all.into_iter().filter_map(|(sweep, wanted)| wanted.then_some(sweep))
    }

    fn set(self, now: i64) -> Statement<'static> {
        match self {
            Self::Reap => Statement::new(format!(
                "state = CASE WHEN cancel_requested = 1 THEN 4 WHEN attempts >= max_attempts THEN 3 ELSE 0 END, \
                 error = '{LEASE_RAN_OUT}', \
                 finished_at = CASE WHEN cancel_requested = 1 OR attempts >= max_attempts THEN ? ELSE NULL END, \
                 {}, worker = NULL, lease_until = NULL",
                free_key_if("(cancel_requested = 1 OR attempts >= max_attempts)")
            ))
            .bind(now),
            Self::Expire => Statement::new(format!(
                "state = 6, finished_at = ?, \
                 error = CASE WHEN attempts > 0 AND error IS NOT NULL THEN error ELSE 'expired before it could run' END, \
                 {FREE_KEY}"
            ))
            .bind(now),
            Self::Promote => Statement::new("state = 0"),
        }
    }

    /// The condition for its jobs.
    fn due<C: JobConn>(self, now: i64) -> Statement<'static> {
        let (lease, run) = (at::<C>("lease_until"), at::<C>("run_at"));
        let due = match self {
            Self::Reap => format!("state = 1 AND {lease} < ? ORDER BY {lease} LIMIT ?"),
            Self::Expire if C::DIALECT == Dialect::Mysql => {
                "may_expire_at <= ? ORDER BY may_expire_at LIMIT ?".to_owned()
            }
            Self::Expire => {
                "state IN (0, 5) AND expires_at IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?"
                    .to_owned()
            }
            Self::Promote => format!("state = 5 AND {run} <= ? ORDER BY {run} LIMIT ?"),
        };
        Statement::new(due).bind(now).bind(SWEPT)
    }
}

/// Does it to all for which it is due, or to none.
fn sweep_all<C: JobConn>(conn: &mut C, sweep: Sweep, now: i64) -> QueryResult<usize> {
    update_some(conn, sweep.set(now), sweep.due::<C>(now))
}

/// Does it to these jobs, where it is due still.
pub(crate) fn sweep_these<C: JobConn>(
    conn: &mut C,
    sweep: Sweep,
    now: i64,
    ids: &[String],
) -> QueryResult<usize> {
    let mut of = Statement::default();
    of.push_in::<C>("id", ids.iter().map(String::as_str));
    of.push(" AND ");
    of.append(sweep.due::<C>(now));
    update_some(conn, sweep.set(now), of)
}

/// The jobs for which it is due.
pub(crate) fn to_sweep<C: JobConn>(conn: &mut C, sweep: Sweep, now: i64) -> QueryResult<Vec<String>> {
    let mut due = Statement::new("SELECT id AS t FROM utils_jobs WHERE ");
    due.append(sweep.due::<C>(now));
    ids(conn, due)
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
    skip_locked::<C>(&mut pick);
    let Some(these) = these(conn, pick, &mut ids)? else { return Ok(0) };
    let mut update = Statement::new(format!("UPDATE {} SET ", by_id::<C>()));
    update.append(set);
    update.push(" WHERE ");
    update.append(these);
    conn.execute(update)
}

const SKIP_LOCKED: &str = " FOR UPDATE SKIP LOCKED";

/// Locks the rows that a query finds, leaving out those that somebody else has locked.
fn skip_locked<C: JobConn>(query: &mut Statement<'_>) {
    if C::DIALECT != Dialect::Sqlite {
        query.push(SKIP_LOCKED);
    }
}

/// A condition for the rows that a query of ids finds: `None` when it finds none.
///
/// MySQL has to ask first, into `ids`: an update that looks for its rows by itself locks what it passes, and runs into
/// deadlocks with those who update by id.
fn these<'a, C: JobConn>(
    conn: &mut C,
    pick: Statement<'a>,
    ids: &'a mut Vec<String>,
) -> QueryResult<Option<Statement<'a>>> {
    let mut these = Statement::default();
    match C::DIALECT {
        Dialect::Mysql => {
            *ids = self::ids(conn, pick)?;
            if ids.is_empty() {
                return Ok(None);
            }
            these.push_in::<C>("id", ids.iter().map(String::as_str));
        }
        Dialect::Postgres => {
            // An array is made once; a subquery with a limit may be run again and again by the plan.
            these.push("id = ANY (ARRAY(");
            these.append(pick);
            these.push("))");
        }
        Dialect::Sqlite | Dialect::Memory => {
            these.push("id IN (");
            these.append(pick);
            these.push(")");
        }
    }
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
        let mut some = Statement::new(format!("SELECT {RECORD} FROM utils_jobs WHERE "));
        some.push_in::<C>("id", chunk.iter().map(String::as_str));
        found.extend(conn.records(some)?);
    }
    Ok(found)
}

/// The jobs that were given up at this time, as their workers died.
pub(crate) fn buried<C: JobConn>(conn: &mut C, at: i64) -> QueryResult<Vec<Record>> {
    let when = self::at::<C>("finished_at");
    conn.records(
        Statement::new(format!(
            "SELECT {RECORD} FROM utils_jobs WHERE state = 3 AND {when} = ? AND error = '{LEASE_RAN_OUT}'"
        ))
        .bind(at),
    )
}

pub(crate) fn list<C: JobConn>(conn: &mut C, filter: &Filter) -> QueryResult<Vec<Record>> {
    conn.records(listed::<C>(RECORD, filter))
}

/// The ids of those that [`list`] would give back.
pub(crate) fn list_ids<C: JobConn>(conn: &mut C, filter: &Filter) -> QueryResult<Vec<String>> {
    ids(conn, listed::<C>("id AS t", filter))
}

fn listed<'a, C: JobConn>(columns: &str, filter: &'a Filter) -> Statement<'a> {
    let mut statement = Statement::new(format!("SELECT {columns} FROM utils_jobs WHERE 1 = 1"));
    if let Some(wanted) = filter.state {
        statement.push(&format!(" AND {}", in_state::<C>(wanted.code())));
    }
    if let Some(name) = &filter.name {
        statement.push_with(" AND name = ?", [Value::Text(name)]);
    }
    if let Some(queue) = &filter.queue {
        statement.push_with(" AND queue = ?", [Value::Text(queue)]);
    }
    statement.push(&match filter.order {
        // In the order of the primary key, SQLite would read all that has ended before these few.
        Order::NewestFirst if C::DIALECT == Dialect::Sqlite && filter.state.is_some_and(is_small) => {
            " ORDER BY +id DESC".to_owned()
        }
        Order::NewestFirst => " ORDER BY id DESC".to_owned(),
        Order::LastFinishedFirst => format!(" ORDER BY {} DESC, id DESC", at::<C>("finished_at")),
    });
    statement
        .push_with(" LIMIT ? OFFSET ?", [Value::Big(filter.limit.into()), Value::Big(filter.offset.into())]);
    statement
}

/// Whether the jobs in this state have an index of their own, and are not as many as those that wait.
fn is_small(state: State) -> bool {
    matches!(state, State::Running | State::Scheduled | State::Blocked)
}

/// That the tables are those of this version: otherwise jobs would run, and none of their ends could be written down.
pub(crate) fn has_tables<C: JobConn>(conn: &mut C) -> QueryResult<bool> {
    let newest = conn.texts(Statement::new("SELECT ended_key AS t FROM utils_jobs WHERE 1 = 0"));
    if newest.is_ok() {
        return Ok(true);
    }
    // As far as it is not the database itself that is not there.
    conn.texts(Statement::new("SELECT id AS t FROM utils_jobs WHERE 1 = 0")).map(|_| false)
}

pub(crate) fn counts<C: JobConn>(conn: &mut C) -> QueryResult<Vec<Count>> {
    conn.counts(Statement::new("SELECT queue, state, COUNT(*) AS n FROM utils_jobs GROUP BY queue, state"))
}

/// Each branch has an index of its own to read, and on most databases nothing else: what is constant is not looked up.
pub(crate) fn open_counts<C: JobConn>(conn: &mut C) -> QueryResult<Vec<Count>> {
    let branches = [
        (state::WAITING, waiting::<C>().to_owned()),
        (state::RUNNING, in_state::<C>(state::RUNNING)),
        (state::SCHEDULED, in_state::<C>(state::SCHEDULED)),
        (state::BLOCKED, in_state::<C>(state::BLOCKED)),
        (state::DEAD, in_state::<C>(state::DEAD)),
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
        let at_once = Statement::new(format!(
            "UPDATE utils_jobs SET state = 4, finished_at = ?, error = 'cancelled before it started', {FREE_KEY} \
             WHERE id = ? AND state IN (0, 5, 7)"
        ));
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

/// Gives a dead, cancelled or expired job a new start. A unique violation: another job has its key by now.
pub(crate) fn requeue<C: JobConn>(conn: &mut C, id: &str, now: i64) -> QueryResult<bool> {
    let again = Statement::new(
        "UPDATE utils_jobs SET state = CASE WHEN waits_for > 0 THEN 7 ELSE 0 END, attempts = 0, run_at = ?, finished_at = NULL, \
         expires_at = NULL, result = NULL, cancel_requested = 0, progress = NULL, progress_note = NULL, \
         unique_key = COALESCE(unique_key, ended_key) \
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
    let (ended, at) = (in_state::<C>(of), at::<C>("finished_at"));
    let old = format!("SELECT id AS t FROM utils_jobs WHERE {ended} AND {at} < ? ORDER BY {at} LIMIT ?");
    let mut old = Statement::new(old).bind(before).bind(limit);
    skip_locked::<C>(&mut old);
    let ids = ids(conn, old)?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    if of != state::DONE {
        // Those alone that are deleted here take others with them.
        flow::orphan(conn, &ids, before)?;
    }
    change_by_id(conn, || Statement::new("DELETE FROM utils_jobs"), &ids)
}

/// Runs a statement that lacks its condition on the jobs with these ids, some hundred at a time, and counts them.
pub(super) fn change_by_id<'a, C: JobConn>(
    conn: &mut C,
    change: impl Fn() -> Statement<'a>,
    ids: &[&'a str],
) -> QueryResult<usize> {
    let mut changed = 0;
    for chunk in ids.chunks(CHUNK) {
        let mut change = change();
        change.push(" WHERE ");
        change.push_in::<C>("id", chunk.iter().copied());
        changed += conn.execute(change)?;
    }
    Ok(changed)
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

/// Writes nothing, which fails where nothing can be written.
pub(crate) fn write_nothing<C: JobConn>(conn: &mut C, worker: &str) -> QueryResult<usize> {
    conn.execute(
        Statement::new("UPDATE utils_jobs_workers SET seen_at = seen_at WHERE name = ?").bind(worker),
    )
}

/// Whether one statement is a transaction by itself. On a MySQL server that is set up otherwise it is not, where a pool
/// was given to us.
pub(crate) fn commits_by_itself<C: JobConn>(conn: &mut C) -> QueryResult<bool> {
    if C::DIALECT != Dialect::Mysql {
        return Ok(true);
    }
    let asked = Statement::new("SELECT CAST(@@autocommit AS SIGNED) AS n").kept(true);
    Ok(conn.number(asked)? == Some(1))
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

/// The condition for the jobs in a state, as their index has it.
fn in_state<C: JobConn>(of: i32) -> String {
    let partial = state::is_final(of) && C::DIALECT != Dialect::Mysql;
    format!("state = {of}{}", if partial { " AND finished_at IS NOT NULL" } else { "" })
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
pub(super) fn by_id<C: JobConn>() -> &'static str {
    match C::DIALECT {
        Dialect::Mysql => "utils_jobs FORCE INDEX (PRIMARY)",
        Dialect::Sqlite | Dialect::Postgres | Dialect::Memory => "utils_jobs",
    }
}

/// The condition that a worker runs a job, where jobs are looked for by their ids. On PostgreSQL it keeps away from the
/// index of running jobs: all that have run since the last vacuum are still in there.
pub(super) fn held_by(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "worker IS NOT DISTINCT FROM ? AND state + 0 = 1",
        Dialect::Sqlite | Dialect::Mysql | Dialect::Memory => "worker = ? AND state = 1",
    }
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "postgres")]
    mod postgres {
        /// A connection to tables that are gone with it.
        fn own_tables() -> PgConnection {
            let url = std::env::var("TEST_POSTGRES_URL")
                .expect("TEST_POSTGRES_URL must name a PostgreSQL database");
            let mut conn = PgConnection::establish(&url).unwrap();
            conn.batch_execute("SET search_path TO pg_temp").unwrap();
            crate::migrate(&mut conn).unwrap();
            conn
        }

        #[test]
        fn those_behind_a_place_are_taken_first_and_then_the_others() {
            let mut conn = own_tables();
            conn.batch_execute(
                "INSERT INTO utils_jobs (id, name, queue, args, state, priority, attempts, max_attempts, run_at, \
                 created_at, meta) SELECT id, 'job', 'default', '', 0, priority, 0, 3, 1, 1, '{}' \
                 FROM (VALUES ('urgent', 1), ('a', 0), ('b', 0), ('c', 0), ('d', 0), ('later', -1)) AS row (id, priority)",
            )
            .unwrap();
            let mut claim = |after: &str, limit| {
                let behind = Some(Place { priority: 0, run_at: 1, id: after.to_owned() });
                let (queue, names) = ("default".to_owned(), Names::All);
                let wants = [Want { queue, names, limit, lane: 0, batch: None, behind }];
                let round_of = Round { worker: "w", wants: &wants, limit, ..Round::default() };
                let done = conn.round_tx(|conn| round(conn, &round_of)).unwrap();
                done.claimed.into_iter().map(|row| row.id).collect::<Vec<_>>()
            };
            assert_eq!(claim("a", 2), ["b", "c"]);
            assert_eq!(claim("c", 3), ["d", "urgent", "a"], "too few behind it");
            assert_eq!(claim("d", 3), ["later"]);
        }

        use diesel::{
            Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query,
            sql_types::Text,
        };

        use crate::store::{
            Round,
            conn::{Raw, Statement},
            row::{Finish, Names, Place, Want, state},
            sql::round,
        };

        #[derive(QueryableByName)]
        struct Line {
            #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
            line: String,
        }

        /// Or every exchange would read a whole table that has grown since the worker began.
        #[test]
        fn plans_that_were_made_for_an_empty_table_go_by_an_index() {
            let mut conn = own_tables();
            conn.batch_execute("VACUUM ANALYZE utils_jobs").unwrap();

            let queue = "default".to_owned();
            let wants = [Want { queue, names: Names::All, limit: 8, lane: 0, batch: None, behind: None }];
            let end = |id: &str, result: &str| Finish {
                id: id.to_owned(),
                attempts: 1,
                state: state::DONE,
                run_at: None,
                result: Some(result.to_owned()),
                error: None,
                uncount: false,
                has_next: false,
            };
            for ends in [[end("a", "1"), end("b", "1")], [end("a", "1"), end("b", "2")]] {
                for _ in 0..10 {
                    let round_of =
                        Round { worker: "w", finish: &ends, wants: &wants, limit: 8, ..Round::default() };
                    conn.round_tx(|conn| round(conn, &round_of)).unwrap();
                }
            }

            conn.batch_execute("SET plan_cache_mode = force_generic_plan").unwrap();
            let kept = "SELECT name || '(' || array_to_string(array_fill('NULL'::text, \
                        ARRAY[array_length(parameter_types, 1)]), ',') || ')' AS t \
                        FROM pg_prepared_statements WHERE statement LIKE 'UPDATE utils_jobs%'";
            let kept = conn.texts(Statement::new(kept)).unwrap();
            assert_eq!(kept.len(), 3, "one that claims, two that end");
            for statement in kept {
                let plan: Vec<Line> =
                    sql_query(format!("EXPLAIN EXECUTE {}", statement.t)).load(&mut conn).unwrap();
                let plan = plan.into_iter().map(|line| line.line).collect::<Vec<_>>().join("\n");
                assert!(plan.contains("Index") && !plan.contains("Seq Scan on utils_jobs"), "{plan}");
                assert!(!plan.contains("utils_jobs_running"), "{plan}");
            }
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
