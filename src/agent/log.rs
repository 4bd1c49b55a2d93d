//! Messages on standard error, as lines for people or as JSON. Only this program's own events are taken, at whatever level: what
//! libraries would tell of a connection may be its bytes. No event of ours holds a value, for no value can be formatted.

use std::fmt;
use std::io;
use std::io::Write;

use serde_json::json;
use tracing::Event;
use tracing::Level;
use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::FormatEvent;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::config::Log;
use super::config::LogFormat;
use super::failure::Failure;

/// What every line for people begins with.
const NAME: &str = "dropsafe-agent";

/// From now on, events of this program go to standard error. Only the first call counts.
pub fn start(log: Log) {
    let ours = Targets::new().with_target("dropsafe", log.level);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    let registry = tracing_subscriber::registry().with(ours);
    // Another one is there when a test, or the store's own program, set it: that one decides then.
    let _ = match log.format {
        LogFormat::Text => registry.with(layer.event_format(Lines)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
}

/// Tells why the agent ends: a line for each thing that is wrong, then what to do about it.
pub fn tell(failure: &Failure, format: LogFormat) {
    let hint = failure.hint();
    let message = failure.to_string();
    let text = match format {
        LogFormat::Text => {
            let mut text: String = message.lines().map(|line| format!("{NAME}: {line}\n")).collect();
            if let Some(hint) = hint {
                text.push_str("hint: ");
                text.push_str(hint);
                text.push('\n');
            }
            text
        }
        LogFormat::Json => {
            let line =
                json!({ "level": "ERROR", "message": message, "hint": hint, "exit": failure.exit() as u8 });
            format!("{line}\n")
        }
    };
    // Nobody is left to tell when standard error is gone.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// `dropsafe-agent: warning: what happened key=value`
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        write!(writer, "{NAME}: {level}: ")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
