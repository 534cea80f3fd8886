//! What authentication costs a request: this library and others, in one run.
//!
//! ```text
//! cargo run --release --manifest-path benches/server-compare/Cargo.toml -- 9 1500
//! ```
//!
//! runs 9 rounds of 1500 ms for each server; with a word behind it, such as `utils`, only for those with it in their name,
//! and for the plain route. Every server is a process of its own with one actix-web worker, pinned to the first core; the
//! client is pinned to the second and keeps 16 connections busy over loopback. The servers take turns, every other round
//! backwards, so that whatever else the machine does falls on all of them. The figure is the CPU time of the server's
//! threads by request, from `/proc`, and its ratio to the plain route in the same round.
//!
//! All requests of a server carry one token, which is kept after the second; `none kept` verifies it every time.
mod client;
mod servers;

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use client::Connections;

struct Server {
    name: &'static str,
    process: Child,
    connections: Connections,
    /// Nanoseconds of CPU for a request, and requests a second, round by round.
    cpu: Vec<f64>,
    rate: Vec<f64>,
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [serve, name] = &arguments[..]
        && serve == "--serve"
    {
        pin(0);
        return servers::run(name);
    }
    let number =
        |at: usize, default: u64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (rounds, slice) = (number(0, 9), Duration::from_millis(number(1, 1500)));

    pin(1);
    let wanted = arguments.get(2).map_or("", String::as_str);
    let names = servers::NAMES.iter().enumerate().filter(|(at, name)| *at == 0 || name.contains(wanted));
    let mut servers = names.map(|(_, name)| start(name)).collect::<std::io::Result<Vec<_>>>()?;
    for server in &mut servers {
        server.connections.run(slice / 3)?; // warm up
    }
    for round in 0..rounds {
        let order: Vec<usize> =
            if round % 2 == 0 { (0..servers.len()).collect() } else { (0..servers.len()).rev().collect() };
        for at in order {
            let server = &mut servers[at];
            let before = cpu_time(server.process.id())?;
            let requests = server.connections.run(slice)? as f64;
            let spent = cpu_time(server.process.id())? - before;
            server.cpu.push(spent as f64 / requests);
            server.rate.push(requests / slice.as_secs_f64());
        }
    }
    report(&servers);
    Ok(())
}

impl Drop for Server {
    fn drop(&mut self) {
        // it has nothing to say any more, and may be gone already
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(name: &'static str) -> std::io::Result<Server> {
    let mut process =
        Command::new(std::env::current_exe()?).args(["--serve", name]).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    let mut line =
        || lines.next().unwrap_or_else(|| Err(std::io::Error::other(format!("{name} did not start"))));
    let (port, header) = match (line(), line()) {
        (Ok(port), Ok(header)) => (port.parse().expect("a port"), header),
        (Err(error), _) | (_, Err(error)) => {
            process.kill()?;
            return Err(error);
        }
    };
    let connections = Connections::open(port, &header).inspect_err(|_| drop(process.kill()))?;
    Ok(Server { name, process, connections, cpu: Vec::new(), rate: Vec::new() })
}

fn report(servers: &[Server]) {
    let plain = &servers[0];
    println!(
        "{:<44} {:>9} {:>10} {:>8} {:>19} {:>9}",
        "server", "req/s", "CPU µs", "ratio", "(least – most)", "auth µs"
    );
    for server in servers {
        let ratios: Vec<f64> = server.cpu.iter().zip(&plain.cpu).map(|(ours, plain)| ours / plain).collect();
        let costs: Vec<f64> = server.cpu.iter().zip(&plain.cpu).map(|(ours, plain)| ours - plain).collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        println!(
            "{:<44} {:>9.0} {:>10.2} {:>8.3} {:>19} {:>9.2}",
            server.name,
            median(&server.rate),
            median(&server.cpu) / 1e3,
            median(&ratios),
            format!("({least:.3} – {most:.3})"),
            median(&costs) / 1e3,
        );
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The CPU time of all threads of a process, in nanoseconds.
fn cpu_time(process: u32) -> std::io::Result<u64> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
        total += schedstat.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(total)
}

/// Keeps this thread, and those it starts, on one core.
fn pin(core: usize) {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &cores) {
        eprintln!("not pinned to core {core}: {error}");
    }
}
