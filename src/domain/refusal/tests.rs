//! Each family is refused, and names that people keep secrets under are not.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::domain::name::SecretName;

fn family_of(name: &str) -> Option<&'static str> {
    refused(&EnvName::parse(name).unwrap()).map(|refusal| refusal.family)
}

#[test]
fn each_family_is_refused() {
    for (family, names) in [
        ("dropsafe", "DROPSAFE_TICKET DROPSAFE_URL DROPSAFE_"),
        (
            "dynamic linker",
            "LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT DYLD_INSERT_LIBRARIES GLIBC_TUNABLES GCONV_PATH LIBPATH",
        ),
        (
            "C library",
            "LOCALDOMAIN HOSTALIASES RES_OPTIONS RESOLV_HOST_CONF TMPDIR LOCPATH NLSPATH TZDIR MALLOC_TRACE MALLOC_CONF",
        ),
        (
            "shell",
            "PATH ENV HOME SHELL IFS PS4 BASH_ENV BASH_FUNC_ls BASH_FUNC_ls__ SHELLOPTS PROMPT_COMMAND CDPATH ZDOTDIR FPATH USER",
        ),
        (
            "command",
            "EDITOR VISUAL PAGER MANPAGER AWS_PAGER KUBE_EDITOR GIT_EDITOR GIT_PAGER BROWSER LESSOPEN SSH_ASKPASS RSYNC_RSH TAR_OPTIONS",
        ),
        (
            "Python",
            "PYTHONPATH PYTHONSTARTUP PYTHONHOME PYTHONINSPECT PYTHONBREAKPOINT PYTHON_PRESITE PIP_INDEX_URL VIRTUAL_ENV",
        ),
        ("npm", "NPM_CONFIG_REGISTRY npm_config_script_shell Npm_Config_node_options"),
        (
            "Node.js",
            "NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED NODE_REPL_EXTERNAL_MODULE BUN_OPTIONS",
        ),
        ("Perl", "PERL5OPT PERL5LIB PERL5DB PERLLIB PERL_MM_OPT"),
        ("Ruby", "RUBYOPT RUBYLIB GEM_HOME BUNDLE_GEMFILE BUNDLE_PATH"),
        ("PHP", "PHPRC PHP_INI_SCAN_DIR"),
        ("Lua", "LUA_INIT LUA_INIT_5_4 LUA_PATH LUA_CPATH_5_3"),
        ("Java", "JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS CLASSPATH JAVA_HOME MAVEN_OPTS"),
        ("Spring", "SPRING_APPLICATION_JSON spring_application_json Spring_Config_Location loader_path"),
        (".NET", "DOTNET_STARTUP_HOOKS CORECLR_PROFILER_PATH COR_PROFILER"),
        ("Go", "GODEBUG GOFLAGS GOPROXY CGO_CFLAGS"),
        (
            "Rust",
            "RUSTC_WRAPPER RUSTFLAGS CARGO_HOME CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER CARGO_REGISTRIES_OURS_INDEX",
        ),
        ("C toolchain", "CC LIBRARY_PATH MAKEFLAGS ASAN_OPTIONS UBSAN_OPTIONS CMAKE_TOOLCHAIN_FILE"),
        ("runtime", "ERL_FLAGS R_PROFILE_USER JULIA_LOAD_PATH GHCRTS NIX_PATH"),
        (
            "git",
            "GIT_SSH_COMMAND GIT_SSH GIT_ASKPASS GIT_CONFIG_COUNT GIT_CONFIG_KEY_0 GIT_EXEC_PATH GIT_DIR GIT_TRACE GIT_SSL_NO_VERIFY",
        ),
        (
            "service manager",
            "NOTIFY_SOCKET LISTEN_FDS LISTEN_PID CREDENTIALS_DIRECTORY INVOCATION_ID XDG_RUNTIME_DIR container WATCHDOG_USEC",
        ),
        (
            "TLS and login",
            "SSL_CERT_FILE SSL_CERT_DIR SSLKEYLOGFILE OPENSSL_CONF OPENSSL_MODULES REQUESTS_CA_BUNDLE KRB5_CONFIG GNUPGHOME",
        ),
        ("proxy", "HTTP_PROXY http_proxy HTTPS_PROXY https_proxy ALL_PROXY no_proxy"),
        (
            "tool",
            "KUBECONFIG ANSIBLE_CONFIG TF_CLI_ARGS TF_CLI_ARGS_plan DOCKER_HOST AWS_CONFIG_FILE HELM_DATA_HOME",
        ),
    ] {
        for name in names.split(' ') {
            assert_eq!(family_of(name), Some(family), "{name}");
        }
    }
}

