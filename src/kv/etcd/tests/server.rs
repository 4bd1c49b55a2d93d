//! Real etcd servers for tests: on loopback addresses of their own, their data in memory, ended with whoever started them.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

/// Ends the server and removes its data when its own standard input ends, hence also when the test is killed. Each line
/// on it starts the server again; the first line out of it, and each after, is a process id.
const KEEPER: &str = r#"
dir=$1; shift
run() { etcd "$@" </dev/null >>"$dir/log" 2>&1 & pid=$!; echo $pid; }
run "$@"
while read -r _; do wait $pid; run "$@"; done
kill -9 $pid; wait $pid; rm -rf "$dir"
"#;

/// The members of a cluster.
pub(crate) struct Cluster {
    members: Vec<Member>,
}

/// One etcd server.
pub(crate) struct Member {
    keeper: Child,
    input: Option<ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
    address: String,
    pid: i32,
}

/// Whether etcd is installed.
pub(crate) fn is_installed() -> bool {
    let asked = Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

static NEXT: AtomicU8 = AtomicU8::new(1);

/// A loopback address that no other test has, so that no port is fought for.
fn loopback() -> String {
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.{high}.{low}.{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Every address that a member may have in this process.
#[allow(dead_code, reason = "not every test that has members has certificates for them")]
pub(crate) fn loopbacks() -> Vec<String> {
    let [.., high, low] = std::process::id().to_be_bytes();
    (1..=254).map(|last| format!("127.{high}.{low}.{last}")).collect()
}

impl Cluster {
    /// Starts `count` members that know each other. `more` are further arguments.
    pub(crate) fn start(count: usize, more: &[&str]) -> Cluster {
        Cluster::start_at((0..count).map(|_| (loopback(), None)).collect(), more)
    }

    /// Starts a member at each address, in the network of a process where one is named.
    pub(crate) fn start_at(places: Vec<(String, Option<u32>)>, more: &[&str]) -> Cluster {
        let named = places.iter().enumerate().map(|(i, (address, _))| format!("m{i}=http://{address}:2380"));
        let all = named.collect::<Vec<_>>().join(",");
        let start =
            |(i, place): (usize, (String, Option<u32>))| Member::start(&format!("m{i}"), place, &all, more);
        Cluster { members: places.into_iter().enumerate().map(start).collect() }
    }

    /// The members' addresses for clients, as a store's address has them.
    pub(crate) fn addresses(&self) -> String {
        let each = self.members.iter().map(|member| format!("{}:2379", member.address));
        each.collect::<Vec<_>>().join(",")
    }

    /// The members' processes.
    #[allow(dead_code, reason = "not every test that has members asks what they cost")]
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.pid.cast_unsigned()).collect()
    }

    /// The members.
    pub(crate) fn members(&mut self) -> &mut [Member] {
        &mut self.members
    }
}

impl Member {
    fn start(name: &str, (address, network): (String, Option<u32>), all: &str, more: &[&str]) -> Member {
        let memory = std::path::Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("dropsafe-etcd-").tempdir_in(place).unwrap().keep();
        let scheme = if more.contains(&"--client-cert-auth") { "https" } else { "http" };
        let (client, peer) = (format!("{scheme}://{address}:2379"), format!("http://{address}:2380"));
        let mut keeper = match network {
            None => Command::new("sh"),
            Some(pid) => {
                let mut inside = Command::new("nsenter");
                inside.arg(format!("--net=/proc/{pid}/ns/net")).arg("sh");
                inside
            }
        };
        let mut keeper = keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(&folder)
            .args(["--name", name, "--logger", "zap", "--log-level", "error", "--data-dir"])
            .arg(folder.join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", all])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (keeper.stdin.take(), BufReader::new(keeper.stdout.take().unwrap()));
        let mut member = Member { keeper, input, output, address, pid: 0 };
        member.read_pid();
        member
    }

    /// Its address for clients.
    #[allow(dead_code, reason = "not every test that has members asks each")]
    pub(crate) fn address(&self) -> String {
        format!("{}:2379", self.address)
    }

    /// The server's process.
    #[allow(dead_code, reason = "not every test that has members stops some")]
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid), signal).unwrap();
    }

    /// Starts it again after it was killed.
    #[allow(dead_code, reason = "not every test that has members stops some")]
    pub(crate) fn restart(&mut self) {
        use std::io::Write as _;
        self.input.as_mut().unwrap().write_all(b"again\n").unwrap();
        self.read_pid();
    }

    fn read_pid(&mut self) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        self.pid = line.trim().parse().unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.keeper.wait();
    }
}
