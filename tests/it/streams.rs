//! Streams, signals and time: what a command cannot tell apart from running without iddio.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    process::Stdio,
    thread,
};

use iddio_tests::{Started, World};
use rustix::process::Signal;

use crate::kit::{OPEN, of};

#[test]
fn one_gigabyte_through_stdin_and_stdout_keeps_every_byte() {
    const BLOCKS: u64 = 1024;
    const BLOCK: usize = 1 << 20;
    let world = World::with_policy(OPEN);
    let mut command = world.command(["exec", "--", "cat"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writing = thread::spawn(move || {
        let mut sum = Sum::default();
        for block in 0..BLOCKS {
            let bytes = pattern(block, BLOCK);
            sum.add(&bytes);
            stdin.write_all(&bytes).unwrap();
        }
        sum
    });
    let mut stdout = child.stdout.take().unwrap();
    let mut sum = Sum::default();
    let mut buffer = vec![0; BLOCK];
    loop {
        let count = stdout.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        sum.add(&buffer[..count]);
    }
    assert_eq!(writing.join().unwrap(), sum);
    assert_eq!(sum.bytes, BLOCKS * BLOCK as u64);
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_child_sees_an_allow_listed_environment_and_no_shell_shaping() {
    let world = World::with_policy(OPEN);
    let mut command = world.command(["exec", "--", "printenv"]);
    let hostile = [
        ("LD_PRELOAD", "/tmp/none.so"),
        ("BASH_ENV", "/tmp/none"),
        ("PYTHONSTARTUP", "/tmp/none"),
        ("GIT_SSH_COMMAND", "none"),
        ("IDDIO_TOKEN_X", "none"),
        ("AWS_SECRET_ACCESS_KEY", "none"),
        ("SSH_AUTH_SOCK", "/tmp/none"),
    ];
    let output = command.envs(hostile).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for (name, _) in hostile {
        assert!(!text.contains(name), "{name} reached the child:\n{text}");
    }
    assert!(text.lines().any(|line| line.starts_with("PATH=")), "{text}");
}

#[test]
fn a_signal_to_the_wrapper_reaches_the_command_and_its_end_is_recorded() {
    let world = World::with_policy(OPEN);
    let script = world.file(
        "waits.sh",
        "#!/bin/sh\ntrap 'echo caught; exit 9' TERM\necho ready >&2\nwhile :; do sleep 0.05; done\n",
    );
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut running = world.start(["exec", "--", script.to_str().unwrap()]);
    running.until("ready");
    running.signal(Signal::TERM);
    let said = running.end().exits(9);
    assert_eq!(said.stdout, "caught\n");
    let records = world.records();
    assert_eq!(of(&records, "closed")[0]["exit_code"], 9);
}

#[test]
fn an_interrupted_wait_withdraws_the_ask() {
    let world = World::with_policy(crate::kit::ASKING);
    let mut running = world.start(["exec", "--", "touch", "ran"]);
    let id = running.until_asked();
    running.signal(Signal::INT);
    running.end().exits(77);
    assert!(!world.work().join("ran").exists());
    let said = world.iddio(["approvals", "approve", &id]);
    assert_ne!(said.code, 0, "a withdrawn ask cannot be granted: {said:#?}");
    world.verify();
}

#[test]
fn the_time_limit_of_policy_ends_a_command_with_124() {
    let world = World::with_policy(
        "agents:\n  local:root:\n    rules:\n      - {protocol: command, tiers: {0: allow}, max_duration: 1s}\n",
    );
    world.iddio(["exec", "--", "sleep", "100"]).exits(124).says("timed out");
    let records = world.records();
    let closed = of(&records, "closed");
    assert_eq!(closed[0]["outcome"], "timed_out");
    assert_eq!(closed[0]["exit_code"], 124);
}

#[test]
fn a_double_forked_child_does_not_outlive_the_run() {
    // E27: a run has ended when its last descendant has.
    let world = World::with_policy(OPEN);
    let script = world.file(
        "forks.sh",
        "#!/bin/sh\n(setsid sh -c 'echo $$ > pid; exec sleep 1000' >/dev/null 2>&1 &)\nwhile [ ! -s pid ]; do sleep 0.01; done\n",
    );
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    world.iddio(["exec", "--", script.to_str().unwrap()]).ok();
    let pid = fs::read_to_string(world.work().join("pid")).unwrap();
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists(), "{pid} is still there");
    let records = world.records();
    let note = of(&records, "closed")[0]["note"].as_str().unwrap().to_owned();
    assert!(note.contains("outlived"), "{note}");
}

#[test]
fn bytes_that_are_not_utf_8_reach_the_command_and_the_record() {
    // E13: two commands whose text looks alike are two actions.
    use std::os::unix::ffi::OsStringExt;
    let world = World::with_policy(OPEN);
    let mut digests = Vec::new();
    for byte in [0xfe, 0xff] {
        let name = std::ffi::OsString::from_vec(vec![b'a', byte]);
        let words = ["exec", "--", "printf", "%s"].map(std::ffi::OsString::from);
        let output = world.command(words.into_iter().chain([name])).output().unwrap();
        assert_eq!(output.stdout, [b'a', byte]);
    }
    for record in of(&world.records(), "decided") {
        digests.push(record["action_digest"].clone());
        assert!(record["argv"].to_string().contains("base64"), "{record:#}");
    }
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn output_is_live_and_not_kept_back() {
    let world = World::with_policy(OPEN);
    let script =
        world.file("live.sh", "#!/bin/sh\necho first >&2\nread line\necho \"second $line\" >&2\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = world.command(["exec", "--", script.to_str().unwrap()]);
    command.stdin(Stdio::piped());
    let mut running = Started::of(&mut command);
    running.until("first");
    running.write(b"line\n");
    running.until("second line");
    running.end().ok();
}

/// A checksum that is cheap beside a pipe: FNV-1a over eight bytes at a time would hide nothing,
/// but position matters too.
#[derive(Debug, Default, Eq, PartialEq)]
struct Sum {
    bytes: u64,
    hash: u64,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.bytes += 1;
            self.hash =
                (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(5);
        }
    }
}

fn pattern(block: u64, len: usize) -> Vec<u8> {
    let mut state = block.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
