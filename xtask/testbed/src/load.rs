//! A small load generator, the same on both sides of every path that is measured.
//!
//! One connection and one thread each, so that the figure shows the path's cost and not the scheduler's:
//! request/response over one connection, a new connection for each request, and a bulk stream.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

/// Bytes of a request and of its answer.
const MESSAGE: usize = 64;
/// Bytes of one write of a stream.
const CHUNK: usize = 128 * 1024;
/// How long a peer may be silent before the measurement fails.
const SILENCE: Duration = Duration::from_secs(10);

/// The first byte of a connection says what it is.
#[derive(Clone, Copy)]
enum Kind {
    /// Every message is answered with itself.
    Echo = b'e' as isize,
    /// Everything is read; at its end the number of bytes is told.
    Sink = b's' as isize,
}

/// What one measurement found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// Requests or connections per second, or bits per second of a stream.
    pub rate: f64,
    /// The 99th percentile of one request's time; zero for a stream.
    pub p99: Duration,
}

/// Serves connections to `listener`, one after the other, for ever. A thread for each would cost more than the
/// connection that is measured.
///
/// # Errors
/// When no connection can be accepted.
pub fn serve(listener: &TcpListener) -> io::Result<()> {
    let mut buffer = vec![0; 2 * CHUNK];
    loop {
        let (stream, _) = listener.accept()?;
        // A client that goes away, or is reset as the connections are, ends only its own connection.
        let _ended = answer(stream, &mut buffer);
    }
}

fn answer(mut stream: TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    if kind[0] == Kind::Sink as u8 {
        let mut count = 0_u64;
        loop {
            match stream.read(buffer)? {
                0 => return stream.write_all(&count.to_le_bytes()),
                read => count += read as u64,
            }
        }
    }
    let mut message = [0; MESSAGE];
    loop {
        stream.read_exact(&mut message)?;
        stream.write_all(&message)?;
    }
}

/// Requests over one connection for `time`.
///
/// # Errors
/// When the server cannot be reached or answers wrongly.
pub fn request_response(server: SocketAddr, time: Duration) -> io::Result<Measurement> {
    let mut stream = connect(server, Kind::Echo)?;
    repeat(time, || exchange(&mut stream))
}

/// A new connection for each request for `time`. Connections are reset, not closed: a closed one would hold its port
/// for a minute.
///
/// # Errors
/// As [`request_response`].
pub fn connections(server: SocketAddr, time: Duration) -> io::Result<Measurement> {
    repeat(time, || {
        let mut stream = connect(server, Kind::Echo)?;
        exchange(&mut stream)?;
        setsockopt(&stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
        Ok(())
    })
}

/// One stream to the server for `time`; what the server has read is what counts.
///
/// # Errors
/// As [`request_response`].
pub fn stream(server: SocketAddr, time: Duration) -> io::Result<Measurement> {
    let mut stream = connect(server, Kind::Sink)?;
    let chunk = vec![0x5a; CHUNK];
    let start = Instant::now();
    while start.elapsed() < time {
        stream.write_all(&chunk)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut count = [0; 8];
    stream.read_exact(&mut count)?;
    let bits = u64::from_le_bytes(count) as f64 * 8.0;
    Ok(Measurement { rate: bits / start.elapsed().as_secs_f64(), p99: Duration::ZERO })
}

/// Switches between two threads for `time`: each wakes the other with a byte and waits for its answer. The rate is that of
/// switches where both have one processor between them.
///
/// # Errors
/// When there is no pipe.
pub fn switches(time: Duration) -> io::Result<Measurement> {
    let (mut answers, mut answer) = io::pipe()?;
    let (mut questions, mut question) = io::pipe()?;
    thread::scope(|scope| {
        scope.spawn(move || -> io::Result<()> {
            let mut byte = [0];
            // Until the pipe ends.
            while questions.read(&mut byte)? > 0 {
                answer.write_all(&byte)?;
            }
            Ok(())
        });
        let turns = repeat(time, || {
            question.write_all(&[0])?;
            answers.read_exact(&mut [0])
        });
        drop(question);
        turns.map(|turns| Measurement { rate: turns.rate * 2.0, ..turns })
    })
}

fn connect(server: SocketAddr, kind: Kind) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&server, SILENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.write_all(&[kind as u8])?;
    Ok(stream)
}

fn exchange(stream: &mut TcpStream) -> io::Result<()> {
    let mut message = [7; MESSAGE];
    stream.write_all(&message)?;
    stream.read_exact(&mut message)
}

fn repeat(time: Duration, mut once: impl FnMut() -> io::Result<()>) -> io::Result<Measurement> {
    let mut times = Vec::with_capacity(1 << 20);
    let start = Instant::now();
    let mut last = Duration::ZERO;
    while last < time {
        once()?;
        let now = start.elapsed();
        times.push(now - last);
        last = now;
    }
    let rate = times.len() as f64 / last.as_secs_f64();
    // The loop ran at least once, so there is a 99th percentile.
    let rank = (times.len() - 1) * 99 / 100;
    let (_, p99, _) = times.select_nth_unstable(rank);
    Ok(Measurement { rate, p99: *p99 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_load_is_measured_against_a_real_server() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener));
        let time = Duration::from_millis(50);
        for measure in [request_response, connections, stream] {
            assert!(measure(server, time).unwrap().rate > 0.0);
        }
    }

    #[test]
    fn two_threads_take_turns() {
        let turns = switches(Duration::from_millis(50)).unwrap();
        assert!(turns.rate > 100.0, "{turns:?}");
    }
}
