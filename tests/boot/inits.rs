//! OpenRC, runit, s6 and sysvinit themselves run the scripts of `init/`, in a Debian of their own: a namespace whose first process
//! is the init system, with a real store on loopback.

use std::fs;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::debian;
use super::harness::{Ran, Site};
use super::place::{Folder, run, source};
use super::scope::{PRIVATE, SHARED, deposit, holds, revoked};
use super::workload::agent;

/// Tells what it sees and how it ends. It goes where the scripts expect the program.
const APP: &str = "#!/bin/sh\n\
    echo \"started as $(id -un) with $OPENAI_API_KEY ${SWITCHED_OFF-nothing} ${DROPSAFE_TICKET-nothing}\" >>/out/app\n\
    trap 'echo ended >>/out/app; exit 0' TERM\n\
    while :; do sleep 0.05; done\n";
const PATH: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

/// A Debian over the cached one, its store, and its first process once there is one.
struct Machine {
    root: &'static Path,
    folder: Folder,
    site: Site,
    first: Option<Child>,
}

impl Machine {
    fn new() -> Option<Self> {
        let root = debian::root()?;
        let mut site = Site::new();
        site.serve_unlocked();
        deposit(&site);
        let folder = Folder::new();
        for made in ["out", "over"] {
            fs::create_dir(folder.join(made)).unwrap();
        }
        fs::set_permissions(folder.join("out"), fs::Permissions::from_mode(0o1777)).unwrap();
        folder.program("layer/usr/bin/dropsafe-agent", fs::read(agent()).unwrap());
        folder.program("layer/usr/local/bin/app", APP);
        let machine = Self { root, folder, site, first: None };
        machine.deadline("30s");
        machine.ticket(&machine.site.ticket("admin", &[]));
        Some(machine)
    }

    /// How long an attempt takes when nobody answers.
    fn deadline(&self, time: &str) {
        let text = format!("ticket_file: /etc/dropsafe/ticket\ndeadline: {time}\n");
        self.folder.write("layer/etc/dropsafe/agent.yaml", text);
    }

    fn ticket(&self, ticket: &str) {
        let file = self.folder.write("layer/etc/dropsafe/ticket", format!("{ticket}\n"));
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Puts a file or a folder of the source tree where it says that it goes.
    fn put(&self, from: &str, to: &str) {
        let to = self.folder.join("layer").join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let ended =
            run(Command::new("cp").args(["--recursive", "--preserve=mode"]).arg(source(from)).arg(to));
        assert!(ended.success, "{}", ended.said);
    }

    /// Starts this as the first process.
    fn start(&mut self, first: &[&str]) {
        let log = File::create(self.folder.join("out/log")).unwrap();
        let script = "set -e; mount -t tmpfs none \"$3\"; mkdir \"$3/upper\" \"$3/work\" \"$3/root\"; \
            mount -t overlay -o lowerdir=\"$1\":\"$2\",upperdir=\"$3/upper\",workdir=\"$3/work\" none \"$3/root\"; cd \"$3/root\"; \
            mount -t proc none proc; mount -t tmpfs none run; mount -t tmpfs none tmp; mount --bind /dev dev; \
            mkdir -p out run/service; mount --bind \"$4\" out; shift 4; exec chroot . env -i \"$@\"";
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--uts", "--pid", "--fork", "--kill-child=KILL", "sh", "-c", script, "sh"]);
        unshare
            .arg(self.folder.join("layer"))
            .arg(self.root)
            .arg(self.folder.join("over"))
            .arg(self.folder.join("out"));
        unshare.arg(PATH).args(first).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.first = Some(unshare.spawn().unwrap());
        self.until("out is mounted", || self.inside(&["test", "-d", "/run/service"]).status.success());
    }

    /// Runs a command in there, beside the first process.
    fn inside(&self, command: &[&str]) -> Ran {
        let unshare = self.first.as_ref().unwrap().id();
        let children =
            fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap_or_default();
        let first = children.split_whitespace().next().unwrap_or("0");
        let mut enter = Command::new("nsenter");
        enter.args(["--target", first, "--mount", "--uts", "--pid", "--root", "--wd", "env", "-i", PATH]);
        Ran::of(enter.args(command).stdin(Stdio::null()).output().unwrap())
    }

    fn out(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join("out").join(name)).unwrap_or_default()
    }

