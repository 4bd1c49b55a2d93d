//! What stays of a value where it does not belong, after boots from a real store: no window of 16 bytes in the memory, the files in
//! /proc, the core dumps and the swapped pages of the process that stays. Each search is proved to work on a text that is there.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::harness::Site;
use super::kernel::{HOST, Kernel, uml_runs};
use super::place::{Folder, run};
use super::scope::{OFF, PRIVATE, SHARED, deposit, files_with, holds};
use super::signals::overwrite_next_instruction;
use super::skip;
use super::workload::{Running, lives, within};

/// Says that it is there, and waits for a line.
const WORKLOAD: &str = "echo ready; read line";

fn site() -> (Site, String) {
    let mut site = Site::new();
    site.serve_unlocked();
    deposit(&site);
    let ticket = site.ticket("admin", &[]);
    (site, ticket)
}

fn boot(site: &Site, ticket: &str, flags: &[&str], script: &str) -> Running {
    let arguments = [&["exec"], flags, &["--", "sh", "-c", script]].concat();
    let mut command = site.agent_command(ticket, &arguments, &[]);
    Running::start(command.stderr(Stdio::null()))
}

/// Whether any of them is somewhere it should not be.
fn found(text: &[u8], ticket: &str) -> bool {
    [PRIVATE, SHARED, OFF, ticket].into_iter().any(|secret| holds(text, secret))
}

/// All that can be read of a process's memory: as gcore(1) does, and the pages that are not writable too.
fn memory(pid: i32) -> Vec<u8> {
    let mut image = Vec::new();
    let Ok(memory) = fs::File::open(format!("/proc/{pid}/mem")) else { return image };
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with('r'))) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        // The kernel's own page at the very top is no address of a file.
        let Ok(size) = usize::try_from(to.saturating_sub(from)) else { continue };
        let mut bytes = vec![0; size];
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            image.extend(bytes);
        }
    }
    image
}

/// Reads the files of a process in /proc and its open files, without its memory.
fn process_files(pid: i32) -> Vec<u8> {
    let files =
        ["environ", "cmdline", "maps", "smaps", "status", "stat", "comm", "auxv", "limits", "mountinfo"];
    let mut content: Vec<u8> =
        files.iter().filter_map(|file| fs::read(format!("/proc/{pid}/{file}")).ok()).flatten().collect();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let entry = entry.unwrap();
        let target = fs::read_link(entry.path()).unwrap_or_default();
        content.extend(target.as_os_str().as_encoded_bytes());
        content.push(b'\n');
        // An open file's content counts too. A pipe or socket also belongs to another process.
        if target.is_file() {
            content.extend(fs::read(entry.path()).unwrap_or_default());
        }
    }
    content
}

