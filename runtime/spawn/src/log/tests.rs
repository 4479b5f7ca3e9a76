//! The writer and the reader together.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{LogLine, ReadOptions, Reader, Writer};
use crate::protocol::Stream;
use crate::shim::{FileLog, LogFormat};

fn log(dir: &Path, max_size: u64, max_file: u32) -> FileLog {
    FileLog { max_size, max_file, ..FileLog::json(dir.join("container.log")) }
}

fn local(dir: &Path, max_size: u64, max_file: u32) -> FileLog {
    FileLog { max_size, max_file, ..FileLog::local(dir.join("container.log")) }
}

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
}

fn read(path: &Path, options: ReadOptions) -> Vec<LogLine> {
    drain(&mut Reader::open(path, LogFormat::Json, options).unwrap())
}

fn drain(reader: &mut Reader) -> Vec<LogLine> {
    std::iter::from_fn(|| reader.next_line().unwrap()).collect()
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.log.as_str()).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn lines_are_split_at_line_feeds_and_at_16_kib() {
    let dir = tempfile::tempdir().unwrap();
    let config = log(dir.path(), u64::MAX, 1);
    let mut writer = Writer::new(config.clone());
    let long = "x".repeat(20_000);
    writer.write(Stream::Stdout, b"one\ntw", at(1));
    writer.write(Stream::Stderr, b"error", at(2));
    writer.write(Stream::Stdout, b"o\n", at(3));
    writer.write(Stream::Stdout, long.as_bytes(), at(4));
    writer.write(Stream::Stdout, b"\n", at(5));
    writer.finish(at(6));
    let lines = read(&config.path, ReadOptions::default());
    let expected = ["one\n", "two\n", &long[..16_384], &format!("{}\n", &long[16_384..]), "error"];
    assert_eq!(texts(&lines), expected);
    let times: Vec<_> = lines.iter().map(|line| line.time).collect();
    assert_eq!(times, [at(1), at(3), at(4), at(4), at(6)]);
    assert_eq!(lines[4].stream, Stream::Stderr);
    assert_eq!(writer.dropped(), 0);
}

#[test]
fn a_line_of_exactly_16_kib_ends_with_an_empty_record_as_dockers_does() {
    let dir = tempfile::tempdir().unwrap();
    let config = log(dir.path(), u64::MAX, 1);
    let line = format!("{}\n", "x".repeat(16_384));
    Writer::new(config.clone()).write(Stream::Stdout, line.as_bytes(), at(1));
    assert_eq!(texts(&read(&config.path, ReadOptions::default())), [&line[..16_384], "\n"]);
}

#[test]
fn rotation_keeps_the_newest_files() {
    let dir = tempfile::tempdir().unwrap();
    let config = log(dir.path(), 1000, 3);
    let mut writer = Writer::new(config.clone());
    let all: Vec<_> = (0..200).map(|number| format!("line {number}\n")).collect();
    for line in &all {
        writer.write(Stream::Stdout, line.as_bytes(), at(1));
    }
    assert_eq!(names(dir.path()), ["container.log", "container.log.1", "container.log.2"]);
    for name in names(dir.path()) {
        assert!(fs::metadata(dir.path().join(name)).unwrap().len() <= 1100);
    }
    let lines = read(&config.path, ReadOptions::default());
    assert!(lines.len() > 30);
    assert_eq!(texts(&lines), all[200 - lines.len()..]);
}

#[test]
fn a_compressed_log_is_read_and_tailed_like_another() {
    let dir = tempfile::tempdir().unwrap();
    let config = local(dir.path(), 1000, 4);
    let mut writer = Writer::new(config.clone());
    let all: Vec<_> = (0..100).map(|number| format!("line {number}\n")).collect();
    for line in &all {
        writer.write(Stream::Stdout, line.as_bytes(), at(1));
    }
    writer.finish(at(1));
    let expected = ["container.log", "container.log.1.gz", "container.log.2.gz", "container.log.3.gz"];
    assert_eq!(names(dir.path()), expected);
    let whole = |tail| {
        let options = ReadOptions { tail, ..ReadOptions::default() };
        drain(&mut Reader::open(&config.path, config.format, options).unwrap())
    };
    let lines = whole(None);
    assert!(lines.len() > 60, "{}", lines.len());
    assert_eq!(texts(&lines), all[100 - lines.len()..]);
    for tail in [0, 1, 30, 70, 1000] {
        assert_eq!(texts(&whole(Some(tail))), all[100 - tail.min(lines.len())..]);
    }
}

