//! `files:` of the configuration: which secrets go to which files, for whom. What a machine places as a file is announced as
//! `NAME_FILE` and is no variable, whatever the store says of its delivery. Names and paths only.

use std::path::{Component, Path, PathBuf};

use super::account::Wish;
use super::wanted::Wanted;
use crate::domain::receipt::Receipt;
use crate::domain::value::Delivery;
use crate::settings::{SettingErrors, YamlEntry, YamlFile, YamlValue};

/// The field.
pub(crate) const FIELD: &str = "files";
/// Its owner alone.
const DEFAULT_MODE: u32 = 0o600;

/// One secret as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Which.
    pub(crate) secret: Wanted,
    /// Where; below the folder for files unless it is absolute.
    pub(crate) path: PathBuf,
    /// Its permissions.
    pub(crate) mode: u32,
    /// Its owner, unless it is the agent's own user.
    pub(crate) owner: Option<Wish>,
}

/// Reads all of them.
pub(crate) fn read(file: &YamlFile, faults: &mut SettingErrors) -> Vec<Placement> {
    let Some(node) = file.node(FIELD) else { return Vec::new() };
    let YamlValue::List(items) = &node.content else {
        if !matches!(node.content, YamlValue::Null) {
            faults.push(file.origin(node, FIELD), "not a list of files");
        }
        return Vec::new();
    };
    let mut placements: Vec<Placement> = Vec::new();
    for item in items {
        let YamlValue::Map(entries) = &item.content else {
            faults.push(file.origin(item, FIELD), "not a mapping with `secret` and `path`");
            continue;
        };
        let (mut secret, mut path, mut mode, mut owner) = (None, None, DEFAULT_MODE, None);
        let before = faults.len();
        for YamlEntry { key, value } in entries {
            let origin = file.origin(value, &format!("{FIELD}.{key}"));
            let YamlValue::Text(text) = &value.content else {
                faults.push(origin, "not a single value");
                continue;
            };
            let told = match &**key {
                "secret" => {
                    Wanted::parse(text).map(|it| secret = Some(it)).map_err(|error| error.to_string())
                }
                "path" => parse_path(text).map(|it| path = Some(it)).map_err(str::to_owned),
                "mode" => parse_mode(text).map(|it| mode = it).map_err(str::to_owned),
                "owner" => Wish::parse(text).map(|it| owner = Some(it)).map_err(str::to_owned),
                _ => Err("unknown key; there are secret, path, mode and owner".to_owned()),
            };
            if let Err(fault) = told {
                faults.push(origin, fault);
            }
        }
        match (secret, path) {
            (Some(secret), Some(path)) => {
                if placements.iter().any(|other| other.path == path) {
                    faults.push(file.origin(item, FIELD), "two secrets at one path");
                } else if placements.iter().any(|other| other.secret.same(&secret)) {
                    faults.push(file.origin(item, FIELD), "the secret is placed twice");
                }
                placements.push(Placement { secret, path, mode, owner });
            }
            _ if faults.len() == before => {
                faults.push(file.origin(item, FIELD), "`secret` and `path` must both be given");
            }
            _ => {}
        }
    }
    placements
}

fn parse_path(text: &str) -> Result<PathBuf, &'static str> {
    let path = Path::new(text);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::RootDir);
    match path.file_name() {
        Some(_) if path.components().all(plain) && !text.contains('\0') => Ok(path.to_owned()),
        _ => Err("not the path of a file; `.` and `..` are not taken"),
    }
}

fn parse_mode(text: &str) -> Result<u32, &'static str> {
    let digits = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if digits && mode & !0o770 == 0 => Ok(mode),
        Ok(_) if digits => Err("others get nothing: use 0600, 0640, 0440 or the like"),
        _ => Err("not a mode in octal, such as 0600"),
    }
}

/// Makes files of what `placements` place. That each was released is for `require` to see to.
pub(crate) fn apply(placements: &[Placement], receipt: &mut Receipt) {
    for entry in &mut receipt.entries {
        if placements.iter().any(|placement| placement.secret.is_secret(&entry.name, &entry.env)) {
            entry.delivery = Delivery::File;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::release::tests::response;
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Placement>, String> {
        let mut faults = SettingErrors::default();
        let file = YamlFile::parse("f", text, &mut faults);
        let placements = read(&file, &mut faults);
        faults.or(placements).map_err(|faults| faults.to_string())
    }

    #[test]
    fn a_file_has_a_secret_a_path_a_mode_and_an_owner() {
        let read = parsed(
            "files:\n- {secret: tls-key, path: web/tls.key, mode: 0640, owner: 'www:33'}\n- secret: b\n  path: /run/b\n",
        );
        let read = read.unwrap();
        assert_eq!((read[0].path.as_path(), read[0].mode), (Path::new("web/tls.key"), 0o640));
        assert_eq!(read[0].owner, Wish::parse("www:33").ok());
        assert_eq!((read[1].mode, &read[1].owner), (0o600, &None));
        assert_eq!(parsed("files:\n"), Ok(vec![]));
    }

    #[test]
    fn every_fault_is_told() {
        for (text, fault) in [
            ("files: x", "f:1 files: not a list of files"),
            ("files: [x]", "f:1 files: not a mapping with `secret` and `path`"),
            ("files: [{secret: a}]", "f:1 files: `secret` and `path` must both be given"),
            (
                "files: [{secret: a, path: ../x}]",
                "f:1 files.path: not the path of a file; `.` and `..` are not taken",
            ),
            (
                "files: [{secret: a, path: x, mode: '0644'}]",
                "f:1 files.mode: others get nothing: use 0600, 0640, 0440 or the like",
            ),
            ("files: [{secret: a, path: x, mode: rw}]", "f:1 files.mode: not a mode in octal, such as 0600"),
            ("files: [{secret: a, path: x}, {secret: b, path: x}]", "f:1 files: two secrets at one path"),
            ("files: [{secret: a, path: x}, {secret: a, path: y}]", "f:1 files: the secret is placed twice"),
        ] {
            assert_eq!(parsed(text), Err(fault.to_owned()));
        }
    }

    #[test]
    fn what_is_placed_becomes_a_file() {
        let placements = parsed("files: [{secret: tls-key, path: x}, {secret: gone, path: y}]").unwrap();
        let mut receipt = response(&[("tls-key", "k"), ("other", "o")]).receipt;
        apply(&placements, &mut receipt);
        assert_eq!(receipt.entries[0].delivery, Delivery::File);
        assert_eq!(receipt.entries[1].delivery, Delivery::Variable);
    }
}
