//! Asking the servers outside: in their order, but no slow or broken one is waited for.

use std::{io, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep_until};

use super::{
    exchange,
    message::{Question, Reply, Transport},
    servers::{Server, ServerList},
};

/// The head start of each server over the next.
const HEAD_START: Duration = Duration::from_millis(250);
/// How long an answer may take altogether: a client asks again after five seconds.
const DEADLINE: Duration = Duration::from_millis(4500);

/// Asks the servers one after the other, each a little later, and returns the first good answer; when there is none, what a
/// server said about that.
pub(super) async fn ask(
    list: &ServerList,
    question: &Question,
    bytes: &[u8],
    transport: Transport,
) -> Option<Vec<u8>> {
    let deadline = Instant::now() + DEADLINE;
    let mut waiting = list.in_order().into_iter();
    let mut silent: Vec<&Server> = Vec::new();
    let mut running = FuturesUnordered::new();
    let mut failure = None;
    let mut next_at = Instant::now();
    loop {
        let now = Instant::now();
        if now >= deadline {
            break;
        }
        if now >= next_at {
            next_at = deadline;
            if let Some(server) = waiting.next() {
                silent.push(server);
                running.push(async move { (server, exchange(server, question, bytes, transport).await) });
                next_at = deadline.min(now + HEAD_START);
            }
        }
        let (server, outcome) = tokio::select! {
            done = running.next() => match done {
                Some(done) => done,
                None => break,
            },
            () = sleep_until(next_at) => continue,
        };
        match outcome {
            Ok((Reply::Answer | Reply::Truncated, answer)) => {
                silent.retain(|other| !std::ptr::eq(*other, server));
                silent.iter().for_each(|server| list.missed(server));
                server.answered();
                return Some(answer);
            }
            Ok((_, answer)) => {
                silent.retain(|other| !std::ptr::eq(*other, server));
                failure = Some(answer);
            }
            Err(error) => {
                tracing::debug!(server = %server.address, %error, "a name server cannot be asked");
            }
        }
        // A server that fails gives way to the next at once.
        next_at = Instant::now();
    }
    silent.iter().for_each(|server| list.missed(server));
    failure
}

/// By UDP as long as it serves: an answer that does not fit goes on to a client that asked by UDP, and is fetched by TCP
/// for one that asked so.
async fn exchange(
    server: &Server,
    question: &Question,
    bytes: &[u8],
    transport: Transport,
) -> io::Result<(Reply, Vec<u8>)> {
    let (reply, answer) = exchange::by_udp(server.address, bytes, question.query()).await?;
    if reply == Reply::Truncated && transport == Transport::Tcp {
        return exchange::by_tcp(server.address, bytes, question.query()).await;
    }
    Ok((reply, answer))
}

#[cfg(test)]
mod tests;
