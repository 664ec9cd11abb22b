//! What the tests share: the example that runs programs, and a terminal to run it on.
//!
//! A supervisor takes over the signals and the children of its process, so it is tried in a process of its own.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// The other end of a terminal, and everything it has shown so far.
pub(crate) struct Pty {
    end: File,
    shown: String,
}

/// The example, as a command whose output is caught; `--` and the program are up to the caller.
pub(crate) fn run() -> Command {
    let mut command = Command::new(run_path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The path of the example, which `cargo test` builds along with the tests.
pub(crate) fn run_path() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().parent().unwrap().join("examples/run");
    assert!(path.exists(), "{} is missing; build with `cargo build --examples`", path.display());
    path
}

/// Runs `sh -c script` under the example and returns its exit code and standard output.
pub(crate) fn sh(options: &[&str], script: &str) -> (i32, String) {
    finish(run().args(options).args(["--", "sh", "-c", script]))
}

/// Runs `command` to its end and returns its exit code and standard output.
pub(crate) fn finish(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let code = output.status.code().unwrap_or_else(|| -output.status.signal().unwrap());
    (code, String::from_utf8(output.stdout).unwrap())
}

/// Waits until `child`, started with its output caught, has printed `line`, and returns what it printed before.
pub(crate) fn read_until(child: &mut Child, line: &str) -> String {
    let mut printed = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    while !printed.ends_with(&format!("{line}\n")) {
        let mut byte = [0];
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "no `{line}` in {printed:?}");
        printed.push(char::from(byte[0]));
    }
    printed
}

/// Sends `signal` to `pid`.
pub(crate) fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// Looks until `done` says so; patience has an end so that a failure shows.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what} never happened");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the state letter of `pid`, or none if it is gone.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Returns the number that somebody writes to `path`.
pub(crate) fn number_in(path: &Path) -> u32 {
    until("a number in a file", || {
        std::fs::read_to_string(path).is_ok_and(|text| text.trim().parse::<u32>().is_ok())
    });
    std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

// === impl Pty ===

impl Pty {
    /// Opens a terminal and returns both of its ends.
    pub(crate) fn open() -> (Self, OwnedFd) {
        let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&end).unwrap();
        unlockpt(&end).unwrap();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = ioctl_tiocgptpeer(&end, flags).unwrap();
        let pty = Self { end: File::from(end), shown: String::new() };
        pty.resize(24, 80);
        (pty, terminal)
    }

    /// Starts `program` as the leader of a session on a new terminal.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> (Self, Child) {
        let (pty, terminal) = Self::open();
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("PS1", PROMPT)
            .env("TERM", "vt100");
        command
            .stdin(terminal.try_clone().unwrap())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal);
        (pty, command.spawn().unwrap())
    }

    /// Starts an interactive shell on a new terminal.
    pub(crate) fn shell() -> (Self, Child) {
        let (mut pty, child) =
            Self::start(Path::new("/bin/bash"), &["--norc", "--noprofile", "--noediting", "-i"]);
        pty.expect(PROMPT);
        (pty, child)
    }

    /// Types `keys`.
    pub(crate) fn press(&mut self, keys: &str) {
        self.end.write_all(keys.as_bytes()).unwrap();
    }

    /// Changes the size of the terminal.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(
            &self.end,
            Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 },
        )
        .unwrap();
    }

    /// Reads on until `text` was shown, and returns all up to it; what follows stays for the next call.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            assert!(start.elapsed() < PATIENCE, "no {text:?} in {:?}", self.shown);
            assert!(self.read(), "the terminal was closed before {text:?}: {:?}", self.shown);
        }
    }

    /// Reads on until the terminal is closed, and returns all that was shown.
    pub(crate) fn rest(&mut self) -> String {
        while self.read() {}
        std::mem::take(&mut self.shown)
    }

    /// Reads some; says whether the terminal is still open.
    fn read(&mut self) -> bool {
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        if poll(&mut [PollFd::new(&self.end, PollFlags::IN)], Some(&second)).unwrap() == 0 {
            return true;
        }
        let mut buffer = [0; 4096];
        match self.end.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
                true
            }
            // How Linux says that nobody holds the terminal any more.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                false
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => panic!("{error}"),
        }
    }
}

/// What the shell on a terminal says when it is ready.
pub(crate) const PROMPT: &str = "ready> ";
/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
