//! Messages on standard error, as lines for people or as JSON. Only this program's own events are taken, at whatever level: what
//! libraries would tell of a connection may be its bytes. No event of ours holds a value, for no value can be formatted.
//!
//! Not tracing-subscriber: its registry of spans is a tenth of what a boot may cost, and there are no spans here.

use std::fmt::Write as _;
use std::io::Write as _;
use std::{fmt, io};

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::config::{Log, LogFormat};
use super::failure::Failure;
use super::machine;

/// What every line for people begins with.
const NAME: &str = "dropsafe-agent";

/// From now on, events of this program go to standard error. Only the first call counts.
pub(crate) fn start(log: Log) {
    // Another one is there when the store's own program set it: that one decides then.
    let _ = tracing::subscriber::set_global_default(Lines(log));
}

/// Tells why the agent ends: a line for each thing that is wrong, then what to do about it.
pub(crate) fn tell(failure: &Failure, format: LogFormat) {
    let message = failure.to_string();
    let text = match format {
        LogFormat::Text => {
            let mut text: String = message.lines().map(|line| format!("{NAME}: {line}\n")).collect();
            if let Some(hint) = failure.hint() {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "hint: {hint}");
            }
            text
        }
        LogFormat::Json => {
            let mut line = json_line(Level::ERROR);
            line.insert("message".to_owned(), message.into());
            line.insert("hint".to_owned(), failure.hint().into());
            line.insert("exit".to_owned(), (failure.exit().code()).into());
            format!("{}\n", Value::Object(line))
        }
    };
    write(&text);
}

/// A line for people before anything is configured, or after everything has ended.
pub(crate) fn note(message: &dyn fmt::Display) {
    write(&format!("{NAME}: {message}\n"));
}

struct Lines(Log);

impl Lines {
    fn takes(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let ours = target == "dropsafe" || target.starts_with("dropsafe::");
        ours && metadata.is_event() && *metadata.level() <= self.0.level
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.takes(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.level)
    }

    fn event(&self, event: &Event<'_>) {
        let level = *event.metadata().level();
        match self.0.format {
            LogFormat::Text => {
                let mut text = Text { message: String::new(), fields: String::new() };
                event.record(&mut text);
                write(&format!("{NAME}: {}: {}{}\n", word(level), text.message, text.fields));
            }
            LogFormat::Json => {
                let mut fields = Fields(json_line(level));
                event.record(&mut fields);
                write(&format!("{}\n", Value::Object(fields.0)));
            }
        }
    }

    // Spans are never enabled, so nothing below is asked for.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// `what happened key=value`
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

fn json_line(level: Level) -> Map<String, Value> {
    let line = json!({ "timestamp": machine::now(), "level": level.as_str() });
    line.as_object().cloned().unwrap_or_default()
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// In one piece, so that lines of several programs do not mix. Nobody is left to tell when standard error is gone.
fn write(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
