//! The process that runs jobs: this test binary again. It says on its standard output when it gets ready or stops being
//! so, and writes its log to its standard error.
use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use utils_jobs::{Worker, shutdown_signal};

use super::{super::ticks::Tick, Step, quick};

/// How often the worker of these tests renews its leases, of 900 ms.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(300);
pub(super) const LEASE: Duration = Duration::from_millis(900);
/// How long its jobs have to end.
pub(super) const SHUTDOWN: Duration = Duration::from_secs(1);

const URL: &str = "UTILS_JOBS_TEST_OUTAGE_URL";

#[test]
#[ignore = "the other process of the tests that stop a database"]
fn process() {
    let Ok(url) = std::env::var(URL) else { return };
    tracing_subscriber::fmt()
        .with_env_filter("warn,utils_jobs=info")
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let jobs = quick().open(&url).unwrap();
        let worker = Worker::new(&jobs)
            .handle::<Step>()
            .handle::<Tick>()
            .every("* * * * * *", Tick)
            .concurrency(4)
            .shutdown_within(SHUTDOWN)
            .start()
            .unwrap();
        let mut stop = std::pin::pin!(shutdown_signal());
        let mut was = false;
        loop {
            assert!(worker.is_running());
            if worker.is_ready() != was {
                was = !was;
                // Not by a macro, whose output the harness keeps to itself.
                let mut out = std::io::stdout();
                writeln!(out, "{}", if was { READY } else { UNREADY }).unwrap();
                out.flush().unwrap();
            }
            let nap = tokio::time::sleep(Duration::from_millis(10));
            tokio::select! {
                () = &mut stop => break,
                () = nap => {}
            }
        }
        worker.stop().await.unwrap();
    });
    // A tick may wait in the blocking pool for a server that does not answer, and tokio would wait for it.
    runtime.shutdown_timeout(Duration::from_millis(100));
}

const READY: &str = "the worker is ready";
const UNREADY: &str = "the worker is not ready";

pub(super) struct WorkerProcess {
    process: Child,
    log: tempfile::NamedTempFile,
    states: mpsc::Receiver<bool>,
}

impl WorkerProcess {
    pub(super) fn start(url: &str) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "jobs::outage::worker::process", "--ignored", "--quiet", "--nocapture"])
            .env(URL, url)
            .stdout(Stdio::piped())
            .stderr(File::create(log.path()).unwrap())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let (sender, states) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let state =
                    if line.ends_with(UNREADY) { Some(false) } else { line.ends_with(READY).then_some(true) };
                if let Some(state) = state
                    && sender.send(state).is_err()
                {
                    return;
                }
            }
        });
        Self { process, log, states }
    }

    pub(super) async fn gets_ready(&mut self, within: Duration) {
        self.says(true, within).await;
    }

    pub(super) async fn gets_unready(&mut self, within: Duration) {
        self.says(false, within).await;
    }

    /// Waits for this word, and that it stays the last one for a moment.
    async fn says(&mut self, wanted: bool, within: Duration) {
        let began = Instant::now();
        let mut last = None;
        loop {
            last = self.states.try_iter().last().or(last);
            if last == Some(wanted) {
                return;
            }
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "the worker has ended: {ended:?}: {}", self.log());
            assert!(began.elapsed() < within, "ready should be {wanted} after {within:?}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The process is the same as at the beginning, ends when it is asked to, and has not filled its log.
    pub(super) fn stops_well_and_was_quiet(mut self, outages: usize) {
        assert!(self.process.try_wait().unwrap().is_none(), "{}", self.log());
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        let ended = self.process.wait().unwrap();
        let log = self.log();
        assert!(ended.success(), "{ended}: {log}");
        let loud = log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).count();
        assert!(loud <= LOUD * outages, "{loud} lines of warnings: {log}");
        assert!(!log.contains(" ERROR "), "{log}");
        eprintln!("{loud} warnings for {outages} outages");
    }

    /// Asked to, the process ends in time, and this is what it has said.
    pub(super) fn stops_within(mut self, time: Duration) -> String {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        let began = Instant::now();
        loop {
            if let Some(ended) = self.process.try_wait().unwrap() {
                assert!(ended.success(), "{ended}: {}", self.log());
                eprintln!("the worker has ended {} ms after it was asked to", began.elapsed().as_millis());
                return self.log();
            }
            assert!(began.elapsed() < time, "it has not ended within {time:?}: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended by itself
        let _ = self.process.wait();
    }
}

/// The most warnings for an outage, however long.
const LOUD: usize = 20;
