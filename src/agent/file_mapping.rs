//! The `files:` list of the configuration: which secrets become which files, and who owns them. Names and paths only.
//!
//! A secret that the machine maps to a file is announced as `NAME_FILE` and is not a variable, whatever delivery the store names.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::account::UserSpec;
use super::requested_name::RequestedName;
use crate::domain::receipt::Receipt;
use crate::domain::value::Delivery;
use crate::settings::{SettingErrors, YamlEntry, YamlFile, YamlNode, YamlValue};

/// The field of the configuration file.
pub(crate) const FIELD: &str = "files";
/// For the owner alone.
const DEFAULT_MODE: u32 = 0o600;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileMapping {
    pub(crate) secret: RequestedName,
    /// Relative to the folder for files, or absolute.
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    /// Default: the agent's own user.
    pub(crate) owner: Option<UserSpec>,
}

/// Reads every mapping.
pub(crate) fn read(file: &YamlFile, faults: &mut SettingErrors) -> Vec<FileMapping> {
    let Some(node) = file.node(FIELD) else { return Vec::new() };
    let YamlValue::List(items) = &node.content else {
        if !matches!(node.content, YamlValue::Null) {
            faults.push(file.origin(node, FIELD), "not a list of files");
        }
        return Vec::new();
    };
    let mut mappings: Vec<FileMapping> = Vec::new();
    for item in items {
        let Some(mapping) = read_one(file, item, faults) else { continue };
        if mappings.iter().any(|other| other.path == mapping.path) {
            faults.push(file.origin(item, FIELD), "two secrets have the same path");
        } else if mappings.iter().any(|other| other.secret.exports_same(&mapping.secret)) {
            faults.push(file.origin(item, FIELD), "the secret is listed twice");
        }
        mappings.push(mapping);
    }
    mappings
}

fn read_one(file: &YamlFile, item: &YamlNode, faults: &mut SettingErrors) -> Option<FileMapping> {
    let YamlValue::Map(entries) = &item.content else {
        faults.push(file.origin(item, FIELD), "not a mapping with `secret` and `path`");
        return None;
    };
    let (mut secret, mut path, mut mode, mut owner) = (None, None, DEFAULT_MODE, None);
    let faults_before = faults.len();
    for YamlEntry { key, value } in entries {
        let origin = file.origin(value, &format!("{FIELD}.{key}"));
        let YamlValue::Text(text) = &value.content else {
            faults.push(origin, "not a single value");
            continue;
        };
        let parsed = match &**key {
            "secret" => {
                RequestedName::parse(text).map(|it| secret = Some(it)).map_err(|error| error.to_string())
            }
            "path" => parse_path(text).map(|it| path = Some(it)).map_err(str::to_owned),
            "mode" => parse_mode(text).map(|it| mode = it).map_err(str::to_owned),
            "owner" => UserSpec::parse(text).map(|it| owner = Some(it)).map_err(str::to_owned),
            _ => Err("unknown key; the keys are secret, path, mode and owner".to_owned()),
        };
        if let Err(fault) = parsed {
            faults.push(origin, fault);
        }
    }
    match (secret, path) {
        (Some(secret), Some(path)) => Some(FileMapping { secret, path, mode, owner }),
        // A key that was given and is wrong has its fault already, and is not missing as well.
        _ if faults.len() == faults_before => {
            faults.push(file.origin(item, FIELD), "both `secret` and `path` are required");
            None
        }
        _ => None,
    }
}

fn parse_path(text: &str) -> Result<PathBuf, &'static str> {
    let path = Path::new(text);
    // `..` could lead out of the folder that was checked to be on a tmpfs.
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::RootDir);
    match path.file_name() {
        Some(_) if path.components().all(plain) && !text.contains('\0') => Ok(path.to_owned()),
        _ => Err("not the path of a file; `.` and `..` are not allowed"),
    }
}

fn parse_mode(text: &str) -> Result<u32, &'static str> {
    // YAML would read 0600 as a number, and 1.1 and 1.2 disagree about which; the parser keeps the text.
    let digits = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if digits && mode & !0o770 == 0 => Ok(mode),
        Ok(_) if digits => Err("other users must have no access: use 0600, 0640, 0440 or the like"),
        _ => Err("not an octal mode, such as 0600"),
    }
}

/// The mapping of each entry that has one, by the entry's index. Each mapping is for one entry: another member could share a secret
/// under the name, or the exported name, of the one that the machine means.
pub(crate) fn mapped_entries<'a>(
    mappings: &'a [FileMapping],
    receipt: &Receipt,
) -> BTreeMap<usize, &'a FileMapping> {
    let entry = |mapping: &FileMapping| mapping.secret.find(receipt, |_| true);
    mappings.iter().filter_map(|mapping| Some((entry(mapping)?, mapping))).collect()
}