#[test]
fn every_family_of_the_table_says_why() {
    let families: BTreeSet<_> = table::FAMILIES.iter().map(|family| family.family).collect();
    assert_eq!(families.len(), table::FAMILIES.len());
    assert!(table::FAMILIES.iter().all(|family| !family.why.is_empty() && !family.names.is_empty()));
}

#[test]
fn every_entry_of_the_table_is_well_formed_and_listed_once() {
    let mut seen = BTreeSet::new();
    for family in table::FAMILIES {
        for entry in family.names.split_ascii_whitespace() {
            let plain = entry.replace(['*', '+'], "X");
            assert!(EnvName::parse(&plain).is_ok(), "{entry}");
            assert!(entry.matches(['*', '+']).count() <= 1, "{entry}");
            assert!(!family.any_case || entry == entry.to_ascii_uppercase(), "{entry}");
            assert!(seen.insert(entry), "{entry} is listed twice");
            assert!(family_of(&plain).is_some(), "{entry}");
        }
    }
}

#[test]
fn credentials_and_addresses_of_services_are_not_refused() {
    for name in "OPENAI_API_KEY DATABASE_URL GITHUB_TOKEN GIT_TOKEN GIT_PASSWORD NPM_TOKEN NODE_AUTH_TOKEN AWS_ACCESS_KEY_ID \
                 AWS_SECRET_ACCESS_KEY CARGO_REGISTRY_TOKEN CARGO_REGISTRIES_OURS_TOKEN COMPOSER_AUTH TF_VAR_password NODE_ENV PYTHON_SERVICE_TOKEN \
                 BUNDLE_GEMS__EXAMPLE__COM HEX_API_KEY UV_PUBLISH_TOKEN SPRING_DATASOURCE_PASSWORD PGPASSWORD LDAP_BIND_PASSWORD BIND_PASSWORD \
                 GOOGLE_API_KEY GOOGLE_APPLICATION_CREDENTIALS LANG LC_ALL TZ DEBUG PORT RUST_LOG VK_ACCESS_TOKEN SWIFT_PASSWORD MONITOR_API_KEY \
                 PKCS11_PIN WATCHDOG_TOKEN TRIGGER_SECRET_KEY KUBERNETES_TOKEN REDIS_URL STRIPE_KEY _1PASSWORD PAGERDUTY_TOKEN EDITOR_TOKEN GOOGLE"
        .split_ascii_whitespace()
    {
        assert_eq!(family_of(name), None, "{name}");
    }
}

#[test]
fn case_counts_where_programs_let_it_count() {
    for name in ["ld_preload", "path", "python_path", "node_options", "dropsafe_ticket"] {
        assert_eq!(family_of(name), None, "{name}");
    }
    for name in ["hTTp_pROXY", "npm_CONFIG_x"] {
        assert!(family_of(name).is_some(), "{name}");
    }
}

#[test]
fn a_name_is_judged_by_what_it_is_exported_as() {
    for name in [
        "ld-preload",
        "LD_PRELOAD",
        "ld.preload",
        "ldPreload",
        "ld/preload",
        "path",
        "node:options",
        "http-proxy",
        "bash:env",
    ] {
        assert!(refused(&SecretName::parse(name).unwrap().export()).is_some(), "{name}");
    }
}

proptest! {
    #[test]
    fn whole_families_are_covered(tail in "[A-Z0-9_]{0,40}") {
        for prefix in ["LD_", "DYLD_", "DROPSAFE_", "LISTEN_", "BASH_FUNC_", "GIT_CONFIG_", "NPM_CONFIG_", "MALLOC_"] {
            let name = format!("{prefix}{tail}");
            prop_assert!(family_of(&name).is_some(), "{}", name);
        }
    }
}
