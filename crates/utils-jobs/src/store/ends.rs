//! The ends of attempts, and how far they have come, in SQL.
use std::collections::BTreeMap;

use diesel::QueryResult;

use super::{
    Dialect,
    conn::{Array, JobConn, Statement, Value},
    flow,
    row::{Finish, Progress, state},
    sql,
};

/// How many ends go into one statement.
const CHUNK: usize = 500;

/// What [`finish`] did.
pub(crate) struct Ended {
    /// How many attempts ended.
    pub count: usize,
    /// How many jobs that waited for them may run now.
    pub freed: usize,
}

/// Whose attempts end, and when.
pub(crate) struct Ending<'a> {
    pub worker: &'a str,
    pub now: i64,
    /// In a round, where PostgreSQL may keep the plans.
    pub in_round: bool,
}

/// Ends attempts, and lets go those that waited for them. Fenced: only the attempt that holds the job may end it.
pub(crate) fn finish<C: JobConn>(conn: &mut C, ending: &Ending<'_>, all: &[Finish]) -> QueryResult<Ended> {
    let (leading, others): (Vec<&Finish>, Vec<&Finish>) =
        all.iter().partition(|each| each.has_next && each.state == state::DONE);
    let mut count = end(conn, ending, &others)?;
    let mut ended = Vec::new();
    for each in leading {
        // one at a time: nobody may go on because of an end that was refused
        if end(conn, ending, &[each])? == 1 {
            count += 1;
            ended.push(each);
        }
    }
    Ok(Ended { count, freed: flow::advance(conn, &ended, ending.now)? })
}

/// Ends attempts. Gives back how many did.
fn end<C: JobConn>(conn: &mut C, ending: &Ending<'_>, all: &[&Finish]) -> QueryResult<usize> {
    // Ends that are alike go into one statement: those of jobs without a result, mostly, and of first attempts. On
    // PostgreSQL others do as well.
    type End<'a> = (i32, bool, bool, Option<Rest<'a>>);
    let mut groups: BTreeMap<End<'_>, Vec<&Finish>> = BTreeMap::new();
    for &each in all {
        let others = (C::DIALECT != Dialect::Postgres).then(|| rest(each));
        groups.entry((each.state, each.uncount, each.run_at.is_some(), others)).or_default().push(each);
    }
    let mut count = 0;
    for chunk in groups.values().flat_map(|group| group.chunks(CHUNK)) {
        let Some(first) = chunk.first() else { continue };
        let update = if chunk.iter().all(|each| rest(each) == rest(first)) {
            end_alike::<C>(ending, first, chunk)
        } else {
            end_each(ending, first, chunk)
        };
        count += conn.execute(update)?;
    }
    Ok(count)
}

/// What differs from job to job, but for the id.
type Rest<'a> = (i32, Option<i64>, Option<&'a str>, Option<&'a str>);

fn rest(end: &Finish) -> Rest<'_> {
    (end.attempts, end.run_at, end.result.as_deref(), end.error.as_deref())
}

/// Ends that are the same but for the job.
fn end_alike<'a, C: JobConn>(ending: &Ending<'a>, first: &'a Finish, all: &[&'a Finish]) -> Statement<'a> {
    let mut update = Statement::new(format!("UPDATE {} SET ", sql::by_id::<C>()));
    set_state(&mut update, ending, first);
    if let Some(run_at) = first.run_at {
        update.push_with(", run_at = ?", [Value::Big(run_at)]);
    }
    if !first.uncount {
        let (result, error) = (first.result.as_deref(), first.error.as_deref());
        update.push_with(", result = ?, error = ?", [Value::OptText(result), Value::OptText(error)]);
    }
    update.push(" WHERE ");
    update.push_in::<C>("id", all.iter().map(|each| each.id.as_str()));
    update.push_with(
        &format!(" AND attempts = ? AND {}", sql::held_by(C::DIALECT)),
        [Value::Int(first.attempts), Value::Text(ending.worker)],
    );
    update.kept(C::DIALECT != Dialect::Postgres || ending.in_round)
}

