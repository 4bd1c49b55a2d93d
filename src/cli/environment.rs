//! The variables that this program takes from its environment, read once at the start.
#![expect(clippy::disallowed_methods, reason = "the one place where the command line's environment is read")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// All that is read.
const NAMES: [&str; 6] =
    ["DROPSAFE_URL", "DROPSAFE_TOKEN", "DROPSAFE_CA", "DROPSAFE_DEPOSIT_KEY", "XDG_CONFIG_HOME", "HOME"];

/// For `--help` and the manual.
pub const HELP: &str = "\
Environment:
  DROPSAFE_URL          the store: https://HOST:PORT#sha256/PIN, http://127.0.0.1:PORT or unix:/PATH
  DROPSAFE_TOKEN        the token; it goes with DROPSAFE_URL, and both stand before a saved login
  DROPSAFE_CA           a PEM file of the authorities that vouch for a store without a pin
  DROPSAFE_DEPOSIT_KEY  the deposit key's fingerprint that is expected, instead of the remembered one
  XDG_CONFIG_HOME       where dropsafe/login.json and dropsafe/known.json are kept; ~/.config without it";

/// The variables by name. An empty one counts as absent.
pub struct Environment(BTreeMap<&'static str, OsString>);

impl Environment {
    /// This process's.
    pub fn of_process() -> Self {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// As `lookup` has them.
    pub fn from_lookup(lookup: impl Fn(&'static str) -> Option<OsString>) -> Self {
        let read = |name| lookup(name).filter(|text| !text.is_empty()).map(|text| (name, text));
        Self(NAMES.into_iter().filter_map(read).collect())
    }

    /// One as text; what is not UTF-8 is none of ours and counts as wrong later.
    pub fn text(&self, name: &'static str) -> Option<String> {
        debug_assert!(NAMES.contains(&name));
        self.0.get(name).map(|text| text.to_string_lossy().into_owned())
    }

    /// One as a path.
    pub fn path(&self, name: &'static str) -> Option<PathBuf> {
        debug_assert!(NAMES.contains(&name));
        self.0.get(name).map(PathBuf::from)
    }

    /// The folder of this program's own files. The XDG specification lets a relative path count as absent.
    pub fn configuration_folder(&self) -> Option<PathBuf> {
        let absolute = |path: &PathBuf| path.is_absolute();
        let base = self.path("XDG_CONFIG_HOME").filter(absolute);
        let base = base.or_else(|| self.path("HOME").filter(absolute).map(|home| home.join(".config")));
        base.map(|base| base.join("dropsafe"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &'static [(&'static str, &'static str)]) -> Environment {
        Environment::from_lookup(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_folder_follows_xdg() {
        let folder = |pairs| environment(pairs).configuration_folder();
        assert_eq!(folder(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]), Some("/x/dropsafe".into()));
        assert_eq!(folder(&[("XDG_CONFIG_HOME", "x"), ("HOME", "/h")]), Some("/h/.config/dropsafe".into()));
        assert_eq!(folder(&[("XDG_CONFIG_HOME", ""), ("HOME", "/h")]), Some("/h/.config/dropsafe".into()));
        assert_eq!(folder(&[]), None);
    }
}
