//! The job table behind a pool.
use std::{
    any::Any,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use diesel::r2d2::{ConnectionManager, PooledConnection};

use super::{
    CancelFound, Dialect, Round, RoundDone, Store, Stuck, WorkerRow,
    conn::{JobConn, Statement},
    ends::{self, Ending},
    flow::{self, NewFlow},
    insert,
    row::{Count, Finish, Inserted, NewRow, Record, SeenWorker},
    sql::{self, Sweep},
};
use crate::{JobsError, Sessions, SessionsError, list::Filter, sessions::guarded};

/// The store on one of the three databases.
pub(crate) struct DieselStore<C: JobConn> {
    sessions: Sessions<C>,
    /// The connection that is kept, if one is.
    own: Option<Own<C>>,
    /// How many connections of the pool are kept by stores like this one.
    kept: Arc<AtomicUsize>,
}

/// A connection kept out of the pool, so that leases are renewed also when the application uses the whole pool.
struct Own<C: JobConn> {
    conn: Mutex<Option<Kept<C>>>,
    is_pooled: bool,
}

enum Kept<C: JobConn> {
    Pooled(PooledConnection<ConnectionManager<C>>),
    /// The pool is too small to lend one.
    Beside(Box<C>),
}

impl<C: JobConn> Kept<C> {
    fn conn(&mut self) -> &mut C {
        match self {
            Self::Pooled(conn) => conn,
            Self::Beside(conn) => conn,
        }
    }
}

const TOO_SMALL: &str = "each worker keeps a connection for its leases, and this pool, of which half may be kept so, is too \
                         small: make it larger, or make the sessions from a URL";

impl<C: JobConn> DieselStore<C> {
    pub(crate) fn new(sessions: Sessions<C>) -> Self {
        Self { sessions, own: None, kept: Arc::default() }
    }

    pub(crate) fn sessions(&self) -> &Sessions<C> {
        &self.sessions
    }

    fn run<T>(&self, work: impl FnOnce(&mut C) -> diesel::QueryResult<T>) -> Result<T, JobsError> {
        let Some(own) = &self.own else { return Ok(self.sessions.with(work)?) };
        let mut kept = own.conn.lock().unwrap_or_else(PoisonError::into_inner);
        let conn = match &mut *kept {
            Some(kept) => kept.conn(),
            empty @ None => {
                let mut new = match self.sessions.beside().filter(|_| !own.is_pooled) {
                    Some(conn) => Kept::Beside(Box::new(conn?)),
                    None => Kept::Pooled(self.sessions.pool().get().map_err(SessionsError::Exhausted)?),
                };
                lock_timeout(new.conn(), true).map_err(SessionsError::Query)?;
                empty.insert(new).conn()
            }
        };
        let done = guarded(conn, work);
        if done.is_err() && (conn.is_broken() || conn.ping().is_err()) {
            *kept = None;
        }
        Ok(done?)
    }

    fn tx<T>(&self, work: impl FnOnce(&mut C) -> diesel::QueryResult<T>) -> Result<T, JobsError> {
        self.run(|conn| conn.own_tx(work))
    }
}

/// What a careful round did to many jobs at once.
#[derive(Default)]
struct Swept {
    reaped: usize,
    stuck: Vec<Stuck>,
}

impl<C: JobConn> DieselStore<C> {
    /// What a round does to many jobs at once, in transactions of their own: a job that the database refuses to change
    /// does not keep the others, nor the round.
    fn sweep(&self, round: &Round<'_>) -> Result<Swept, JobsError> {
        let mut swept = Swept::default();
        let renew = |conn: &mut C, ids: &[String]| sql::renew(conn, round.worker, ids, round.lease_until);
        self.in_halves(round, round.renew.unwrap_or_default(), &renew, &mut swept.stuck)?;
        for sweep in Sweep::of(round) {
            let ids = self.run(|conn| sql::to_sweep(conn, sweep, round.now))?;
            let each = |conn: &mut C, ids: &[String]| sql::sweep_these(conn, sweep, round.now, ids);
            let changed = self.in_halves(round, &ids, &each, &mut swept.stuck)?;
            if sweep == Sweep::Reap {
                swept.reaped = changed;
            }
        }
        Ok(swept)
    }

    /// Where the database refuses many jobs, it may take the one half of them and not the other, down to single jobs.
    fn in_halves(
        &self,
        round: &Round<'_>,
        ids: &[String],
        work: &dyn Fn(&mut C, &[String]) -> diesel::QueryResult<usize>,
        stuck: &mut Vec<Stuck>,
    ) -> Result<usize, JobsError> {
        let error = match ids {
            [] => return Ok(0),
            ids => match self.tx(|conn| work(conn, ids)) {
                Ok(changed) => return Ok(changed),
                Err(error) => error,
            },
        };
        self.takes_writes(round.worker)?;
        if let [id] = ids {
            stuck.push(Stuck { id: id.clone(), error });
            return Ok(0);
        }
        let (one, other) = ids.split_at(ids.len() / 2);
        Ok(self.in_halves(round, one, work, stuck)? + self.in_halves(round, other, work, stuck)?)
    }
}

/// How long a kept connection waits for a row that somebody has locked: others wait behind it, and it can try again.
/// Without it, for as long as the server says. On SQLite every connection of ours has such a time.
fn lock_timeout<C: JobConn>(conn: &mut C, short: bool) -> diesel::QueryResult<()> {
    let sql = match (C::DIALECT, short) {
        (Dialect::Postgres, true) => "SET lock_timeout = '2s'",
        (Dialect::Postgres, false) => "RESET lock_timeout",
        (Dialect::Mysql, true) => "SET SESSION innodb_lock_wait_timeout = 2",
        (Dialect::Mysql, false) => "SET SESSION innodb_lock_wait_timeout = DEFAULT",
        (Dialect::Sqlite | Dialect::Memory, _) => return Ok(()),
    };
    conn.execute(Statement::new(sql)).map(drop)
}

fn is_unique_violation(error: &JobsError) -> bool {
    use diesel::result::{DatabaseErrorKind, Error};
    let JobsError::Sessions(SessionsError::Query(error)) = error else { return false };
    matches!(error, Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
}

impl<C: JobConn> Drop for DieselStore<C> {
    fn drop(&mut self) {
        let Some(own) = &mut self.own else { return };
        if own.is_pooled {
            self.kept.fetch_sub(1, Ordering::SeqCst);
        }
        let kept = own.conn.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(Kept::Pooled(conn)) = kept
            && let Err(error) = lock_timeout(&mut **conn, false)
        {
            tracing::debug!(%error, "a connection went back with a short time-out for locks");
        }
    }
}

impl<C: JobConn> Store for DieselStore<C> {
    fn with_own_connection(&self) -> Result<Option<Arc<dyn Store>>, JobsError> {
        // At most half of the pool is kept, so nothing of a pool of one.
        let most = self.parallel() / 2;
        let keep = |kept| (kept < most).then_some(kept + 1);
        let is_pooled = self.kept.fetch_update(Ordering::SeqCst, Ordering::SeqCst, keep).is_ok();
        if !is_pooled && !self.sessions.knows_url() {
            return match C::DIALECT {
                // Often in memory, where a second connection would see nothing, and nobody else could take a job.
                Dialect::Sqlite => Ok(None),
                _ => Err(JobsError::Settings(TOO_SMALL)),
            };
        }
        Ok(Some(Arc::new(Self {
            sessions: self.sessions.clone(),
            own: Some(Own { conn: Mutex::default(), is_pooled }),
            kept: Arc::clone(&self.kept),
        })))
    }

    fn with_other_connection(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(Self {
            sessions: self.sessions.clone(),
            own: Some(Own { conn: Mutex::default(), is_pooled: false }),
            kept: Arc::clone(&self.kept),
        }))
    }

    fn dialect(&self) -> Dialect {
        C::DIALECT
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn parallel(&self) -> usize {
        self.sessions.pool().max_size() as usize
    }

    fn patience(&self) -> Duration {
        self.sessions.timeout()
    }

    fn with_patience(&self, time: Duration) -> Option<Arc<dyn Store>> {
        Some(Arc::new(Self::new(self.sessions.with_timeout(time))))
    }

    fn migrate(&self) -> Result<(), JobsError> {
        self.sessions.with(|conn| crate::migrations::migrate(conn))
    }

    fn insert(&self, rows: &[NewRow]) -> Result<Vec<Inserted>, JobsError> {
        self.run(|conn| {
            if insert::is_one_statement(rows) && sql::commits_by_itself(conn)? {
                return insert::insert(conn, rows);
            }
            conn.own_tx(|conn| insert::insert(conn, rows))
        })
    }

    fn insert_flow(&self, new: &NewFlow) -> Result<(), JobsError> {
        self.sessions.with(|conn| conn.own_tx(|conn| flow::insert(conn, new)))
    }

    fn broken(&self, id: &str) -> Result<Option<String>, JobsError> {
        self.run(|conn| flow::broken(conn, id))
    }

    fn round(&self, round: &Round<'_>) -> Result<RoundDone, JobsError> {
        let (mut swept, mut left_out) = (Swept::default(), None);
        if round.careful {
            swept = self.sweep(round)?;
        } else if let Some(held) = round.renew.filter(|held| !held.is_empty())
            && C::DIALECT != Dialect::Sqlite
        {
            // For itself, and without waiting: the rest may have to wait for a row that somebody has locked.
            let renewed = self.tx(|conn| sql::renew(conn, round.worker, held, round.lease_until))?;
            left_out = (renewed < held.len()).then_some(held);
        }
        let mut done = self.run(|conn| conn.round_tx(|conn| sql::round(conn, round)))?;
        if let Some(held) = left_out
            && let Err(error) = self.tx(|conn| sql::renew(conn, round.worker, held, round.lease_until))
        {
            // What the round has done is done, and at the next beat they are renewed again.
            tracing::debug!(%error, "leases of jobs whose rows were locked could not be renewed");
        }
        done.reaped += swept.reaped;
        done.stuck = (round.careful && round.reap).then_some(swept.stuck);
        Ok(done)
    }

    fn takes_writes(&self, worker: &str) -> Result<(), JobsError> {
        self.tx(|conn| sql::write_nothing(conn, worker)).map(drop)
    }

    fn finish_alone(
        &self,
        worker: &str,
        end: &Finish,
        substitute: &Finish,
        now: i64,
    ) -> Result<Option<JobsError>, JobsError> {
        let ending = Ending { worker, now, in_round: false };
        Ok(self.tx(|conn| ends::finish_alone(conn, &ending, end, substitute))?.map(JobsError::from))
    }

    fn tick(&self, schedule: &str, tick: i64, job: Option<&NewRow>) -> Result<Option<bool>, JobsError> {
        self.tx(|conn| sql::tick(conn, schedule, tick, job))
    }

    fn last_tick(&self, schedule: &str) -> Result<Option<i64>, JobsError> {
        self.run(|conn| sql::last_tick(conn, schedule))
    }

    fn record(&self, id: &str) -> Result<Option<Record>, JobsError> {
        self.run(|conn| sql::record(conn, id))
    }

    fn records(&self, ids: &[String]) -> Result<Vec<Record>, JobsError> {
        self.run(|conn| sql::records(conn, ids))
    }

    fn buried(&self, at: i64) -> Result<Vec<Record>, JobsError> {
        self.run(|conn| sql::buried(conn, at))
    }

    fn list(&self, filter: &Filter) -> Result<Vec<Record>, JobsError> {
        self.run(|conn| sql::list(conn, filter))
    }

    fn ids(&self, filter: &Filter) -> Result<Vec<String>, JobsError> {
        self.run(|conn| sql::list_ids(conn, filter))
    }

    fn has_tables(&self) -> Result<bool, JobsError> {
        self.run(sql::has_tables)
    }

    fn counts(&self) -> Result<Vec<Count>, JobsError> {
        self.run(sql::counts)
    }

    fn open_counts(&self) -> Result<Vec<Count>, JobsError> {
        self.run(sql::open_counts)
    }

    fn oldest_waiting(&self) -> Result<Vec<Count>, JobsError> {
        self.run(sql::oldest_waiting)
    }

    fn counts_between(&self, from: &str, before: &str) -> Result<Vec<Count>, JobsError> {
        self.run(|conn| sql::counts_between(conn, from, before))
    }

    fn workers(&self) -> Result<Vec<SeenWorker>, JobsError> {
        self.run(sql::workers)
    }

    fn cancel(&self, id: &str, now: i64) -> Result<CancelFound, JobsError> {
        self.tx(|conn| sql::cancel(conn, id, now))
    }

    fn requeue(&self, id: &str, now: i64) -> Result<bool, JobsError> {
        let requeued = self.tx(|conn| sql::requeue(conn, id, now));
        if !requeued.as_ref().is_err_and(is_unique_violation) {
            return requeued;
        }
        let record = self.record(id)?;
        record.map_or(Ok(false), |record| Err(JobsError::KeyTaken { name: record.name }))
    }

    fn purge(&self, state: i32, before: i64, limit: usize) -> Result<usize, JobsError> {
        self.tx(|conn| sql::purge(conn, state, before, limit))
    }

    fn pause(&self, queue: &str, paused: bool) -> Result<(), JobsError> {
        self.tx(|conn| sql::pause(conn, queue, paused).map(drop))
    }

    fn paused(&self) -> Result<Vec<String>, JobsError> {
        self.run(sql::paused)
    }

    fn seen(&self, worker: &WorkerRow<'_>) -> Result<(), JobsError> {
        self.run(|conn| sql::seen(conn, worker).map(drop))
    }

    fn gone(&self, worker: &str, before: i64) -> Result<(), JobsError> {
        self.run(|conn| sql::gone(conn, worker, before).map(drop))
    }

    fn server_time(&self) -> Result<Option<i64>, JobsError> {
        self.run(sql::server_time)
    }

    fn listen(&self, wake: &mut dyn FnMut(bool) -> bool) -> Result<(), JobsError> {
        if C::DIALECT != Dialect::Postgres || self.parallel() < 3 {
            return Ok(());
        }
        // The connection stays out of the pool for as long as somebody listens: a subscription belongs to a connection.
        let mut conn = self.sessions.pool().get().map_err(SessionsError::Exhausted)?;
        conn.execute(Statement::new(format!("LISTEN {}", insert::CHANNEL))).map_err(SessionsError::Query)?;
        let mut goes_on = wake(true); // something may have come before we listened
        let mut quiet = 0_u32;
        while goes_on {
            // No round trip: this looks at what has arrived. A broken connection shows only when it is used.
            std::thread::sleep(std::time::Duration::from_millis(5));
            quiet += 1;
            if quiet >= 2_000 {
                quiet = 0;
                conn.execute(Statement::new("SELECT 1")).map_err(SessionsError::Query)?;
            }
            goes_on = wake(conn.was_notified().map_err(SessionsError::Query)?);
        }
        conn.execute(Statement::new(format!("UNLISTEN {}", insert::CHANNEL)))
            .map_err(SessionsError::Query)?;
        Ok(())
    }
}
