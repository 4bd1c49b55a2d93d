//! Kernels that start the agent as their first process: User Mode Linux, and Debian's cloud kernel under QEMU's emulation. The
//! host's loopback is 10.0.2.2 in both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::harness::skip;
use super::place::{Folder, has, run, source};
use super::probe::probe;

/// Where the host is, as a ticket's address has to say it.
pub const HOST: &str = "10.0.2.2";
/// What stands on the kernel's command line for the agent to bring up.
const NETWORK: &str = "ip=10.0.2.15::10.0.2.2:255.255.255.0:microvm:eth0:off:10.0.2.3";
/// The network card's driver and what it stands on, for a kernel that has it as modules.
const MODULES: [&str; 8] = [
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
];

/// What a machine said until it ended.
pub struct Console(pub String);

pub struct Kernel {
    pub folder: Folder,
    image: PathBuf,
    /// The emulated machine's kernel; none for User Mode Linux, which is a program.
    emulated: Option<PathBuf>,
}

/// Whether User Mode Linux can run a process on this processor. Linux 6.1 gives a process's registers back in a buffer that is too
/// small where the processor has AMX tiles ("ptrace set fp regs failed, errno = 14"), and ends with its first process.
pub fn uml_runs() -> bool {
    let runs = !fs::read_to_string("/proc/cpuinfo").unwrap().contains(" amx_tile");
    if !runs {
        eprintln!(
            "User Mode Linux cannot run a process on this processor: QEMU does what it can in its place"
        );
    }
    runs
}

impl Kernel {
    /// User Mode Linux, or QEMU where it cannot run; `None`, and said so, where neither is.
    pub fn uml() -> Option<Self> {
        if !uml_runs() {
            return Self::qemu();
        }
        if !["linux.uml", "slirp-fullbolt", "cpio"].into_iter().all(has) {
            skip("a microVM under User Mode Linux (Debian packages user-mode-linux, slirp, cpio)");
            return None;
        }
        Self::new(None, &[])
    }

