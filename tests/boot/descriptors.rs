//! Descriptors: what the agent was started with reaches the workload and nobody else, closed ones included, and running out of them is
//! a fault of this machine.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::stat::Mode;

use super::place::Folder;
use super::workload::{Running, agent, exec, output, within, without_store};

/// Prints which of the standard descriptors are open.
const OPEN: &str =
    "open=; for fd in 0 1 2; do [ -e /proc/$$/fd/$fd ] && open=$open$fd; done; echo $open >\"$OUT\"";

/// `redirections` in front of the agent, whose descriptors the workload prints.
fn seen(redirections: &str, before: &str, through: &[&str]) -> String {
    let folder = Folder::new();
    let out = folder.join("out");
    let mut command = without_store(Command::new("unshare"));
    let script = format!("{before}\nexec \"$@\" {redirections}");
    command.args(["--mount", "sh", "-c", &script, "sh"]).args(through).args(["sh", "-c", OPEN]);
    command.env("OUT", &out).env("DROPSAFE_CONFIG", folder.write("agent.yaml", ""));
    let status = command.stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "{redirections} {before} {through:?}: {status}");
    std::fs::read_to_string(out).unwrap()
}

#[test]
fn closed_ones_stay_closed_even_without_dev() {
    if !nix::unistd::getuid().is_root() {
        return super::skip("a /dev of its own (needs root)");
    }
    let agent = agent();
    for redirections in ["", "<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        for before in ["", "mount -t tmpfs none /dev"] {
            let plain = seen(redirections, before, &[]);
            for flags in [&["exec", "--"][..], &["exec", "--init", "--"]] {
                let through = [&[agent.as_str()], flags].concat();
                assert_eq!(seen(redirections, before, &through), plain, "{redirections} {before} {flags:?}");
            }
        }
    }
}

#[test]
fn the_supervisor_keeps_nothing_that_is_meant_for_the_workload() {
    let folder = Folder::new();
    let pipe = folder.join("pipe");
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let script = "[ -e /proc/$$/fd/9 ] && pwd; read line; exec 9>&-; echo closed; read line";
    let agent = exec(&["--init"], &["sh", "-c", script]);
    let mut command = without_store(Command::new("bash"));
    command.args(["-c", "exec 9>\"$0\"; exec \"$@\""]).arg(&pipe).arg(agent.get_program());
    command.args(agent.get_args()).current_dir(folder.path()).stderr(Stdio::piped());
    let mut running = Running::start(&mut command);
    let mut reader = std::fs::File::open(&pipe).unwrap();
    let (to, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || to.send(reader.read_to_end(&mut Vec::new()).unwrap()));
    assert_eq!(running.line(), folder.path().to_str().unwrap());

    let of = |file: &str| format!("/proc/{}/{file}", running.pid());
    let link = |file: &str| std::fs::read_link(of(file)).unwrap();
    // Its own are the signals, the note of the boot's end, and the terminal where the tests have one.
    within(Duration::from_secs(10), || {
        let mut open = std::fs::read_dir(of("fd")).unwrap().map(|entry| entry.unwrap().path());
        (!open.any(|path| std::fs::read_link(path).is_ok_and(|to| to == pipe))).then_some(())
    });
    assert_eq!((link("cwd").to_str(), link("fd/0").to_str()), (Some("/"), Some("/dev/null")));
    assert!(ended.try_recv().is_err());
    running.say("");
    assert_eq!(running.line(), "closed");
    ended.recv_timeout(Duration::from_secs(10)).expect("the supervisor holds the pipe");
    running.say("");
    assert!(running.wait().success());
}

/// Starts a program under a filter (seccomp(2)) that knows no close_range(2), as those of older container runtimes.
const NO_CLOSE_RANGE: &str = "import ctypes,os,struct,sys; libc=ctypes.CDLL(None); \
    code=b''.join(struct.pack('HBBI',*line) for line in [(0x20,0,0,0),(0x15,0,1,436),(6,0,0,0x50026),(6,0,0,0x7fff0000)]); \
    text=ctypes.create_string_buffer(code); program=struct.pack('HxxxxxxQ',4,ctypes.addressof(text)); \
    assert libc.prctl(38,1,0,0,0)==0 and libc.prctl(22,2,program)==0; os.execvp(sys.argv[1],sys.argv[1:])";

