//! Finds the processes that a supervisor answers for: below it when it is a subreaper, all of them when it is the first of its
//! PID namespace. It reads /proc and signals nobody.
#![expect(clippy::disallowed_methods, reason = "reads /proc/PID/stat")]

use std::collections::BTreeMap;
use std::fs;

use nix::unistd::Pid;

/// Every process but this one, its parent by number. Empty where /proc is not mounted.
fn parents() -> BTreeMap<i32, i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    let number = |name: std::ffi::OsString| name.to_str()?.parse::<i32>().ok();
    let processes = entries.filter_map(|entry| number(entry.ok()?.file_name()));
    // One that is gone by now is no descendant any more.
    processes.filter_map(|pid| Some((pid, parent(&fs::read(format!("/proc/{pid}/stat")).ok()?)?))).collect()
}

/// The fourth field of proc_pid_stat(5), for a process that lives. The second is in parentheses and may hold anything.
fn parent(stat: &[u8]) -> Option<i32> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = str::from_utf8(stat.get(end + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(parent)
}

/// The living processes below `top`, other than `but`; `None` where /proc is not mounted.
pub(crate) fn below(top: Pid, but: Option<Pid>) -> Option<Vec<Pid>> {
    let parents = parents();
    // One's own process is always there to be seen.
    if parents.is_empty() {
        return None;
    }
    let found = if top == Pid::from_raw(1) {
        parents.into_keys().filter(|pid| *pid != top.as_raw()).collect()
    } else {
        tree(&parents, top.as_raw())
    };
    Some(found.into_iter().map(Pid::from_raw).filter(|pid| Some(*pid) != but).collect())
}

fn tree(parents: &BTreeMap<i32, i32>, top: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (pid, parent) in parents {
        children.entry(*parent).or_default().push(*pid);
    }
    let mut found = Vec::new();
    let mut next = vec![top];
    while let Some(parent) = next.pop() {
        // Taken out: numbers used anew while /proc was read might make a circle.
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
        assert_eq!(parent(b"12 (a) Z 1 (x) S 7 12 12 0"), Some(7));
        assert_eq!(parent(b"12 (sh) S 1 12"), Some(1));
        assert_eq!(parent(b"12 (sh) Z 1 12"), None);
        assert_eq!(parent(b"12 sh S 1"), None);
        assert_eq!(parent(b"12 (sh)"), None);
    }

    #[test]
    fn a_tree_is_followed_to_its_leaves_and_never_in_a_circle() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 3), (5, 2), (9, 8), (8, 9)]);
        let mut found = tree(&parents, 2);
        found.sort_unstable();
        assert_eq!(found, [3, 4, 5]);
        assert_eq!(tree(&parents, 8), [9, 8]);
        assert!(tree(&parents, 7).is_empty());
    }

    #[test]
    fn this_process_is_below_its_parent() {
        let (own, parent) = (nix::unistd::getpid(), nix::unistd::getppid());
        assert!(below(parent, None).unwrap().contains(&own));
        assert!(!below(parent, Some(own)).unwrap().contains(&own));
    }
}