/// Turns the secrets that are mapped into files. `require` has made sure that each of them was released.
pub(crate) fn apply(mappings: &[FileMapping], receipt: &mut Receipt) {
    for index in mapped_entries(mappings, receipt).into_keys() {
        receipt.entries[index].delivery = Delivery::File;
    }
}

#[cfg(test)]
mod tests {
    use super::super::verified_release::tests::response;
    use super::*;
    use crate::domain::id::SecretId;
    use crate::domain::name::EnvName;
    use crate::domain::resolve::{SkipReason, Skipped};
    use crate::domain::secret::ScopeKind;

    fn parsed(text: &str) -> Result<Vec<FileMapping>, String> {
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
        assert_eq!(read[0].owner, UserSpec::parse("www:33").ok());
        assert_eq!((read[1].mode, &read[1].owner), (0o600, &None));
        assert_eq!(parsed("files:\n"), Ok(vec![]));
    }

    #[test]
    fn every_fault_is_reported() {
        for (text, fault) in [
            ("files: x", "f:1 files: not a list of files"),
            ("files: [x]", "f:1 files: not a mapping with `secret` and `path`"),
            ("files: [{secret: a}]", "f:1 files: both `secret` and `path` are required"),
            (
                "files: [{secret: a, path: ../x}]",
                "f:1 files.path: not the path of a file; `.` and `..` are not allowed",
            ),
            (
                "files: [{secret: a, path: x, mode: '0644'}]",
                "f:1 files.mode: other users must have no access: use 0600, 0640, 0440 or the like",
            ),
            ("files: [{secret: a, path: x, mode: rw}]", "f:1 files.mode: not an octal mode, such as 0600"),
            (
                "files: [{secret: a, path: x}, {secret: b, path: x}]",
                "f:1 files: two secrets have the same path",
            ),
            ("files: [{secret: a, path: x}, {secret: a, path: y}]", "f:1 files: the secret is listed twice"),
        ] {
            assert_eq!(parsed(text), Err(fault.to_owned()));
        }
    }

    #[test]
    fn a_mapped_secret_becomes_a_file() {
        let placements = parsed("files: [{secret: tls-key, path: x}, {secret: gone, path: y}]").unwrap();
        let mut receipt = response(&[("tls-key", "k"), ("other", "o")]).receipt;
        apply(&placements, &mut receipt);
        assert_eq!(receipt.entries[0].delivery, Delivery::File);
        assert_eq!(receipt.entries[1].delivery, Delivery::Variable);
    }

    /// Otherwise two values would have one path, and the machine would read the one that is written last.
    #[test]
    fn a_mapping_is_for_one_secret_and_for_ones_own_before_a_shared_one() {
        let mappings = parsed("files: [{secret: tls-key, path: x}]").unwrap();
        let mut receipt = response(&[("tls-key", "theirs"), ("zz", "theirs"), ("tls.key", "own")]).receipt;
        receipt.entries[0].env = EnvName::parse("ZZ").unwrap();
        receipt.entries[0].scope = ScopeKind::Shared;
        receipt.entries[1].env = EnvName::parse("TLS_KEY").unwrap();
        receipt.entries[1].scope = ScopeKind::Shared;
        receipt.entries[2].scope = ScopeKind::Private;
        let mapped = |receipt: &Receipt| mapped_entries(&mappings, receipt).into_keys().collect::<Vec<_>>();
        assert_eq!(mapped(&receipt), [2]);
        receipt.entries.remove(2);
        assert_eq!(mapped(&receipt), [0], "the secret of the name, not the one that is exported so");
        apply(&mappings, &mut receipt);
        assert_eq!(receipt.entries[1].delivery, Delivery::Variable);
    }

    #[test]
    fn no_shared_secret_is_mapped_for_a_private_one_that_was_not_released() {
        let mappings = parsed("files: [{secret: tls-key, path: x}]").unwrap();
        let mut receipt = response(&[("tls-key", "theirs")]).receipt;
        receipt.entries[0].env = EnvName::parse("ZZ").unwrap();
        receipt.entries[0].scope = ScopeKind::Shared;
        assert_eq!(mapped_entries(&mappings, &receipt).len(), 1);
        let (name, version) = (receipt.entries[0].name.clone(), receipt.entries[0].version);
        let mut skipped = Skipped {
            id: SecretId::from_bytes([9; 16]),
            env: name.export(),
            name,
            scope_kind: ScopeKind::Private,
            version,
            reason: SkipReason::PluginDisabled,
        };
        receipt.skipped = vec![skipped.clone()];
        assert_eq!(mapped_entries(&mappings, &receipt).len(), 0);
        // The boot itself does without it.
        skipped.reason = SkipReason::Excluded;
        receipt.skipped = vec![skipped];
        assert_eq!(mapped_entries(&mappings, &receipt).len(), 1);
    }
}
