use std::{
    io::{Error, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

const CONNECTIONS: usize = 16;

/// Connections that are kept open, each with at most one request under way.
pub(crate) struct Connections {
    streams: Vec<TcpStream>,
    request: Vec<u8>,
    answer_length: usize,
}

impl Connections {
    pub(crate) fn open(port: u16, header: &str) -> std::io::Result<Self> {
        let request = format!("GET /protected HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{header}\r\n\r\n",);
        let mut streams = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            streams.push(stream);
        }
        let mut connections = Self { streams, request: request.into_bytes(), answer_length: 0 };
        connections.answer_length = connections.first_answer()?;
        Ok(connections)
    }

    /// Keeps all connections busy for so long; how many requests were answered.
    pub(crate) fn run(&mut self, how_long: Duration) -> std::io::Result<u64> {
        let begin = Instant::now();
        let mut answer = vec![0; self.answer_length];
        let mut requests = 0;
        while begin.elapsed() < how_long {
            for stream in &mut self.streams {
                stream.write_all(&self.request)?;
            }
            for stream in &mut self.streams {
                stream.read_exact(&mut answer)?;
                if !answer.starts_with(b"HTTP/1.1 200 ") {
                    return Err(Error::other(String::from_utf8_lossy(&answer).into_owned()));
                }
                requests += 1;
            }
        }
        Ok(requests)
    }

    /// The length of an answer; all of them are of the same.
    fn first_answer(&mut self) -> std::io::Result<usize> {
        let stream = &mut self.streams[0];
        stream.write_all(&self.request)?;
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer)?;
        let text = String::from_utf8_lossy(&answer[..length]);
        if text.starts_with("HTTP/1.1 200 ") && text.ends_with("Welcome, 4242") {
            Ok(length)
        } else {
            Err(Error::other(text.into_owned()))
        }
    }
}
