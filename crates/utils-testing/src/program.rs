use std::{
    fmt,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;

/// How long a program may take to say where it listens, and to answer a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// A real server program under test: started as its user would, talked to over a socket, killed when dropped.
///
/// [`TestApp`](crate::TestApp) is faster and says more; this is for what only the whole program shows: its command
/// line, its start, and what is left after it was killed.
///
/// # Examples
/// ```no_run
/// use std::process::Command;
/// use serde_json::json;
/// use utils_testing::Program;
///
/// // in an integration test: env!("CARGO_BIN_EXE_shop")
/// let shop = Program::start(Command::new("target/debug/shop").args(["--listen", "127.0.0.1:0"]));
/// let answer = shop.post("/login", &[], &json!({"username": "ann", "password": "secret"}));
/// assert_eq!(answer.status, 200);
/// shop.kill(); // SIGKILL: no destructor runs
/// ```
#[derive(Debug)]
pub struct Program {
    child: Child,
    address: SocketAddr,
}

/// What a program answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Program {
    /// Starts a program and waits until a line of its output names an address such as `http://127.0.0.1:41234`.
    ///
    /// # Panics
    /// When it does not start, or names no address within 30 s.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let mut child = match command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => panic!("{} did not start: {error}", command.get_program().display()),
        };
        let Some(output) = child.stdout.take() else { panic!("the program has no output to read") };
        let (sender, addresses) = mpsc::channel();
        // reads on after the address, so that a talkative program is never stopped by a full pipe
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(address) = address_in(&line) {
                    let _ = sender.send(address);
                }
            }
        });
        match addresses.recv_timeout(PATIENCE) {
            Ok(address) => Self { child, address },
            Err(_) => {
                let _ = child.kill();
                let status = child.wait();
                panic!("the program named no address within {PATIENCE:?}; it ended with {status:?}");
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request without a body.
    #[track_caller]
    #[must_use]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        Answer::to_request(self.address, &request(method, path, headers, b""))
    }

    /// Sends JSON.
    #[track_caller]
    #[must_use]
    pub fn send_json(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        json: &impl Serialize,
    ) -> Answer {
        let body = match serde_json::to_vec(json) {
            Ok(body) => body,
            Err(error) => panic!("this is no JSON: {error}"),
        };
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/json"));
        Answer::to_request(self.address, &request(method, path, &headers, &body))
    }

    /// Posts JSON.
    #[track_caller]
    #[must_use]
    pub fn post(&self, path: &str, headers: &[(&str, &str)], json: &impl Serialize) -> Answer {
        self.send_json("POST", path, headers, json)
    }

    /// Kills it at once: on Unix by SIGKILL, so that nothing of it runs any more.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

impl Answer {
    /// What a server answers to a request that is sent byte for byte. The request must say `connection: close`.
    ///
    /// # Panics
    /// When there is no answer that can be read.
    #[track_caller]
    #[must_use]
    pub fn to_request(server: SocketAddr, request: &[u8]) -> Self {
        match exchange(server, request) {
            Ok(answer) => answer,
            Err(problem) => {
                panic!("{server} gave no answer to {}: {problem}", String::from_utf8_lossy(request))
            }
        }
    }

    /// The first header of this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(json) => json,
            Err(error) => panic!("the body is no JSON ({error}):\n{self}"),
        }
    }

    /// The same answer, if it has this status.
    ///
    /// # Panics
    /// When it has another one; the whole answer is shown.
    #[track_caller]
    #[expect(
        clippy::must_use_candidate,
        clippy::return_self_not_must_use,
        reason = "a test may be content with the status"
    )]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "the answer was\n{self}");
        self
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(formatter, "{name}: {value}")?;
        }
        write!(formatter, "\n{}", self.text())
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|character: char| character.is_whitespace() || "/,;".contains(character));
    rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

fn exchange(server: SocketAddr, request: &[u8]) -> Result<Answer, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE).map_err(text)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
    stream.write_all(request).map_err(text)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(text)?;

    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or("it has no end of its head")?;
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let body = bytes.split_off(end + 4);
    let mut lines = head.split("\r\n");
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or("it has no status")?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    if headers.iter().any(|(name, _)| name == "transfer-encoding") {
        return Err("its body comes in chunks, which are not put together here".to_owned());
    }
    Ok(Answer { status, headers, body })
}

#[cfg(test)]
mod tests {
    use super::address_in;

    #[test]
    fn the_address_is_found_in_a_line() {
        let check = |line: &str, address: Option<&str>| {
            assert_eq!(address_in(line).map(|found| found.to_string()).as_deref(), address, "{line}");
        };
        check("listening on http://127.0.0.1:5005", Some("127.0.0.1:5005"));
        check("curl http://[::1]:80/login", Some("[::1]:80"));
        check("http://127.0.0.1:5005, user test", Some("127.0.0.1:5005"));
        check("see http://example.org/", None);
        check("nothing", None);
    }
}
