//! A way to a database server that may go silent: nothing comes through, and no connection ends.
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

/// Forwards connections; dropped, it ends them.
pub(super) struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    silent: AtomicBool,
    /// Connections up to this number are silent for ever.
    lost: AtomicU32,
    ended: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// To a server, by its host and port.
    pub(super) fn start(server: String) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), server)
    }

    /// The same where an earlier one has been, which may take a moment to go.
    #[cfg(feature = "redis")]
    pub(super) fn again(port: u16, server: String) -> Self {
        for _ in 0..1_000 {
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
                return Self::on(listener, server);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("port {port} is not free")
    }

    fn on(listener: TcpListener, server: String) -> Self {
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for (number, client) in (1..).zip(listener.incoming().map_while(Result::ok)) {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                // A server that is stopped refuses, and so do we, by ending.
                let Ok(server) = TcpStream::connect(&server) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    to.set_nodelay(true).unwrap(); // as the drivers have it
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    shared.streams.lock().unwrap().push(from.try_clone().unwrap());
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || forward(from, to, number, &shared));
                }
            }
        });
        Self { port, state }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The same URL by way of a proxy.
    pub(super) fn to(url: &str) -> (Self, String) {
        let (front, rest) = url.split_once('@').unwrap();
        let (server, rest) = rest.split_once('/').unwrap();
        let proxy = Self::start(server.to_owned());
        let url = format!("{front}@127.0.0.1:{}/{rest}", proxy.port);
        (proxy, url)
    }

    /// Nothing comes through any more, until something does again.
    pub(super) fn silence(&self, silent: bool) {
        self.state.silent.store(silent, Ordering::SeqCst);
    }

    /// Nothing ever comes through the connections of now; new ones are as good as before.
    pub(super) fn lose_connections(&self) {
        let made = u32::try_from(self.state.streams.lock().unwrap().len() / 2).unwrap();
        self.state.lost.store(made, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        for stream in self.state.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both); // it may have ended by itself
        }
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // so that the thread sees it
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, number: u32, state: &State) {
    let mut buffer = [0; 16_384];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        while state.silent.load(Ordering::SeqCst) || number <= state.lost.load(Ordering::SeqCst) {
            if state.ended.load(Ordering::SeqCst) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both); // it may have ended by itself
}