#[test]
fn where_ranges_cannot_be_closed_they_are_closed_one_by_one() {
    let agent = exec(&["--init"], &["sh", "-c", "[ -e /proc/$$/fd/9 ] && echo ready; read line"]);
    let mut command = without_store(Command::new("bash"));
    command.args(["-c", "exec 9</dev/zero; exec \"$@\"", "bash", "python3", "-c", NO_CLOSE_RANGE]);
    let mut running = Running::start(command.arg(agent.get_program()).args(agent.get_args()));
    assert_eq!(running.line(), "ready");
    within(Duration::from_secs(10), || {
        let mut open = std::fs::read_dir(format!("/proc/{}/fd", running.pid())).unwrap();
        let is_zero =
            |path: std::path::PathBuf| std::fs::read_link(path).is_ok_and(|to| to.ends_with("zero"));
        (!open.any(|entry| is_zero(entry.unwrap().path()))).then_some(())
    });
    running.say("");
    assert!(running.wait().success());
}

#[test]
fn the_manager_of_services_means_the_workload() {
    let agent = agent();
    let print = "echo $$; for name in LISTEN_PID WATCHDOG_PID SYSTEMD_EXEC_PID LISTEN_PIDFDID LISTEN_FDS; do \
        eval echo \\${$name-none}; done";
    let run = |pid: &str, flags: &[&str]| {
        let script = format!(
            "export LISTEN_PID={pid} WATCHDOG_PID={pid} SYSTEMD_EXEC_PID={pid} LISTEN_PIDFDID=77 LISTEN_FDS=1; exec \"$@\""
        );
        let mut command = without_store(Command::new("sh"));
        command.args(["-c", &script, "sh", &agent, "exec"]).args(flags).args(["--", "sh", "-c", print]);
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let forked = run("$$", &["--init"]);
    let own = forked[0].as_str();
    // The one for newer systemd names the supervisor in another way, and may be absent.
    assert_eq!(forked[1..], [own, own, own, "none", "1"]);
    let same = run("$$", &[]);
    let own = same[0].as_str();
    assert_eq!(same[1..], [own, own, own, "77", "1"]);
    assert_eq!(run("1", &["--init"])[1..], ["1", "1", "1", "77", "1"], "they mean somebody else");
}

#[test]
fn running_out_of_descriptors_is_reported_and_is_no_outage() {
    for flags in [&[][..], &["--init"]] {
        let mut enough = 0;
        for limit in 3..16 {
            let script = format!("ulimit -n {limit}; exec \"$@\" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-");
            let agent = exec(flags, &["echo", "started"]);
            let mut command = without_store(Command::new("bash"));
            command.args(["-c", &script, "bash"]).arg(agent.get_program()).args(agent.get_args());
            let output = command.output().unwrap();
            let (out, err) =
                (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
            if output.status.success() {
                // The store that is not there is an outage, in which the workload starts.
                assert_eq!(out, "started\n");
                enough += 1;
                continue;
            }
            // `env` itself opens files too.
            let by_agent = err.contains("dropsafe-agent:");
            assert!(!by_agent || err.contains("oo many open files"), "{limit} {flags:?}: {err}");
            assert!(!by_agent || matches!(output.status.code(), Some(75 | 78)), "{limit} {flags:?}: {err}");
            assert!(out.is_empty() && enough == 0, "{limit} {flags:?}: {out}{err}");
        }
        assert!(enough >= 5, "{enough}");
    }
}

#[test]
fn a_script_without_an_interpreter_is_run_by_the_shell_and_nonsense_is_refused() {
    let folder = Folder::new();
    let script = folder.program("script", "echo \"$0\" \"$@\" $#\nexit 7\n");
    let script = script.to_str().unwrap();
    for flags in [&[][..], &["--init"]] {
        let (out, status) = output(flags, &[script, "-c", "two words"]);
        assert_eq!((out, status.code()), (format!("{script} -c two words 2\n"), Some(7)));
        let nonsense = folder.program("nonsense", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xff\xff");
        let refused = exec(flags, &[nonsense.to_str().unwrap()]).output().unwrap();
        assert_eq!(refused.status.code(), Some(126));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains("nor a program for this machine's processor"), "{said}");
    }
}

#[test]
fn core_dumps_are_off_unless_the_machine_allows_them() {
    let run = |flags: &[&str], settings: &str| {
        let folder = Folder::new();
        let config = folder.write("agent.yaml", settings);
        let agent = exec(flags, &["sh", "-c", "ulimit -S -c; ulimit -H -c"]);
        let mut command = without_store(Command::new("bash"));
        command.args(["-c", "ulimit -H -c 70; ulimit -S -c 30; exec \"$@\"", "bash"]);
        command.arg(agent.get_program()).args(agent.get_args()).env("DROPSAFE_CONFIG", config);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    for init in [&[][..], &["--init"]] {
        assert_eq!(run(init, ""), "0\n0\n");
        // In blocks of 512 bytes and not of 1024, as bash counts.
        assert_eq!(run(&[init, &["--allow-core-dumps"]].concat(), ""), "60\n140\n");
        assert_eq!(run(init, "allow_core_dumps: true\n"), "60\n140\n");
    }
}