    #[track_caller]
    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let end = std::time::Instant::now() + Duration::from_secs(40);
        while !holds() {
            assert!(
                std::time::Instant::now() < end,
                "not yet: {what}\nlog: {}\napp: {}",
                self.out("log"),
                self.out("app")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How often a line of the log has these words.
    fn logged(&self, words: &str) -> usize {
        self.out("log").lines().filter(|line| line.contains(words)).count()
    }

    #[track_caller]
    fn has_started(&self, user: &str) {
        let started = format!("started as {user} with {PRIVATE} nothing nothing\n");
        self.until("the workload has started", || self.out("app").contains("started"));
        assert_eq!(self.out("app"), started, "{}", self.out("log"));
    }

    fn left(&self, path: &str) -> bool {
        self.inside(&["test", "-e", path]).status.success()
    }

    /// Ends everything in there, and forgets what it wrote.
    fn end(&mut self) {
        let Some(mut first) = self.first.take() else { return };
        let _ = first.kill();
        let _ = first.wait();
        let said = self.out("log");
        assert!(![PRIVATE, SHARED].into_iter().any(|value| holds(said.as_bytes(), value)), "{said}");
        for name in ["log", "app"] {
            let _ = fs::remove_file(self.folder.join("out").join(name));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut first) = self.first.take() {
            let _ = first.kill();
            let _ = first.wait();
        }
    }
}

#[test]
fn runit() {
    let Some(mut machine) = Machine::new() else { return };
    machine.put("init/runit/dropsafe-agent", "etc/service/dropsafe-agent");
    machine.put("init/runit/workload", "etc/service/app");
    let first = ["runsvdir", "-P", "/etc/service"];

    machine.start(&first);
    machine.has_started("nobody");
    machine.inside(&["sv", "check", "dropsafe-agent"]).ok();
    machine.inside(&["sv", "stop", "app"]).ok();
    assert!(machine.out("app").ends_with("ended\n"), "the workload got no signal to end");
    machine.inside(&["sv", "stop", "dropsafe-agent"]).ok();
    machine.until("what was fetched is gone", || !machine.left("/run/dropsafe"));
    machine.end();

    assert!(machine.site.stop().success());
    machine.deadline("1s");
    machine.start(&first);
    machine.until("an attempt has failed", || machine.logged("dropsafe-agent: ") > 0);
    machine.site.serve_unlocked();
    machine.has_started("nobody");
    machine.end();

    machine.deadline("30s");
    machine.ticket(&revoked(&machine.site));
    machine.start(&first);
    machine.until("the agent stays down", || {
        machine.inside(&["sv", "status", "dropsafe-agent"]).out.contains("down: ")
    });
    machine
        .until("the workload is not started", || machine.logged("no secrets in this boot: not started") > 0);
    assert_eq!(machine.logged("revoked"), 1, "a denial was tried again:\n{}", machine.out("log"));
    assert_eq!(machine.out("app"), "", "the workload was started");
    machine.end();
}

#[test]
fn s6() {
    let Some(mut machine) = Machine::new() else { return };
    machine.put("init/s6/dropsafe-agent", "etc/services.d/dropsafe-agent");
    machine.put("init/s6/workload", "etc/services.d/app");
    let first = ["sh", "-c", "cp -r /etc/services.d/. /run/service/ && exec s6-svscan /run/service"];
    let agent = "/run/service/dropsafe-agent";

    machine.start(&first);
    machine.has_started("nobody");
    assert!(machine.inside(&["s6-svstat", agent]).out.contains("ready"));
    machine.inside(&["s6-svc", "-wD", "-d", "/run/service/app"]).ok();
    assert!(machine.out("app").ends_with("ended\n"), "the workload got no signal to end");
    machine.inside(&["s6-svc", "-wD", "-d", agent]).ok();
    assert!(!machine.left("/run/dropsafe"));
    machine.end();

    assert!(machine.site.stop().success());
    machine.deadline("1s");
    machine.start(&first);
    machine.until("an attempt has failed", || machine.logged("dropsafe-agent: ") > 0);
    machine.site.serve_unlocked();
    machine.has_started("nobody");
    machine.end();

    machine.deadline("30s");
    machine.ticket(&revoked(&machine.site));
    machine.start(&first);
    machine.until("the agent stays down", || {
        machine.inside(&["s6-svstat", agent]).out.starts_with("down (exitcode 77)")
    });
    // Told of the failure the workload's service gives up and is started again; begun after it, it waits for the agent.
    assert_eq!(machine.logged("revoked"), 1, "a denial was tried again:\n{}", machine.out("log"));
    assert_eq!(machine.out("app"), "", "the workload was started");
    machine.end();

    // s6-rc itself is no package of Debian's: its command lines, by what would run them.
    machine.ticket(&machine.site.ticket("admin", &[]));
    machine.put("init/s6/s6-rc/dropsafe-agent", "etc/s6-rc/dropsafe-agent");
    machine.start(&["sleep", "infinity"]);
    for (line, there) in [("up", true), ("down", false)] {
        machine.inside(&["execlineb", "-P", &format!("/etc/s6-rc/dropsafe-agent/{line}")]).ok();
        assert_eq!(machine.left("/run/dropsafe/env"), there, "{line}");
    }
    machine.end();
}

#[test]
fn openrc() {
    let Some(mut machine) = Machine::new() else { return };
    machine.put("init/openrc/dropsafe-agent", "etc/init.d/dropsafe-agent");
    machine.put("init/openrc/conf.d/workload", "etc/conf.d/app");
    let service = "#!/sbin/openrc-run\n\
        command=/usr/local/bin/app\ncommand_user=nobody\ncommand_background=yes\npidfile=/run/app.pid\n\
        stop() { start-stop-daemon --stop --pidfile \"$pidfile\"; }\n";
    machine.folder.program("layer/etc/init.d/app", service);
    // Whatever brings the network up provides it; here it is the host's.
    machine
        .folder
        .program("layer/etc/init.d/net0", "#!/sbin/openrc-run\ndepend() { provide net; }\nstart() { :; }\n");
    let rc = |machine: &Machine, service: &str, what: &str| machine.inside(&["rc-service", service, what]);
    // A runlevel of its own: Debian's would set up the machine that runs the tests.
    let boot = |machine: &mut Machine| {
        machine.start(&["sleep", "infinity"]);
        machine.inside(&["mkdir", "-p", "/run/openrc", "/run/lock", "/etc/runlevels/here"]).ok();
        machine.inside(&["touch", "/run/openrc/softlevel"]).ok();
        for service in ["dropsafe-agent", "app"] {
            machine.inside(&["rc-update", "add", service, "here"]).ok();
        }
        machine.inside(&["openrc", "here"])
    };

    boot(&mut machine).ok();
    machine.has_started("nobody");
    rc(&machine, "dropsafe-agent", "status").ok();
    assert!(machine.inside(&["stat", "-c", "%a", "/run/dropsafe/env"]).ok().out.trim() == "600");
    // It takes along who needs it.
    rc(&machine, "dropsafe-agent", "stop").ok();
    machine.until("the workload has ended", || machine.out("app").ends_with("ended\n"));
    assert!(!machine.left("/run/dropsafe"));
    assert!(!rc(&machine, "app", "status").status.success());
    machine.end();

    assert!(machine.site.stop().success());
    machine.deadline("1s");
    let said = boot(&mut machine);
    assert!(said.err.contains("ended with 69") && machine.out("app").is_empty(), "{}{}", said.out, said.err);
    assert!(!machine.left("/run/dropsafe"));
    machine.site.serve_unlocked();
    // OpenRC starts nothing again by itself. Who asks for the workload gets what it needs first.
    machine.until("the store has answered in time", || rc(&machine, "app", "start").status.success());
    machine.has_started("nobody");
    machine.end();

    machine.deadline("30s");
    machine.ticket(&revoked(&machine.site));
    let said = boot(&mut machine);
    assert!(said.err.contains("revoked") && said.err.contains("ended with 77"), "{}{}", said.out, said.err);
    assert!(!rc(&machine, "app", "start").status.success());
    assert_eq!(machine.out("app"), "", "the workload was started");
    assert!(!machine.left("/run/dropsafe"));
    machine.end();
}

#[test]
fn sysvinit() {
    let Some(mut machine) = Machine::new() else { return };
    machine.put("init/sysvinit/dropsafe-agent", "etc/init.d/dropsafe-agent");
    let script = "/etc/init.d/dropsafe-agent";
    let code = |machine: &Machine, what: &str| machine.inside(&[script, what]).status.code();

    machine.start(&["sleep", "infinity"]);
    assert_eq!(code(&machine, "status"), Some(3));
    machine.inside(&[script, "start"]).ok();
    assert_eq!(code(&machine, "status"), Some(0));
    let entered = machine.inside(&["dropsafe-agent", "enter", "--", "printenv", "OPENAI_API_KEY"]).ok();
    assert_eq!(entered.out, format!("{PRIVATE}\n"));
    machine.inside(&[script, "restart"]).ok();
    machine.inside(&[script, "stop"]).ok();
    assert!(!machine.left("/run/dropsafe") && code(&machine, "status") == Some(3));
    assert_eq!(code(&machine, "wrong"), Some(2));

    assert!(machine.site.stop().success());
    machine.inside(&["env", "DROPSAFE_DEADLINE=1s", script, "start"]).fails(69, &["ended with 69"]);
    assert!(!machine.left("/run/dropsafe"));
    machine.site.serve_unlocked();
    machine.inside(&[script, "start"]).ok();
    machine.end();

    machine.deadline("30s");
    machine.ticket(&revoked(&machine.site));
    machine.start(&["sleep", "infinity"]);
    machine.inside(&[script, "start"]).fails(77, &["revoked"]);
    assert!(!machine.left("/run/dropsafe"));
    machine.end();
}
