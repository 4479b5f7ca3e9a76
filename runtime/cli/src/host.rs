//! Where the daemon is: `-H`, `DOCKER_HOST`, or the default socket.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The daemon's default socket.
pub(crate) const DEFAULT: &str = "unix:///run/beeline/beeline.sock";

/// An address of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// A Unix domain socket.
    Unix(PathBuf),
    /// A host name or address, with a port.
    Tcp(String),
}

impl Host {
    /// The default socket's path, if that is where this leads.
    pub(crate) fn as_default(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) if format!("unix://{}", path.display()) == DEFAULT => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            _ if text.is_empty() => DEFAULT.parse(),
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("tcp" | "http", address)) if !address.is_empty() => {
                let address = address.trim_end_matches('/');
                let port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                // 2375 is the port IANA assigned to Docker's API without TLS.
                Ok(Self::Tcp(if port { address.to_owned() } else { format!("{address}:2375") }))
            }
            Some(("ssh", _)) => {
                Err("ssh:// is not supported: forward the socket with `ssh -L` and use unix://".into())
            }
            _ => Err("use unix:///absolute/path or tcp://host:port".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_sockets_or_ports() {
        assert_eq!("unix:///a.sock".parse(), Ok(Host::Unix("/a.sock".into())));
        assert_eq!("tcp://127.0.0.1:99".parse(), Ok(Host::Tcp("127.0.0.1:99".into())));
        assert_eq!("tcp://box".parse(), Ok(Host::Tcp("box:2375".into())));
        assert!("".parse::<Host>().unwrap().as_default().is_some());
        for wrong in ["unix://relative", "fd://", "/run/x.sock", "ssh://h", "tcp://"] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
    }
}