#[test]
fn a_damaged_length_is_an_error_and_no_endless_loop() {
    let dir = tempfile::tempdir().unwrap();
    let config = local(dir.path(), 1000, 4);
    fs::write(&config.path, b"\xff\xff\xff\xffrubbish\xff\xff\xff\xff").unwrap();
    let mut reader = Reader::open(&config.path, config.format, ReadOptions::default()).unwrap();
    assert!(reader.next_line().is_err());
    let tail = ReadOptions { tail: Some(3), ..ReadOptions::default() };
    assert!(Reader::open(&config.path, config.format, tail).unwrap().next_line().is_err());
}

#[test]
fn one_burst_is_rotated_like_many_writes() {
    let dir = tempfile::tempdir().unwrap();
    let config = log(dir.path(), 1000, 2);
    Writer::new(config.clone()).write(Stream::Stdout, "0123456789\n".repeat(1000).as_bytes(), at(1));
    assert_eq!(names(dir.path()), ["container.log", "container.log.1"]);
    assert!(fs::metadata(dir.path().join("container.log.1")).unwrap().len() <= 1100);
}

#[test]
fn with_one_file_rotation_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let config = log(dir.path(), 1000, 1);
    let mut writer = Writer::new(config.clone());
    for number in 0..100 {
        writer.write(Stream::Stdout, format!("line {number}\n").as_bytes(), at(1));
    }
    assert_eq!(names(dir.path()), ["container.log"]);
    assert_eq!(read(&config.path, ReadOptions::default()).last().unwrap().log, "line 99\n");
}

#[test]
fn a_restarted_container_appends() {
    let dir = tempfile::tempdir().unwrap();
    let config = log(dir.path(), 1000, 2);
    Writer::new(config.clone()).write(Stream::Stdout, b"first\n", at(1));
    Writer::new(config.clone()).write(Stream::Stdout, b"second\n", at(2));
    assert_eq!(texts(&read(&config.path, ReadOptions::default())), ["first\n", "second\n"]);
}

#[test]
fn a_full_disk_drops_and_counts_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let config = log(dir.path(), u64::MAX, 1);
    let mut writer = Writer::new(config.clone());
    writer.write(Stream::Stdout, b"before\n", at(1));
    writer.replace_file(fs::OpenOptions::new().append(true).open("/dev/full").unwrap());
    writer.write(Stream::Stdout, b"lost\n", at(2));
    assert!(writer.dropped() > 0);
    writer.replace_file(fs::OpenOptions::new().append(true).open(&config.path).unwrap());
    writer.write(Stream::Stdout, b"after\n", at(3));
    assert_eq!(texts(&read(&config.path, ReadOptions::default())), ["before\n", "after\n"]);
}

#[test]
fn a_log_that_cannot_be_opened_drops_and_counts() {
    let mut writer = Writer::new(log(Path::new("/nonexistent/directory"), 1000, 1));
    writer.write(Stream::Stdout, b"lost\n", at(1));
    assert!(writer.dropped() > 0);
}

#[test]
fn a_missing_log_is_empty_and_then_followed() {
    let dir = tempfile::tempdir().unwrap();
    let config = log(dir.path(), 1000, 2);
    let mut reader = Reader::open(&config.path, config.format, ReadOptions::default()).unwrap();
    assert_eq!(reader.next_line().unwrap(), None);
    Writer::new(config).write(Stream::Stdout, b"late\n", at(1));
    assert_eq!(texts(&drain(&mut reader)), ["late\n"]);
}

#[test]
fn since_and_until_bound_what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let config = log(dir.path(), 1000, 2);
    let mut writer = Writer::new(config.clone());
    for second in 0..10 {
        writer.write(Stream::Stdout, format!("{second}\n").as_bytes(), at(second));
    }
    let options = ReadOptions { tail: Some(8), since: Some(at(4)), until: Some(at(6)) };
    let mut reader = Reader::open(&config.path, config.format, options).unwrap();
    assert_eq!(texts(&drain(&mut reader)), ["4\n", "5\n", "6\n"]);
    // Somebody sets the clock back.
    writer.write(Stream::Stdout, b"again 5\n", at(5));
    assert_eq!(texts(&drain(&mut reader)), ["again 5\n"]);
}

