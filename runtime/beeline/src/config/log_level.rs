//! How much is told.

use beeline_engine::DatapathLog;
use clap::ValueEnum;
use serde::Deserialize;

/// How much the daemon logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Every decision, also those of the programs in the kernel
    Trace,
    /// What a developer wants to know
    Debug,
    /// What an administrator wants to know
    #[default]
    Info,
    /// What may go wrong
    Warn,
    /// What went wrong
    Error,
}

impl LogLevel {
    /// The directive for tracing's filter.
    pub(crate) fn filter(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            // The libraries' own debugging would drown Beeline's.
            Self::Debug => {
                "info,beeline=debug,beeline_api=debug,beeline_engine=debug,beeline_image=debug,\
                            beeline_net=debug,beeline_metrics=debug,beeline_programs=debug"
            }
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// What the programs in the kernel log; below warnings they log per connection.
    pub(crate) fn datapath(self) -> DatapathLog {
        match self {
            Self::Trace => DatapathLog::Trace,
            Self::Debug => DatapathLog::Debug,
            Self::Info | Self::Warn => DatapathLog::Warn,
            Self::Error => DatapathLog::Error,
        }
    }
}
