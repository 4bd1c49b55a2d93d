//! Parsers of single settings that no other module has. Each returns the rule that a text breaks, and never the text itself: a
//! misplaced ticket would be quoted.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::keys::is_agent_variable;
use super::{OnOutage, keys};
use crate::agent::local_variables::Layer;
use crate::agent::log::{LogFormat, LogSettings};
use crate::domain::name::EnvName;
use crate::settings::{Setting, SettingErrors, SettingReader, parse};

pub(crate) fn positive_duration(text: &str) -> Result<Duration, &'static str> {
    match parse::duration(text)? {
        Duration::ZERO => Err("must be longer than zero"),
        duration => Ok(duration),
    }
}

pub(crate) fn on_outage(text: &str) -> Result<OnOutage, String> {
    let words =
        [("fail", OnOutage::Fail), ("cache", OnOutage::Cache), ("start-without", OnOutage::StartWithout)];
    parse::word(text, &words)
}

/// A name that `allow_names` may hold.
pub(crate) fn allowed_name(text: &str) -> Result<EnvName, String> {
    let name = EnvName::parse(text).map_err(|error| error.to_string())?;
    if is_agent_variable(text.as_bytes()) {
        return Err("DROPSAFE_ names belong to the agent and never reach the workload".to_owned());
    }
    Ok(name)
}

pub(crate) fn machine_name(text: &str) -> Result<String, &'static str> {
    // The store takes at most 128 bytes without control characters; a space would split the columns of its lists.
    if text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("use at most 128 visible ASCII characters")
    }
}

pub(crate) fn group_name(text: &str) -> Result<String, &'static str> {
    // A colon ends the name's field in group(5).
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
        Ok(text.to_owned())
    } else {
        Err("not the name or the number of a group")
    }
}

/// An audience as an issuer is asked for it. A `#` would begin the thumbprint of a key.
pub(crate) fn audience(text: &str) -> Result<String, &'static str> {
    if (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        Ok(text.to_owned())
    } else {
        Err("use 1 to 256 visible ASCII characters without #")
    }
}

pub(crate) fn log(reader: &mut SettingReader<'_>) -> LogSettings {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [
        ("off", LevelFilter::OFF),
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ];
    let format = reader.one(&keys::LOG, |text| parse::word(text, &formats));
    // In either case of letters, as RUST_LOG accepts them.
    let level = reader.one(&keys::LOG_LEVEL, |text| parse::word(&text.to_ascii_lowercase(), &levels));
    LogSettings {
        format: format.map_or(LogFormat::Text, |set| set.value),
        level: level.map_or(LevelFilter::WARN, |set| set.value),
    }
}

/// The order of layers as configured, if it keeps what the store decides: private before shared, and both of them.
pub(crate) fn layer_order(setting: Setting<Vec<Layer>>, faults: &mut SettingErrors) -> Vec<Layer> {
    let position = |layer: Layer| setting.value.iter().position(|listed| *listed == layer);
    let unique: BTreeSet<Layer> = setting.value.iter().copied().collect();
    if unique.len() < setting.value.len() {
        faults.push(setting.origin.clone(), "a layer is listed twice");
    }
    match (position(Layer::Private), position(Layer::Shared)) {
        (Some(private), Some(shared)) if private < shared => {}
        (Some(_), Some(_)) => {
            faults.push(
                setting.origin,
                "private must come before shared: the store resolves them in this order",
            );
        }
        // Without a layer, values would be released, recorded as delivered, and dropped here.
        _ => faults.push(setting.origin, "private and shared must both be listed; the others are optional"),
    }
    setting.value
}
