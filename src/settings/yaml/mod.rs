//! A YAML file as a tree with line numbers. Scalars keep their spelling (`007` is not 7), and each setting parses its own.
//! Texts are wiped on drop.

mod parser;

use std::ffi::OsString;
use std::sync::Arc;

use zeroize::Zeroizing;

use self::parser::YamlParser;
use crate::settings::error::SettingErrors;
use crate::settings::key::{SettingKey, SettingOrigin, nearest};
use crate::settings::source::{FoundSetting, SettingSource, SettingTexts};

/// The largest file. It bounds the parser's cost.
const MAX_BYTES: usize = 1 << 20;

/// A parsed file.
#[derive(Debug)]
pub(crate) struct YamlFile {
    path: Arc<str>,
    root: Vec<YamlEntry>,
}

/// One key of a mapping, with its value.
#[derive(Debug)]
pub(crate) struct YamlEntry {
    pub key: Arc<str>,
    pub value: YamlNode,
}

/// A value and the line it is on.
#[derive(Debug)]
pub(crate) struct YamlNode {
    /// Counted from 1. For a value of a mapping, the line of its key.
    pub line: usize,
    pub content: YamlValue,
}

/// A value. `Debug` shows no text.
pub(crate) enum YamlValue {
    /// Empty, or an unquoted `~` or `null`.
    Null,
    Text(Zeroizing<String>),
    List(Vec<YamlNode>),
    /// In the order of the file. No key occurs twice.
    Map(Vec<YamlEntry>),
}

impl YamlValue {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl std::fmt::Debug for YamlValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

impl YamlFile {
    /// A file without settings.
    pub(crate) fn empty() -> Self {
        Self { path: "".into(), root: Vec::new() }
    }

    /// Parses `text`, the content of the file `path`. A file that is not YAML, or not a mapping, adds a fault and counts as
    /// empty.
    pub(crate) fn parse(path: &str, text: &str, faults: &mut SettingErrors) -> Self {
        let path: Arc<str> = path.into();
        let root = if text.len() > MAX_BYTES {
            faults.push(SettingOrigin::File(path.clone()), "larger than 1 MiB");
            Vec::new()
        } else {
            YamlParser::new(&path, text, faults).parse()
        };
        Self { path, root }
    }

    /// Returns the node of a dotted field. `None` if it is not set.
    pub(crate) fn node(&self, field: &str) -> Option<&YamlNode> {
        let mut entries = &self.root;
        let mut parts = field.split('.').peekable();
        while let Some(part) = parts.next() {
            let node = &entries.iter().find(|entry| &*entry.key == part)?.value;
            match (&node.content, parts.peek()) {
                (_, None) => return Some(node),
                (YamlValue::Map(inner), Some(_)) => entries = inner,
                // `refuse_unknown` reports what stands here instead of a mapping.
                _ => return None,
            }
        }
        None
    }

    pub(crate) fn origin(&self, node: &YamlNode, field: &str) -> SettingOrigin {
        SettingOrigin::Line { file: self.path.clone(), line: node.line, field: field.into() }
    }

    /// Adds a fault for every key that is not in `known` (dotted names), with the most similar known name. The keys below a
    /// known field are not checked.
    pub(crate) fn refuse_unknown(&self, known: &[&str], faults: &mut SettingErrors) {
        self.refuse_below("", &self.root, known, faults);
    }

