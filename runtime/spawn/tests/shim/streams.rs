//! Standard input and output, terminals and the log.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use beeline_spawn::protocol::{Attach, Event, Request, Stream};

use crate::fixture::{Bench, Container, Options, PATIENCE, command, eventually, read_all, sh, split};

crate::tests![
    output_is_framed_and_logged,
    all_output_arrives_and_is_logged,
    clients_get_what_they_asked_for,
    input_comes_back_and_ends,
    input_outlives_a_client,
    without_open_stdin_input_is_empty,
    unread_input_does_not_spoil_the_output,
    a_terminal_has_a_size_and_echoes,
    a_terminal_may_be_closed_and_opened,
    the_log_rotates,
    a_full_disk_does_not_stop_the_container,
    a_stuck_client_does_not_stop_the_container,
    a_stuck_terminal_client_misses_output_and_stays,
    a_slow_client_gets_everything,
    a_foreign_holder_of_the_output_delays_the_exit_shortly,
];

fn with_stdin(mut options: Options, once: bool) -> Options {
    options.open_stdin = true;
    options.stdin_once = once;
    options
}

fn with_tty(options: Options) -> Options {
    Options { tty: true, ..with_stdin(options, false) }
}

/// What the log holds of a stream.
fn logged(container: &Container, stream: Stream) -> String {
    container.log().iter().filter(|line| line.stream == stream).map(|line| line.log.as_str()).collect()
}

fn seq(last: u32) -> String {
    (1..=last).map(|number| format!("{number}\n")).collect()
}

fn output_is_framed_and_logged() {
    let bench = Bench::new();
    let mut container = bench.create(&sh("echo out; echo err >&2; echo -n end"));
    let stream = container.attach(false);
    container.start();
    let (stdout, stderr) = split(&read_all(&stream));
    assert_eq!((stdout.as_slice(), stderr.as_slice()), (&b"out\nend"[..], &b"err\n"[..]));
    drop(stream);
    let exit = container.control.exited();
    assert_eq!(exit.code, 0);
    assert_eq!(logged(&container, Stream::Stdout), "out\nend");
    assert_eq!(logged(&container, Stream::Stderr), "err\n");
    container.assert_gone();
}

fn all_output_arrives_and_is_logged() {
    let bench = Bench::new();
    let mut container = bench.create(&sh("seq 1 100000; echo done >&2"));
    let streams = [container.attach(false), container.attach(false)];
    container.start();
    let reader = |stream: UnixStream| std::thread::spawn(move || split(&read_all(&stream)));
    for reader in streams.map(reader) {
        let (stdout, stderr) = reader.join().unwrap();
        assert_eq!((stdout == seq(100_000).into_bytes(), stderr.as_slice()), (true, &b"done\n"[..]));
    }
    container.control.exited();
    assert!(logged(&container, Stream::Stdout) == seq(100_000));
    container.assert_gone();
}

fn clients_get_what_they_asked_for() {
    let bench = Bench::new();
    let mut container = bench.create(&sh("echo out; echo err >&2"));
    let only = |stdout, stderr| container.connect().attach(Attach { stdin: false, stdout, stderr });
    let streams = [only(true, false), only(false, true), only(false, false)];
    container.start();
    let texts = streams.each_ref().map(|stream| split(&read_all(stream)));
    drop(streams);
    assert_eq!(texts[0], (b"out\n".to_vec(), Vec::new()));
    assert_eq!(texts[1], (Vec::new(), b"err\n".to_vec()));
    assert_eq!(texts[2], (Vec::new(), Vec::new()));
    container.exit();
}

fn input_comes_back_and_ends() {
    let bench = Bench::new();
    let mut container = bench.create(&with_stdin(command(&["/bin/cat"]), true));
    let mut stream = container.attach(true);
    let mut watcher = container.attach(false);
    container.start();
    let sent = seq(100_000).into_bytes();
    let reading = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || split(&read_all(&reading)).0);
    let watching = std::thread::spawn(move || {
        let mut all = Vec::new();
        watcher.read_to_end(&mut all).unwrap();
        split(&all).0
    });
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(reader.join().unwrap() == sent);
    assert!(watching.join().unwrap() == sent);
    drop(stream);
    assert_eq!(container.exit().code, 0);
}

fn input_outlives_a_client() {
    let bench = Bench::new();
    let mut container = bench.start(&with_stdin(command(&["/bin/cat"]), false));
    for (round, text) in ["first\n", "second\n"].iter().enumerate() {
        let mut stream = container.attach(true);
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        eventually("the text is logged", || container.log().len() == round + 1);
    }
    assert_eq!(container.control.ask(Request::CloseStdin), Event::Ok);
    let exit = container.control.exited();
    assert_eq!((exit.code, logged(&container, Stream::Stdout).as_str()), (0, "first\nsecond\n"));
    container.assert_gone();
}

fn without_open_stdin_input_is_empty() {
    let bench = Bench::new();
    assert_eq!(bench.start(&sh("cat; exit 3")).exit().code, 3);
}

fn unread_input_does_not_spoil_the_output() {
    let bench = Bench::new();
    let mut container = bench.create(&with_stdin(sh("head -c 1 >/dev/null; echo enough"), true));
    let mut stream = container.attach(true);
    container.start();
    stream.write_all(&vec![b'x'; 100_000]).unwrap();
    // Neither "connection reset" nor less than everything.
    assert_eq!(split(&read_all(&stream)).0, b"enough\n");
    drop(stream);
    container.exit();
}

