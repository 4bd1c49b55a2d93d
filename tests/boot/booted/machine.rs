//! A machine that boots under systemd with both packages installed, and a hand in it that runs scripts. How it is started (nspawn,
//! an emulator, a kernel as a process) is somebody else's affair: this needs two streams.

use std::fs;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use data_encoding::BASE64;

use super::super::harness::skip;
use super::super::place::{has, text};
use super::super::rootfs;

/// Longer than anything takes on a machine that does ten other things.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is put over the installed system for one test.
pub struct Layer(tempfile::TempDir);

impl Layer {
    /// With the hand, and without what only costs time here. `device`: what the hand holds on to.
    pub fn new(device: &str) -> Self {
        let layer = Self(tempfile::tempdir().unwrap());
        layer.write("usr/local/lib/hand", include_str!("script_runner.sh"));
        let (from, to) = device.split_once(' ').unwrap_or((device, device));
        let hand =
            format!("[Service]\nExecStart=/bin/sh /usr/local/lib/hand {from} {to}\nTimeoutStopSec=1\n");
        layer.unit("hand.service", &hand);
        layer.enable("hand.service", "multi-user.target");
        // The host's network is this machine's as well, or it is set up by the test; nobody logs in.
        for unit in [
            "ssh.service",
            "apt-daily.timer",
            "apt-daily-upgrade.timer",
            "e2scrub_all.timer",
            "fstrim.timer",
            "dpkg-db-backup.timer",
            "e2scrub_reap.service",
            "getty.target",
            "systemd-pstore.service",
        ] {
            layer.link("/dev/null", &format!("etc/systemd/system/{unit}"));
        }
        layer
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn link(&self, to: &str, path: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    pub fn unit(&self, name: &str, text: &str) {
        self.write(&format!("etc/systemd/system/{name}"), text);
    }

    /// As `systemctl enable` would.
    pub fn enable(&self, unit: &str, target: &str) {
        self.link(&format!("../{unit}"), &format!("etc/systemd/system/{target}.wants/{unit}"));
    }

    /// The examples' workload `app.service` with the secrets in its environment, and `credential.service` with one as a file.
    pub fn workloads(&self) {
        self.unit("app.service", &text("examples/workload/environment.service"));
        self.enable("app.service", "dropsafe.target");
        self.unit("credential.service", &text("examples/workload/credential.service"));
        self.enable("credential.service", "multi-user.target");
    }

    /// Where the agent's unit looks for its ticket.
    pub fn ticket(&self, ticket: &str) {
        self.write("etc/credstore/dropsafe.ticket", ticket);
    }
}

/// A machine that runs.
pub struct Machine {
    to: Box<dyn Write>,
    said: mpsc::Receiver<String>,
    process: Child,
    console: PathBuf,
    /// The kernel's name for this boot.
    pub boot: String,
    /// The host's side of /out.
    out: PathBuf,
    /// Dropped together with the machine.
    _resources: Vec<Box<dyn std::any::Any>>,
    group: Option<String>,
}

impl Machine {
    /// Waits until the machine has booted and its shell answers.
    pub fn new(
        process: Child,
        to: impl Write + 'static,
        from: impl Read + Send + 'static,
        console: PathBuf,
        resources: Vec<Box<dyn std::any::Any>>,
    ) -> Self {
        let (send, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines() {
                if line.is_err() || send.send(line.unwrap_or_default()).is_err() {
                    return;
                }
            }
        });
        let boot = String::new();
        let out = console.parent().unwrap().to_owned();
        let mut machine =
            Self { to: Box::new(to), said, process, console, boot, out, _resources: resources, group: None };
        machine.up();
        machine
    }

    /// Boots under nspawn, in the host's network; `None` where that cannot be.
    pub fn nspawn(layer: Layer) -> Option<Self> {
        Self::nspawn_with(layer, &[])
    }

    /// With more flags for nspawn.
    pub fn nspawn_with(layer: Layer, flags: &[&str]) -> Option<Self> {
        if !has("systemd-nspawn") {
            skip("a machine under systemd-nspawn (needs root, Debian package systemd-container)");
            return None;
        }
        let (system, installed) = (rootfs::system()?, rootfs::installed()?);
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let group = format!("dropsafe-tests-{}-{number}", std::process::id());
        let work = tempfile::tempdir().unwrap();
        let pipe = |name: &str| {
            let path = work.path().join(name);
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
            // Both ways, so that neither opening waits nor a reboot closes it.
            File::options().read(true).write(true).open(path).unwrap()
        };
        let (to, from) = (pipe("in"), pipe("out"));
        let console = work.path().join("console");
        // A control group of its own, since two machines in one would take each other's units for theirs; process numbers of its own,
        // so that ending the first ends all.
        let script = "set -e; mount -t tmpfs none /run; umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; \
            mkdir /sys/fs/cgroup/\"$3\"; echo $$ >/sys/fs/cgroup/\"$3\"/cgroup.procs; \
            mkdir /run/upper /run/work /run/root; \
            mount -t overlay -o lowerdir=\"$1\",upperdir=/run/upper,workdir=/run/work none /run/root; \
            layers=$1 out=$2; shift 3; \
            exec unshare --pid --fork --kill-child --mount-proc sh -c 'out=$1; shift; while :; do \
            systemd-nspawn -q -D /run/root --boot --register=no --keep-unit --bind=\"$out\":/out --console=pipe \"$@\"; \
            status=$?; [ $status = 133 ] || exit $status; done' sh \"$out\" \"$@\"";
        let log = File::create(&console).unwrap();
        let process = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(rootfs::joined(&[layer.path(), installed, system]))
            .arg(work.path())
            .arg(&group)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut machine = Self::new(process, to, from, console, vec![Box::new(layer), Box::new(work)]);
        machine.group = Some(group);
        Some(machine)
    }

    /// The device that a layer for nspawn names.
    pub const PIPES: &'static str = "/out/in /out/out";

    fn line(&mut self) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.said.recv_timeout(Duration::from_millis(200)) {
                Ok(line) => return line,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let ended = self.process.try_wait().unwrap();
                    assert!(
                        ended.is_none() && Instant::now() < end,
                        "it does not answer ({ended:?})\n{}",
                        self.console()
                    );
                }
                Err(gone) => panic!("{gone}\n{}", self.console()),
            }
        }
    }

    fn up(&mut self) {
        loop {
            // A serial line may carry what the firmware said before.
            if let Some((_, boot)) = self.line().split_once("ready ") {
                self.boot = boot.trim().to_owned();
                return;
            }
        }
    }

    fn say(&mut self, script: &str) {
        writeln!(self.to, "{}", BASE64.encode(script.as_bytes())).unwrap();
        self.to.flush().unwrap();
    }

    /// The status of a script and all that it said.
    pub fn run(&mut self, script: &str) -> (i32, String) {
        self.say(script);
        let line = self.line();
        let (status, said) = line
            .trim_end_matches(['\r', '\n'])
            .split_once(' ')
            .unwrap_or_else(|| panic!("{line:?}\n{}", self.console()));
        let said = BASE64.decode(said.trim().as_bytes()).unwrap_or_else(|_| panic!("{line:?}"));
        (status.parse().unwrap_or_else(|_| panic!("{line:?}")), String::from_utf8_lossy(&said).into_owned())
    }

    /// What a script said that succeeds.
    #[track_caller]
    pub fn ok(&mut self, script: &str) -> String {
        let (status, said) = self.run(script);
        assert_eq!(status, 0, "{script}\n{said}\n{}", self.journal());
        said
    }

    /// Asks until a script succeeds.
    #[track_caller]
    pub fn until(&mut self, script: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, said) = self.run(script);
            if status == 0 {
                return said;
            }
            assert!(Instant::now() < end, "{script}\n{said}\n{}", self.journal());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Until each of these units is active.
    #[track_caller]
    pub fn active(&mut self, units: &str) {
        self.until(&format!("for unit in {units}; do systemctl is-active $unit || exit 1; done"));
    }

    /// Until everything that starts with the machine has started or failed.
    pub fn settled(&mut self) {
        self.run("systemctl is-system-running --wait");
    }

    /// A property of a unit.
    pub fn shows(&mut self, unit: &str, property: &str) -> String {
        self.ok(&format!("systemctl show --value -p {property} {unit}")).trim().to_owned()
    }

    /// The environment of a unit's main process.
    #[track_caller]
    pub fn environment(&mut self, unit: &str) -> std::collections::BTreeMap<String, String> {
        // A process that has not been executed yet is still the service manager's.
        let pid = self.until(&format!(
            "pid=$(systemctl show --value -p MainPID {unit}); program=$(readlink /proc/$pid/exe) && \
             test ${{program##*/}} != systemd && echo $pid"
        ));
        super::super::harness::environment(&self.ok(&format!("cat /proc/{}/environ", pid.trim())))
    }

    /// What was logged in this boot, with priorities and all.
    pub fn journal(&mut self) -> String {
        self.run("journalctl --no-pager -b -o short-monotonic").1
    }

    /// The folder that a machine under nspawn has at /out.
    pub fn shared(&self) -> &Path {
        &self.out
    }

    /// Restarts it in order, as a person would.
    pub fn reboot(&mut self) {
        let before = self.boot.clone();
        // The hand may be gone before it answers.
        self.say("systemctl --no-block reboot");
        self.up();
        assert_ne!(self.boot, before, "it did not boot again");
    }

    pub fn console(&self) -> String {
        let said = fs::read(&self.console).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(group) = &self.group {
            // Empty now, or in a moment.
            let script = "umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; cd /sys/fs/cgroup; \
                for try in $(seq 100); do find \"$1\" -depth -type d -exec rmdir {} + 2>/dev/null; \
                [ -e \"$1\" ] || break; sleep 0.1; done";
            let _ = Command::new("unshare").args(["--mount", "sh", "-c", script, "sh", group]).status();
        }
    }
}
