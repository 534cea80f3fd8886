//! Periodic jobs: ticks that fire once, however many workers know them.
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::{Jobs, JobsError, store::row::NewRow};

/// How much of a schedule's key is readable; with a space and the digest it fits into the 200 characters of MySQL.
const WORDS: usize = 160;

/// A schedule and the job that it enqueues.
pub(crate) struct Planned {
    key: String,
    digest: String,
    schedule: cron::Schedule,
    row: NewRow,
    next: Option<i64>,
    started: bool,
}

impl Planned {
    /// `row` is the job as it is to be enqueued, but for its id and its times.
    pub(crate) fn new(text: &str, row: NewRow) -> Result<Self, JobsError> {
        let schedule = parse(text)?;
        let digest = digest(text, &row);
        let words: String = format!("{} {text}", row.name).chars().take(WORDS).collect();
        Ok(Self { key: format!("{words} {digest}"), digest, schedule, row, next: None, started: false })
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// When it is next due, in milliseconds since 1970.
    pub(crate) fn next(&self) -> Option<i64> {
        self.next
    }

    /// Enqueues the tick that is due. True when it was this process that did.
    ///
    /// After a time in which no worker ran, the last missed tick is made up for, not all of them.
    pub(crate) fn fire(&mut self, jobs: &Jobs, now: i64) -> Result<bool, JobsError> {
        if !self.started {
            match jobs.store().last_tick(&self.key)? {
                Some(last) => self.next = self.after(last),
                None => {
                    jobs.store().tick(&self.key, now, None)?;
                    self.next = self.after(now);
                }
            }
            self.started = true;
        }
        let Some(due) = self.next.filter(|due| *due <= now) else { return Ok(false) };
        let tick = self.last_until(due, now);
        let mut row = self.row.clone();
        row.id = jobs.new_id();
        row.created_at = now;
        row.run_at = now;
        row.expires_at = row.expires_at.map(|after| now.saturating_add(after));
        if row.unique_key.is_none() {
            row.unique_key = Some(format!("cron:{}:{tick}", self.digest));
            row.keep_key = true;
        }
        let won = jobs.store().tick(&self.key, tick, Some(&row))?.unwrap_or(false);
        self.next = self.after(now);
        Ok(won)
    }

    fn after(&self, millis: i64) -> Option<i64> {
        let after: DateTime<Utc> = DateTime::from_timestamp_millis(millis)?;
        self.schedule.after(&after).next().map(|tick| tick.timestamp_millis())
    }

    /// The last tick between a first one and now.
    fn last_until(&self, first: i64, now: i64) -> i64 {
        // Looks at the last hour, then the last day and so on, instead of at every tick of a long pause.
        for span in [3_600_000, 86_400_000, 31 * 86_400_000, 400 * 86_400_000_i64] {
            let from = first.max(now - span) - 1;
            let Some(from) = DateTime::from_timestamp_millis(from) else { continue };
            let ticks = self.schedule.after(&from).map(|tick: DateTime<Utc>| tick.timestamp_millis());
            if let Some(last) = ticks.take_while(|tick| *tick <= now).last() {
                return last;
            }
        }
        first
    }
}

/// Tells schedules apart that have one job type and one text: by the queue, the arguments and the unique key. Every
/// process, of every release, must find the same, so it is FNV-1a in 128 bits, and the arguments' fields are in order.
fn digest(text: &str, row: &NewRow) -> String {
    let args = match serde_json::from_slice::<serde_json::Value>(&row.args) {
        Ok(mut args) => {
            args.sort_all_objects();
            args.to_string().into_bytes()
        }
        Err(_) => row.args.clone(),
    };
    let key = row.unique_key.as_deref().unwrap_or_default();
    let parts = [row.name.as_bytes(), text.as_bytes(), row.queue.as_bytes(), &args, key.as_bytes()];
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let mut add = |byte: u8| {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    };
    for part in parts {
        // with its length, so that no two lists of parts read the same
        part.len().to_be_bytes().into_iter().chain(part.iter().copied()).for_each(&mut add);
    }
    format!("{hash:032x}")
}

/// Five fields as in crontab, six or seven with seconds (and years), or `@hourly` and the like; all in UTC.
fn parse(text: &str) -> Result<cron::Schedule, JobsError> {
    let error = |reason: String| JobsError::Schedule { schedule: text.to_owned(), reason };
    let fields: Vec<&str> = text.split_whitespace().collect();
    let spelled = match fields.as_slice() {
        [minute, hour, day, month, weekday] => {
            let weekday = weekdays(weekday).ok_or_else(|| error("the weekday is wrong".to_owned()))?;
            format!("0 {minute} {hour} {day} {month} {weekday}")
        }
        _ => text.to_owned(),
    };
    cron::Schedule::from_str(&spelled).map_err(|cause| error(cause.to_string()))
}

/// Crontab counts weekdays from Sunday = 0 (and 7), the parser from Sunday = 1: names say it without doubt.
fn weekdays(field: &str) -> Option<String> {
    const NAMES: [&str; 8] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
    let day = |text: &str| match text.parse::<usize>() {
        Ok(number) => NAMES.get(number).map(|name| (*name).to_owned()),
        Err(_) => Some(text.to_owned()),
    };
    let part = |part: &str| {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let days = match range.split_once('-') {
            // A range over the week's end is two for the parser.
            Some((from, to)) => match (from.parse::<usize>(), to.parse::<usize>()) {
                (Ok(from @ 1..=6), Ok(7)) => format!("{}-SAT,SUN", NAMES.get(from)?),
                _ => format!("{}-{}", day(from)?, day(to)?),
            },
            None => day(range)?,
        };
        Some(match step {
            Some(step) => format!("{days}/{step}"),
            None => days,
        })
    };
    field.split(',').map(part).collect::<Option<Vec<_>>>().map(|parts| parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::{Planned, parse};
    use crate::{
        Jobs,
        list::Filter,
        store::row::{NewRow, Record},
    };
    use chrono::{DateTime, Utc};

    const DAY: i64 = 86_400_000;

    fn report(args: &str) -> NewRow {
        NewRow {
            id: String::new(),
            name: "report".to_owned(),
            queue: "default".to_owned(),
            args: args.as_bytes().to_vec(),
            priority: 0,
            max_attempts: 1,
            created_at: 0,
            run_at: 0,
            expires_at: None,
            unique_key: None,
            keep_key: false,
            meta: "{}".to_owned(),
        }
    }

    /// What these schedules have enqueued after a day, as two workers would.
    fn enqueued(text: &str, rows: &[NewRow]) -> Vec<Record> {
        let jobs = Jobs::memory();
        for _ in 0..2 {
            let mut planned: Vec<_> =
                rows.iter().map(|row| Planned::new(text, row.clone()).unwrap()).collect();
            for now in [0, DAY] {
                for each in &mut planned {
                    each.fire(&jobs, now).unwrap();
                }
            }
        }
        jobs.store().list(&Filter::default()).unwrap()
    }

    #[test]
    fn schedules_with_one_text_and_different_arguments_or_queues_all_fire() {
        let other_queue = NewRow { queue: "slow".to_owned(), ..report("1") };
        let all = enqueued("0 3 * * *", &[report("1"), report("2"), other_queue]);
        let mut found: Vec<_> = all.iter().map(|job| (job.queue.as_str(), job.args.as_slice())).collect();
        found.sort_unstable();
        assert_eq!(found, [("default", &b"1"[..]), ("default", b"2"), ("slow", b"1")]);
    }

    #[test]
    fn the_order_of_fields_makes_no_other_schedule() {
        let all = enqueued("0 3 * * *", &[report(r#"{"a":1,"b":2}"#), report(r#"{"b":2,"a":1}"#)]);
        assert_eq!(all.len(), 1, "{all:?}");
    }

    #[test]
    fn an_expiry_beyond_all_times_is_never() {
        let lasting = NewRow { expires_at: Some(i64::MAX), ..report("1") };
        let all = enqueued("0 3 * * *", &[lasting]);
        assert_eq!(all.iter().map(|job| job.expires_at).collect::<Vec<_>>(), [Some(i64::MAX)]);
    }

    #[test]
    fn a_unique_key_of_the_job_is_kept() {
        let mine = NewRow { unique_key: Some("sync".to_owned()), ..report("1") };
        let all = enqueued("0 3 * * *", &[mine]);
        assert_eq!(all.iter().map(|job| job.unique_key.as_deref()).collect::<Vec<_>>(), [Some("sync")]);
    }

    #[test]
    fn a_long_text_makes_no_long_key_and_each_tick_counts() {
        let minutes: Vec<String> = (0..60).map(|minute| minute.to_string()).collect();
        let text = format!("0 {} * * * *", minutes.join(","));
        let jobs = Jobs::memory();
        let mut planned = Planned::new(&text, report("1")).unwrap();
        assert!(planned.key().len() <= 200, "{}", planned.key());
        for minute in 0..4 {
            planned.fire(&jobs, minute * 60_000).unwrap();
        }
        let all = jobs.store().list(&Filter::default()).unwrap();
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(all.iter().all(|job| job.unique_key.as_ref().is_some_and(|key| key.len() <= 200)));
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let from: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        let next = parse(text).unwrap().after(&from).next().unwrap();
        assert_eq!(next.format("%a %Y-%m-%d %H:%M:%S").to_string(), expected, "{text}");
    }

    #[test]
    fn five_fields_mean_what_crontab_means() {
        check("0 3 * * *", "Thu 2026-01-01 03:00:00");
        check("*/15 * * * *", "Thu 2026-01-01 00:15:00");
        check("0 9 * * 1", "Mon 2026-01-05 09:00:00");
        check("0 9 * * 0", "Sun 2026-01-04 09:00:00");
        check("0 9 * * 7", "Sun 2026-01-04 09:00:00");
        check("0 9 * * 6-7", "Sat 2026-01-03 09:00:00");
        check("0 9 * * 1-5", "Thu 2026-01-01 09:00:00");
        check("0 9 * * MON,WED", "Mon 2026-01-05 09:00:00");
    }

    #[test]
    fn six_fields_begin_with_seconds() {
        check("*/10 * * * * *", "Thu 2026-01-01 00:00:10");
        check("@daily", "Fri 2026-01-02 00:00:00");
    }

    #[test]
    fn nonsense_is_refused_with_the_text() {
        let error = parse("every day").unwrap_err().to_string();
        assert!(error.starts_with("the schedule \"every day\" cannot be read"), "{error}");
        assert!(parse("0 9 * * 8").is_err());
    }
}
