//! What a workload's user leaves behind, or is, must not become root's doing. Needs root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use dropsafe::domain::value::Delivery;

use super::store::{Secret, Store, private};
use super::{agent, run};

const USER: u32 = 12345;

fn is_root() -> bool {
    let is_root = nix::unistd::getuid().is_root();
    assert!(is_root || std::env::var_os("DROPSAFE_REQUIRE_ALL").is_none(), "these tests need root");
    is_root
}

fn store_with_a_file() -> Store {
    Store::releasing(vec![Secret { delivery: Delivery::File, ..private("tls-key", "the key") }])
}

/// Boots `script` as another user, with process id 1.
fn boot(store: &Store, folder: &Path, script: &str) -> String {
    let mut command = std::process::Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", env!("CARGO_BIN_EXE_dropsafe-agent"), "exec", "--user"]);
    command.args(["12345:54321", "--", "sh", "-c", script]).env_clear().env("PATH", "/usr/bin:/bin");
    let ran = run(command.env("DROPSAFE_TICKET", &store.ticket).env("DROPSAFE_FILES_DIR", folder));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.out
}

#[test]
fn a_link_that_an_earlier_workload_left_gives_it_no_file_of_root() {
    if !is_root() {
        return;
    }
    let (folder, root) = (tempfile::tempdir_in("/dev/shm").unwrap(), tempfile::tempdir().unwrap());
    let victim = root.path().join("victim");
    fs::write(&victim, "root's").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    let store = store_with_a_file();
    // Every name that a writer could use, since its process id is known: the folder itself must not be this user's.
    let script = format!(
        "cat $TLS_KEY_FILE; cd $(dirname $TLS_KEY_FILE); chmod 777 . 2>/dev/null
         for name in TLS_KEY.new-1 .TLS_KEY.new-1 TLS_KEY; do ln -sf {} $name 2>/dev/null && echo linked; done; rm -f TLS_KEY 2>/dev/null; true",
        victim.display()
    );
    for _ in 0..2 {
        assert_eq!(boot(&store, folder.path(), &script), "the key");
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "root's");
    assert_eq!(fs::metadata(&victim).unwrap().uid(), 0);
    let own = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
    assert_eq!((own.metadata().unwrap().uid(), own.metadata().unwrap().mode() & 0o777), (0, 0o710));
    let file = fs::metadata(own.path().join("TLS_KEY")).unwrap();
    assert_eq!((file.uid(), file.mode() & 0o777), (USER, 0o600));
    // Another user gets nowhere.
    let other = "setpriv --reuid 12346 --regid 54322 --clear-groups cat";
    let ran = run(std::process::Command::new("sh")
        .args(["-c", &format!("{other} {}/*/TLS_KEY", folder.path().display())]));
    assert!(ran.out.is_empty() && ran.err.contains("Permission denied"), "{}", ran.err);
}

#[test]
fn a_folder_of_another_user_gets_no_file() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = store_with_a_file();
    boot(&store, folder.path(), "true");
    let own = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(own.join("TLS_KEY")).unwrap();
    for spoil in [
        (|own| chown(own, Some(USER), None).unwrap()) as fn(&Path),
        |own| {
            chown(own, Some(0), None).unwrap();
            fs::set_permissions(own, fs::Permissions::from_mode(0o777)).unwrap();
        },
        |own| {
            fs::remove_dir(own).unwrap();
            std::os::unix::fs::symlink("/", own).unwrap();
            std::os::unix::fs::lchown(own, Some(USER), None).unwrap();
        },
    ] {
        spoil(&own);
        assert_eq!(
            boot(&store, folder.path(), "cat $TLS_KEY_FILE; echo; echo $TLS_KEY_FILE"),
            "the key\n/proc/self/fd/100\n"
        );
        assert!(!own.join("TLS_KEY").exists());
    }
    // `boot` leaves files for others, so that it needs a folder.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let ran =
        run(agent(["boot"]).env("DROPSAFE_TICKET", &store.ticket).env("DROPSAFE_FILES_DIR", folder.path()));
    assert_eq!(ran.code, Some(78), "{}", ran.err);
    assert!(ran.err.contains("other users can replace files in"), "{}", ran.err);
    let boots = store.count("/v1/boot");
    assert_eq!(boots, 4, "no use was spent by what was refused");
}

