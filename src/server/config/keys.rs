//! The names of the server's settings: flag, variable, and field of server.yaml. An empty name means that the setting cannot be
//! given there.

use crate::settings::SettingKey;

macro_rules! keys {
    ($($name:ident: $flag:literal, $variable:literal, $field:literal;)*) => {
        $(pub(crate) const $name: SettingKey =
            SettingKey { flag: $flag, variable: $variable, field: $field };)*
        /// All of them: the fields that server.yaml may contain, beside the presets.
        pub(crate) const ALL: &[SettingKey] = &[$($name),*];
    };
}

keys! {
    STORE: "--store", "", "store";
    ROLE: "--role", "", "role";
    LISTEN: "--listen", "", "listen";
    PLAIN: "", "", "listen_plain";
    SOCKET: "", "", "socket";
    SOCKET_MODE: "", "", "socket_mode";
    CERT: "", "", "tls.cert";
    TLS_KEY: "", "", "tls.key";
    ADVERTISE: "--advertise", "", "advertise";
    PROXIES: "", "", "proxy_protocol.from";
    ISSUER_NETWORKS: "", "", "issuers.allow_networks";
    PASSPHRASE_FILE: "--unlock-passphrase-file", "", "unlock.passphrase_file";
    KEY_FILE: "--unlock-key-file", "", "unlock.key_file";
    LOG_FORMAT: "--log-format", "", "log.format";
    LOG_LEVEL: "", "DROPSAFE_LOG", "log.level";
    CONNECTIONS: "", "", "limits.connections";
    REQUESTS: "", "", "limits.requests";
    BOOTS: "", "", "limits.boots";
    BOOT_WAIT: "", "", "limits.boot_wait";
    BOOT_RATE: "", "", "limits.boots_per_minute";
    WRITE_RATE: "", "", "limits.writes_per_minute";
    EXPORT_RATE: "", "", "limits.exports_per_minute";
    GUESSES: "", "", "limits.guesses";
    DRAIN: "", "", "drain";
    ON_FAULT: "", "", "verification.on_fault";
}
