//! `ps -ef` from /proc.

use std::collections::BTreeMap;
use std::fs;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use nix::unistd::{SysconfVar, sysconf};

use super::Top;
use crate::error::Error;

const TITLES: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];

/// The clock of /proc/PID/stat, and the moment of its zero.
#[derive(Debug, Clone)]
struct Clock {
    /// Seconds since the epoch.
    boot: i64,
    /// Ticks a second.
    hertz: u64,
    now: Zoned,
}

/// What /proc/PID/stat says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stat {
    name: String,
    zombie: bool,
    parent: i32,
    terminal: u32,
    /// Ticks of processor time.
    cpu: u64,
    /// Ticks from the boot on.
    start: u64,
}

/// The processes, by number. One that ends meanwhile is left out.
pub(super) fn list(mut pids: Vec<i32>) -> Result<Top, Error> {
    pids.sort_unstable();
    pids.dedup();
    let clock = Clock::read()?;
    let names = names(&fs::read_to_string("/etc/passwd").unwrap_or_default());
    let rows = pids.into_iter().filter_map(|pid| row(pid, &clock, &names));
    Ok(Top { titles: TITLES.map(str::to_owned).to_vec(), processes: rows.collect() })
}

fn row(pid: i32, clock: &Clock, names: &BTreeMap<u32, String>) -> Option<Vec<String>> {
    let stat = Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let uid =
        status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1)?.parse().ok())?;
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    Some(vec![
        names.get(&uid).cloned().unwrap_or_else(|| uid.to_string()),
        pid.to_string(),
        stat.parent.to_string(),
        clock.utilization(&stat).to_string(),
        clock.started(&stat),
        terminal(stat.terminal),
        clock.time(stat.cpu),
        command(&stat, &arguments),
    ])
}

/// The host's names for users, the first of each. The file alone: the C library's own look-up loads further libraries, which
/// ends a static program.
fn names(passwd: &str) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok())) {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name may have blanks and parentheses.
        let (before, after) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        // Numbered from the third field on, as proc(5) does.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            name: before.split_once('(')?.1.to_owned(),
            zombie: fields.first() == Some(&"Z"),
            parent: fields.get(1)?.parse().ok()?,
            terminal: u32::try_from(number(7)?).ok()?,
            cpu: number(14)? + number(15)?,
            start: number(22)?,
        })
    }
}

impl Clock {
    fn read() -> Result<Self, Error> {
        let failed = |source| Error::File { operation: "read", path: "/proc/stat".into(), source };
        let text = fs::read_to_string("/proc/stat").map_err(failed)?;
        let boot = text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        let boot = boot.ok_or_else(|| failed(std::io::ErrorKind::InvalidData.into()))?;
        let hertz = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|hertz| u64::try_from(hertz).ok());
        let now = Timestamp::now().to_zoned(TimeZone::system());
        Ok(Self { boot, hertz: hertz.filter(|hertz| *hertz > 0).unwrap_or(100), now })
    }

    fn start(&self, stat: &Stat) -> Timestamp {
        let seconds = i64::try_from(stat.start / self.hertz).unwrap_or(0);
        Timestamp::from_second(self.boot.saturating_add(seconds)).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Processor time over the time since the start, in percent; two digits at most.
    fn utilization(&self, stat: &Stat) -> u64 {
        let age = self.now.timestamp().duration_since(self.start(stat)).as_secs();
        let age = u64::try_from(age).unwrap_or(0).max(1);
        (stat.cpu * 100 / self.hertz / age).min(99)
    }

    /// The hour and minute of today, the day of this year, or the year.
    fn started(&self, stat: &Stat) -> String {
        let start = self.start(stat).to_zoned(self.now.time_zone().clone());
        let format = if start.date() == self.now.date() {
            "%H:%M"
        } else if start.year() == self.now.year() {
            "%b%d"
        } else {
            "%Y"
        };
        start.strftime(format).to_string()
    }

    /// `[DAYS-]HH:MM:SS`.
    fn time(&self, ticks: u64) -> String {
        let seconds = ticks / self.hertz;
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        let days = if days > 0 { format!("{days}-") } else { String::new() };
        format!("{days}{hours:02}:{minutes:02}:{:02}", seconds % 60)
    }
}

/// A terminal's name by its device number.
fn terminal(number: u32) -> String {
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00);
    match major {
        0 => "?".to_owned(),
        // The kernel's pseudo terminals: eight majors for numbers that no longer go beyond the first's minors.
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        _ => "?".to_owned(),
    }
}

/// The command line, or the name in brackets of a process that has none.
fn command(stat: &Stat, arguments: &[u8]) -> String {
    if stat.zombie {
        return format!("[{}] <defunct>", stat.name);
    }
    let text = String::from_utf8_lossy(arguments);
    let words: Vec<&str> = text.trim_end_matches('\0').split('\0').collect();
    if words.iter().all(|word| word.is_empty()) {
        return format!("[{}]", stat.name);
    }
    // A table has one line a process.
    words.join(" ").replace(|character: char| character.is_control(), "?")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const STAT: &str = "42 (a (b) c) S 7 42 42 34816 42 4194304 1 0 0 0 150 50 0 0 20 0 1 0 360000 1 1";

    fn clock(now: &str) -> Clock {
        let now: Zoned = format!("{now}[UTC]").parse().unwrap();
        Clock { boot: now.timestamp().as_second() - 7200, hertz: 100, now }
    }

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = Stat::parse(STAT).unwrap();
        let expected = Stat {
            name: "a (b) c".into(),
            zombie: false,
            parent: 7,
            terminal: 34816,
            cpu: 200,
            start: 360_000,
        };
        assert_eq!(stat, expected);
        assert_eq!(terminal(stat.terminal), "pts/0");
        assert_eq!(Stat::parse("42 (x"), None);
    }

    #[rstest]
    #[case("2026-03-04T12:30:00Z", "11:30")]
    #[case("2026-03-04T00:30:00Z", "Mar03")]
    #[case("2026-01-01T00:30:00Z", "2025")]
    fn the_start_is_as_ps_says(#[case] now: &str, #[case] text: &str) {
        assert_eq!(clock(now).started(&Stat::parse(STAT).unwrap()), text);
    }

    #[test]
    fn times_and_terminals_are_as_ps_says() {
        let clock = clock("2026-03-04T12:30:00Z");
        assert_eq!(clock.time(100 * (3600 + 62)), "01:01:02");
        assert_eq!(clock.time(100 * 90_000), "1-01:00:00");
        assert_eq!(clock.utilization(&Stat { cpu: 180_000, ..Stat::parse(STAT).unwrap() }), 50);
        assert_eq!([0, 34817, 1025, 1088].map(terminal), ["?", "pts/1", "tty1", "ttyS0"]);
    }

    #[test]
    fn users_have_their_first_name() {
        let names = names("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\nbroken\nweb:x:33:33::/:\n");
        assert_eq!(names, [(0, "root".to_owned()), (33, "web".to_owned())].into());
    }

    #[test]
    fn commands_are_as_ps_says() {
        let stat = Stat::parse(STAT).unwrap();
        assert_eq!(command(&stat, b"sh\0-c\0x y\0"), "sh -c x y");
        assert_eq!(command(&stat, b""), "[a (b) c]");
        assert_eq!(command(&Stat { zombie: true, ..stat }, b""), "[a (b) c] <defunct>");
    }
}
