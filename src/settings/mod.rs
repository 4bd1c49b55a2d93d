//! A named setting from flag, environment or file, in that order; what is wrong with any of them is collected with
//! its source, so that all of it can be told at once. Opens no file, reads no environment, and never quotes what it
//! could not parse: a file of settings may hold secrets, and a mistyped variable may be one.

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
