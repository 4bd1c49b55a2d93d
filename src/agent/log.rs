//! Messages on standard error, as lines for people or as JSON.
//!
//! Only this program's own events are written, at any level: a library's events about a connection may contain its bytes. No event
//! of ours holds a value, since the type of values cannot be formatted.
//!
//! This is not tracing-subscriber: its registry of spans takes a tenth of the time that a boot may take, and there are no spans here.

use std::fmt::Write as _;
use std::io::Write as _;
use std::{fmt, io};

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::machine;
use crate::process::Exit;

/// Starts every line for people.
const NAME: &str = "dropsafe-agent";

/// The form of messages on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Which messages are written, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub(crate) format: LogFormat,
    /// The least severe level that is written.
    pub(crate) level: LevelFilter,
}

/// Sends this program's events to standard error from now on. Only the first call has an effect.
pub(crate) fn start(settings: LogSettings) {
    // `dropsafe` called as `dropsafe-agent` may have a subscriber of its own, which then decides.
    let _ = tracing::subscriber::set_global_default(StderrSubscriber(settings));
}

/// Writes why the agent ends: a line for each thing that is wrong, then what to do about it.
pub(crate) fn report_error(error: &dyn fmt::Display, hint: Option<&str>, exit: Exit, format: LogFormat) {
    let message = error.to_string();
    let text = match format {
        LogFormat::Text => {
            // Each line starts with the program's name, so that a collector that splits lines keeps it.
            let mut text: String = message.lines().map(|line| format!("{NAME}: {line}\n")).collect();
            if let Some(hint) = hint {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "hint: {hint}");
            }
            text
        }
        LogFormat::Json => {
            let mut line = json_line(Level::ERROR);
            line.insert("message".to_owned(), message.into());
            line.insert("hint".to_owned(), hint.into());
            line.insert("exit".to_owned(), exit.code().into());
            format!("{}\n", Value::Object(line))
        }
    };
    write(&text);
}

/// Writes a line for people before the configuration is read, or after everything else has ended.
pub(crate) fn print_line(message: &dyn fmt::Display) {
    write(&format!("{NAME}: {message}\n"));
}

struct StderrSubscriber(LogSettings);

impl StderrSubscriber {
    fn is_wanted(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let ours = target == "dropsafe" || target.starts_with("dropsafe::");
        ours && metadata.is_event() && *metadata.level() <= self.0.level
    }
}

impl Subscriber for StderrSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.is_wanted(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.level)
    }

    fn event(&self, event: &Event<'_>) {
        let level = *event.metadata().level();
        match self.0.format {
            LogFormat::Text => {
                let mut text = TextFields { message: String::new(), fields: String::new() };
                event.record(&mut text);
                write(&format!("{NAME}: {}: {}{}\n", level_name(level), text.message, text.fields));
            }
            LogFormat::Json => {
                let mut fields = JsonFields(json_line(level));
                event.record(&mut fields);
                write(&format!("{}\n", Value::Object(fields.0)));
            }
        }
    }

    // `enabled` refuses every span, so that tracing never calls the methods below. The trait requires them.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// `message key=value key=value`
struct TextFields {
    message: String,
    fields: String,
}

impl Visit for TextFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // tracing names the text of an event `message`. Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

struct JsonFields(Map<String, Value>);

impl Visit for JsonFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
    // As a number: the default implementation would make it a string.
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

fn json_line(level: Level) -> Map<String, Value> {
    let line = json!({ "timestamp": machine::now(), "level": level.as_str() });
    line.as_object().cloned().unwrap_or_default()
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn write(text: &str) {
    // One write(2) for the whole line, so that lines of several processes do not mix. Standard error may be closed, and then
    // there is nowhere to report that.
    let _ = io::stderr().write_all(text.as_bytes());
}
