//! What a run may use up, all of it together: memory and processes.
//!
//! A control group is root's to make where the first version is in use, so these tests run as root, and what
//! is confined is somebody else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::kit::{finish, until};

/// The example, as root, which confines a user that nobody is.
fn confine(options: &[&str], script: &str) -> Command {
    assert!(rustix::process::geteuid().is_root(), "run these tests as root: they make groups");
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().unwrap().parent().unwrap().join("examples/confine");
    let mut command = Command::new(built);
    command.args(["--as", UID, "--memory", MEMORY]).args(options).args(["--", "sh", "-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The groups of runs of this process's children, in every hierarchy that has a controller for them.
fn groups() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let mut found = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controller, path) = (fields.next().unwrap(), fields.next().unwrap());
        let base = Path::new("/sys/fs/cgroup").join(controller).join(path.trim_start_matches('/'));
        let entries = fs::read_dir(base).into_iter().flatten().flatten();
        let named = entries.filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.strip_prefix("iddio-").is_some_and(|pid| pid.parse::<u32>().is_ok())
        });
        found.extend(named.map(|entry| entry.path()));
    }
    found
}

/// The group that holds a run, in each hierarchy: those whose processes are of the child `outer`.
fn groups_of(outer: u32) -> Vec<PathBuf> {
    let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children"));
    let stage = children.unwrap_or_default().split_whitespace().next().map(str::to_owned);
    let name = format!("iddio-{}", stage.unwrap_or_default());
    groups().into_iter().filter(|path| path.ends_with(&name)).collect()
}

#[test]
fn a_run_that_takes_more_memory_than_it_may_is_ended_and_nobody_else() {
    let output = confine(&[], "tail /dev/zero; echo tail $?; echo still here").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("group: Held"), "this host lets root make no group: {said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "tail 137\nstill here\n");
    // A run of many that are small is one that is large.
    let many = "for n in 1 2 3 4 5 6 7 8; do head -c 16m /dev/zero | tail & done; wait; echo end";
    let (code, printed) = finish(&mut confine(&[], many));
    assert_eq!((code, printed.trim_matches('\0')), (0, "end\n"));
    let (code, _) = finish(&mut confine(&[], "exec tail /dev/zero"));
    assert_eq!(code, 137);
}

#[test]
fn a_run_that_forks_without_end_stays_below_its_limit_and_ends_at_once() {
    let bomb = "import os, signal\nwhile True:\n try:\n  os.fork() or signal.pause()\n except OSError: pass";
    // As a user of its own: what others of its user start counts, too.
    let mut command =
        confine(&["--processes", "40", "--as", "61235"], &format!("exec python3 -c '{bomb}'"));
    let mut child = command.spawn().unwrap();
    let limited = |group: &PathBuf| {
        fs::read_to_string(group.join("pids.max")).is_ok_and(|most| most.trim() == "40")
    };
    until("a limit", || groups_of(child.id()).iter().any(limited));
    let groups = groups_of(child.id());
    let pids = groups.iter().find(|group| limited(group)).unwrap();
    let number = |name: &str| -> u64 {
        let text = fs::read_to_string(pids.join(name)).unwrap();
        text.trim().trim_start_matches("max ").lines().next().unwrap().parse().unwrap()
    };
    // The kernel counts how often it refused one more.
    until("a refusal", || number("pids.events") > 0);
    assert!(number("pids.current") <= 40);
    child.kill().unwrap();
    child.wait().unwrap();
    // All of it is gone with whom it belonged to. What is left is empty, and removed by the next.
    until("an end", || number("pids.current") == 0);
    finish(&mut confine(&[], "true"));
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
}

#[test]
fn a_group_goes_with_its_run() {
    let mut child = confine(&[], "exec cat").stdin(Stdio::piped()).spawn().unwrap();
    until("a group", || !groups_of(child.id()).is_empty());
    let groups = groups_of(child.id());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
}

/// A user that nobody is.
const UID: &str = "61234";

/// 64 MiB.
const MEMORY: &str = "67108864";
