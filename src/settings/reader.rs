//! Reads settings from several places, the first that has one deciding. The others are parsed as well, so that a fault in
//! a file is told even while a flag overrides it.

use std::ffi::OsString;
use std::fmt::Display;

use super::error::SettingErrors;
use super::key::{SettingKey, SettingOrigin};
use super::source::{SettingSource, SettingTexts};

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: SettingOrigin,
}

/// Asks places in order and collects what is wrong.
pub(crate) struct SettingReader<'a> {
    sources: &'a [&'a dyn SettingSource],
    faults: &'a mut SettingErrors,
}

impl<'a> SettingReader<'a> {
    /// `sources`: the most important first.
    pub(crate) fn new(sources: &'a [&'a dyn SettingSource], faults: &'a mut SettingErrors) -> Self {
        Self { sources, faults }
    }

    /// One value.
    pub(crate) fn one<T, E: Display>(
        &mut self,
        key: &SettingKey,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Setting<T>> {
        let mut first = None;
        for found in self.sources.iter().filter_map(|source| source.find(key)) {
            let text = match found.items {
                SettingTexts::One(text) => text,
                SettingTexts::Many(mut items) if items.len() == 1 => items.remove(0).1,
                SettingTexts::Many(_) => {
                    self.faults.push(found.origin, "more than one value");
                    continue;
                }
                SettingTexts::Other(what) => {
                    self.faults.push(found.origin, format_args!("{what} where a single value belongs"));
                    continue;
                }
            };
            if let Some(value) = self.parse(&found.origin, &text, &parse) {
                first = first.or(Some(Setting { value, origin: found.origin }));
            }
        }
        first
    }

    /// Several values. A single text is split at commas and white space.
    pub(crate) fn list<T, E: Display>(
        &mut self,
        key: &SettingKey,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Setting<Vec<T>>> {
        let mut first = None;
        for found in self.sources.iter().filter_map(|source| source.find(key)) {
            let items = match found.items {
                SettingTexts::One(text) => vec![(found.origin.clone(), text)],
                SettingTexts::Many(items) => items,
                SettingTexts::Other(what) => {
                    self.faults.push(found.origin, format_args!("{what} where a list belongs"));
                    continue;
                }
            };
            let mut values = Vec::with_capacity(items.len());
            let mut whole = true;
            for (origin, item) in items {
                let Some(text) = self.text(&origin, &item) else {
                    whole = false;
                    continue;
                };
                for part in text.split([',', ' ', '\t', '\n']).filter(|part| !part.is_empty()) {
                    match parse(part) {
                        Ok(value) => values.push(value),
                        Err(error) => {
                            self.faults.push(origin.clone(), error);
                            whole = false;
                        }
                    }
                }
            }
            if whole {
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
        let read = text.to_str();
        if read.is_none() {
            self.faults.push(origin.clone(), "not UTF-8");
        }
        read
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
    fn the_first_place_decides_and_a_later_fault_is_told_all_the_same() {
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
    fn a_mapping_is_no_value() {
        let mut faults = SettingErrors::default();
        let flag = Flag(SettingTexts::Other("a mapping"));
        assert_eq!(SettingReader::new(&[&flag], &mut faults).one(&DEADLINE, parse::duration), None);
        assert_eq!(faults.to_string(), "--deadline: a mapping where a single value belongs");
    }
}
