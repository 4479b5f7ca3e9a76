//! As much of HTTP/1.1 as a server with three answers needs: persistent connections, pipelining, bodies to be skipped.
//!
//! | path | answer |
//! |---|---|
//! | `/health` | `ok` |
//! | `/data?size=N` | N bytes, at most 16 GiB, the same for the same N |
//! | anything else | the report |

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::{report, say};

/// A request line and its headers.
const HEAD_MAX: usize = 16 * 1024;
/// A body that is skipped; a longer one ends the connection.
const BODY_MAX: u64 = 64 * 1024 * 1024;
const DATA_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// A client that is silent for so long makes room for another.
const IDLE: Duration = Duration::from_secs(60);
/// How long, and for how many reads, a refused client is listened to.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_READS: usize = 64;
/// What `/data` repeats: a prime number of bytes, so that no lost or repeated packet goes unnoticed.
const PATTERN: usize = 65_521;

/// Answers a client until it leaves. What goes wrong on one connection concerns nobody else.
pub(super) fn serve(stream: &TcpStream, client: SocketAddr) {
    let prepared = stream
        .set_read_timeout(Some(IDLE))
        .and_then(|()| stream.set_write_timeout(Some(IDLE)))
        .and_then(|()| stream.set_nodelay(true));
    if prepared.is_ok() {
        let _ = Connection { stream, client, received: Vec::new() }.run();
    }
}

struct Connection<'a> {
    stream: &'a TcpStream,
    client: SocketAddr,
    /// Read, but not yet understood.
    received: Vec<u8>,
}

/// What matters of a request.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    method: String,
    target: String,
    keep_alive: bool,
    /// The client waits to be told that its body is welcome.
    expects_continue: bool,
    body: Body,
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    /// Its end is not looked for: the connection is closed after the answer.
    Chunked,
}

/// Why a request is not answered with what it asks for.
#[derive(Debug, PartialEq, Eq)]
struct Refusal(u16, &'static str);

const MALFORMED: Refusal = Refusal(400, "Bad Request");
const HEAD_TOO_LONG: Refusal = Refusal(431, "Request Header Fields Too Large");
const BODY_TOO_LONG: Refusal = Refusal(413, "Content Too Large");

impl Connection<'_> {
    fn run(&mut self) -> io::Result<()> {
        loop {
            let head = match self.head()? {
                Some(Ok(head)) => head,
                Some(Err(refusal)) => return self.refuse(&refusal),
                None => return Ok(()),
            };
            let request = match Request::parse(&head) {
                Ok(request) => request,
                Err(refusal) => return self.refuse(&refusal),
            };
            if request.expects_continue {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let keep_alive = match request.body {
                Body::Length(length) => {
                    self.skip(length)?;
                    request.keep_alive
                }
                Body::Chunked => false,
            };
            self.answer(&request, &head, keep_alive)?;
            if !keep_alive {
                return Ok(());
            }
        }
    }

    /// The next request's line and headers; none when the client has left.
    fn head(&mut self) -> io::Result<Option<Result<String, Refusal>>> {
        let mut searched = 0;
        loop {
            if let Some(end) = find(&self.received[searched..], b"\r\n\r\n") {
                let rest = self.received.split_off(searched + end + 4);
                let head = std::mem::replace(&mut self.received, rest);
                return Ok(Some(String::from_utf8(head).map_err(|_| MALFORMED)));
            }
            if self.received.len() > HEAD_MAX {
                return Ok(Some(Err(HEAD_TOO_LONG)));
            }
            // The mark may lie across two reads.
            searched = self.received.len().saturating_sub(3);
            if self.receive()? == 0 {
                return if self.received.is_empty() { Ok(None) } else { Ok(Some(Err(MALFORMED))) };
            }
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    let count = result?;
                    self.received.extend_from_slice(&buffer[..count]);
                    return Ok(count);
                }
            }
        }
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let mut left = length;
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.received.len());
            self.received.drain(..here);
            left -= here as u64;
            if left == 0 {
                return Ok(());
            }
            if self.receive()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn answer(&mut self, request: &Request, head: &str, keep_alive: bool) -> io::Result<()> {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let with_body = request.method != "HEAD";
        let sent = match path {
            "/data" => self.data(size(query), with_body, keep_alive)?,
            "/health" => self.text(200, "OK", "ok\n", with_body, keep_alive)?,
            _ => self.text(200, "OK", &report::full(self.client, head), with_body, keep_alive)?,
        };
        say(&format!("{} \"{} {}\" 200 {sent}", self.client, request.method, printable(&request.target)));
        Ok(())
    }

    fn refuse(&mut self, refusal: &Refusal) -> io::Result<()> {
        let Refusal(status, reason) = refusal;
        self.text(*status, reason, &format!("{reason}\n"), true, false)?;
        say(&format!("{} \"-\" {status} -", self.client));
        self.linger()
    }

    /// Reads on for a moment: closing with something unread resets the connection, and takes the answer with it.
    fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        self.stream.set_read_timeout(Some(LINGER))?;
        for _ in 0..LINGER_READS {
            self.received.clear();
            if self.receive()? == 0 {
                break;
            }
        }
        Ok(())
    }

    fn text(
        &mut self,
        status: u16,
        reason: &str,
        body: &str,
        with_body: bool,
        keep_alive: bool,
    ) -> io::Result<u64> {
        let mut answer = head(status, reason, "text/plain; charset=utf-8", body.len() as u64, keep_alive);
        if with_body {
            answer.push_str(body);
        }
        // One write, so that an answer is one packet where it fits.
        self.stream.write_all(answer.as_bytes())?;
        Ok(if with_body { body.len() as u64 } else { 0 })
    }

    fn data(&mut self, size: u64, with_body: bool, keep_alive: bool) -> io::Result<u64> {
        let answer = head(200, "OK", "application/octet-stream", size, keep_alive);
        self.stream.write_all(answer.as_bytes())?;
        if !with_body {
            return Ok(0);
        }
        let pattern = pattern();
        let mut left = size;
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(pattern.len());
            self.stream.write_all(&pattern[..count])?;
            left -= count as u64;
        }
        Ok(size)
    }
}

