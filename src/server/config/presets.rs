//! The operator's own presets: the list `presets` of DIR/server.yaml. Every fault is reported with its line, in our own words.
//!
//! ```yaml
//! presets:
//!   - id: acme                 # its secrets are named skill:acme:<key>
//!     title: Acme
//!     category: api_key
//!     fields:
//!       - key: access_token
//!         label: API token
//!         optional: false      # default
//!         type: encrypted      # default; plain for a setting that is not sensitive
//!         prefixes: [acme_]    # how values begin (default: unknown)
//!         usual: ACME_TOKEN    # the variable that most programs read
//! ```

use std::fmt::Display;
use std::str::FromStr;

use crate::domain::catalog::{Preset, PresetField, Presets};
use crate::domain::value::Kind;
use crate::settings::{SettingErrors, YamlEntry, YamlFile, YamlNode, YamlValue, nearest, parse};

/// The field of server.yaml.
pub(crate) const FIELD: &str = "presets";

const PRESET_KEYS: &[&str] = &["id", "title", "category", "fields"];
const FIELD_KEYS: &[&str] = &["key", "label", "optional", "type", "prefixes", "usual"];

/// The built-in presets, and those of the file.
pub(crate) fn read(file: &YamlFile, faults: &mut SettingErrors) -> Presets {
    let mut presets = Presets::builtin();
    let Some(node) = file.node(FIELD) else { return presets };
    let mut reader = PresetReader { file, faults };
    for item in reader.list(node) {
        if let Some(preset) = reader.preset(item)
            && let Err(error) = presets.add(preset)
        {
            reader.fault(item, error);
        }
    }
    presets
}

struct PresetReader<'a> {
    file: &'a YamlFile,
    faults: &'a mut SettingErrors,
}

impl<'a> PresetReader<'a> {
    fn preset(&mut self, node: &'a YamlNode) -> Option<Preset> {
        let entries = self.mapping(node, PRESET_KEYS)?;
        let id = self.required(node, entries, "id");
        let title = self.required(node, entries, "title");
        let category = self.required(node, entries, "category");
        let fields = match entry(entries, "fields") {
            Some(fields) => self.list(fields).iter().map(|field| self.field(field)).collect::<Vec<_>>(),
            None => {
                self.fault(node, "`fields` is missing");
                return None;
            }
        };
        let fields: Option<Vec<PresetField>> = fields.into_iter().collect();
        match Preset::new(id?, title?, category?, fields?) {
            Ok(preset) => Some(preset),
            Err(error) => {
                self.fault(node, error);
                None
            }
        }
    }

    fn field(&mut self, node: &'a YamlNode) -> Option<PresetField> {
        let entries = self.mapping(node, FIELD_KEYS)?;
        // All parts are read before the first missing one ends this, so that every fault is reported.
        let before = self.faults.len();
        let (key, label) = (self.required(node, entries, "key"), self.required(node, entries, "label"));
        let optional = self.optional(entries, "optional", parse::boolean).unwrap_or(false);
        let kind = self.optional(entries, "type", Kind::from_str).unwrap_or(Kind::Encrypted);
        let usual = self.optional(entries, "usual", str::parse);
        let prefixes = match entry(entries, "prefixes") {
            None => Vec::new(),
            Some(node) => {
                let texts = self.list(node).iter().filter_map(|item| self.text(item));
                texts.map(Box::from).collect()
            }
        };
        let field = PresetField { key: key?, label: label?, optional, kind, prefixes, usual };
        (self.faults.len() == before).then_some(field)
    }

    fn list(&mut self, node: &'a YamlNode) -> &'a [YamlNode] {
        match &node.content {
            YamlValue::List(items) => items,
            YamlValue::Null => &[],
            YamlValue::Text(_) | YamlValue::Map(_) => {
                self.fault(node, "expected a list");
                &[]
            }
        }
    }

    fn mapping(&mut self, node: &'a YamlNode, known: &[&str]) -> Option<&'a [YamlEntry]> {
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

    fn required<T: FromStr<Err: Display>>(
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

    fn optional<T, E: Display>(
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

    fn text(&mut self, node: &'a YamlNode) -> Option<&'a str> {
        match &node.content {
            YamlValue::Text(text) => Some(text.as_str()),
            YamlValue::Null | YamlValue::List(_) | YamlValue::Map(_) => {
                self.fault(node, "expected a single value");
                None
            }
        }
    }

    fn fault(&mut self, node: &YamlNode, message: impl Display) {
        self.faults.push(self.file.origin(node, FIELD), message);
    }
}

fn entry<'a>(entries: &'a [YamlEntry], key: &str) -> Option<&'a YamlNode> {
    entries.iter().find(|entry| &*entry.key == key).map(|entry| &entry.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Presets, SettingErrors> {
        let mut faults = SettingErrors::default();
        let file = YamlFile::parse("server.yaml", text, &mut faults);
        let presets = read(&file, &mut faults);
        faults.or(presets)
    }

    #[test]
    fn the_files_presets_follow_the_built_in_ones() {
        let text = "presets:\n  - id: acme\n    title: Acme\n    category: api_key\n    fields:\n      - key: access_token\n        \
                    label: API token\n        prefixes: [acme_, a2_]\n        usual: ACME_TOKEN\n      - {key: region, label: Region, \
                    optional: true, type: plain}\n";
        let presets = parsed(text).unwrap();
        assert_eq!(presets.all().len(), Presets::builtin().all().len() + 1);
        let acme = presets.find("acme").unwrap();
        assert_eq!(acme.fields[0].prefixes, ["acme_".into(), "a2_".into()]);
        assert_eq!(acme.fields[0].usual.as_ref().map(|env| env.as_str()), Some("ACME_TOKEN"));
        assert_eq!((acme.fields[1].optional, acme.fields[1].kind), (true, Kind::Plain));
        assert_eq!(acme.name_of(&acme.fields[0]).unwrap().as_str(), "skill:acme:access_token");
        assert_eq!(parsed("").unwrap(), Presets::builtin());
        assert_eq!(parsed("presets:\n").unwrap(), Presets::builtin());
    }

    #[test]
    fn every_fault_is_reported_with_its_line_and_quotes_nothing() {
        let text = "presets:\n  - id: canary!\n    title: ''\n    categry: canary\n    fields: canary\n  - canary\n  - id: openai\n    \
                    title: T\n    category: custom\n    fields:\n      - {key: a, label: A}\n  - id: b\n    title: B\n    category: custom\n    \
                    fields:\n      - {label: A, optional: canary, type: canary, prefixes: canary}\n      - {key: [canary], label: B, usual: 1canary}\n";
        let faults = parsed(text).unwrap_err();
        let told = faults.to_string();
        assert!(!told.contains("canary"), "{told}");
        let lines: Vec<usize> = told
            .lines()
            .map(|line| line.split(':').nth(1).unwrap().split(' ').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(lines, [4, 2, 3, 2, 5, 6, 7, 16, 16, 16, 16, 17, 17], "{told}");
        assert!(told.contains("did you mean `category`?") && told.contains("already a preset"), "{told}");
    }
}
