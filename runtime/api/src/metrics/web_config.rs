//! The web configuration file of Prometheus' exporters: certificates, users and headers of the metrics endpoint.
//!
//! The format is that of Prometheus' exporter-toolkit, so that one file serves all exporters of a host.
//! As there, the file and those it names are read again when they change: a renewed certificate needs no restart.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use tokio_rustls::rustls::ServerConfig;

use super::tls::{self, TlsFile};

/// Why a web configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is no YAML, or has a key that does not exist.
    #[error("the web configuration {} cannot be used: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// A setting has a value that cannot be used.
    #[error("{key}: {reason}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl WebConfigError {
    pub(super) fn setting(key: &'static str, reason: &impl ToString) -> Self {
        Self::Setting { key, reason: reason.to_string() }
    }
}

/// The keys of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    tls_server_config: Option<TlsFile>,
    http_server_config: HttpFile,
    basic_auth_users: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpFile {
    http2: bool,
    headers: BTreeMap<String, String>,
}

/// The headers that the file may set, as exporter-toolkit has them.
const HEADERS: [&str; 5] = [
    "content-security-policy",
    "strict-transport-security",
    "x-content-type-options",
    "x-frame-options",
    "x-xss-protection",
];

/// What the file said when it was read last.
#[derive(Debug, Clone, Default)]
pub(super) struct Web {
    /// With whom and how TLS is spoken; none for plain HTTP.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Users and the bcrypt hashes of their passwords; anybody may come where there are none.
    pub(super) users: BTreeMap<String, String>,
    /// Headers of every answer.
    pub(super) headers: HeaderMap,
}

/// A web configuration that follows its files.
#[derive(Debug)]
pub struct WebConfig {
    path: PathBuf,
    read: Mutex<Read>,
}

#[derive(Debug)]
struct Read {
    web: Arc<Web>,
    /// The files that it came from, as they were.
    stamps: Vec<(PathBuf, Stamp)>,
}

/// What tells that a file was replaced or rewritten.
type Stamp = Option<(SystemTime, u64, u64)>;

impl WebConfig {
    /// Reads the file and those that it names.
    ///
    /// # Errors
    /// See [`WebConfigError`].
    pub fn open(path: &Path) -> Result<Self, WebConfigError> {
        Ok(Self { path: path.to_owned(), read: Mutex::new(Read::new(path)?) })
    }

    /// What it says now. Files that changed are read again; where they cannot be used, the log says why and what was read
    /// before holds on.
    pub(super) fn current(&self) -> Arc<Web> {
        // No code that can panic runs while it is held.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now: Vec<_> = read.stamps.iter().map(|(file, _)| (file.clone(), stamp(file))).collect();
        if now != read.stamps {
            match Read::new(&self.path) {
                Ok(new) => {
                    tracing::info!(file = %self.path.display(), "the web configuration of the metrics was read again");
                    *read = new;
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::error!(%error, "the web configuration of the metrics stays as it was");
                    // Once for each change, not for each request.
                    read.stamps = now;
                }
            }
        }
        read.web.clone()
    }
}

impl Read {
    fn new(path: &Path) -> Result<Self, WebConfigError> {
        // Taken before the files are read: a change in between is seen at the next look.
        let own = (path.to_owned(), stamp(path));
        let text = fs::read_to_string(path)
            .map_err(|source| WebConfigError::Read { path: path.to_owned(), source })?;
        let malformed = |reason: String| WebConfigError::Malformed { path: path.to_owned(), reason };
        let file = parse(&text).map_err(malformed)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let named = file.tls_server_config.as_ref().map(|tls| tls.files(directory)).unwrap_or_default();
        let named = named.into_iter().map(|file| {
            let stamp = stamp(&file);
            (file, stamp)
        });
        let stamps = std::iter::once(own).chain(named).collect();
        let web = Web {
            tls: file.tls_server_config.map(|tls| tls::server(&tls, directory)).transpose()?,
            users: users(file.basic_auth_users)?,
            headers: headers(&file.http_server_config)?,
        };
        Ok(Self { web: Arc::new(web), stamps })
    }
}

fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

fn parse(text: &str) -> Result<File, String> {
    // A file without any setting is no mapping.
    let file: Option<File> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    Ok(file.unwrap_or_default())
}

fn users(users: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, WebConfigError> {
    for (user, hash) in &users {
        hash.parse::<bcrypt::HashParts>().map_err(|error| {
            let reason = format!(
                "the password of {user:?} is no bcrypt hash ({error}); make one with htpasswd -nBC 10 {user}"
            );
            WebConfigError::setting("basic_auth_users", &reason)
        })?;
    }
    Ok(users)
}

fn headers(file: &HttpFile) -> Result<HeaderMap, WebConfigError> {
    if file.http2 {
        let reason = "HTTP/2 is not supported: leave it out, HTTP/1.1 is spoken";
        return Err(WebConfigError::setting("http_server_config.http2", &reason));
    }
    let header = |(name, value): (&String, &String)| {
        let invalid = |reason: String| WebConfigError::setting("http_server_config.headers", &reason);
        let known = HEADERS.iter().find(|known| name.eq_ignore_ascii_case(known));
        let known = known.ok_or_else(|| invalid(format!("{name:?} is none of {}", HEADERS.join(", "))))?;
        let value = HeaderValue::from_str(value).map_err(|error| invalid(format!("{name}: {error}")))?;
        Ok((HeaderName::from_static(known), value))
    };
    file.headers.iter().map(header).collect()
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "swordfish".
    const HASH: &str = "$2y$04$abcdefghijklmnopqrstuugIEnm3ZbWF6xb2GcoE3L1CoGJFMKtu.";

    fn open(text: &str) -> Result<WebConfig, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, text).unwrap();
        WebConfig::open(file.path()).map_err(|error| chain(&error))
    }

    #[test]
    fn an_empty_file_protects_nothing() {
        let web = open("# nothing\n").unwrap().current();
        assert!(web.tls.is_none() && web.users.is_empty() && web.headers.is_empty());
    }

    #[test]
    fn what_is_not_done_is_refused_by_its_name() {
        for (text, part) in [
            ("basic_auth_user: {}\n", "basic_auth_user"),
            ("basic_auth_users: { eve: swordfish }\n", "htpasswd"),
            ("http_server_config: { http2: true }\n", "http_server_config.http2"),
            ("http_server_config: { headers: { X-Powered-By: bees } }\n", "X-Powered-By"),
            ("tls_server_config: { cipher_suites: [TLS_AES_128_GCM_SHA256] }\n", "cipher_suites"),
            ("tls_server_config: { key_file: k.pem }\n", "cert_file"),
            ("tls_server_config: { cert_file: no.pem, key_file: k.pem }\n", "no.pem"),
            ("tls_server_config: { cert_file: c.pem, key_file: k.pem, min_version: TLS10 }\n", "min_version"),
        ] {
            let error = open(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.yml");
        fs::write(&path, format!("basic_auth_users:\n  eve: {HASH}\n")).unwrap();
        let config = WebConfig::open(&path).unwrap();
        assert_eq!(config.current().users.keys().collect::<Vec<_>>(), ["eve"]);
        fs::write(&path, "basic_auth_users: [\n").unwrap();
        assert_eq!(config.current().users.keys().collect::<Vec<_>>(), ["eve"]);
        fs::write(&path, format!("basic_auth_users:\n  adam: {HASH}\n  eve: {HASH}\n")).unwrap();
        assert_eq!(config.current().users.keys().collect::<Vec<_>>(), ["adam", "eve"]);
    }
}
