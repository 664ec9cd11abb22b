//! The processes below this one.
//!
//! It reads `/proc`, all of it: descendants that moved to this process when their parent died are found
//! like all others. A process is named by its id and its start time, so an id used again is not mistaken.

use std::collections::{HashMap, HashSet};
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// A process, told apart from any later one with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pid: Pid,
    started: u64,
}

/// What `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: i32,
    state: u8,
    started: u64,
}

/// Returns the children of this process.
pub(crate) fn children() -> io::Result<HashSet<Process>> {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    Ok(all()?
        .into_iter()
        .filter(|(_, stat)| stat.parent == me)
        .map(|(process, _)| process)
        .collect())
}

/// Returns the living processes below this one, leaving out `strangers` and what is below them.
pub(crate) fn descendants(strangers: &HashSet<Process>) -> io::Result<Vec<Process>> {
    let mut by_parent: HashMap<i32, Vec<(Process, Stat)>> = HashMap::new();
    for (process, stat) in all()? {
        if !strangers.contains(&process) {
            by_parent.entry(stat.parent).or_default().push((process, stat));
        }
    }
    let mut alive = Vec::new();
    let mut parents = vec![rustix::process::getpid().as_raw_nonzero().get()];
    while let Some(parent) = parents.pop() {
        // Removing them makes the walk end even if `/proc` changed under it into a ring.
        for (process, stat) in by_parent.remove(&parent).unwrap_or_default() {
            parents.push(process.pid.as_raw_nonzero().get());
            if !matches!(stat.state, b'Z' | b'X') {
                alive.push(process);
            }
        }
    }
    Ok(alive)
}

/// Says whether the process `pid` is somewhere below this one.
///
/// A process that is gone is not.
pub(crate) fn is_below(pid: i32) -> bool {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let mut at = pid;
    for _ in 0..DEPTH_MAX {
        match Pid::from_raw(at).and_then(stat) {
            Some(stat) if stat.parent == me => return true,
            Some(stat) => at = stat.parent,
            None => return false,
        }
    }
    false
}

/// Says whether `pid` is stopped.
pub(crate) fn is_stopped(pid: Pid) -> bool {
    stat(pid).is_some_and(|stat| matches!(stat.state, b'T' | b't'))
}

// === impl Process ===

impl Process {
    /// Sends `signal`, unless the process is gone.
    pub(crate) fn signal(self, signal: Signal) -> io::Result<()> {
        let sent = match pidfd_open(self.pid, PidfdFlags::empty()) {
            Ok(fd) => match stat(self.pid) {
                // The descriptor was opened before the start time was read, so both speak of one process.
                Some(now) if now.started == self.started => pidfd_send_signal(fd, signal),
                _ => Ok(()),
            },
            Err(Errno::NOSYS) => kill_process(self.pid, signal),
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn all() -> io::Result<Vec<(Process, Stat)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        if let Some(stat) = stat(pid) {
            found.push((Process { pid, started: stat.started }, stat));
        }
    }
    Ok(found)
}

fn stat(pid: Pid) -> Option<Stat> {
    let line = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    parse(&line)
}

fn parse(line: &[u8]) -> Option<Stat> {
    // The program's name stands in parentheses and may itself hold spaces and parentheses.
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(line.get(end.checked_add(1)?..)?).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(FIELDS_TO_START)?.parse().ok()?;
    Some(Stat { parent, state, started })
}

/// How far up the chain of parents is followed; deeper ones count as outside.
const DEPTH_MAX: usize = 256;
/// How many fields lie between the parent and the start time.
const FIELDS_TO_START: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_program_is_called() {
        let rest = "S 42 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 10";
        for name in ["sh", "a b", ") R 7", "((", "\u{fc}"] {
            let line = format!("7 ({name}) {rest}");
            assert_eq!(
                parse(line.as_bytes()),
                Some(Stat { parent: 42, state: b'S', started: 98_765 }),
                "{name}"
            );
        }
        for line in ["", "7 (sh", "7 (sh) S", "7 (sh) S x 1", "7 (sh) S 42 1 1"] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }
}