impl Request {
    fn parse(head: &str) -> Result<Self, Refusal> {
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (first.next(), first.next(), first.next(), first.next())
        else {
            return Err(MALFORMED);
        };
        let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        if !is_method || target.is_empty() || !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
            return Err(MALFORMED);
        }
        let mut request = Self {
            method: method.to_owned(),
            target: target.to_owned(),
            keep_alive: version == "HTTP/1.1",
            expects_continue: false,
            body: Body::Length(0),
        };
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(MALFORMED)?;
            request.header(&name.to_ascii_lowercase(), value.trim())?;
        }
        Ok(request)
    }

    fn header(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        match name {
            "connection" => {
                for option in value.split(',').map(|option| option.trim().to_ascii_lowercase()) {
                    match option.as_str() {
                        "close" => self.keep_alive = false,
                        "keep-alive" => self.keep_alive = true,
                        _ => {}
                    }
                }
            }
            "content-length" if self.body != Body::Chunked => {
                let length: u64 = value.parse().map_err(|_| MALFORMED)?;
                if length > BODY_MAX {
                    return Err(BODY_TOO_LONG);
                }
                self.body = Body::Length(length);
            }
            "transfer-encoding" => self.body = Body::Chunked,
            "expect" => self.expects_continue = value.eq_ignore_ascii_case("100-continue"),
            _ => {}
        }
        Ok(())
    }
}

fn head(status: u16, reason: &str, kind: &str, length: u64, keep_alive: bool) -> String {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    format!(
        "HTTP/1.1 {status} {reason}\r\nServer: beeline-whoami\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\nConnection: {connection}\r\n\r\n"
    )
}

/// The `size` of a query, in bytes; 0 without one.
fn size(query: &str) -> u64 {
    let size = query.split('&').find_map(|parameter| parameter.strip_prefix("size="));
    size.and_then(|size| size.parse().ok()).unwrap_or(0).min(DATA_MAX)
}

fn pattern() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(PATTERN).collect()
}

/// A target as it may stand in a log: one line, no control characters.
fn printable(target: &str) -> String {
    target.chars().map(|c| if c.is_control() || c == '"' { '?' } else { c }).collect()
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What a client that sends `input` and then shuts its side hears.
    fn exchange(input: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (stream, client) = listener.accept().unwrap();
            serve(&stream, client);
        });
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.write_all(input).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        server.join().unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn statuses(answer: &str) -> Vec<&str> {
        answer.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect()
    }

    #[test]
    fn a_request_is_answered_with_the_clients_address() {
        let answer = exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("RemoteAddr: 127.0.0.1:"), "{answer}");
    }

    #[test]
    fn a_connection_serves_many_requests_also_pipelined_ones() {
        let answer = exchange(b"GET /health HTTP/1.1\r\n\r\nPOST /health HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /health HTTP/1.1\r\n\r\n");
        assert_eq!(statuses(&answer).len(), 3, "{answer}");
    }

    #[test]
    fn the_connection_ends_when_the_client_asks_for_it() {
        let two = b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\nGET /health HTTP/1.1\r\n\r\n";
        assert_eq!(statuses(&exchange(two)).len(), 1);
        let old = b"GET /health HTTP/1.0\r\n\r\nGET /health HTTP/1.0\r\n\r\n";
        assert_eq!(statuses(&exchange(old)).len(), 1);
        let kept = b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /health HTTP/1.0\r\n\r\n";
        assert_eq!(statuses(&exchange(kept)).len(), 2);
    }

    #[test]
    fn head_has_the_length_but_not_the_body() {
        let answer = exchange(b"HEAD /health HTTP/1.1\r\n\r\n");
        assert!(answer.contains("Content-Length: 3\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[test]
    fn data_has_the_length_that_was_asked_for() {
        let answer = exchange(b"GET /data?size=200000 HTTP/1.0\r\n\r\n");
        assert!(answer.contains("Content-Length: 200000\r\n"));
        assert_eq!(size("a=1&size=7"), 7);
        assert_eq!((size(""), size("size=x"), size("size=99999999999999")), (0, 0, DATA_MAX));
    }

    #[test]
    fn what_is_not_http_is_refused_and_the_connection_closed() {
        for input in [
            &b"hello\r\n\r\n"[..],
            b"GET /\r\n\r\n",
            b"GET / HTTP/2\r\n\r\n",
            b"get / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\n\xff\r\n\r\n",
            b"GET / HT",
        ] {
            assert_eq!(statuses(&exchange(input)), ["HTTP/1.1 400 Bad Request"], "{input:?}");
        }
        assert_eq!(statuses(&exchange(b"")), [""; 0]);
        let mut long = b"GET / HTTP/1.1\r\nA: ".to_vec();
        long.resize(HEAD_MAX + 100, b'a');
        assert!(statuses(&exchange(&long))[0].contains("431"));
        assert!(
            statuses(&exchange(b"PUT / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"))[0].contains("413")
        );
    }

    #[test]
    fn a_client_may_wait_for_its_body_to_be_welcome() {
        let answer = exchange(b"PUT /health HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi");
        assert_eq!(statuses(&answer), ["HTTP/1.1 100 Continue", "HTTP/1.1 200 OK"]);
    }

    #[test]
    fn the_log_stays_one_line_a_request() {
        assert_eq!(printable("/a\u{1b}[2J\"b"), "/a?[2J?b");
    }
}
