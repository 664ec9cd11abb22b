//! Lines for operators, on standard error: words, or one JSON object each.
//!
//! They say what happened to a gateway, never what passed through it: no body, no header, no credential.
//! What was decided stands in the audit log, which this is no copy of.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::{Log, LogFormat, LogLevel};

/// Begins to write lines, for the whole process. A second call changes nothing.
pub fn start(log: Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
    };
    let registry = tracing_subscriber::registry().with(level);
    // Somebody else's lines are as good.
    let _ = match log.format {
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(io::stderr))
            .try_init(),
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .without_time()
                    .with_ansi(false)
                    .with_target(false)
                    .with_writer(io::stderr),
            )
            .try_init(),
    };
}
