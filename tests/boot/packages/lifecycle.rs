//! Packages come, change and go by dpkg in a system where nothing runs, as when an image is built.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::super::place::Ended;
use super::super::rootfs::{changed, installed, system};
use super::Packages;

/// The system with both packages after a script, the packages and later versions of them (`new/`) in /debs.
fn after(script: &str) -> Option<(tempfile::TempDir, Ended)> {
    let (system, installed, packages) = (system()?, installed()?, Packages::built()?);
    let layer = tempfile::tempdir().unwrap();
    let ended = changed(
        &[installed, system],
        layer.path(),
        packages,
        &format!("set -e; {NEWER}; {script}; rm -r /debs"),
    );
    Some((layer, ended))
}

/// Packs each package again as a later version with another default configuration.
const NEWER: &str = "mkdir /debs/new; for package in dropsafe dropsafe-agent; do \
    dpkg-deb -R /debs/${package}_[0-9]*.deb /debs/new/$package; cd /debs/new; \
    sed -i 's/^Version: .*/Version: 99.0/' $package/DEBIAN/control; \
    [ ! -e $package/etc/dropsafe/agent.yaml ] || echo '# a later default' >>$package/etc/dropsafe/agent.yaml; \
    dpkg-deb -Znone --root-owner-group -b $package $package.deb >/dev/null; cd /; done";

fn read(layer: &Path, path: &str) -> String {
    fs::read_to_string(layer.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Gone, or never there: overlays mark what is removed by a character device 0/0.
fn gone(layer: &Path, path: &str) -> bool {
    fs::symlink_metadata(layer.join(path))
        .map_or(true, |found| found.rdev() == 0 && found.mode() & 0o170_000 == 0o020_000)
}

#[test]
fn installing_makes_the_stores_user_and_enables_the_units() {
    let Some(layer) = installed() else { return };
    let passwd = read(layer, "etc/passwd");
    let user = passwd.lines().find(|line| line.starts_with("dropsafe:")).expect("no user");
    assert!(user.ends_with(":/var/lib/dropsafe:/usr/sbin/nologin"), "{user}");
    let uid: u32 = user.split(':').nth(2).unwrap().parse().unwrap();
    let store = fs::metadata(layer.join("var/lib/dropsafe")).unwrap();
    assert_eq!((store.mode() & 0o7777, store.uid()), (0o700, uid));
    assert_eq!(fs::metadata(layer.join("etc/credstore")).unwrap().mode() & 0o7777, 0o700);
    for wanted in [
        "multi-user.target.wants/dropsafe.service",
        "multi-user.target.wants/dropsafe-agent.service",
        "multi-user.target.wants/dropsafe.target",
        "sockets.target.wants/dropsafe-credentials.socket",
    ] {
        let link = layer.join("etc/systemd/system").join(wanted);
        assert!(fs::symlink_metadata(&link).is_ok_and(|found| found.is_symlink()), "{wanted}");
    }
}

#[test]
fn an_upgrade_keeps_changed_files() {
    let Some((layer, ended)) = after(
        "echo 'deadline: 7m' >>/etc/dropsafe/agent.yaml; echo '# ours' >>/etc/profile.d/dropsafe.sh; \
         systemctl disable dropsafe-credentials.socket; echo kept >/var/lib/dropsafe/store.db; \
         dpkg --force-confdef --force-confold -i /debs/new/dropsafe-agent.deb /debs/new/dropsafe.deb",
    ) else {
        return;
    };
    assert!(ended.success, "{}", ended.said);
    let layer = layer.path();
    assert!(read(layer, "var/lib/dpkg/status").contains("Version: 99.0"));
    assert!(read(layer, "etc/dropsafe/agent.yaml").ends_with("deadline: 7m\n"));
    assert!(read(layer, "etc/dropsafe/agent.yaml.dpkg-dist").ends_with("# a later default\n"));
    assert!(read(layer, "etc/profile.d/dropsafe.sh").ends_with("# ours\n"));
    assert_eq!(read(layer, "var/lib/dropsafe/store.db"), "kept\n");
    // What was turned off stays off.
    assert!(gone(layer, "etc/systemd/system/sockets.target.wants/dropsafe-credentials.socket"));
}

#[test]
fn removing_and_purging_never_delete_a_store() {
    let Some((layer, ended)) = after(
        "echo kept >/var/lib/dropsafe/store.db; dpkg --remove dropsafe; \
         test ! -e /usr/bin/dropsafe; test ! -e /usr/lib/systemd/system/dropsafe.service; \
         test \"$(cat /var/lib/dropsafe/store.db)\" = kept; dpkg --purge dropsafe",
    ) else {
        return;
    };
    assert!(ended.success, "{}", ended.said);
    assert!(ended.said.contains("the store in /var/lib/dropsafe is kept"), "{}", ended.said);
    let layer = layer.path();
    assert_eq!(read(layer, "var/lib/dropsafe/store.db"), "kept\n");
    assert!(gone(layer, "etc/systemd/system/multi-user.target.wants/dropsafe.service"));
    // Whoever owns the files keeps the number.
    let passwd = layer.join("etc/passwd");
    assert!(!passwd.exists() || fs::read_to_string(passwd).unwrap().contains("\ndropsafe:"));
}

#[test]
fn an_empty_folder_is_no_store() {
    let Some((layer, ended)) = after("dpkg --purge dropsafe") else { return };
    assert!(ended.success, "{}", ended.said);
    assert!(gone(layer.path(), "var/lib/dropsafe"), "{}", ended.said);
}

#[test]
fn purging_the_agent_leaves_nothing_of_its_own() {
    let Some((_layer, ended)) = after(
        "mkdir -p /var/cache/dropsafe; echo sealed >/var/cache/dropsafe/release; echo dst_ >/etc/dropsafe/ticket; \
         dpkg --remove dropsafe-agent; test -e /etc/dropsafe/agent.yaml; test -e /var/cache/dropsafe/release; \
         dpkg --purge dropsafe-agent; test -e /etc/dropsafe/ticket; rm -r /etc/dropsafe; \
         dpkg --purge dropsafe; echo LEFT; \
         find / -xdev '(' -path /proc -o -path /debs -o -path /var/lib/dpkg/status-old -o -path '/var/log/*' ')' -prune \
         -o -name '*dropsafe*' -print",
    ) else {
        return;
    };
    assert!(ended.success, "{}", ended.said);
    let left = ended.said.split("LEFT\n").nth(1).unwrap();
    assert_eq!(left, "", "left behind");
}

#[test]
fn a_removed_package_can_be_installed_again() {
    let Some((layer, ended)) = after(
        "dpkg --remove dropsafe dropsafe-agent; dpkg -i /debs/new/dropsafe.deb /debs/new/dropsafe-agent.deb; \
         systemctl is-enabled dropsafe.service dropsafe-agent.service dropsafe.target dropsafe-credentials.socket",
    ) else {
        return;
    };
    assert!(ended.success, "{}", ended.said);
    let masked = layer.path().join("etc/systemd/system/dropsafe.service");
    assert!(gone(layer.path(), "etc/systemd/system/dropsafe.service"), "{} is masked", masked.display());
}
