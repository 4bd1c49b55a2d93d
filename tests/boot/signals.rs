//! Signals, statuses, masks, dispositions and terminals pass through `exec --init` as if nobody stood between.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::workload::{Running, agent, exec, kill, lives, output, within, without_store};

/// Prints the number of each signal it gets.
const TRAPS: &str = "for n in $(seq 1 64); do trap \"echo $n\" $n 2>/dev/null; done; \
    sleep 1000 & trap \"kill -9 $! 2>/dev/null\" EXIT; echo ready; while :; do wait $!; done";

#[test]
fn all_256_statuses_come_through() {
    std::thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || {
                for code in (0..=255).filter(|code| code % 4 == part) {
                    let (_, status) = output(&["--init"], &["sh", "-c", &format!("exit {code}")]);
                    assert_eq!(status.code(), Some(code));
                }
            });
        }
    });
}

#[test]
fn a_workload_that_a_signal_ends_gives_128_and_its_number() {
    for number in [1, 2, 3, 6, 9, 11, 13, 15, 34, 64] {
        let (_, status) = output(&["--init"], &["sh", "-c", &format!("kill -{number} $$")]);
        assert_eq!(status.code(), Some(128 + number));
    }
}

#[test]
fn a_program_that_cannot_start_is_reported_like_by_a_shell() {
    assert_eq!(output(&["--init"], &["/nonexistent"]).1.code(), Some(127));
    assert_eq!(output(&["--init"], &["/dev/null"]).1.code(), Some(126));
    let denied = exec(&["--init"], &["true"]).env("DROPSAFE_ON_OUTAGE", "fail").output().unwrap();
    assert_eq!(denied.status.code(), Some(69));
}

#[test]
fn every_signal_is_passed_on_but_those_of_the_supervisor_itself() {
    let mut running = Running::start(&mut exec(&["--init", "--grace", "0s"], &["bash", "-c", TRAPS]));
    assert_eq!(running.line(), "ready");
    // KILL and STOP cannot be passed on, CHLD is the supervisor's own, TSTP, TTIN and TTOU stop it as well (see jobs.rs), and bash
    // cannot handle 32 and 33. What a fault of one's own would send (4, 5, 7, 8, 11) is a signal like any other if somebody sends it.
    for number in (1..=64).filter(|n| ![9, 17, 19, 20, 21, 22, 32, 33].contains(n)) {
        kill(running.pid(), number);
        assert_eq!(running.line(), number.to_string());
    }
}

#[test]
fn signals_for_the_group_and_for_the_workload_reach_exactly_those() {
    let script = "trap 'echo outer' USR1; bash -c 'trap \"echo inner; exit\" USR1; echo ready; while :; do sleep 0.02; done' & \
        while :; do sleep 0.02; done";
    let mut group =
        Running::start(&mut exec(&["--init", "--group", "--grace", "0s"], &["bash", "-c", script]));
    assert_eq!(group.line(), "ready");
    group.signal(Signal::SIGUSR1);
    let mut both = [group.line(), group.line()];
    both.sort();
    assert_eq!(both, ["inner", "outer"]);

    let mut alone = Running::start(&mut exec(&["--init", "--grace", "0s"], &["bash", "-c", script]));
    assert_eq!(alone.line(), "ready");
    alone.signal(Signal::SIGUSR1);
    assert_eq!(alone.line(), "outer");
    alone.signal(Signal::SIGUSR1);
    assert_eq!(alone.line(), "outer");
}

#[test]
fn signals_for_the_group_reach_the_workload_where_it_has_left_its_group() {
    // It joins the supervisor's, so that nobody is in its own. Only that one signal is for it.
    let script = "import os,signal,sys; signal.alarm(20); os.setpgid(0,os.getpgid(os.getppid())); \
        signal.signal(signal.SIGUSR1,lambda *_:(print('got it',flush=True),sys.exit(5))); print('ready',flush=True); signal.pause()";
    let mut running =
        Running::start(&mut exec(&["--init", "--group", "--grace", "0s"], &["python3", "-c", script]));
    assert_eq!(running.line(), "ready");
    running.signal(Signal::SIGUSR1);
    assert_eq!(running.line(), "got it");
    assert_eq!(running.wait().code(), Some(5));
}

#[test]
fn a_death_of_the_parent_is_passed_on_if_the_parent_asked_for_a_signal() {
    let workload = "trap 'echo orphaned; exit' USR1; echo $PPID; while :; do sleep 0.02; done";
    let agent = exec(&["--init", "--grace", "0s"], &["bash", "-c", workload]);
    let mut parent = without_store(Command::new("bash"));
    // In the background, so that the shell stays its parent.
    parent.args(["-c", "setpriv --pdeathsig USR1 \"$@\" & wait", "bash"]).arg(agent.get_program());
    let mut parent = Running::start(parent.args(agent.get_args()));
    let supervisor: i32 = parent.line().parse().unwrap();
    parent.child.kill().unwrap();
    assert_eq!(parent.line(), "orphaned");
    within(std::time::Duration::from_secs(20), || (!lives(supervisor)).then_some(()));
}

