//! The table of all figures, the ratios, and whether the gates are kept.
use std::collections::BTreeMap;

use crate::{Outcome, peers::Peer};

/// What one measurement found, by name.
pub(crate) type Figures = BTreeMap<String, f64>;

type Measured<'a> = [(&'a Peer, Vec<Figures>)];

/// Ours, whom it is compared with, and how many times as many jobs it must drain, if that is a gate: of Celery, whoever
/// wants many short jobs tunes for them.
const PAIRS: &[(&str, &str, Option<f64>)] = &[
    ("ours, SQLite", "apalis-sqlite", Some(2.0)),
    ("ours, SQLite, tuned", "apalis-sqlite, tuned", Some(2.0)),
    ("ours, PostgreSQL", "apalis-postgres", Some(2.0)),
    ("ours, PostgreSQL, tuned", "apalis-postgres, tuned", Some(2.0)),
    ("ours, SQLite", "Celery, Redis", None),
    ("ours, PostgreSQL", "Celery, Redis", None),
    ("ours, MariaDB", "Celery, Redis", None),
    ("ours, SQLite, tuned", "Celery, Redis, tuned", Some(10.0)),
    ("ours, PostgreSQL, tuned", "Celery, Redis, tuned", Some(10.0)),
    ("ours, MariaDB, tuned", "Celery, Redis, tuned", Some(10.0)),
    ("ours, SQLite, tuned", "apalis-redis, tuned", None),
    ("ours, PostgreSQL, tuned", "apalis-redis, tuned", None),
    ("ours, MariaDB, tuned", "apalis-redis, tuned", None),
];

/// The latest that a job may start when the worker is idle, for 99 of 100, in milliseconds.
const LATEST: f64 = 20.0;

pub(crate) fn print(measured: &Measured<'_>) -> Outcome<()> {
    println!("{:<28} {:>22} {:>22} {:>22}", "jobs a second", "one by one", "batches of 100", "drained");
    for (peer, rounds) in
        measured.iter().filter(|(_, rounds)| rounds.iter().any(|it| it.contains_key("drain")))
    {
        let cell = |name: &str| spread(&each(rounds, name), 0);
        println!("{:<28} {:>22} {:>22} {:>22}", peer.name, cell("single"), cell("batch"), cell("drain"));
    }
    let mut missed = Vec::new();
    println!(
        "\n{:<50} {:>22} {:>22} {:>22}",
        "times as many", "one by one", "batches of 100", "drained [gate]"
    );
    for (ours, other, gate) in PAIRS {
        let (one, two) = (rounds_of(measured, ours)?, rounds_of(measured, other)?);
        let ratios = |name: &str| -> Vec<f64> {
            each(one, name).iter().zip(each(two, name)).map(|(one, two)| one / two).collect()
        };
        let cell = |name: &str| spread(&ratios(name), 1);
        let title = format!("{ours} : {other}");
        let limit = gate.map_or_else(String::new, |gate| format!(" [{gate:.0}]"));
        let drained = cell("drain") + &limit;
        println!("{title:<50} {:>22} {:>22} {drained:>22}", cell("single"), cell("batch"));
        if gate.is_some_and(|gate| median(&ratios("drain")) < gate) {
            missed.push(format!("{title} drains less than{limit} times as many"));
        }
    }
    println!("\n{:<50} {:>22} {:>22}", "ms from enqueueing to the start", "p50", "p99 [gate]");
    for (peer, rounds) in measured.iter().filter(|(_, rounds)| rounds.iter().any(|it| it.contains_key("p99")))
    {
        let cell = |name: &str| spread(&each(rounds, name), 1);
        let late = format!("{} [{LATEST:.0}]", cell("p99"));
        println!("{:<50} {:>22} {late:>22}", peer.name, cell("p50"));
        if median(&each(rounds, "p99")) > LATEST {
            missed.push(format!("{}: p99 is above {LATEST} ms", peer.name));
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(missed.join("; ").into()) }
}

fn rounds_of<'a>(measured: &'a Measured<'_>, name: &str) -> Outcome<&'a [Figures]> {
    let found = measured.iter().find(|(peer, _)| peer.name == name);
    Ok(&found.ok_or_else(|| format!("nobody is called {name}"))?.1)
}

fn each(rounds: &[Figures], name: &str) -> Vec<f64> {
    rounds.iter().filter_map(|figures| figures.get(name).copied()).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median, and the least and the most.
fn spread(values: &[f64], digits: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.digits$} ({least:.digits$}–{most:.digits$})", median(values))
}
