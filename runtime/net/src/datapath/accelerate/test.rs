//! What sockets must do on the short way as on the long one. Each check names what this kernel gets wrong.

mod bed;

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use bed::{Bed, Epoll, FILLED, Pair, fionread, pattern, pause, say, splice};

use super::{Datapath, Verdict};

type Outcome = Result<(), String>;

/// What a check is about, and the check.
type Check = (&'static str, fn(&Bed<'_>) -> Outcome);

const CHECKS: [Check; 11] = [
    ("messages", messages),
    ("FIONREAD", unread_bytes),
    ("order", order),
    ("half-close", half_close),
    ("close", close),
    ("edges of epoll", edges),
    ("a reader that waits", waiting_reader),
    ("splice into a socket", splice_in),
    ("a reader that is slow", slow_reader),
    ("large windows", large_windows),
    ("MPTCP", mptcp),
];

/// The checks that are told apart: many kernels fail them, and few programs do such things.
const TOLERABLE: [Check; 2] =
    [("splice from a socket", splice_out), ("a reader that is woken for a writer", woken_reader)];

/// Runs all checks between two addresses in a network namespace of their own.
pub(super) fn run(datapath: &Datapath) -> Result<Verdict, String> {
    let mut faults = Vec::new();
    bed::run(datapath, |bed| {
        CHECKS.into_iter().try_for_each(|(name, check)| run_one(bed, name, check))?;
        faults.extend(TOLERABLE.into_iter().filter_map(|(name, check)| run_one(bed, name, check).err()));
        Ok(())
    })?;
    Ok(if faults.is_empty() { Verdict::Good } else { Verdict::Faulty(faults.join("; ")) })
}

fn run_one(bed: &Bed<'_>, name: &str, check: fn(&Bed<'_>) -> Outcome) -> Outcome {
    bed.allow(true)?;
    check(bed).map_err(|reason| format!("this kernel is wrong about {name}: {reason}"))
}

/// Both directions take the short way, from the first message on.
fn messages(bed: &Bed<'_>) -> Outcome {
    let before = bed.shortened()?;
    bed.pair()?.converse(300)?;
    let shortened = bed.shortened()? - before;
    if shortened == 600 { Ok(()) } else { Err(format!("{shortened} of 600 bytes took the short way")) }
}

/// A reader is told how much there is, whichever way it came.
fn unread_bytes(bed: &Bed<'_>) -> Outcome {
    for is_short in [true, false] {
        bed.allow(is_short)?;
        let mut pair = bed.pair()?;
        pair.client.write_all(&pattern(1000)).map_err(say("write"))?;
        bed::readable(&pair.server)?;
        let before = fionread(&pair.server)?;
        pair.server.read_exact(&mut [0; 400]).map_err(say("read"))?;
        let (after, way) = (fionread(&pair.server)?, if is_short { "short" } else { "long" });
        if (before, after) != (1000, 600) {
            return Err(format!("{before} and {after} bytes for 1000 and 600, on the {way} way"));
        }
    }
    Ok(())
}

/// What goes by both ways in turns arrives in order, also when nobody reads meanwhile.
fn order(bed: &Bed<'_>) -> Outcome {
    let mut pair = bed.pair()?;
    let bytes = pattern(60_000);
    for _ in 0..4 {
        for (turn, part) in bytes.chunks(4000).enumerate() {
            bed.allow(turn % 3 != 1)?;
            pair.client.write_all(part).map_err(say("write"))?;
        }
        pair.expect(&bytes)?;
    }
    Ok(())
}

/// One direction ends, after all its bytes, and the other goes on.
fn half_close(bed: &Bed<'_>) -> Outcome {
    let mut pair = bed.pair()?;
    pair.client.write_all(&pattern(5000)).map_err(say("write"))?;
    pair.client.shutdown(Shutdown::Write).map_err(say("shut down"))?;
    let mut got = Vec::new();
    pair.server.read_to_end(&mut got).map_err(say("read to the end"))?;
    if got != pattern(5000) {
        return Err(format!("{} of 5000 bytes before the end", got.len()));
    }
    pair.server.write_all(&pattern(3000)).map_err(say("write the other way"))?;
    drop(pair.server);
    got.clear();
    pair.client.read_to_end(&mut got).map_err(say("read the other way"))?;
    if got == pattern(3000) { Ok(()) } else { Err(format!("{} of 3000 bytes the other way", got.len())) }
}

/// What was sent before a close arrives, and then the end.
fn close(bed: &Bed<'_>) -> Outcome {
    let mut pair = bed.pair()?;
    pair.client.write_all(&pattern(5000)).map_err(say("write"))?;
    drop(pair.client);
    pause();
    let mut got = Vec::new();
    pair.server.read_to_end(&mut got).map_err(say("read to the end"))?;
    if got == pattern(5000) { Ok(()) } else { Err(format!("{} of 5000 bytes before the end", got.len())) }
}

