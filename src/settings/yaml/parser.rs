//! Parses YAML events into a tree. The scanner's messages quote their input, so none leaves this file.

use std::sync::Arc;

use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, options};
use zeroize::Zeroizing;

use super::{YamlEntry, YamlNode, YamlValue};
use crate::settings::error::SettingErrors;
use crate::settings::key::SettingOrigin;

const MAX_DEPTH: usize = 16;

fn is_name(key: &str) -> bool {
    // Messages quote keys, so a key must not hold anything that controls a terminal.
    key.len() <= 200 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte))
}

/// The parse ended at a fault.
struct ParseStopped;

pub(crate) struct YamlParser<'a> {
    path: &'a Arc<str>,
    parser: Parser<'a, StrInput<'a>>,
    faults: &'a mut SettingErrors,
}

impl<'a> YamlParser<'a> {
    pub(crate) fn new(path: &'a Arc<str>, text: &'a str, faults: &'a mut SettingErrors) -> Self {
        // The parser and this module recurse, so depth has to be limited against a stack overflow.
        let options = options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
        Self { path, parser: Parser::new_from_str_with_options(text, options), faults }
    }

    /// Parses the file's only document. Empty after a fault.
    pub(crate) fn parse(mut self) -> Vec<YamlEntry> {
        // After a fault the rest could be read in more than one way, so nothing of the file counts.
        self.document().unwrap_or_default()
    }

    fn document(&mut self) -> Result<Vec<YamlEntry>, ParseStopped> {
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
                return Err(self.stop(
                    root.line,
                    format_args!("expected a mapping of settings, found {}", other.kind()),
                ));
            }
        };
        loop {
            let (event, span) = self.event()?;
            match event {
                Event::StreamEnd => return Ok(entries),
                Event::DocumentEnd => {}
                _ => return Err(self.stop(span.start.line(), "more than one YAML document in the file")),
            }
        }
    }

    /// Returns the next event. A scanner's error becomes a fault.
    fn event(&mut self) -> Result<(Event<'a>, Span), ParseStopped> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            // The place only: the scanner's message quotes the input.
            Some(Err(error)) => {
                let (line, column) = (error.marker().line(), error.marker().col() + 1);
                Err(self.stop(line, format_args!("not valid YAML (column {column})")))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<YamlNode, ParseStopped> {
        let line = span.start.line();
        // Tags can change a value's meaning (`!!binary`), and other tools give them meanings of their own.
        if let Some(tag) = event.tag()
            && !tag.is_yaml_core_schema_tag("str")
        {
            return Err(self.stop(line, "YAML tags are not supported; write the plain value"));
        }
        let content = match event {
            Event::Scalar(text, style, _, tag) => {
                // A quoted `null` is text: quotes are how a person asks for that.
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
            // Nested aliases let a small file grow to gigabytes.
            Event::Alias(_) => {
                return Err(self.stop(line, "YAML aliases are not supported; write the value itself"));
            }
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
                (_, span) => {
                    return Err(self.stop(
                        span.start.line(),
                        "invalid key: only ASCII letters, digits and - _ . : / are allowed",
                    ));
                }
            };
            let (event, span) = self.event()?;
            let mut value = self.node(event, span)?;
            // After its value, which has to be consumed to reach the next key.
            let Some(key) = key.map(|key| Arc::<str>::from(&*key)) else {
                // A fault, but no stop: the structure is sound, and more faults may follow.
                let _ = self.stop(line, "invalid key: only ASCII letters, digits and - _ . : / are allowed");
                continue;
            };
            // A block value starts in a later line, but a person looks for the key's.
            value.line = line;
            // YAML forbids duplicates, but most parsers take the last one, which hides a mistake.
            if let Some(earlier) = entries.iter().find(|entry| entry.key == key) {
                let message = format!("duplicate key, first in line {}", earlier.value.line);
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
