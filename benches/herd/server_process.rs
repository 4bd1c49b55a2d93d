//! Processor time and memory of a server's process, from /proc.

use std::time::Duration;

/// Returns the processor time of the processes, user and system together.
pub fn cpu(pids: &[u32]) -> Duration {
    let ticks = pids.iter().map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The second field, a name in parentheses, may contain blanks and parentheses.
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    });
    // USER_HZ is 100 on every Linux.
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// Returns the largest resident memory that a process has had, in MiB.
pub fn peak_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