/// Each message is one edge for a reader that has read all before it.
fn edges(bed: &Bed<'_>) -> Outcome {
    for is_short in [true, false] {
        bed.allow(is_short)?;
        let mut pair = bed.pair()?;
        pair.server.set_nonblocking(true).map_err(say("unblock"))?;
        let epoll = Epoll::of(&pair.server)?;
        for turn in 0..3 {
            if epoll.is_ready(Duration::from_millis(5))? {
                return Err(format!("an edge without a message, in turn {turn}"));
            }
            pair.client.write_all(&pattern(100)).map_err(say("write"))?;
            if !epoll.is_ready(bed::PATIENCE)? {
                return Err(format!("a message without an edge, in turn {turn}"));
            }
            let count = pair.read_what_there_is()?;
            if count != 100 {
                return Err(format!("{count} bytes for 100 after an edge"));
            }
        }
        drop(pair.client);
        if !epoll.is_ready(bed::PATIENCE)? {
            return Err("an end without an edge".into());
        }
    }
    Ok(())
}

/// A read that waits ends with the first bytes, whichever way they come.
fn waiting_reader(bed: &Bed<'_>) -> Outcome {
    let Pair { mut client, mut server } = bed.pair()?;
    for is_short in [true, false, true] {
        bed.allow(is_short)?;
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 100];
            (server.read_exact(&mut bytes), server)
        });
        pause();
        client.write_all(&pattern(100)).map_err(say("write"))?;
        let (outcome, socket) = reader.join().map_err(|_| "the reader failed")?;
        outcome.map_err(say("read"))?;
        server = socket;
    }
    Ok(())
}

/// A pipe is emptied into a socket.
fn splice_in(bed: &Bed<'_>) -> Outcome {
    for is_short in [true, false] {
        bed.allow(is_short)?;
        let mut pair = bed.pair()?;
        let (from_pipe, mut into_pipe) = std::io::pipe().map_err(say("make a pipe"))?;
        into_pipe.write_all(&pattern(3000)).map_err(say("write"))?;
        splice(&from_pipe, &pair.client, 3000)?;
        pair.expect(&pattern(3000))?;
    }
    Ok(())
}

/// A pipe is filled from a socket.
fn splice_out(bed: &Bed<'_>) -> Outcome {
    for is_short in [true, false] {
        bed.allow(is_short)?;
        let mut pair = bed.pair()?;
        let (mut from_pipe, into_pipe) = std::io::pipe().map_err(say("make a pipe"))?;
        pair.client.write_all(&pattern(3000)).map_err(say("write"))?;
        bed::readable(&pair.server)?;
        splice(&pair.server, &into_pipe, 3000)?;
        let mut got = vec![0; 3000];
        from_pipe.read_exact(&mut got).map_err(say("read the pipe"))?;
        if got != pattern(3000) {
            return Err("bytes came changed".into());
        }
    }
    Ok(())
}

/// A sender has to wait for a reader that does not read; nothing is lost, and the short way is taken again afterwards.
fn slow_reader(bed: &Bed<'_>) -> Outcome {
    let mut pair = bed.pair()?;
    pair.client.set_nonblocking(true).map_err(say("unblock"))?;
    let sent = pair.fill()?;
    if sent >= FILLED {
        return Err(format!("{sent} bytes wait for it, and the sender does not"));
    }
    pair.client.set_nonblocking(false).map_err(say("block"))?;
    pair.expect(&pattern(sent))?;
    let before = bed.shortened()?;
    pair.converse(100)?;
    if bed.shortened()? == before { Err("the short way is not taken again".into()) } else { Ok(()) }
}

/// A read goes on waiting when the socket has room again for another thread that writes.
fn woken_reader(bed: &Bed<'_>) -> Outcome {
    bed.allow(false)?;
    let mut pair = bed.pair()?;
    let bytes = pattern(2 << 20);
    let clone = || pair.client.try_clone().map_err(say("clone"));
    let (mut reader, mut writer) = (clone()?, clone()?);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || reader.read_exact(&mut [0; 1]));
        let writer = scope.spawn(|| writer.write_all(&bytes));
        pause();
        pair.expect(&bytes)?;
        pair.server.write_all(&[1]).map_err(say("answer"))?;
        writer.join().map_err(|_| "the writer failed")?.map_err(say("write"))?;
        reader.join().map_err(|_| "the reader failed")?.map_err(say("read"))
    })
}

/// Much at once, both sides at work.
fn large_windows(bed: &Bed<'_>) -> Outcome {
    let mut pair = bed.pair()?;
    let bytes = pattern(2 << 20);
    let mut client: TcpStream = pair.client.try_clone().map_err(say("clone"))?;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| client.write_all(&bytes));
        pair.expect(&bytes)?;
        writer.join().map_err(|_| "the writer failed")?.map_err(say("write"))
    })
}

/// Connections over several ways are left alone.
fn mptcp(bed: &Bed<'_>) -> Outcome {
    let before = bed.shortened()?;
    // A kernel without them, or with them switched off, has nothing to get wrong.
    let Some(mut pair) = bed.mptcp_pair()? else { return Ok(()) };
    pair.converse(300)?;
    if bed.shortened()? == before { Ok(()) } else { Err("messages take the short way".into()) }
}
