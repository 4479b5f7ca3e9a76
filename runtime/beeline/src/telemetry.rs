//! Where the daemon's own log goes: standard error, which systemd or the client that started it keeps.

use tracing_subscriber::EnvFilter;

use crate::config::LogLevel;

/// The environment variable that overrides the level, module by module: `BEELINE_LOG=beeline_net=trace,info`.
const VARIABLE: &str = "BEELINE_LOG";

/// Sends tracing events, and what the `log` facade is told (the kernel side's lines among it), to standard error.
pub(crate) fn init(level: LogLevel) {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(level.filter()));
    // `init` also installs the bridge from the log facade.
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
