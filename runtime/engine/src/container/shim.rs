//! The engine's connection to a container's shim.

use std::io;
use std::path::Path;

use beeline_spawn::protocol::{Attach, Event, Exit, Failure, FailureKind, Request, decode, encode};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Why a shim did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShimError {
    /// The shim answered that it could not.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// The connection broke: the shim is gone.
    #[error("the shim is gone")]
    Gone,
    /// Talking to it failed.
    #[error("talk to the shim")]
    Io(#[from] io::Error),
    /// It said what cannot be understood.
    #[error("understand the shim")]
    Protocol(#[from] serde_json::Error),
}

impl ShimError {
    /// Whether there is no shim any more, rather than that we could not talk to it.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Gone => true,
            Self::Io(error) => {
                use io::ErrorKind as Kind;
                matches!(
                    error.kind(),
                    Kind::NotFound | Kind::ConnectionRefused | Kind::ConnectionReset | Kind::BrokenPipe
                )
            }
            Self::Failed(_) | Self::Protocol(_) => false,
        }
    }

    /// The exit code Docker gives for a start that failed so.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(failure) => failure.kind.exit_code(),
            Self::Gone | Self::Io(_) | Self::Protocol(_) => FailureKind::Setup.exit_code(),
        }
    }
}

/// A connection that reports the container's exit beside answering requests.
#[derive(Debug)]
pub(crate) struct ShimLink {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
    /// The exit, if it came while an answer was awaited.
    exit: Option<Exit>,
    /// Whether the shim has said its greeting: a request without one was lost with its spawner.
    greeted: bool,
}

impl ShimLink {
    /// Takes over the connection a container is being created with.
    pub(crate) fn new(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(stream)?.into_split();
        Ok(Self { lines: BufReader::new(reader).lines(), writer, exit: None, greeted: false })
    }

    /// Connects to the shim of a container that exists, and asks to be told of its exit.
    pub(crate) async fn adopt(run_dir: &Path) -> Result<(Self, beeline_spawn::protocol::Status), ShimError> {
        let mut link = Self::new(beeline_spawn::connect_shim(run_dir)?)?;
        let Event::Status(status) = link.ask(&Request::Status).await? else { return Err(ShimError::Gone) };
        link.send(&Request::Wait).await?;
        Ok((link, status))
    }

    /// Whether a shim is at the other end, or was.
    pub(crate) fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Waits until the container is created; the answer is init's pid.
    pub(crate) async fn created(&mut self) -> Result<u32, ShimError> {
        match self.answer().await? {
            Event::Created { pid } => Ok(pid),
            _ => Err(ShimError::Gone),
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(&mut self, request: &Request) -> Result<Event, ShimError> {
        self.send(request).await?;
        self.answer().await
    }

    /// Waits for the container's exit. May be dropped and called again. [`ShimError::Gone`] if the shim died first.
    pub(crate) async fn exited(&mut self) -> Result<Exit, ShimError> {
        if let Some(exit) = self.exit.take() {
            return Ok(exit);
        }
        loop {
            if let Event::Exited(exit) = self.event().await? {
                return Ok(exit);
            }
        }
    }

    async fn send(&mut self, request: &Request) -> Result<(), ShimError> {
        let line = encode(request)?;
        self.writer.write_all(&line).await.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ShimError::Gone,
            _ => ShimError::Io(error),
        })
    }

    /// The next event that is neither greeting nor exit.
    async fn answer(&mut self) -> Result<Event, ShimError> {
        loop {
            match self.event().await? {
                Event::Hello { .. } => self.greeted = true,
                Event::Exited(exit) => self.exit = Some(exit),
                Event::Failed(failure) => return Err(ShimError::Failed(failure)),
                event => return Ok(event),
            }
        }
    }

    /// The next event. Nothing is lost when this is dropped half way.
    async fn event(&mut self) -> Result<Event, ShimError> {
        match self.lines.next_line().await {
            Ok(Some(line)) => Ok(decode(line.as_bytes())?),
            Ok(None) => Err(ShimError::Gone),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(ShimError::Gone),
            Err(error) => Err(error.into()),
        }
    }
}

/// Opens a stream of the container's output and input.
pub(crate) async fn attach(run_dir: &Path, wanted: Attach) -> Result<UnixStream, ShimError> {
    match open(run_dir, &Request::Attach(wanted)).await? {
        (stream, Event::Ok) => Ok(stream),
        _ => Err(ShimError::Gone),
    }
}

/// Asks the container's shim over a connection of its own.
pub(crate) async fn ask(run_dir: &Path, request: &Request) -> Result<Event, ShimError> {
    ShimLink::new(beeline_spawn::connect_shim(run_dir)?)?.ask(request).await
}

/// Asks for something that makes the connection a stream; what was answered, and the stream.
pub(crate) async fn open(run_dir: &Path, request: &Request) -> Result<(UnixStream, Event), ShimError> {
    let stream = beeline_spawn::connect_shim(run_dir)?;
    stream.set_nonblocking(true)?;
    let mut stream = UnixStream::from_std(stream)?;
    stream.write_all(&encode(request)?).await?;
    loop {
        // Byte by byte: what follows the answer is the container's output already.
        let mut line = Vec::with_capacity(128);
        loop {
            let byte = stream.read_u8().await.map_err(|_| ShimError::Gone)?;
            if byte == b'\n' {
                break;
            }
            line.push(byte);
            if line.len() > beeline_spawn::protocol::MAX_LINE {
                return Err(ShimError::Gone);
            }
        }
        match decode(&line)? {
            Event::Hello { .. } => {}
            Event::Failed(failure) => return Err(ShimError::Failed(failure)),
            event => return Ok((stream, event)),
        }
    }
}
