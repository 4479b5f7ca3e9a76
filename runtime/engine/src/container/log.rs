//! Log drivers and their options: checked when a container is created, and turned into what the shim does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use beeline_spawn::{FileLog, LogConfig, LogFormat, RemoteLog, SyslogAddress, SyslogFormat, SyslogLog};

use crate::container::config::{ContainerConfig, LogDriver};
use crate::container::record::Record;
use crate::container::size;
use crate::error::Error;

mod tag;

use tag::Tag;

/// The drivers, and which options each has beside [`COMMON`].
const DRIVERS: [(&str, &[&str]); 5] = [
    ("json-file", &["max-size", "max-file", "compress", "labels", "env", "tag"]),
    ("local", &["max-size", "max-file", "compress"]),
    ("syslog", &["syslog-address", "syslog-facility", "syslog-format", "labels", "env", "tag"]),
    ("journald", &["labels", "env", "tag"]),
    ("none", &[]),
];

/// What every driver has.
const COMMON: [&str; 2] = ["mode", "max-buffer-size"];

/// What drivers have whose server keeps the log: files to read it from.
const CACHE: [&str; 4] = ["cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"];

/// Where the journal takes records.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Where the host's syslog takes messages, the usual place first.
const SYSLOG: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// How much a log that must not block holds, in bytes.
const BUFFER: u64 = 1024 * 1024;

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "",
    "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// The drivers by name.
pub fn log_drivers() -> impl Iterator<Item = &'static str> {
    DRIVERS.iter().map(|(name, _)| *name)
}

impl LogDriver {
    /// The driver's name; json-file if it has none.
    pub(crate) fn name(&self) -> &str {
        if self.driver.is_empty() { "json-file" } else { &self.driver }
    }