#[test]
fn a_program_that_only_root_may_execute_is_found_out_before_the_store_is_asked() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::releasing(vec![]);
    let program = |mode: u32, above: u32| {
        let path = folder.path().join("program");
        fs::write(&path, "#!/bin/sh\nid -u\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(above)).unwrap();
        run(agent(["exec", "--user", "12345:54321", "--"]).arg(&path).env("DROPSAFE_TICKET", &store.ticket))
    };
    for (mode, above) in [(0o700, 0o755), (0o755, 0o700), (0o754, 0o755)] {
        let ran = program(mode, above);
        assert_eq!((ran.code, store.requests().len()), (Some(126), 0), "{mode:o} {above:o}: {}", ran.err);
    }
    let ran = program(0o755, 0o755);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "12345\n"), "{}", ran.err);
}

#[test]
fn in_a_container_without_proc_nothing_is_mounted() {
    if !is_root() {
        return;
    }
    let store = Store::releasing(vec![private("A", "1")]);
    let script = "mount -t tmpfs none /proc && exec \"$0\" exec -- sh -c 'ls -A /proc; echo $A'";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]);
    command.arg(env!("CARGO_BIN_EXE_dropsafe-agent")).env_clear().env("PATH", "/usr/bin:/bin");
    let ran = run(command.env("DROPSAFE_TICKET", &store.ticket));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "1\n"), "{}", ran.err);
}

#[test]
fn without_tmpfs_and_proc_a_file_stops_the_boot_before_a_use_is_spent() {
    if !is_root() {
        return;
    }
    let store = store_with_a_file();
    let script = "mount -t tmpfs none /proc && exec \"$0\" exec --files-dir /sys/kernel --require A -- true";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]);
    command.arg(env!("CARGO_BIN_EXE_dropsafe-agent")).env_clear().env("PATH", "/usr/bin:/bin");
    let ran = run(command.env("DROPSAFE_TICKET", &store.ticket));
    assert_eq!((ran.code, store.count("/v1/boot")), (Some(78), 0), "{}", ran.err);
}

/// /dev/shm and its like are protected by their sticky bit, and everybody can create files there.
#[test]
fn what_another_user_put_into_a_sticky_folder_is_not_what_a_boot_received() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let planted = folder.path().join("env");
    fs::write(&planted, "PLANTED=\"yes\"\n").unwrap();
    let enter = || {
        let place = folder.path().to_str().unwrap();
        run(&mut agent(["enter", "--files-dir", place, "--", "sh", "-c", "echo planted: $PLANTED"]))
    };
    // The control: root's own file counts.
    assert_eq!(enter().out, "planted: yes\n");
    chown(&planted, Some(USER), None).unwrap();
    let ran = enter();
    assert!(!ran.out.contains("planted: yes"), "{}", ran.out);
}

/// A pipe in the place of a file is waited for by whoever opens it.
#[test]
fn a_pipe_in_the_place_of_a_file_holds_up_nothing() {
    let (folder, cache) = (tempfile::tempdir_in("/dev/shm").unwrap(), tempfile::tempdir().unwrap());
    let pipe =
        |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    pipe(&folder.path().join("end"));
    pipe(&cache.path().join("revisions"));
    assert_eq!(run(&mut agent(["ended", "--files-dir", folder.path().to_str().unwrap()])).code, Some(0));
    let store = Store::releasing(vec![private("db-url", "x")]);
    let mut exec = agent(["exec", "--cache-dir", cache.path().to_str().unwrap(), "--", "true"]);
    let ran = run(exec.env("DROPSAFE_TICKET", &store.ticket));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}