#[test]
fn a_signal_of_a_fault_has_its_default_action_if_somebody_sends_it_during_the_fetch() {
    for number in [4, 5, 7, 8, 11, 31] {
        for (flags, code) in [(&["--init"][..], Some(128 + number)), (&[], None)] {
            let mut command = exec(flags, &["true"]);
            command.env("DROPSAFE_DEADLINE", "20s").stderr(Stdio::null());
            // No core of it is of use to anybody.
            let mut limited = without_store(Command::new("sh"));
            limited.args(["-c", "ulimit -c 0; exec \"$@\"", "sh"]).arg(command.get_program());
            limited.args(command.get_args()).env("DROPSAFE_DEADLINE", "20s").stderr(Stdio::null());
            let mut running = Running::start(&mut limited);
            std::thread::sleep(std::time::Duration::from_millis(300));
            kill(running.pid(), number);
            let status = running.wait();
            let signal = std::os::unix::process::ExitStatusExt::signal(&status);
            assert_eq!((status.code(), signal), (code, code.is_none().then_some(number)), "{flags:?}");
        }
    }
}

/// Makes a process that waits in a system call execute `instruction` when that returns.
#[cfg(target_arch = "x86_64")]
pub fn overwrite_next_instruction(pid: nix::unistd::Pid, instruction: &[u8]) {
    use std::os::unix::fs::FileExt as _;
    // proc_pid_syscall(5): the last field is the program counter. It may still run.
    let counter = within(std::time::Duration::from_secs(10), || {
        let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap();
        u64::from_str_radix(call.trim().rsplit("0x").next().unwrap(), 16).ok()
    });
    let memory = std::fs::File::options().write(true).open(format!("/proc/{pid}/mem")).unwrap();
    memory.write_all_at(instruction, counter).unwrap();
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_fault_of_the_supervisors_own_ends_it() {
    // A privileged and an invalid instruction.
    for (instruction, signal) in [(&[0xf4][..], 11), (&[0x0f, 0x0b], 4)] {
        let agent = exec(&["--init"], &["sh", "-c", "echo ready; exec sleep 30"]);
        let mut command = without_store(Command::new("sh"));
        command.args(["-c", "ulimit -c 0; exec \"$@\"", "sh"]).arg(agent.get_program());
        let mut running = Running::start(command.args(agent.get_args()));
        assert_eq!(running.line(), "ready");
        let workload = super::workload::child(running.pid());
        within(std::time::Duration::from_secs(10), || {
            (super::workload::state(running.pid()) == 'S').then_some(())
        });
        overwrite_next_instruction(running.pid(), instruction);
        running.signal(Signal::SIGURG);
        let status = running.wait();
        kill(workload, 9);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(signal));
    }
}

#[test]
fn a_signal_during_the_fetch_ends_the_agent_at_once() {
    for (signal, code) in
        [(Signal::SIGTERM, 143), (Signal::SIGINT, 130), (Signal::SIGHUP, 129), (Signal::SIGUSR1, 138)]
    {
        let mut command = exec(&["--init"], &["true"]);
        command.env("DROPSAFE_DEADLINE", "1h").stderr(Stdio::null());
        let mut running = Running::start(&mut command);
        std::thread::sleep(std::time::Duration::from_millis(300));
        running.signal(signal);
        assert_eq!(running.wait().code(), Some(code));
    }
}

/// `SigBlk` and `SigIgn` of the program that a shell with these traps starts, with and without the agent between.
fn seen(before: &str, through: &[&str]) -> Vec<String> {
    let agent = agent();
    let between =
        if through.is_empty() { String::new() } else { format!("{agent} exec {} --", through.join(" ")) };
    let script = format!("{before} {between} grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status");
    let output = without_store(Command::new("bash")).arg("-c").arg(script).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_workload_finds_the_mask_and_the_ignored_signals_that_the_agent_found() {
    for before in ["", "trap '' PIPE;", "trap '' HUP CHLD;", "trap '' PIPE TERM INT USR2 TTOU CHLD;"] {
        let plain = seen(before, &[]);
        assert_eq!(plain.len(), 3);
        assert_eq!(seen(before, &["--init"]), plain, "{before} --init");
        assert_eq!(seen(before, &["--init", "--group"]), plain, "{before} --group");
        let alone = without_store(Command::new("bash"))
            .arg("-c")
            .arg(format!("{before} {} exec -- grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status", agent()))
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(alone.stdout).unwrap().lines().collect::<Vec<_>>(),
            plain,
            "{before} exec"
        );
    }
}

#[test]
fn a_blocked_signal_stays_blocked() {
    // Python is the shortest program that can block one; without it, nothing is shown here.
    let script = "import os,signal,sys; signal.pthread_sigmask(signal.SIG_BLOCK,[signal.SIGUSR1,34,40]); os.execv(sys.argv[1],sys.argv[1:])";
    let agent = agent();
    let run = |arguments: &[&str]| {
        let output =
            without_store(Command::new("python3")).args(["-c", script]).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find(|line| line.starts_with("SigBlk")).map(str::to_owned)
    };
    let plain = run(&["/bin/cat", "/proc/self/status"]);
    // 34 is where musl has no signal, and glibc has its first for programs.
    assert_eq!(plain.as_deref(), Some("SigBlk:\t0000008200000200"));
    assert_eq!(run(&[&agent, "exec", "--init", "--", "cat", "/proc/self/status"]), plain);
    assert_eq!(run(&[&agent, "exec", "--", "cat", "/proc/self/status"]), plain);
}
