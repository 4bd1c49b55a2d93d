//! Finds the processes that a supervisor is responsible for: its descendants if it is a subreaper, all processes if it is the first
//! of its PID namespace. It reads /proc and sends no signal.
#![expect(clippy::disallowed_methods, reason = "reads /proc/PID/stat")]

use std::collections::BTreeMap;
use std::fs;

use nix::unistd::Pid;

/// The parent of every process, by number. Empty if /proc is not mounted.
fn read_parents() -> BTreeMap<i32, i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    let number = |name: std::ffi::OsString| name.to_str()?.parse::<i32>().ok();
    let processes = entries.filter_map(|entry| number(entry.ok()?.file_name()));
    // A process whose file is gone has ended while /proc was read.
    processes.filter_map(|pid| Some((pid, read_stat(pid)?.0))).collect()
}

fn read_stat(pid: i32) -> Option<(i32, bool)> {
    parent_and_stopped(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Whether a signal has stopped the process.
pub(crate) fn is_stopped(pid: Pid) -> bool {
    read_stat(pid.as_raw()).is_some_and(|(_, stopped)| stopped)
}

/// Field 4 of proc_pid_stat(5), and whether field 3 says that it is stopped, if the process is alive.
fn parent_and_stopped(stat: &[u8]) -> Option<(i32, bool)> {
    // Field 2 is the name in parentheses, which may itself contain parentheses and spaces.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = str::from_utf8(stat.get(end + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    // A zombie takes no signal, and somebody else has to reap it.
    (!matches!(state, "Z" | "X")).then_some((parent, state == "T"))
}

/// The living descendants of `top`, except `except`. Returns `None` if /proc is not mounted.
pub(crate) fn find(top: Pid, except: Option<Pid>) -> Option<Vec<Pid>> {
    let parents = read_parents();
    // This process itself is always listed where there is a /proc.
    if parents.is_empty() {
        return None;
    }
    // Not by descent: the first process of a namespace is also responsible for processes that entered it from outside (nsenter(1)),
    // whose parent is 0 here.
    let found = if top == Pid::from_raw(1) {
        parents.into_keys().filter(|pid| *pid != top.as_raw()).collect()
    } else {
        descend(&parents, top.as_raw())
    };
    Some(found.into_iter().map(Pid::from_raw).filter(|pid| Some(*pid) != except).collect())
}

fn descend(parents: &BTreeMap<i32, i32>, top: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (pid, parent) in parents {
        children.entry(*parent).or_default().push(*pid);
    }
    let mut found = Vec::new();
    let mut next = vec![top];
    while let Some(parent) = next.pop() {
        // Removed, and not just looked up: a number that was used again while /proc was read could close a circle.
        for child in children.remove(&parent).unwrap_or_default() {
            found.push(child);
            next.push(child);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        assert_eq!(parent_and_stopped(b"12 (a) Z 1 (x) S 7 12 12 0"), Some((7, false)));
        assert_eq!(parent_and_stopped(b"12 (sh) T 1 12"), Some((1, true)));
        assert_eq!(parent_and_stopped(b"12 (sh) Z 1 12"), None);
        assert_eq!(parent_and_stopped(b"12 sh S 1"), None);
        assert_eq!(parent_and_stopped(b"12 (sh)"), None);
    }

    #[test]
    fn a_tree_is_followed_to_its_leaves_and_never_in_a_circle() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 3), (5, 2), (9, 8), (8, 9)]);
        let mut found = descend(&parents, 2);
        found.sort_unstable();
        assert_eq!(found, [3, 4, 5]);
        assert_eq!(descend(&parents, 8), [9, 8]);
        assert!(descend(&parents, 7).is_empty());
    }

    #[test]
    fn this_process_is_below_its_parent() {
        let (own, parent) = (nix::unistd::getpid(), nix::unistd::getppid());
        assert!(find(parent, None).unwrap().contains(&own));
        assert!(!find(parent, Some(own)).unwrap().contains(&own));
    }
}