#[test]
fn malformed_records_are_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let config = log(dir.path(), 100_000, 2);
    fs::write(&config.path, b"\0\0\0garbage\n{\"log\":\"cut").unwrap();
    let mut reader = Reader::open(&config.path, config.format, ReadOptions::default()).unwrap();
    assert_eq!(reader.next_line().unwrap(), None);
    assert_eq!(reader.malformed(), 1);
    fs::rename(&config.path, dir.path().join("container.log.1")).unwrap();
    Writer::new(config).write(Stream::Stdout, b"fine\n", at(1));
    assert_eq!(texts(&drain(&mut reader)), ["fine\n"]);
    assert_eq!(reader.malformed(), 2);
}

/// Output in pieces: whose, and what.
fn output() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    let piece = prop_oneof![
        8 => "[a-c\n]{0,40}".prop_map(String::into_bytes),
        1 => (0_usize..40_000).prop_map(|length| vec![b'y'; length]),
    ];
    prop::collection::vec((any::<bool>(), piece), 0..40)
}

fn stream(stderr: bool) -> Stream {
    if stderr { Stream::Stderr } else { Stream::Stdout }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_written_is_read(output in output()) {
        let dir = tempfile::tempdir().unwrap();
        let config = log(dir.path(), 5000, 1000);
        let mut writer = Writer::new(config.clone());
        for (stderr, piece) in &output {
            writer.write(stream(*stderr), piece, at(1));
        }
        writer.finish(at(2));
        let lines = read(&config.path, ReadOptions::default());
        for stderr in [false, true] {
            let written: Vec<u8> =
                output.iter().filter(|(to, _)| *to == stderr).flat_map(|(_, piece)| piece.clone()).collect();
            let read: String =
                lines.iter().filter(|line| line.stream == stream(stderr)).map(|line| line.log.as_str()).collect();
            prop_assert_eq!(written, read.into_bytes());
        }
    }

    #[test]
    fn the_tail_is_the_end_of_the_whole(output in output(), tail in 0_usize..60, max_size in 200_u64..100_000) {
        let dir = tempfile::tempdir().unwrap();
        let config = log(dir.path(), max_size, 5);
        let mut writer = Writer::new(config.clone());
        for (stderr, piece) in &output {
            writer.write(stream(*stderr), piece, at(1));
        }
        let all = read(&config.path, ReadOptions::default());
        let tail_lines = read(&config.path, ReadOptions { tail: Some(tail), ..ReadOptions::default() });
        prop_assert_eq!(&all[all.len().saturating_sub(tail)..], tail_lines);
    }

    #[test]
    fn a_follower_misses_nothing_across_rotations(
        output in output(), max_file in 2_u32..5, packed: bool, reads in prop::collection::vec(any::<bool>(), 40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        // A follower that is never more than one piece behind: a piece must not rotate it out of reach.
        let config = if packed { local } else { log }(dir.path(), 150_000, max_file);
        let mut writer = Writer::new(config.clone());
        let mut reader = Reader::open(&config.path, config.format, ReadOptions::default()).unwrap();
        let (mut followed, mut written) = (String::new(), Vec::new());
        for ((_, piece), read) in output.iter().zip(reads) {
            writer.write(Stream::Stdout, piece, at(1));
            written.extend_from_slice(piece);
            if read {
                followed.extend(drain(&mut reader).iter().map(|line| line.log.as_str()));
            }
        }
        writer.finish(at(2));
        followed.extend(drain(&mut reader).iter().map(|line| line.log.as_str()));
        prop_assert_eq!(written.len(), followed.len());
        prop_assert_eq!(written, followed.into_bytes());
    }
}

#[test]
fn numbered_files_are_dockers() {
    assert_eq!(super::reader::numbered(Path::new("/x/c.log"), 2), PathBuf::from("/x/c.log.2"));
}
