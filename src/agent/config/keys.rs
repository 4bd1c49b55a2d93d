//! The name of every setting, as a flag, as a variable and in the configuration file.

use crate::settings::SettingKey;

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $flag:literal, $variable:literal, $field:literal;)*) => {
        $($(#[$doc])* pub(crate) const $name: SettingKey = SettingKey { flag: $flag, variable: $variable, field: $field };)*
        /// Every key of this file that a flag, a variable or a scalar field of the file may set.
        pub(crate) const ALL: &[SettingKey] = &[$($name,)*];
    };
}

keys! {
    TICKET_FILE = "--ticket-file", "DROPSAFE_TICKET_FILE", "ticket_file";
    DELETE_TICKET_FILE = "--delete-ticket-file", "DROPSAFE_DELETE_TICKET_FILE", "delete_ticket_file";
    CARD = "--card", "DROPSAFE_CARD", "card";
    CARD_FILE = "--card-file", "DROPSAFE_CARD_FILE", "card_file";
    TOKEN_FROM = "--token-from", "DROPSAFE_TOKEN_FROM", "token_from";
    TOKEN_AUDIENCE = "--token-audience", "DROPSAFE_TOKEN_AUDIENCE", "token_audience";
    DEADLINE = "--deadline", "DROPSAFE_DEADLINE", "deadline";
    ON_OUTAGE = "--on-outage", "DROPSAFE_ON_OUTAGE", "on_outage";
    CACHE_DIR = "--cache-dir", "DROPSAFE_CACHE_DIR", "cache.dir";
    CACHE_MAX_AGE = "--cache-max-age", "DROPSAFE_CACHE_MAX_AGE", "cache.max_age";
    REQUIRE = "--require", "DROPSAFE_REQUIRE", "require";
    OPTIONAL = "--optional", "DROPSAFE_OPTIONAL", "optional";
    INCLUDE = "--include", "DROPSAFE_INCLUDE", "include";
    EXCLUDE = "--exclude", "DROPSAFE_EXCLUDE", "exclude";
    PLUGINS = "--plugin", "DROPSAFE_PLUGINS", "plugins";
    ALLOW_NAMES = "--allow-name", "DROPSAFE_ALLOW_NAMES", "allow_names";
    LITERAL = "--literal", "DROPSAFE_LITERAL", "literal";
    DEFAULTS_FILE = "--defaults-file", "DROPSAFE_DEFAULTS_FILE", "defaults_file";
    FILES_DIR = "--files-dir", "DROPSAFE_FILES_DIR", "files_dir";
    LAYERS = "--layers", "DROPSAFE_LAYERS", "layers";
    MACHINE = "--machine", "DROPSAFE_MACHINE", "machine";
    AUTHORITIES = "--ca", "DROPSAFE_CA", "ca";
    FILE_GROUP = "--file-group", "DROPSAFE_FILE_GROUP", "file_group";
    ALLOW_DISK = "--allow-disk", "DROPSAFE_ALLOW_DISK", "allow_disk";
    MASK_FILES = "--mask-files", "DROPSAFE_MASK_FILES", "mask_files";
    ALLOW_CORE_DUMPS = "--allow-core-dumps", "DROPSAFE_ALLOW_CORE_DUMPS", "allow_core_dumps";
    /// It has no flag: it belongs beside the line of a unit or script that runs `ended`, which reads the same environment.
    REPORT_END = "", "DROPSAFE_REPORT_END", "report_end";
    USER = "--user", "DROPSAFE_USER", "user";
    LOG = "--log", "DROPSAFE_LOG_FORMAT", "log";
    /// It has no flag: a level is changed for one run, where `DROPSAFE_LOG=debug` in front of the command is shorter.
    LOG_LEVEL = "", "DROPSAFE_LOG", "log_level";
}

/// The map of variables in the file. It has no flag and no variable: other users of the machine can see both.
pub(crate) const SECRETS: &str = "secrets";

/// Variables that other programs set or that are read elsewhere, and that are therefore not misspelled settings.
pub(crate) const FOREIGN_VARIABLES: [&str; 6] =
    ["DROPSAFE_CONFIG", "DROPSAFE_TICKET", "DROPSAFE_URL", "DROPSAFE_TOKEN", "DROPSAFE_CA", "DROPSAFE_PORT"];

/// Whether a variable belongs to the agent, so that no workload receives it.
pub(crate) fn is_agent_variable(name: &[u8]) -> bool {
    // dropsafe.ticket=, dropsafe.card= and dropsafe.end= are words of the kernel's command line. Linux keeps unknown words with a dot to itself
    // (Documentation/admin-guide/kernel-parameters.rst); an initramfs that exports its command line does not.
    name.starts_with(b"DROPSAFE_") || name.starts_with(b"dropsafe.")
}