    /// Takes the daemon's driver if the user has named none, and for the same driver its options.
    pub(crate) fn or(&mut self, default: &Self) {
        if self.driver.is_empty() {
            default.name().clone_into(&mut self.driver);
        }
        if self.driver == default.name() {
            for (key, value) in &default.options {
                self.options.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }

    /// Refuses what is no driver, no option of it, or no value of that.
    ///
    /// # Errors
    /// The first of it, by name.
    pub fn check(&self) -> Result<(), Error> {
        let name = self.name();
        let Some((_, options)) = DRIVERS.iter().find(|(driver, _)| *driver == name) else {
            let drivers: Vec<_> = log_drivers().collect();
            return Err(Error::Invalid(format!(
                "logger: no log driver named '{name}' is registered: use one of {}",
                drivers.join(", ")
            )));
        };
        for (key, value) in &self.options {
            let known = options.contains(&key.as_str())
                || name != "none" && COMMON.contains(&key.as_str())
                || self.is_remote() && CACHE.contains(&key.as_str());
            if !known {
                return Err(self.unknown(key));
            }
            if !is_valid(key, value) {
                return Err(Error::Invalid(format!("invalid value for log opt '{key}': {value}")));
            }
        }
        if self.options.contains_key("max-buffer-size") && self.option("mode") != "non-blocking" {
            let text = "logger: max-buffer-size option is only supported with 'mode=non-blocking'";
            return Err(Error::Invalid(text.into()));
        }
        if self.option("compress") == "true" && self.option("max-file") == "1" {
            return Err(Error::Invalid("compress cannot be true when max-file is less than 2".into()));
        }
        Tag::parse(self.option("tag"))?;
        address(self.option("syslog-address")).map(drop)
    }

    fn unknown(&self, key: &str) -> Error {
        match key {
            "labels-regex" | "env-regex" => Error::NotImplemented(format!(
                "log opt '{key}' is not supported: name the {} one by one",
                if key == "env-regex" { "variables with env" } else { "labels with labels" }
            )),
            "syslog-tls-ca-cert" | "syslog-tls-cert" | "syslog-tls-key" | "syslog-tls-skip-verify" => {
                Error::NotImplemented("syslog over TLS is not supported".into())
            }
            _ => Error::Invalid(format!("unknown log opt '{key}' for {} log driver", self.name())),
        }
    }

    fn is_remote(&self) -> bool {
        matches!(self.name(), "syslog" | "journald")
    }

    /// How the driver's files are written, if it has any.
    pub(crate) fn format(&self) -> Option<LogFormat> {
        match self.name() {
            "json-file" => Some(LogFormat::Json),
            "local" => Some(LogFormat::Local),
            "none" => None,
            _ => (self.option("cache-disabled") != "true").then_some(LogFormat::Local),
        }
    }

    fn option(&self, key: &str) -> &str {
        self.options.get(key).map_or("", String::as_str)
    }
}

fn is_valid(key: &str, value: &str) -> bool {
    match key {
        "max-size" | "max-buffer-size" | "cache-max-size" => size::parse(value).is_some_and(|size| size > 0),
        "max-file" | "cache-max-file" => value.parse::<u32>().is_ok_and(|files| files > 0),
        "compress" | "cache-compress" | "cache-disabled" => matches!(value, "true" | "false"),
        "mode" => matches!(value, "blocking" | "non-blocking"),
        "syslog-format" => syslog_format(value).is_some(),
        "syslog-facility" => facility(value).is_some(),
        _ => true,
    }
}

/// What the shim does with a container's output. What is malformed was refused when the container was created.
///
/// # Errors
/// The host has no syslog.
pub(crate) fn plan(record: &Record, path: PathBuf) -> Result<LogConfig, Error> {
    let driver = &record.config.host.log;
    let tag = Tag::parse(driver.option("tag"))?;
    let attributes = attributes(&record.config);
    let remote = match driver.name() {
        "syslog" => Some(syslog(driver, tag.or_id().render(record))?),
        "journald" => {
            let fields = journal_fields(record, &tag.or_id().render(record), &attributes);
            Some(RemoteLog::Journald { socket: JOURNAL.into(), fields })
        }
        _ => None,
    };
    let prefix = if remote.is_some() { "cache-" } else { "" };
    let file = driver.format().map(|format| {
        let mut file = match format {
            LogFormat::Json => FileLog::json(path),
            LogFormat::Local => FileLog::local(path),
        };
        let option = |name: &str| driver.option(&format!("{prefix}{name}"));
        file.max_size = size::parse(option("max-size")).unwrap_or(file.max_size);
        file.max_file = option("max-file").parse().unwrap_or(file.max_file);
        file.compress = option("compress").parse().unwrap_or(file.compress) && file.max_file > 1;
        file.attributes = attributes;
        if !tag.is_empty() {
            file.attributes.insert("tag".into(), tag.render(record));
        }
        file
    });
    let buffer = size::parse(driver.option("max-buffer-size")).unwrap_or(BUFFER);
    let buffer = (driver.option("mode") == "non-blocking").then_some(buffer);
    let buffer = buffer.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    Ok(LogConfig { file, remote, buffer })
}

/// The labels and variables that the options name, as far as the container has them.
fn attributes(config: &ContainerConfig) -> BTreeMap<String, String> {
    let names = |key| config.host.log.option(key).split(',').map(str::trim).filter(|name| !name.is_empty());
    let labels = names("labels").filter_map(|name| Some((name, config.labels.get(name)?.as_str())));
    let variable = |name: &str| {
        config.env.iter().find_map(|entry| entry.split_once('=').filter(|(key, _)| *key == name))
    };
    let variables = names("env").filter_map(|name| Some((name, variable(name)?.1)));
    labels.chain(variables).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Docker's fields.
fn journal_fields(
    record: &Record,
    tag: &str,
    attributes: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let fixed = [
        ("CONTAINER_ID", record.id.short()),
        ("CONTAINER_ID_FULL", record.id.as_str()),
        ("CONTAINER_NAME", record.name.as_str()),
        ("CONTAINER_TAG", tag),
        ("IMAGE_NAME", &record.config.image),
        ("SYSLOG_IDENTIFIER", tag),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    // The journal knows names of capitals, digits and underscores only, and keeps those that begin with one for itself.
    let name = |name: &String| {
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        name.trim_start_matches('_').to_owned()
    };
    let more = attributes.iter().map(|(key, value)| (name(key), value.clone()));
    fixed.chain(more.filter(|(name, _)| !name.is_empty())).collect()
}

fn syslog(driver: &LogDriver, tag: String) -> Result<RemoteLog, Error> {
    let address = match address(driver.option("syslog-address"))? {
        Some(address) => address,
        None => {
            SYSLOG.iter().map(PathBuf::from).find(|path| path.exists()).map(SyslogAddress::Unix).ok_or_else(
                || {
                    Error::Invalid(
                        "no syslog listens on this host: name one with the log opt syslog-address".into(),
                    )
                },
            )?
        }
    };
    let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    Ok(RemoteLog::Syslog(SyslogLog {
        address,
        format: syslog_format(driver.option("syslog-format")).unwrap_or_default(),
        facility: facility(driver.option("syslog-facility")).unwrap_or(3),
        tag,
        hostname: hostname.unwrap_or_else(|| "localhost".into()),
    }))
}

/// Reads `udp://host:port`, `tcp://host`, `unix:///path`; none is the host's own.
fn address(text: &str) -> Result<Option<SyslogAddress>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let with_port = |host: &str| {
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port { host.to_owned() } else { format!("{host}:514") }
    };
    let invalid = || {
        Error::Invalid(format!(
            "invalid syslog-address {text:?}: use udp://HOST:PORT, tcp://HOST:PORT or unix:///PATH"
        ))
    };
    match text.split_once("://").ok_or_else(invalid)? {
        ("udp", host) if !host.is_empty() => Ok(Some(SyslogAddress::Udp(with_port(host)))),
        ("tcp", host) if !host.is_empty() => Ok(Some(SyslogAddress::Tcp(with_port(host)))),
        ("unix" | "unixgram", path) if path.starts_with('/') => Ok(Some(SyslogAddress::Unix(path.into()))),
        ("tcp+tls", _) => Err(Error::NotImplemented("syslog over TLS is not supported".into())),
        _ => Err(invalid()),
    }
}

fn syslog_format(text: &str) -> Option<SyslogFormat> {
    match text {
        "" => Some(SyslogFormat::Local),
        "rfc3164" => Some(SyslogFormat::Rfc3164),
        "rfc5424" => Some(SyslogFormat::Rfc5424),
        "rfc5424micro" => Some(SyslogFormat::Rfc5424Micro),
        _ => None,
    }
}

/// A facility's number, given by name or number.
fn facility(text: &str) -> Option<u8> {
    let named = FACILITIES.iter().position(|name| *name == text && !name.is_empty());
    let number = named.or_else(|| text.parse().ok().filter(|number| *number < FACILITIES.len()))?;
    u8::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn driver(text: &str) -> LogDriver {
        let mut words = text.split(' ');
        let driver = words.next().unwrap_or_default().to_owned();
        let options = words.filter_map(|word| word.split_once('='));
        LogDriver { driver, options: options.map(|(key, value)| (key.into(), value.into())).collect() }
    }

    #[rstest]
    #[case("", "")]
    #[case("json-file max-size=1m max-file=3 compress=true labels=a,b env=C tag={{.Name}}", "")]
    #[case("local max-size=1m mode=non-blocking max-buffer-size=4k", "")]
    #[case("syslog syslog-address=udp://192.0.2.1 syslog-facility=local3 syslog-format=rfc5424", "")]
    #[case("journald cache-disabled=true", "")]
    #[case("none", "")]
    #[case("fluentd", "no log driver named 'fluentd' is registered: use one of json-file, local, syslog")]
    #[case("local tag=x", "unknown log opt 'tag' for local log driver")]
    #[case("none mode=blocking", "unknown log opt 'mode' for none log driver")]
    #[case("json-file max-size=big", "invalid value for log opt 'max-size': big")]
    #[case("json-file mode=maybe", "invalid value for log opt 'mode'")]
    #[case("json-file max-buffer-size=1m", "only supported with 'mode=non-blocking'")]
    #[case("json-file compress=true max-file=1", "compress cannot be true")]
    #[case("json-file labels-regex=^x", "'labels-regex' is not supported: name the labels with labels")]
    #[case("json-file tag={{.Nope}}", "{{.Nope}}")]
    #[case("syslog syslog-address=192.0.2.1", "invalid syslog-address")]
    #[case("syslog syslog-address=tcp+tls://192.0.2.1:6514", "TLS is not supported")]
    #[case("syslog syslog-facility=lunch", "invalid value for log opt 'syslog-facility'")]
    fn options_are_checked(#[case] text: &str, #[case] reason: &str) {
        match driver(text).check() {
            Ok(()) => assert_eq!(reason, ""),
            Err(error) => assert!(!reason.is_empty() && error.to_string().contains(reason), "{error}"),
        }
    }

    #[test]
    fn the_daemons_options_are_for_its_own_driver() {
        let default = driver("local max-size=1m max-file=2");
        let mut own = driver(" max-file=9");
        own.or(&default);
        assert_eq!(own, driver("local max-size=1m max-file=9"));
        let mut other = driver("json-file");
        other.or(&default);
        assert_eq!(other, driver("json-file"));
    }

    #[test]
    fn addresses_and_facilities_are_read() {
        assert_eq!(address("udp://h").unwrap(), Some(SyslogAddress::Udp("h:514".into())));
        assert_eq!(address("tcp://[::1]:99").unwrap(), Some(SyslogAddress::Tcp("[::1]:99".into())));
        assert_eq!(address("unix:///dev/log").unwrap(), Some(SyslogAddress::Unix("/dev/log".into())));
        assert_eq!((facility("daemon"), facility("local7"), facility("5")), (Some(3), Some(23), Some(5)));
        assert_eq!((facility("24"), facility("")), (None, None));
    }
}
