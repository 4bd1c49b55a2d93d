//! The flags of `dropsafe serve` as a source of settings.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::domain::epoch::RestoreEpoch;
use crate::settings::{FoundSetting, SettingKey, SettingOrigin, SettingSource, SettingTexts};

/// The command line of `dropsafe serve`, not parsed yet: all sources are parsed together, so that all faults are reported at once.
#[derive(Clone, Debug, Default)]
pub struct ServeFlags {
    /// `--store`
    pub store: Option<String>,
    /// `--role`
    pub role: Option<String>,
    /// `--listen`
    pub listen: Vec<String>,
    /// `--advertise`
    pub advertise: Vec<String>,
    /// `--unlock-passphrase-file`, relative to the working directory
    pub unlock_passphrase_file: Option<PathBuf>,
    /// `--unlock-key-file`, relative to the working directory
    pub unlock_key_file: Option<PathBuf>,
    /// `--log-format`
    pub log_format: Option<String>,
    /// `--accept-restore`, which only the command line can give: it is for one restore.
    pub accept_restore: Option<RestoreEpoch>,
}

impl SettingSource for ServeFlags {
    fn find(&self, key: &SettingKey) -> Option<FoundSetting> {
        let one = |text: &Option<String>| text.clone().map(OsString::from).map(SettingTexts::One);
        // Made absolute here: relative paths of the file are resolved against the data folder later.
        let path = |path: &Option<PathBuf>| {
            let path = path.as_ref()?;
            Some(SettingTexts::One(
                std::path::absolute(path).unwrap_or_else(|_| path.clone()).into_os_string(),
            ))
        };
        let many = |texts: &[String]| {
            let item = |text: &String| (SettingOrigin::Flag(key.flag), OsString::from(text));
            (!texts.is_empty()).then(|| SettingTexts::Many(texts.iter().map(item).collect()))
        };
        let items = match key.flag {
            "--store" => one(&self.store),
            "--role" => one(&self.role),
            "--listen" => many(&self.listen),
            "--advertise" => many(&self.advertise),
            "--unlock-passphrase-file" => path(&self.unlock_passphrase_file),
            "--unlock-key-file" => path(&self.unlock_key_file),
            "--log-format" => one(&self.log_format),
            _ => None,
        };
        Some(FoundSetting { origin: SettingOrigin::Flag(key.flag), items: items? })
    }
}