/// Ends in the same state, on PostgreSQL.
fn end_each<'a>(ending: &Ending<'a>, first: &Finish, all: &[&'a Finish]) -> Statement<'a> {
    let mut update = Statement::new("UPDATE utils_jobs SET ");
    set_state(&mut update, ending, first);
    if first.run_at.is_some() {
        update.push(", run_at = ended_run_at");
    }
    if !first.uncount {
        update.push(", result = ended_result, error = ended_error");
    }
    let arrays = [
        Array::Texts(all.iter().map(|each| each.id.as_str()).collect()),
        Array::Ints(all.iter().map(|each| each.attempts).collect()),
        Array::OptBigs(all.iter().map(|each| each.run_at).collect()),
        Array::OptTexts(all.iter().map(|each| each.result.as_deref()).collect()),
        Array::OptTexts(all.iter().map(|each| each.error.as_deref()).collect()),
    ];
    update.push_with(
        " FROM unnest(?, ?, ?, ?, ?) AS ended (ended_id, ended_attempts, ended_run_at, ended_result, ended_error)",
        arrays.map(Value::Array),
    );
    let held = sql::held_by(Dialect::Postgres);
    update.push_with(
        &format!(" WHERE id = ended_id AND attempts = ended_attempts AND {held}"),
        [Value::Text(ending.worker)],
    );
    update.kept(ending.in_round)
}

fn set_state(update: &mut Statement<'_>, ending: &Ending<'_>, end: &Finish) {
    let (to, now) = (Value::Int(end.state), Value::Big(ending.now));
    if state::is_final(end.state) {
        update.push_with(
            &format!(
                "state = CASE WHEN cancel_requested = 1 AND ? = 3 THEN 4 ELSE ? END, finished_at = ?, {}",
                sql::FREE_KEY
            ),
            [to.clone(), to, now],
        );
        if end.state == state::DONE {
            update.push(", progress = CASE WHEN progress IS NULL THEN NULL ELSE 1 END");
        }
    } else {
        // A cancelled job is not tried again.
        update.push_with(
            &format!(
                "state = CASE WHEN cancel_requested = 1 THEN 4 ELSE ? END, \
                 finished_at = CASE WHEN cancel_requested = 1 THEN ? ELSE NULL END, {}",
                sql::free_key_if("cancel_requested = 1")
            ),
            [to, now],
        );
    }
    if end.uncount {
        update.push(", attempts = attempts - 1");
    }
    update.push(", worker = NULL, lease_until = NULL");
}

/// Ends one attempt, or writes the substitute when the database takes that and not the end itself. The caller opens the
/// transaction. Gives back why the end was not taken.
///
/// The kind of an error does not tell what it is about: Diesel calls a locked file, a full disk and a text that is too
/// long all unknown. So the row is written first, which shows that the database takes writes and that nobody is in the
/// way; an end that fails after that fails because of what is in it.
pub(crate) fn finish_alone<C: JobConn>(
    conn: &mut C,
    ending: &Ending<'_>,
    end: &Finish,
    substitute: &Finish,
) -> QueryResult<Option<diesel::result::Error>> {
    use diesel::result::{DatabaseErrorKind as Kind, Error};
    let mut touch = Statement::new(format!("UPDATE {} SET ", sql::by_id::<C>()));
    touch.push_with(
        &format!("lease_until = lease_until WHERE id = ? AND attempts = ? AND {}", sql::held_by(C::DIALECT)),
        [Value::Text(&end.id), Value::Int(end.attempts), Value::Text(ending.worker)],
    );
    conn.execute(touch)?;
    if end.has_next {
        flow::touch_next(conn, &end.id)?;
    }
    match conn.transaction(|conn| finish(conn, ending, std::slice::from_ref(end))) {
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
            finish(conn, ending, std::slice::from_ref(substitute))?;
            Ok(Some(error))
        }
    }
}

pub(super) fn save_progress<C: JobConn>(
    conn: &mut C,
    worker: &str,
    progress: &Progress,
) -> QueryResult<usize> {
    let mut update = Statement::new(format!("UPDATE {} SET ", sql::by_id::<C>()));
    update.push_with(
        &format!(
            "progress = ?, progress_note = ? WHERE id = ? AND attempts = ? AND {}",
            sql::held_by(C::DIALECT)
        ),
        [
            Value::Double(progress.fraction),
            Value::Text(&progress.note),
            Value::Text(&progress.id),
            Value::Int(progress.attempts),
            Value::Text(worker),
        ],
    );
    conn.execute(update)
}
