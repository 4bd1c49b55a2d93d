//! A YAML file as a tree that knows its lines. Scalars stay as they were written (`007` is not 7): what they mean is for
//! the setting to say. A parser's message quotes its input, so none leaves this file; texts are wiped when dropped.

use std::ffi::OsString;
use std::sync::Arc;

use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, options};
use zeroize::Zeroizing;

use crate::settings::error::SettingErrors;
use crate::settings::key::{SettingKey, SettingOrigin, nearest};
use crate::settings::source::{FoundSetting, SettingSource, SettingTexts};

/// Enough for any configuration; a parser's cost stays bounded.
const MAX_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 16;

/// A parsed file.
#[derive(Debug)]
pub(crate) struct YamlFile {
    path: Arc<str>,
    root: Vec<YamlEntry>,
}

/// One key of a mapping, with its value.
#[derive(Debug)]
pub(crate) struct YamlEntry {
    /// As written.
    pub key: Arc<str>,
    /// The value.
    pub value: YamlNode,
}

/// A value and the line it is on.
#[derive(Debug)]
pub(crate) struct YamlNode {
    /// Counted from 1; of a mapping's value, the line of its key.
    pub line: usize,
    /// The value.
    pub content: YamlValue,
}

/// A value. `Debug` shows no text.
pub(crate) enum YamlValue {
    /// Nothing: empty, `~` or `null`, unquoted.
    Null,
    /// A text, as written.
    Text(Zeroizing<String>),
    /// A list.
    List(Vec<YamlNode>),
    /// A mapping, in the order of the file; no key twice.
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
    /// A file in which nothing is set.
    pub(crate) fn empty() -> Self {
        Self { path: "".into(), root: Vec::new() }
    }

    /// Parses `text`, the content of the file `path`. What is wrong goes to `faults`; a file that is not YAML, or not a
    /// mapping, counts as empty.
    pub(crate) fn parse(path: &str, text: &str, faults: &mut SettingErrors) -> Self {
        let path: Arc<str> = path.into();
        let root = if text.len() > MAX_BYTES {
            faults.push(SettingOrigin::File(path.clone()), "larger than 1 MiB");
            Vec::new()
        } else {
            YamlParser::new(&path, text, faults).document()
        };
        Self { path, root }
    }

    /// The node at a dotted field.
    pub(crate) fn node(&self, field: &str) -> Option<&YamlNode> {
        let mut entries = &self.root;
        let mut parts = field.split('.').peekable();
        while let Some(part) = parts.next() {
            let node = &entries.iter().find(|entry| &*entry.key == part)?.value;
            match (&node.content, parts.peek()) {
                (_, None) => return Some(node),
                (YamlValue::Map(inner), Some(_)) => entries = inner,
                _ => return None,
            }
        }
        None
    }

    /// The place of `node`, which belongs to `field`.
    pub(crate) fn origin(&self, node: &YamlNode, field: &str) -> SettingOrigin {
        SettingOrigin::Line { file: self.path.clone(), line: node.line, field: field.into() }
    }

