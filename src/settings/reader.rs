//! Reads settings from several sources. The first source with a value wins. The others are parsed too, so that a fault in
//! a file is reported even while a flag overrides it.

use std::ffi::OsString;
use std::fmt::Display;

use super::error::SettingErrors;
use super::key::{SettingKey, SettingOrigin};
use super::source::{SettingSource, SettingTexts};

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    pub value: T,
    pub origin: SettingOrigin,
}

/// Reads values from sources in order and collects faults.
pub(crate) struct SettingReader<'a> {
    sources: &'a [&'a dyn SettingSource],
    faults: &'a mut SettingErrors,
}

impl<'a> SettingReader<'a> {
    /// The first source has precedence.
    pub(crate) fn new(sources: &'a [&'a dyn SettingSource], faults: &'a mut SettingErrors) -> Self {
        Self { sources, faults }
    }

    /// Reads a single value.
    pub(crate) fn one<T, E: Display>(
        &mut self,
        key: &SettingKey,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Setting<T>> {
        let mut first = None;
        for found in self.sources.iter().filter_map(|source| source.find(key)) {
            let text = match found.items {
                SettingTexts::One(text) => text,
                // A flag that may be repeated, or a list in the file, was used once.
                SettingTexts::Many(mut items) if items.len() == 1 => items.remove(0).1,
                SettingTexts::Many(_) => {
                    self.faults.push(found.origin, "expected one value, found several");
                    continue;
                }
                SettingTexts::Other(what) => {
                    self.faults.push(found.origin, format_args!("expected a single value, found {what}"));
                    continue;
                }
            };
            // A source with a fault has no value here, but the fault ends the program later all the same.
            if let Some(value) = self.parse(&found.origin, &text, &parse) {
                first = first.or(Some(Setting { value, origin: found.origin }));
            }
        }
        first
    }

    /// Reads several values. Every text is split at commas and white space.
    pub(crate) fn list<T, E: Display>(
        &mut self,
        key: &SettingKey,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Setting<Vec<T>>> {
        let mut first = None;
        for found in self.sources.iter().filter_map(|source| source.find(key)) {
            let items = match found.items {
                // Usually from a variable, which has no list syntax of its own.
                SettingTexts::One(text) => vec![(found.origin.clone(), text)],
                SettingTexts::Many(items) => items,
                SettingTexts::Other(what) => {
                    self.faults.push(found.origin, format_args!("expected a list, found {what}"));
                    continue;
                }
            };
            let mut values = Vec::with_capacity(items.len());
            // As in `one`: a source with a fault has no value.
            let mut valid = true;
            for (origin, item) in items {
                let Some(text) = self.text(&origin, &item) else {
                    valid = false;
                    continue;
                };
                for part in text.split([',', ' ', '\t', '\n']).filter(|part| !part.is_empty()) {
                    match parse(part) {
                        Ok(value) => values.push(value),
                        Err(error) => {
                            self.faults.push(origin.clone(), error);
                            valid = false;
                        }
                    }
                }
            }
            if valid {
                first = first.or(Some(Setting { value: values, origin: found.origin }));
            }
        }
        first
    }

    fn parse<T, E: Display>(
        &mut self,
        origin: &SettingOrigin,
        text: &OsString,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(origin, text)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.faults.push(origin.clone(), error);
                None
            }
        }
    }

    fn text<'t>(&mut self, origin: &SettingOrigin, text: &'t OsString) -> Option<&'t str> {
        let utf8 = text.to_str();
        // Replacing invalid bytes would change a path or a name silently.
        if utf8.is_none() {
            self.faults.push(origin.clone(), "not UTF-8");
        }
        utf8
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::super::source::{Environment, FoundSetting};
    use super::*;

    const DEADLINE: SettingKey =
        SettingKey { flag: "--deadline", variable: "DROPSAFE_DEADLINE", field: "deadline" };

    struct Flag(SettingTexts);
    impl SettingSource for Flag {
        fn find(&self, key: &SettingKey) -> Option<FoundSetting> {
            Some(FoundSetting { origin: SettingOrigin::Flag(key.flag), items: self.0.clone() })
        }
    }

    fn environment(value: &str) -> Environment {
        Environment::new([("DROPSAFE_DEADLINE".into(), value.into())])
    }

    #[test]
    fn the_first_source_wins_and_a_fault_of_a_later_one_is_reported() {
        let mut faults = SettingErrors::default();
        let flag = Flag(SettingTexts::One("5s".into()));
        let variable = environment("hunter2");
        let read = SettingReader::new(&[&flag, &variable], &mut faults).one(&DEADLINE, parse::duration);
        assert_eq!(read.map(|setting| setting.origin), Some(SettingOrigin::Flag("--deadline")));
        assert_eq!(
            faults.to_string(),
            "DROPSAFE_DEADLINE: not a duration; write for example 500ms, 30s, 5m, 1h30m or 7d"
        );
    }

    #[test]
    fn lists_are_split_and_each_bad_item_is_a_fault() {
        let mut faults = SettingErrors::default();
        let variable = environment("1s, 2s\n3s");
        let read = SettingReader::new(&[&variable], &mut faults).list(&DEADLINE, parse::duration);
        assert_eq!(read.map(|setting| setting.value.len()), Some(3));
        let variable = environment("1,2s,3");
        assert_eq!(SettingReader::new(&[&variable], &mut faults).list(&DEADLINE, parse::duration), None);
        assert_eq!(faults.len(), 2);
    }

    #[test]
    fn a_mapping_is_a_fault() {
        let mut faults = SettingErrors::default();
        let flag = Flag(SettingTexts::Other("a mapping"));
        assert_eq!(SettingReader::new(&[&flag], &mut faults).one(&DEADLINE, parse::duration), None);
        assert_eq!(faults.to_string(), "--deadline: expected a single value, found a mapping");
    }
}
