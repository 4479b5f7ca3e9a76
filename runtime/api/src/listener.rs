//! Where the API listens: unix sockets and TCP.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{TcpListener, UnixListener, UnixSocket, UnixStream};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// Groups whose members may use the socket; the first that exists.
const GROUPS: [&str; 2] = ["beeline", "docker"];

/// An address to listen on, as `--host` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostAddr {
    /// `unix:///path`.
    Unix(PathBuf),
    /// `tcp://address:port`.
    Tcp(SocketAddr),
}

/// A `--host` that names no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid host \"{text}\": {reason}; use unix:///PATH or tcp://ADDRESS:PORT")]
pub struct InvalidHost {
    text: String,
    reason: &'static str,
}

impl FromStr for HostAddr {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = |reason| InvalidHost { text: text.to_owned(), reason };
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(invalid("the socket's path must be absolute"));
            }
            return Ok(Self::Unix(path.into()));
        }
        let Some(address) = text.strip_prefix("tcp://") else {
            return Err(invalid("its protocol is not supported"));
        };
        address.parse().map(Self::Tcp).map_err(|_| invalid("an IP address and a port are expected"))
    }
}

impl fmt::Display for HostAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another daemon answers there.
    #[error("listen on unix://{}: another daemon answers there; stop it or choose another --host", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket is there.
    #[error("listen on unix://{}: the file there is not a socket; remove it or choose another --host", path.display())]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{operation} {address}")]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// Where.
        address: HostAddr,
        /// The system's error.
        source: io::Error,
    },
}

/// A bound address. The socket's file is removed when this is dropped.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: Socket,
    address: HostAddr,
    /// Held for its end.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens on `address`. A socket nobody answers on any more is replaced. A unix socket is open to root and
    /// to the members of the group `beeline` or `docker`, whichever exists.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn bind(address: &HostAddr) -> Result<Self, ListenError> {
        let (socket, file) = match address {
            HostAddr::Unix(path) => bind_unix(path, address).await?,
            HostAddr::Tcp(ip) => {
                if !ip.ip().is_loopback() {
                    tracing::warn!(
                        %address,
                        "the API listens on the network WITHOUT authentication: whoever reaches it is root on this machine"
                    );
                }
                let listener = TcpListener::bind(ip).await;
                (Socket::Tcp(listener.map_err(|source| io_error("listen on", address, source))?), None)
            }
        };
        Ok(Self { socket, address: address.clone(), _file: file })
    }

    /// Where it listens.
    pub fn address(&self) -> &HostAddr {
        &self.address
    }
}

fn io_error(operation: &'static str, address: &HostAddr, source: io::Error) -> ListenError {
    ListenError::Io { operation, address: address.clone(), source }
}

async fn bind_unix(path: &Path, address: &HostAddr) -> Result<(Socket, Option<SocketFile>), ListenError> {
    let failed = |operation| move |source| io_error(operation, address, source);
    remove_stale(path, address).await?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("create the directory of"))?;
    }
    let socket = UnixSocket::new_stream().map_err(failed("create a socket for"))?;
    socket.bind(path).map_err(failed("bind"))?;
    let file = SocketFile::of(path).map_err(failed("examine"))?;
    // Rights first: nobody can connect before listen.
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed("set the permissions of"))?;
    if let Some(group) = socket_group(&fs::read_to_string("/etc/group").unwrap_or_default()) {
        std::os::unix::fs::chown(path, None, Some(group)).map_err(failed("set the group of"))?;
    }
    let listener = socket.listen(BACKLOG).map_err(failed("listen on"))?;
    Ok((Socket::Unix(listener), Some(file)))
}

async fn remove_stale(path: &Path, address: &HostAddr) -> Result<(), ListenError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("examine", address, error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NotASocket { path: path.to_owned() });
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|source| io_error("remove the stale socket", address, source))
        }
        Ok(_) => Err(ListenError::InUse { path: path.to_owned() }),
        Err(error) => Err(io_error("try the socket", address, error)),
    }
}

/// The id of the first of our groups that /etc/group has. The binary is static, so no NSS is asked.
fn socket_group(groups: &str) -> Option<u32> {
    let id_of = |wanted: &str| {
        groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == wanted).then(|| fields.nth(1)?.parse().ok()).flatten()
        })
    };
    GROUPS.iter().find_map(|name| id_of(name))
}

/// The file of a unix socket; removed with us, unless somebody put another one in its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |metadata: fs::Metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode);
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_unix_or_tcp() {
        assert_eq!("unix:///run/b.sock".parse(), Ok(HostAddr::Unix("/run/b.sock".into())));
        assert_eq!("tcp://127.0.0.1:2375".parse(), Ok(HostAddr::Tcp(([127, 0, 0, 1], 2375).into())));
        assert_eq!("tcp://[::1]:2375".parse::<HostAddr>().unwrap().to_string(), "tcp://[::1]:2375");
        for (text, part) in [
            ("unix://b.sock", "must be absolute"),
            ("fd://", "protocol is not supported"),
            ("tcp://localhost", "an IP address and a port"),
        ] {
            let error = text.parse::<HostAddr>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(text), "{error}");
        }
    }

    #[test]
    fn the_first_group_that_exists_gets_the_socket() {
        let groups = "root:x:0:\ndocker:x:998:eve\nbroken\n";
        assert_eq!(socket_group(groups), Some(998));
        assert_eq!(socket_group(&format!("{groups}beeline:x:1005:\n")), Some(1005));
        assert_eq!(socket_group("root:x:0:\n"), None);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/b.sock");
        let address = HostAddr::Unix(path.clone());
        let first = Listener::bind(&address).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(Listener::bind(&address).await, Err(ListenError::InUse { .. })));
        drop(first);
        assert!(!path.exists());

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a crashed daemon leaves its socket");
        drop(Listener::bind(&address).await.unwrap());

        fs::write(&path, "a file").unwrap();
        assert!(matches!(Listener::bind(&address).await, Err(ListenError::NotASocket { .. })));
        assert!(path.exists());
    }
}
