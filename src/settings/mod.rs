//! Settings from flags, the environment or a file, in this order. All faults are collected with their places and reported
//! together.
//!
//! It opens no file and reads no environment itself. It never quotes what it cannot parse: the configuration may hold
//! secrets, and a value in the wrong place may be one.

mod error;
mod key;
pub(crate) mod parse;
mod reader;
mod source;
mod yaml;

pub use error::SettingErrors;
pub(crate) use key::{SettingKey, SettingOrigin, nearest};
pub(crate) use reader::{Setting, SettingReader};
pub use source::Environment;
pub(crate) use source::{FoundSetting, SettingSource, SettingTexts};
pub(crate) use yaml::{YamlEntry, YamlFile, YamlNode, YamlValue};