fn children(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn named(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

#[test]
fn the_supervisors_memory_and_files_before_during_and_after_the_workload() {
    if !nix::unistd::getuid().is_root() {
        return skip("reading another process's memory (needs root)");
    }
    let (site, ticket) = site();
    // One that ignores TERM keeps the supervisor for a while after the workload has ended.
    let script = "( setsid sh -c 'trap \"\" TERM; echo ready; sleep 1000' & ); read line";
    let mut running = boot(&site, &ticket, &["--init", "--mask", "--grace", "30s"], script);
    let supervisor = running.pid().as_raw();
    // From before the parting on: until there is a workload, every look is one at a boot under way.
    let mut looks = 0;
    let image = within(Duration::from_secs(30), || {
        // Asked before the memory is read: it may part from the fetching process while that takes place.
        let parted = named(supervisor) == "dropsafe-agent" && children(supervisor).len() == 2;
        let image = memory(supervisor);
        assert!(!parted || !found(&image, &ticket), "the supervisor's memory holds something, look {looks}");
        looks += usize::from(parted);
        let workload = *children(supervisor).iter().find(|pid| named(**pid) == "sh")?;
        holds(&fs::read(format!("/proc/{workload}/environ")).unwrap_or_default(), PRIVATE).then_some(image)
    });
    assert!(image.len() > 1 << 20, "only {} bytes were read", image.len());
    assert_eq!(running.line(), "ready");

    let all = children(supervisor);
    let workload = *all.iter().find(|pid| named(**pid) == "sh").unwrap();
    let filter = *all.iter().find(|pid| named(**pid) == "dropsafe-mask").unwrap();
    assert!(holds(&memory(workload), PRIVATE), "the search finds nothing in the workload");
    assert!(!holds(&memory(workload), &ticket), "the workload's memory holds the ticket");
    assert!(holds(&memory(filter), PRIVATE), "the search finds nothing in the process that masks");
    assert!(!found(&memory(supervisor), &ticket), "the supervisor's memory holds something");
    for pid in [supervisor, filter] {
        let content = process_files(pid);
        assert!(!content.is_empty() && !found(&content, &ticket), "{}", String::from_utf8_lossy(&content));
    }
    assert!(found(&fs::read(format!("/proc/{workload}/environ")).unwrap(), &ticket));

    running.say("");
    within(Duration::from_secs(10), || (!lives(workload)).then_some(()));
    assert!(lives(supervisor), "it is gone already");
    assert!(
        !found(&memory(supervisor), &ticket) && !found(&process_files(supervisor), &ticket),
        "after the workload"
    );
    // The straggler is its child now.
    for pid in children(supervisor).into_iter().filter(|pid| *pid != filter) {
        let _ = kill(Pid::from_raw(-pid), Signal::SIGKILL);
    }
    assert!(running.wait().success());
}

#[test]
fn without_a_supervisor_nothing_of_the_agent_is_left() {
    let (site, ticket) = site();
    let mut running = boot(&site, &ticket, &[], WORKLOAD);
    assert_eq!(running.line(), "ready");
    let pid = running.pid().as_raw();
    assert_eq!(named(pid), "sh");
    assert!(children(pid).is_empty());
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Threads:\t1\n") && status.contains("SigBlk:\t0000000000000000\n"), "{status}");
    // Whoever runs the tests may leave some open to everybody.
    let open =
        |pid: i32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut control = Running::start(Command::new("sh").args(["-c", WORKLOAD]).stderr(Stdio::null()));
    assert_eq!(control.line(), "ready");
    let inherited: Vec<_> = open(control.pid().as_raw()).collect();
    assert!(
        open(pid).all(|fd| inherited.contains(&fd)),
        "{:?}, not {inherited:?}",
        open(pid).collect::<Vec<_>>()
    );
    let image = memory(pid);
    assert!(holds(&image, PRIVATE), "the search finds nothing");
    assert!(![SHARED, OFF, &ticket].into_iter().any(|secret| holds(&image, secret)));
    running.say("");
    assert!(running.wait().success());
}

#[test]
#[cfg(target_arch = "x86_64")]
fn no_core_is_dumped_of_any_of_the_three() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE).unwrap().1;
    if pattern.contains(['/', '|']) || limit == 0 {
        return skip("core dumps (this machine sends them elsewhere, or allows none)");
    }
    let folder = Folder::new();
    let cores = |folder: &Folder| {
        let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("core"))
            .collect::<Vec<_>>()
    };
    // A program like any other, in the same place and with the same limit: there is a core, and it holds the value.
    let dumping = "cd \"$0\" && ulimit -c \"$(ulimit -H -c)\" && exec \"$@\"";
    let mut control = Command::new("sh");
    control
        .args(["-c", dumping])
        .arg(folder.path())
        .args(["sh", "-c", "kill -SEGV $$"])
        .env("VALUE", PRIVATE);
    run(&mut control);
    let [core] = &cores(&folder)[..] else { panic!("no core is dumped here at all") };
    assert!(holds(&fs::read(core).unwrap(), PRIVATE), "the search finds nothing in a core");
    fs::remove_file(core).unwrap();

    let (site, ticket) = site();
    for (victim, signal) in [
        // They are not ended by what others send, and have to have a fault of their own.
        ("supervisor", Signal::SIGURG),
        ("filter", Signal::SIGSEGV),
        ("workload", Signal::SIGSEGV),
    ] {
        let arguments = ["exec", "--init", "--mask", "--grace", "100ms", "--", "sh", "-c", WORKLOAD];
        let agent = site.agent_command(&ticket, &arguments, &[]);
        let mut command = Command::new("sh");
        command
            .args(["-c", dumping])
            .arg(folder.path())
            .arg(agent.get_program())
            .args(agent.get_args())
            .env_clear();
        command.envs(agent.get_envs().filter_map(|(name, value)| Some((name, value?)))).stderr(Stdio::null());
        let mut running = Running::start(&mut command);
        assert_eq!(running.line(), "ready");
        let supervisor = running.pid().as_raw();
        let all = children(supervisor);
        let is = |name: &str| *all.iter().find(|pid| named(**pid) == name).unwrap();
        let (workload, filter) = (is("sh"), is("dropsafe-mask"));
        let of = |pid: i32| fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core =
            |limits: String| limits.lines().find(|line| line.starts_with("Max core")).unwrap().to_owned();
        assert!(core(of(workload)).matches(" 1 ").count() == 2, "{}", core(of(workload)));
        let pid = match victim {
            "supervisor" => supervisor,
            "filter" => filter,
            _ => workload,
        };
        if victim != "workload" {
            overwrite_next_instruction(Pid::from_raw(pid), &[0xf4]);
        }
        within(Duration::from_secs(10), || {
            let _ = kill(Pid::from_raw(pid), signal);
            if victim == "filter" {
                // It reads no signals, and goes on when there is output.
                let _ = fs::write(format!("/proc/{supervisor}/fd/1"), "output\n");
            }
            (!lives(pid)).then_some(())
        });
        for left in [workload, filter].into_iter().filter(|pid| lives(*pid)) {
            let _ = kill(Pid::from_raw(left), Signal::SIGKILL);
        }
        running.wait();
        assert!(cores(&folder).is_empty(), "{victim} left {:?}", cores(&folder));
    }
}

