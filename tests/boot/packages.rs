//! The Debian packages: built by cargo-deb as people build them, around the programs of this test run, checked against their promises
//! to contain; then installed, upgraded, removed and purged in a system without a running service manager ([`lifecycle`]).

mod lifecycle;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::harness::skip;
use super::place::{files_in, has, run, source};
use super::rootfs::{scratch, version};
use super::workload::agent;

/// A folder with both packages.
pub struct Packages(PathBuf);

impl Packages {
    /// Built once in this process.
    pub fn built() -> Option<&'static Self> {
        static BUILT: OnceLock<Option<Packages>> = OnceLock::new();
        BUILT.get_or_init(Self::build).as_ref()
    }

    fn build() -> Option<Self> {
        if !["cargo-deb", "dpkg-deb", "dpkg-shlibdeps", "strip", "xz"].into_iter().all(has) {
            skip(
                "the Debian packages (cargo-deb from crates.io; Debian packages dpkg-dev, binutils, xz-utils)",
            );
            return None;
        }
        let folder = scratch("packages");
        let mut build = Command::new(source("systemd/deb/build"));
        build.args(["--binaries", env!("CARGO_BIN_EXE_dropsafe"), &agent(), "--output"]);
        // Cargo marks what runs below it; cargo-deb's own cargo would take this crate for a dependency.
        build.arg(format!("{}/", folder.display())).args(["--fast", "-Z", "xz", "--deb-revision", ""]);
        let ended = run(&mut build);
        assert!(ended.success, "{}", ended.said);
        Some(Self(folder))
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    fn package(&self, name: &str) -> Package {
        let file = self.folder().join(format!("{name}_{}_amd64.deb", version()));
        let field = |field: &str| {
            let ended = run(Command::new("dpkg-deb").arg("--field").arg(&file).arg(field));
            assert!(ended.success, "{}", ended.said);
            ended.said.trim().to_owned()
        };
        let list = run(Command::new("dpkg-deb").arg("--contents").arg(&file));
        assert!(list.success, "{}", list.said);
        let files = list.said.lines().map(|line| {
            // -rw-r--r-- root/root 123 2026-01-01 00:00 ./usr/bin/x
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            (words[5].trim_start_matches('.').to_owned(), format!("{} {}", words[0], words[1]))
        });
        let files = files.collect();
        let fields = ["Depends", "Suggests", "Architecture", "Section", "Description"];
        let fields = fields.into_iter().map(|name| (name, field(name))).collect();
        let ended = run(Command::new("dpkg-deb").arg("--info").arg(&file).arg("conffiles"));
        let conffiles =
            if ended.success { ended.said.lines().map(str::to_owned).collect() } else { BTreeSet::new() };
        Package { files, fields, conffiles }
    }
}

struct Package {
    /// Path to `-rwxr-xr-x 0/0`; folders end in a slash.
    files: BTreeMap<String, String>,
    fields: BTreeMap<&'static str, String>,
    conffiles: BTreeSet<String>,
}

impl Package {
    #[track_caller]
    fn holds(&self, path: &str) {
        assert!(self.files.contains_key(path), "{path} is not among {:#?}", self.files);
    }

    fn is_sound(&self, name: &str) {
        for (path, rights) in &self.files {
            let wanted = match path.as_str() {
                path if path.ends_with('/') => "drwxr-xr-x 0/0",
                path if path.starts_with("/usr/bin/") => "-rwxr-xr-x 0/0",
                path if path.contains("/examples/profile/") && !path.ends_with(".conf") => "-rwxr-xr-x 0/0",
                _ => "-rw-r--r-- 0/0",
            };
            assert_eq!(rights, wanted, "{path}");
            assert!(["/", "/usr/", "/etc/"].iter().any(|top| path == top || path.starts_with(top)), "{path}");
            assert!(!path.starts_with("/etc/systemd"), "{path} is for the machine's administrator");
        }
        self.holds(&format!("/usr/bin/{name}"));
        self.holds(&format!("/usr/share/doc/{name}/copyright"));
        // README.md, beside it, links to these pages.
        for page in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap() {
            let page = page.unwrap().file_name().into_string().unwrap();
            self.holds(&format!("/usr/share/doc/{name}/docs/{page}"));
        }
        self.holds(&format!("/usr/share/man/man1/{name}.1.gz"));
        self.holds(&format!("/usr/share/bash-completion/completions/{name}"));
        self.holds(&format!("/usr/share/zsh/vendor-completions/_{name}"));
        self.holds(&format!("/usr/share/fish/vendor_completions.d/{name}.fish"));
        assert_eq!(self.fields["Section"], "admin");
        assert!(self.fields["Description"].lines().count() >= 2, "{:?}", self.fields);
    }
}

#[test]
fn the_stores_package_has_the_store_and_its_dependencies() {
    let Some(packages) = Packages::built() else { return };
    let package = packages.package("dropsafe");
    package.is_sound("dropsafe");
    package.holds("/usr/lib/systemd/system/dropsafe.service");
    package.holds("/usr/lib/systemd/system/dropsafe.service.d/50-dropsafe-environment.conf");
    package.holds("/usr/lib/sysusers.d/dropsafe.conf");
    package.holds("/usr/lib/tmpfiles.d/dropsafe.conf");
    for command in ["set", "delete", "serve", "ticket-new", "keyslot-add"] {
        package.holds(&format!("/usr/share/man/man1/dropsafe-{command}.1.gz"));
    }
    assert!(package.fields["Depends"].contains("libc6 (>= 2."), "{:?}", package.fields);
    assert!(package.fields["Depends"].contains("systemd-standalone-sysusers"), "{:?}", package.fields);
    assert_eq!(package.fields["Suggests"], "dropsafe-agent");
    assert_eq!(package.conffiles, BTreeSet::new());
}

#[test]
fn the_agents_package_stands_alone() {
    let Some(packages) = Packages::built() else { return };
    let package = packages.package("dropsafe-agent");
    package.is_sound("dropsafe-agent");
    for unit in ["agent.service", "credentials.service", "credentials.socket"] {
        package.holds(&format!("/usr/lib/systemd/system/dropsafe-{unit}"));
    }
    package.holds("/usr/lib/systemd/system/dropsafe.target");
    for command in ["exec", "boot", "enter", "check", "explain", "credentials"] {
        package.holds(&format!("/usr/share/man/man1/dropsafe-agent-{command}.1.gz"));
    }
    assert_eq!(package.fields["Depends"], "", "the agent is static");
    let settings = ["/etc/dropsafe/agent.yaml", "/etc/profile.d/dropsafe.sh"].map(str::to_owned);
    assert_eq!(package.conffiles, BTreeSet::from(settings));
    // Both can be on one machine.
    let store = packages.package("dropsafe");
    let both = package.files.keys().filter(|path| !path.ends_with('/') && store.files.contains_key(*path));
    assert_eq!(both.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn every_unit_and_its_company_is_in_one_of_the_packages() {
    let Some(packages) = Packages::built() else { return };
    let (store, agent) = (packages.package("dropsafe"), packages.package("dropsafe-agent"));
    for path in files_in(&["systemd"]) {
        let below = path.strip_prefix(source("systemd")).unwrap();
        if below.starts_with("deb") {
            continue;
        }
        let end = format!("/{}", below.display());
        let packed = store.files.keys().chain(agent.files.keys()).any(|file| file.ends_with(&end));
        assert!(packed, "{end} is in no package");
    }
}