    /// Names every key that is none of `known` (dotted), with the nearest that is. What is below a known field is that
    /// field's own.
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
            let group = known.iter().any(|name| name.starts_with(&inner));
            match &entry.value.content {
                YamlValue::Map(below) if group => self.refuse_below(&inner, below, known, faults),
                YamlValue::Null if group => {}
                _ if group => faults.push(
                    self.origin(&entry.value, &field),
                    format_args!("{} where a mapping belongs", entry.value.content.kind()),
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
            YamlValue::Null => return None,
            YamlValue::Text(text) => SettingTexts::One(OsString::from(text.as_str())),
            YamlValue::Map(_) => SettingTexts::Other("a mapping"),
            YamlValue::List(items) => {
                let mut texts = Vec::with_capacity(items.len());
                for item in items {
                    let YamlValue::Text(text) = &item.content else {
                        let items = SettingTexts::Other("a list of other things than single values");
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

/// Keys are named in messages, so they hold what names hold and nothing that a terminal would obey.
fn is_name(key: &str) -> bool {
    key.len() <= 200 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte))
}

/// A fault ends the parse: what follows it could be read in more than one way.
struct ParseStopped;

struct YamlParser<'a> {
    path: &'a Arc<str>,
    parser: Parser<'a, StrInput<'a>>,
    faults: &'a mut SettingErrors,
}

impl<'a> YamlParser<'a> {
    fn new(path: &'a Arc<str>, text: &'a str, faults: &'a mut SettingErrors) -> Self {
        let options = options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
        Self { path, parser: Parser::new_from_str_with_options(text, options), faults }
    }

    fn document(mut self) -> Vec<YamlEntry> {
        self.mapping_of_document().unwrap_or_default()
    }

    fn mapping_of_document(&mut self) -> Result<Vec<YamlEntry>, ParseStopped> {
        let root = loop {
            let (event, span) = self.event()?;
            match event {
                Event::StreamStart | Event::DocumentStart(..) => {}
                Event::StreamEnd | Event::DocumentEnd => return Ok(Vec::new()),
                event => break self.node(event, span)?,
            }
        };
        let entries = match root.content {
            YamlValue::Map(entries) => entries,
            YamlValue::Null => Vec::new(),
            other => {
                return Err(self.stop(root.line, format_args!("{} where settings belong", other.kind())));
            }
        };
        loop {
            let (event, span) = self.event()?;
            match event {
                Event::StreamEnd => return Ok(entries),
                Event::DocumentEnd => {}
                _ => return Err(self.stop(span.start.line(), "a second document in one file")),
            }
        }
    }

    /// The next event; a scanner's error becomes a fault with a place and no quotation.
    fn event(&mut self) -> Result<(Event<'a>, Span), ParseStopped> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let (line, column) = (error.marker().line(), error.marker().col() + 1);
                Err(self.stop(line, format_args!("not valid YAML (column {column})")))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<YamlNode, ParseStopped> {
        let line = span.start.line();
        if let Some(tag) = event.tag()
            && !tag.is_yaml_core_schema_tag("str")
        {
            return Err(self.stop(line, "a YAML tag; write the plain value"));
        }
        let content = match event {
            Event::Scalar(text, style, _, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    YamlValue::Null
                } else {
                    YamlValue::Text(Zeroizing::new(text.into_owned()))
                }
            }
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.event()? {
                        (Event::SequenceEnd, _) => break YamlValue::List(items),
                        (event, span) => items.push(self.node(event, span)?),
                    }
                }
            }
            Event::MappingStart(..) => self.mapping()?,
            Event::Alias(_) => return Err(self.stop(line, "a YAML alias; write the value out")),
            _ => return Err(self.stop(line, "not valid YAML")),
        };
        Ok(YamlNode { line, content })
    }

    fn mapping(&mut self) -> Result<YamlValue, ParseStopped> {
        let mut entries: Vec<YamlEntry> = Vec::new();
        loop {
            let (key, line) = match self.event()? {
                (Event::MappingEnd, _) => return Ok(YamlValue::Map(entries)),
                (Event::Scalar(key, ..), span) => (Some(key).filter(|key| is_name(key)), span.start.line()),
                (_, span) => return Err(self.stop(span.start.line(), "a key that is no name")),
            };
            let (event, span) = self.event()?;
            let mut value = self.node(event, span)?;
            let Some(key) = key.map(|key| Arc::<str>::from(&*key)) else {
                let _ = self.stop(line, "a key that is no name");
                continue;
            };
            // What a person looks for is the line of the key.
            value.line = line;
            if let Some(earlier) = entries.iter().find(|entry| entry.key == key) {
                let message = format!("the same key as in line {}", earlier.value.line);
                let origin = SettingOrigin::Line { file: self.path.clone(), line, field: key };
                self.faults.push(origin, message);
            } else {
                entries.push(YamlEntry { key, value });
            }
        }
    }

    fn stop(&mut self, line: usize, message: impl std::fmt::Display) -> ParseStopped {
        self.faults.push(SettingOrigin::Line { file: self.path.clone(), line, field: "".into() }, message);
        ParseStopped
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
    fn scalars_stay_as_written() {
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
    fn unknown_keys_are_named_with_the_nearest() {
        let known = ["deadline", "cache.dir", "cache.max_age", "secrets"];
        assert_eq!(faults_of("deadline: 1s\nsecrets:\n  ANY: x\ncache: {dir: /x}\n", &known), "");
        assert_eq!(
            faults_of("\ndedline: hunter2\ncache:\n  maxage: 1d\nfoo: [hunter2]\n", &known),
            "a.yaml:2 dedline: unknown key; did you mean `deadline`?\n\
             a.yaml:4 cache.maxage: unknown key; did you mean `cache.max_age`?\n\
             a.yaml:5 foo: unknown key"
        );
        assert_eq!(faults_of("cache: 3\n", &known), "a.yaml:1 cache: a single value where a mapping belongs");
    }

    #[test]
    fn what_is_not_a_configuration_is_told_without_quoting_it() {
        for (text, fault) in [
            ("a: [hunter2", "a.yaml:1: not valid YAML"),
            ("a: \"hunter2", "a.yaml:"),
            ("a: 1\na: hunter2\n", "a.yaml:2 a: the same key as in line 1"),
            ("a: &x hunter2\nb: *x\n", "a.yaml:2: a YAML alias"),
            ("a: !secret hunter2\n", "a.yaml:1: a YAML tag"),
            ("- hunter2\n", "a.yaml:1: a list where settings belong"),
            ("hunter2", "a.yaml:1: a single value where settings belong"),
            ("a: 1\n---\nb: hunter2\n", "a.yaml:2: a second document"),
            ("? [hunter2]\n: 1\n", "a.yaml:1: a key that is no name"),
            ("\"hunter2\\e[1m\": 1\n", "a.yaml:1: a key"),
        ] {
            let told = faults_of(text, &["a", "b"]);
            assert!(told.starts_with(fault), "{text:?}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
        assert!(faults_of(&"[".repeat(100_000), &[]).contains("not valid YAML"));
        assert!(faults_of(&"a: {".repeat(1000), &[]).contains("not valid YAML"));
    }

    #[test]
    fn a_list_of_texts_is_found_with_each_line() {
        const KEY: SettingKey = SettingKey { flag: "", variable: "", field: "require" };
        let mut faults = SettingErrors::default();
        let file = YamlFile::parse("a.yaml", "require:\n- A\n- B\n", &mut faults);
        let Some(FoundSetting { items: SettingTexts::Many(items), .. }) = file.find(&KEY) else { panic!() };
        assert_eq!(items[1].0.to_string(), "a.yaml:3 require");
    }
}
