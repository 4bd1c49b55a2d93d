//! Reads what no single setting is: lists of mappings in DIR/server.yaml. Every fault is reported with its line, and quotes nothing.

use std::fmt::Display;
use std::str::FromStr;

use crate::settings::{SettingErrors, YamlEntry, YamlFile, YamlNode, YamlValue, nearest};

/// Reads nodes below one field of the file.
pub(crate) struct NodeReader<'a> {
    pub(crate) file: &'a YamlFile,
    pub(crate) faults: &'a mut SettingErrors,
    /// The field, which faults name.
    pub(crate) field: &'static str,
}

impl<'a> NodeReader<'a> {
    pub(crate) fn list(&mut self, node: &'a YamlNode) -> &'a [YamlNode] {
        match &node.content {
            YamlValue::List(items) => items,
            YamlValue::Null => &[],
            YamlValue::Text(_) | YamlValue::Map(_) => {
                self.fault(node, "expected a list");
                &[]
            }
        }
    }

    pub(crate) fn mapping(&mut self, node: &'a YamlNode, known: &[&str]) -> Option<&'a [YamlEntry]> {
        let YamlValue::Map(entries) = &node.content else {
            self.fault(node, format_args!("expected a mapping of {}", known.join(", ")));
            return None;
        };
        for entry in entries.iter().filter(|entry| !known.contains(&&*entry.key)) {
            match nearest(&entry.key, known.iter().copied()) {
                Some(name) => {
                    self.fault(&entry.value, format_args!("unknown key; did you mean `{name}`?"));
                }
                None => self.fault(&entry.value, "unknown key"),
            }
        }
        Some(entries)
    }

    pub(crate) fn required<T: FromStr<Err: Display>>(
        &mut self,
        node: &'a YamlNode,
        entries: &'a [YamlEntry],
        key: &str,
    ) -> Option<T> {
        if entry(entries, key).is_none() {
            self.fault(node, format_args!("`{key}` is missing"));
            return None;
        }
        self.optional(entries, key, str::parse)
    }

    pub(crate) fn optional<T, E: Display>(
        &mut self,
        entries: &'a [YamlEntry],
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let node = entry(entries, key)?;
        let text = self.text(node)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                // The domain's errors state the rule and never the text.
                self.fault(node, error);
                None
            }
        }
    }

    pub(crate) fn text(&mut self, node: &'a YamlNode) -> Option<&'a str> {
        match &node.content {
            YamlValue::Text(text) => Some(text.as_str()),
            YamlValue::Null | YamlValue::List(_) | YamlValue::Map(_) => {
                self.fault(node, "expected a single value");
                None
            }
        }
    }

    pub(crate) fn fault(&mut self, node: &YamlNode, message: impl Display) {
        self.faults.push(self.file.origin(node, self.field), message);
    }
}

/// The value of a key of a mapping.
pub(crate) fn entry<'a>(entries: &'a [YamlEntry], key: &str) -> Option<&'a YamlNode> {
    entries.iter().find(|entry| &*entry.key == key).map(|entry| &entry.value)
}