#[test]
fn swapped_pages_hold_values_only_if_the_workload_itself_is_swapped() {
    // The disk for the swap is User Mode Linux's own.
    if !uml_runs() {
        return;
    }
    let Some(kernel) = Kernel::uml() else { return };
    let mut site = Site::advertised(&["127.0.0.1", HOST]);
    site.serve_unlocked();
    deposit(&site);
    let ticket = site.ticket("admin", &[]);
    // The workload lets its pages be swapped, or does not. Supervisor and filter are the same both times.
    for (words, expected) in [("keep press 40000", true), ("keep lock press 40000", false)] {
        let disk = swap_space(&kernel.folder);
        let machine = kernel.start(
            &[&format!("ubd0={}", disk.display())],
            &format!("dropsafe.ticket={ticket}"),
            &format!("exec --init --mask /app {words} file /proc/1/status file /proc/swaps"),
        );
        let output = machine.wait_with_output().unwrap();
        let console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let swapped = console
            .lines()
            .find_map(|line| line.strip_prefix("VmSwap:"))
            .unwrap_or_else(|| panic!("{console}"));
        assert!(!swapped.trim().starts_with("0 "), "nothing of the supervisor was swapped out:\n{console}");
        assert!(console.contains("status 0, powering off"), "{console}");
        let found = files_with(&disk, &[PRIVATE]);
        assert_eq!(!found.is_empty(), expected, "{words}: the workload's own pages: {expected}\n{console}");
        assert_eq!(files_with(&disk, &[SHARED, OFF, &ticket]), "", "{words}");
        fs::remove_file(disk).unwrap();
    }
}

fn swap_space(folder: &Folder) -> std::path::PathBuf {
    let disk = folder.join("swap");
    fs::File::create(&disk).unwrap().set_len(128 << 20).unwrap();
    // Not on everybody's path.
    let mkswap = ["/usr/sbin/mkswap", "/sbin/mkswap"].into_iter().find(|path| Path::new(path).exists());
    let ended = run(Command::new(mkswap.unwrap_or("mkswap")).arg(&disk));
    assert!(ended.success, "{}", ended.said);
    disk
}
