//! The log: structured events on standard error, as text or JSON lines. Other crates are limited to warnings, so that no library
//! logs the data that it handles, whatever the level.

use std::str::FromStr;

use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServerLogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}

impl FromStr for ServerLogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json"),
        }
    }
}

/// How much this program logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogLevel(LevelFilter);

impl Default for LogLevel {
    fn default() -> Self {
        Self(LevelFilter::INFO)
    }
}

impl FromStr for LogLevel {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let level = match text {
            "off" => LevelFilter::OFF,
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            _ => return Err("expected off, error, warn, info, debug or trace"),
        };
        Ok(Self(level))
    }
}

/// Starts the log of this process. A second call changes nothing.
pub(crate) fn start(format: ServerLogFormat, level: LogLevel) {
    let others = level.0.min(LevelFilter::from_level(Level::WARN));
    let filter = Targets::new().with_default(others).with_target(env!("CARGO_CRATE_NAME"), level.0);
    // Two registries and not one with a boxed layer: every event would pay for the indirection.
    let started = match format {
        ServerLogFormat::Text => {
            let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
            tracing_subscriber::registry().with(lines.with_target(false).with_filter(filter)).try_init()
        }
        ServerLogFormat::Json => {
            let lines =
                tracing_subscriber::fmt::layer().with_writer(std::io::stderr).json().flatten_event(true);
            tracing_subscriber::registry().with(lines.with_target(false).with_filter(filter)).try_init()
        }
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            // The place alone: the message may contain what was being worked on.
            let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
            tracing::error!(
                place = place.as_deref().unwrap_or("unknown"),
                "a panic: this is a bug in dropsafe"
            );
        }));
    }
}