    /// QEMU without hardware's help; `None`, and said so, where it or the kernel is not.
    pub fn qemu() -> Option<Self> {
        let unpacked = std::env::var_os("DROPSAFE_CLOUD_KERNEL").map(PathBuf::from);
        let Some(unpacked) = unpacked.filter(|_| has("qemu-system-x86_64") && has("cpio")) else {
            skip(
                "a microVM under QEMU (Debian packages qemu-system-x86, cpio; linux-image-cloud-amd64, unpacked)",
            );
            return None;
        };
        let only = |folder: PathBuf, begins: &str| {
            let mut found = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            let found = found.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(begins));
            found.unwrap_or_else(|| panic!("{} has no {begins}", folder.display()))
        };
        let kernel = only(unpacked.join("boot"), "vmlinuz-");
        let drivers = only(unpacked.join("lib/modules"), "").join("kernel");
        Self::new(Some(kernel), &MODULES.map(|module| drivers.join(module)))
    }

    fn new(emulated: Option<PathBuf>, modules: &[PathBuf]) -> Option<Self> {
        if std::env::var_os("DROPSAFE_STATIC_AGENT").is_none() {
            skip("a microVM (DROPSAFE_STATIC_AGENT is not set; tests/run builds it)");
            return None;
        }
        let Some(probe) = probe() else {
            skip("a microVM (needs a C compiler with a static C library)");
            return None;
        };
        let folder = Folder::new();
        fs::create_dir(folder.join("files")).unwrap();
        fs::copy(probe, folder.join("files/app")).unwrap();
        let image = folder.join("initramfs");
        let mut make = Command::new(source("init/microvm/mkinitramfs"));
        make.arg(super::workload::agent()).arg(folder.join("files")).arg(&image).args(modules);
        let made = run(&mut make);
        assert!(made.success, "{}", made.said);
        Some(Self { folder, image, emulated })
    }

    /// The same machine with another user space.
    pub fn with_initramfs(self, image: PathBuf) -> Self {
        Self { image, ..self }
    }

    /// Where the emulated machine's kernel was unpacked.
    pub fn unpacked(&self) -> PathBuf {
        let boot = self.emulated.as_ref().and_then(|kernel| kernel.parent()).unwrap();
        boot.parent().unwrap().to_owned()
    }

    pub fn name(&self) -> &'static str {
        if self.emulated.is_some() { "QEMU" } else { "User Mode Linux" }
    }

    /// Boots with these words for the kernel and for the agent, to the end.
    pub fn boot(&self, kernel: &str, agent: &str) -> Console {
        self.boot_on(&[], kernel, agent)
    }

    /// The same on a machine with more to it.
    pub fn boot_on(&self, machine: &[&str], kernel: &str, agent: &str) -> Console {
        let output = self.start(machine, kernel, agent).wait_with_output().unwrap();
        let console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        // Ended by itself: timeout(1) would have said 124.
        assert!(output.status.code() != Some(124), "it did not power off\n{console}");
        Console(console)
    }

    /// Starts the boot, with extra arguments for the emulator.
    pub fn start(&self, machine: &[&str], kernel: &str, agent: &str) -> Child {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "180"]);
        let line = format!("{NETWORK} panic=-1 printk.time=1 {kernel} -- {agent}");
        match &self.emulated {
            None => {
                let initrd = format!("initrd={}", self.image.display());
                let place = format!("uml_dir={}/", self.folder.join("uml").display());
                command.env("TMPDIR", in_memory(self.folder.path()));
                command.args([
                    "linux.uml",
                    "mem=96M",
                    "con=null",
                    "con0=null,fd:1",
                    "ssl=null",
                    &initrd,
                    &place,
                ]);
                command.args(["umid=machine", "eth0=slirp,,/usr/bin/slirp-fullbolt"]);
                command.args(machine).args(line.split(' '));
            }
            Some(image) => {
                command.args([
                    "qemu-system-x86_64",
                    "-accel",
                    "tcg",
                    "-cpu",
                    "qemu64",
                    "-smp",
                    "1",
                    "-m",
                    "256",
                ]);
                command.args([
                    "-display",
                    "none",
                    "-monitor",
                    "none",
                    "-serial",
                    "stdio",
                    "-no-reboot",
                    "-nodefaults",
                ]);
                command.args(["-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile="]);
                command
                    .arg("-kernel")
                    .arg(image)
                    .arg("-initrd")
                    .arg(&self.image)
                    .args(machine)
                    .arg("-append");
                command.arg(format!("console=ttyS0 net.ifnames=0 mitigations=off {line}"));
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Presses Ctrl-Alt-Del, as the machine's management console does (uml_mconsole(1)).
    pub fn press_ctrl_alt_del(&self) {
        let mut request = Vec::new();
        for word in [0xcafe_babe_u32, 2, 3] {
            request.extend(word.to_ne_bytes());
        }
        request.extend(b"cad");
        request.resize(12 + 512, 0);
        let socket = std::os::unix::net::UnixDatagram::bind(self.folder.join("keys")).unwrap();
        socket.send_to(&request, self.folder.join("uml/machine/mconsole")).unwrap();
    }
}

impl Console {
    /// The lines of whatever is not the kernel.
    pub fn printed(&self) -> String {
        self.0.lines().filter(|line| !line.starts_with('[')).map(|line| format!("{line}\n")).collect()
    }

    /// When the kernel said something, in seconds on its own clock.
    pub fn when(&self, said: &str) -> f64 {
        let line = self
            .0
            .lines()
            .find(|line| line.contains(said))
            .unwrap_or_else(|| panic!("{said:?} is not in\n{}", self.0));
        let stamp = line.trim_start_matches('[').split(']').next().unwrap().trim();
        stamp.parse().unwrap_or_else(|_| panic!("no time in {line:?}"))
    }

    /// What the agent reported at the end.
    #[track_caller]
    pub fn ended_with(&self, status: u8) {
        let message = format!("dropsafe-agent: status {status}, powering off");
        assert!(self.0.lines().any(|line| line.ends_with(&message)), "not {status}:\n{}", self.0);
    }
}

/// User Mode Linux keeps the machine's memory in a file, which belongs into memory.
fn in_memory(otherwise: &Path) -> &Path {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory } else { otherwise }
}