fn a_terminal_has_a_size_and_echoes() {
    let bench = Bench::new();
    let mut container =
        bench.create(&with_tty(sh("stty size; read answer; stty size; test -t 2; echo $answer $?")));
    let mut stream = container.attach(true);
    container.start();
    let mut seen = Vec::new();
    let mut until = |stream: &mut UnixStream, text: &str| {
        let mut buffer = [0; 1000];
        while !String::from_utf8_lossy(&seen).contains(text) {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "{:?} ends before {text:?}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..read]);
        }
    };
    until(&mut stream, "30 100\r\n");
    assert_eq!(container.control.ask(Request::Resize { width: 80, height: 24 }), Event::Ok);
    stream.write_all(b"yes\n").unwrap();
    until(&mut stream, "yes\r\n24 80\r\nyes 0\r\n");
    assert_eq!(read_all(&stream), b"");
    drop(stream);
    container.control.exited();
    assert!(logged(&container, Stream::Stdout).ends_with("yes\r\n24 80\r\nyes 0\r\n"));
    container.assert_gone();
}

fn a_terminal_may_be_closed_and_opened() {
    let bench = Bench::new();
    let script = "t=$(readlink /proc/self/fd/0); exec <&- >&- 2>&-; sleep 0.3; exec <$t >$t 2>&1; echo back";
    let mut container = bench.create(&with_tty(sh(script)));
    let stream = container.attach(false);
    container.start();
    assert_eq!(String::from_utf8(read_all(&stream)).unwrap(), "back\r\n", "{:?}", container.recorded());
    drop(stream);
    assert_eq!(container.exit().code, 0);
}

fn the_log_rotates() {
    let bench = Bench::new();
    let mut container = bench.start(&Options { max_size: 10_000, max_file: 3, ..sh("seq 1 20000") });
    container.control.exited();
    let log = container.log();
    assert_eq!(log.last().unwrap().log, "20000\n");
    let first: u32 = log[0].log.trim().parse().unwrap();
    assert_eq!(log.len(), 20_001 - first as usize);
    assert!(log.len() > 200);
    for suffix in ["", ".1", ".2"] {
        let path = container.request.bundle.join(format!("container.log{suffix}"));
        assert!(fs::metadata(path).unwrap().len() <= 10_100);
    }
    assert!(!container.request.bundle.join("container.log.3").exists());
    container.assert_gone();
}

fn a_full_disk_does_not_stop_the_container() {
    let bench = Bench::new();
    let (mut request, cgroup) = bench.request(&with_stdin(sh("seq 1 1000; cat; exit 7"), true));
    request.log.file.as_mut().unwrap().path = "/dev/full".into();
    let mut container = bench.create_from(request, cgroup);
    container.start();
    eventually("dropped output is counted", || container.status().log_dropped > 1000);
    container.control.ask(Request::CloseStdin);
    assert_eq!(container.exit().code, 7);
}

fn a_stuck_client_does_not_stop_the_container() {
    let bench = Bench::new();
    let mut container = bench.create(&sh("seq 1 150000; echo done"));
    let stuck = container.attach(false);
    let begin = Instant::now();
    container.start();
    assert_eq!(container.control.exited().code, 0);
    assert!(begin.elapsed() < Duration::from_secs(15));
    assert_eq!(container.last_logged(), "done\n");
    drop(stuck);
    container.assert_gone();
}

fn a_stuck_terminal_client_misses_output_and_stays() {
    let bench = Bench::new();
    let mut container = bench.create(&with_tty(sh("seq 1 150000; read go; echo done")));
    let mut stuck = container.attach(true);
    container.start();
    eventually("the container has written everything", || container.last_logged() == "150000\r\n");
    stuck.write_all(b"go\n").unwrap();
    let seen = String::from_utf8(read_all(&stuck)).unwrap();
    assert!(seen.starts_with("1\r\n2\r\n"));
    assert!(seen.len() < seq(150_000).len());
    drop(stuck);
    assert_eq!(container.exit().code, 0);
}

fn a_slow_client_gets_everything() {
    let bench = Bench::new();
    let mut container = bench.create(&sh("seq 1 100000"));
    let mut stream = container.attach(false);
    container.start();
    let (mut all, mut buffer) = (Vec::new(), vec![0; 50_000]);
    loop {
        std::thread::sleep(Duration::from_millis(10));
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            read => all.extend_from_slice(&buffer[..read]),
        }
    }
    assert!(split(&all).0 == seq(100_000).into_bytes());
    drop(stream);
    container.exit();
}

fn a_foreign_holder_of_the_output_delays_the_exit_shortly() {
    let bench = Bench::new();
    let mut container = bench.start(&sh("echo begun; sleep 1000"));
    eventually("it has begun", || container.log().len() == 1);
    let output = Path::new("/proc").join(container.pid.to_string()).join("fd/1");
    let holder = OpenOptions::new().write(true).open(output).unwrap();
    let begin = Instant::now();
    container.control.ask(Request::Signal { signal: 9 });
    assert_eq!(container.control.exited().code, 137);
    assert!(begin.elapsed() < PATIENCE / 3);
    drop(holder);
    container.assert_gone();
}