    fn refuse_below(&self, prefix: &str, entries: &[YamlEntry], known: &[&str], faults: &mut SettingErrors) {
        for entry in entries {
            let field = format!("{prefix}{}", entry.key);
            let inner = format!("{field}.");
            if known.contains(&field.as_str()) {
                continue;
            }
            // A mapping of settings, such as `cache` for `cache.dir`.
            let group = known.iter().any(|name| name.starts_with(&inner));
            match &entry.value.content {
                YamlValue::Map(below) if group => self.refuse_below(&inner, below, known, faults),
                // A group whose settings are all commented out.
                YamlValue::Null if group => {}
                _ if group => faults.push(
                    self.origin(&entry.value, &field),
                    format_args!("expected a mapping, found {}", entry.value.content.kind()),
                ),
                _ => {
                    let origin = self.origin(&entry.value, &field);
                    match nearest(&field, known.iter().copied()) {
                        Some(name) => {
                            faults.push(origin, format_args!("unknown key; did you mean `{name}`?"))
                        }
                        None => faults.push(origin, "unknown key"),
                    }
                }
            }
        }
    }
}

impl SettingSource for YamlFile {
    fn find(&self, key: &SettingKey) -> Option<FoundSetting> {
        let node = self.node(key.field)?;
        let items = match &node.content {
            // A key without a value is a setting that is commented out halfway: the default applies.
            YamlValue::Null => return None,
            YamlValue::Text(text) => SettingTexts::One(OsString::from(text.as_str())),
            YamlValue::Map(_) => SettingTexts::Other("a mapping"),
            YamlValue::List(items) => {
                let mut texts = Vec::with_capacity(items.len());
                for item in items {
                    let YamlValue::Text(text) = &item.content else {
                        let items = SettingTexts::Other("a list of lists or mappings");
                        return Some(FoundSetting { origin: self.origin(item, key.field), items });
                    };
                    texts.push((self.origin(item, key.field), OsString::from(text.as_str())));
                }
                SettingTexts::Many(texts)
            }
        };
        Some(FoundSetting { origin: self.origin(node, key.field), items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(text: &str, known: &[&str]) -> String {
        let mut faults = SettingErrors::default();
        YamlFile::parse("a.yaml", text, &mut faults).refuse_unknown(known, &mut faults);
        faults.to_string()
    }

    fn text_of(text: &str, field: &str) -> Option<String> {
        let mut faults = SettingErrors::default();
        let file = YamlFile::parse("a.yaml", text, &mut faults);
        assert_eq!(faults, SettingErrors::default());
        match &file.node(field)?.content {
            YamlValue::Text(text) => Some(text.to_string()),
            other => Some(format!("{other:?}")),
        }
    }

    #[test]
    fn scalars_keep_their_spelling() {
        for scalar in ["007", "1.0", "0x10", "yes", "1e3", "true", "12:30:45", "sk-a#b"] {
            assert_eq!(text_of(&format!("a: {scalar}\n"), "a").as_deref(), Some(scalar));
        }
        assert_eq!(text_of("a: \"x\\ny\"", "a").as_deref(), Some("x\ny"));
        assert_eq!(text_of("a: |\n  x\n  y\n", "a").as_deref(), Some("x\ny\n"));
        assert_eq!(text_of("a: \"\"", "a").as_deref(), Some(""));
        assert_eq!(text_of("a: !!str null", "a").as_deref(), Some("null"));
        assert_eq!(text_of("a:\n", "a").as_deref(), Some("nothing"));
        assert_eq!(text_of("cache:\n  dir: /x\n", "cache.dir").as_deref(), Some("/x"));
        assert_eq!(text_of("", "a"), None);
        assert_eq!(text_of("# only a comment\n", "a"), None);
    }

    #[test]
    fn unknown_keys_are_reported_with_a_similar_name() {
        let known = ["deadline", "cache.dir", "cache.max_age", "secrets"];
        assert_eq!(faults_of("deadline: 1s\nsecrets:\n  ANY: x\ncache: {dir: /x}\n", &known), "");
        assert_eq!(
            faults_of("\ndedline: hunter2\ncache:\n  maxage: 1d\nfoo: [hunter2]\n", &known),
            "a.yaml:2 dedline: unknown key; did you mean `deadline`?\n\
             a.yaml:4 cache.maxage: unknown key; did you mean `cache.max_age`?\n\
             a.yaml:5 foo: unknown key"
        );
        assert_eq!(
            faults_of("cache: 3\n", &known),
            "a.yaml:1 cache: expected a mapping, found a single value"
        );
    }

    #[test]
    fn a_file_that_is_no_configuration_is_a_fault_without_a_quotation() {
        for (text, fault) in [
            ("a: [hunter2", "a.yaml:1: not valid YAML"),
            ("a: \"hunter2", "a.yaml:"),
            ("a: 1\na: hunter2\n", "a.yaml:2 a: duplicate key, first in line 1"),
            ("a: &x hunter2\nb: *x\n", "a.yaml:2: YAML aliases"),
            ("a: !secret hunter2\n", "a.yaml:1: YAML tags"),
            ("- hunter2\n", "a.yaml:1: expected a mapping of settings, found a list"),
            ("hunter2", "a.yaml:1: expected a mapping of settings, found a single value"),
            ("a: 1\n---\nb: hunter2\n", "a.yaml:2: more than one YAML document"),
            ("? [hunter2]\n: 1\n", "a.yaml:1: invalid key"),
            ("\"hunter2\\e[1m\": 1\n", "a.yaml:1: invalid key"),
        ] {
            let message = faults_of(text, &["a", "b"]);
            assert!(message.starts_with(fault), "{text:?}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        assert!(faults_of(&"[".repeat(100_000), &[]).contains("not valid YAML"));
        assert!(faults_of(&"a: {".repeat(1000), &[]).contains("not valid YAML"));
    }

    #[test]
    fn each_item_of_a_list_has_its_line() {
        const KEY: SettingKey = SettingKey { flag: "", variable: "", field: "require" };
        let mut faults = SettingErrors::default();
        let file = YamlFile::parse("a.yaml", "require:\n- A\n- B\n", &mut faults);
        let Some(FoundSetting { items: SettingTexts::Many(items), .. }) = file.find(&KEY) else { panic!() };
        assert_eq!(items[1].0.to_string(), "a.yaml:3 require");
    }
}
