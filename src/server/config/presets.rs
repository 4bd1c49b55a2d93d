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

use std::str::FromStr;

use super::node_reader::{NodeReader, entry};
use crate::domain::catalog::{Preset, PresetField, Presets};
use crate::domain::value::Kind;
use crate::settings::{SettingErrors, YamlFile, YamlNode, parse};

/// The field of server.yaml.
pub(crate) const FIELD: &str = "presets";

const PRESET_KEYS: &[&str] = &["id", "title", "category", "fields"];
const FIELD_KEYS: &[&str] = &["key", "label", "optional", "type", "prefixes", "usual"];

/// The built-in presets, and those of the file.
pub(crate) fn read(file: &YamlFile, faults: &mut SettingErrors) -> Presets {
    let mut presets = Presets::builtin();
    let Some(node) = file.node(FIELD) else { return presets };
    let mut reader = NodeReader { file, faults, field: FIELD };
    for item in reader.list(node) {
        if let Some(preset) = read_preset(&mut reader, item)
            && let Err(error) = presets.add(preset)
        {
            reader.fault(item, error);
        }
    }
    presets
}

fn read_preset<'a>(reader: &mut NodeReader<'a>, node: &'a YamlNode) -> Option<Preset> {
    let entries = reader.mapping(node, PRESET_KEYS)?;
    let id = reader.required(node, entries, "id");
    let title = reader.required(node, entries, "title");
    let category = reader.required(node, entries, "category");
    let fields = match entry(entries, "fields") {
        Some(fields) => reader.list(fields).iter().map(|field| read_field(reader, field)).collect::<Vec<_>>(),
        None => {
            reader.fault(node, "`fields` is missing");
            return None;
        }
    };
    let fields: Option<Vec<PresetField>> = fields.into_iter().collect();
    match Preset::new(id?, title?, category?, fields?) {
        Ok(preset) => Some(preset),
        Err(error) => {
            reader.fault(node, error);
            None
        }
    }
}

fn read_field<'a>(reader: &mut NodeReader<'a>, node: &'a YamlNode) -> Option<PresetField> {
    let entries = reader.mapping(node, FIELD_KEYS)?;
    // All parts are read before the first missing one ends this, so that every fault is reported.
    let before = reader.faults.len();
    let (key, label) = (reader.required(node, entries, "key"), reader.required(node, entries, "label"));
    let optional = reader.optional(entries, "optional", parse::boolean).unwrap_or(false);
    let kind = reader.optional(entries, "type", Kind::from_str).unwrap_or(Kind::Encrypted);
    let usual = reader.optional(entries, "usual", str::parse);
    let prefixes = match entry(entries, "prefixes") {
        None => Vec::new(),
        Some(node) => {
            let texts = reader.list(node).iter().filter_map(|item| reader.text(item));
            texts.map(Box::from).collect()
        }
    };
    let field = PresetField { key: key?, label: label?, optional, kind, prefixes, usual };
    (reader.faults.len() == before).then_some(field)
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
