//! Whole-gateway tests with real clients: the worlds they play in.
//!
//! A [`World`] is a Unix user of its own: iddio finds its home through the user database and never
//! through a variable, so every command runs in a mount namespace whose `/etc/passwd` says where
//! this world's home is. Worlds run side by side and leave nothing behind.

#![expect(clippy::panic, clippy::expect_used, reason = "a panic is how a test fails")]

pub mod apiserver;
pub mod booted;
pub mod broker;
pub mod keepers;
pub mod person;
mod workload;

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::{
        OnceLock,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// One user's world: a home directory, a working directory, a user database.
#[derive(Debug)]
pub struct World {
    directory: TempDir,
}

/// What a finished command said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; 128 + n when signal n ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A command that is still running, with its standard error read line by line.
#[derive(Debug)]
pub struct Started {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    stdout: Option<thread::JoinHandle<Vec<u8>>>,
}

// === impl World ===

impl World {
    /// Makes a world with nothing in it.
    pub fn new() -> Self {
        let directory = TempDir::with_prefix("iddio-world-").expect("a temporary directory");
        let world = Self { directory };
        for name in ["user", "work"] {
            fs::create_dir(world.directory.path().join(name)).expect("a directory");
        }
        let passwd = fs::read_to_string("/etc/passwd").expect("the user database");
        let line = format!("root:x:0:0:root:{}:/bin/sh", world.user().display());
        let ours =
            |entry: &str| if entry.starts_with("root:") { line.clone() } else { entry.into() };
        let passwd: Vec<String> = passwd.lines().map(ours).collect();
        fs::write(world.passwd(), passwd.join("\n") + "\n").expect("a user database");
        world
    }

    /// Makes a world whose home has this policy.
    pub fn with_policy(policy: &str) -> Self {
        let world = Self::new();
        world.iddio(["init"]).ok();
        world.set_policy(policy);
        world
    }

    /// The user's home directory.
    pub fn user(&self) -> PathBuf {
        self.directory.path().join("user")
    }

    /// Iddio's home.
    pub fn home(&self) -> PathBuf {
        self.user().join(".iddio")
    }

    /// Where commands run.
    pub fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// Replaces the policy.
    pub fn set_policy(&self, policy: &str) {
        fs::write(self.home().join("policy.yaml"), policy).expect("a policy");
    }

    /// Writes a file under the working directory and returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, content).expect("a file");
        path
    }

    /// Copies an example of the repository into the working directory and returns its path.
    pub fn example(&self, name: &str) -> PathBuf {
        let from = repository().join("docs/examples").join(name);
        let to = self.work().join(name);
        copy(&from, &to);
        to
    }

    /// Runs `iddio` with these arguments to its end.
    pub fn iddio<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Said {
        Said::of(self.command(arguments).stdin(Stdio::null()).output().expect("iddio runs"))
    }

    /// Runs `iddio` with this standard input.
    pub fn iddio_with<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Said {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("iddio starts");
        let mut stdin: ChildStdin = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        let feeding = thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().expect("iddio ends");
        // A command that does not read its input to the end is no fault of the test.
        let _ = feeding.join();
        Said::of(output)
    }

    /// Starts `iddio` and returns while it runs.
    pub fn start<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Started {
        Started::of(self.command(arguments).stdin(Stdio::null()))
    }

    /// Returns a command that runs `iddio` in this world, not started yet.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        self.within([OsString::from(binary())].into_iter().chain(arguments))
    }

    /// Returns a command that runs any program in this world: `sh -c …` around `iddio`, `tmux`.
    pub fn within<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("unshare");
        match rustix::process::geteuid().is_root() {
            true => command.arg("-m"),
            false => command.arg("-rm"),
        };
        command.args(["sh", "-c", ENTER]).arg(self.passwd()).args(words);
        command.current_dir(self.work()).env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
        command.env("HOME", self.user()).env("TERM", "xterm").env("CHECKPOINT_DISABLE", "1");
        command
    }

    /// Answers every ask that waits with a yes, and returns how many there were.
    pub fn approve_all(&self) -> usize {
        let asks = self.json(["approvals", "list", "--json"]);
        let ids: Vec<String> = asks
            .as_array()
            .expect("a list")
            .iter()
            .map(|ask| ask["id"].as_str().expect("an id").to_owned())
            .collect();
        ids.iter().for_each(|id| {
            self.iddio(["approvals", "approve", id]).ok();
        });
        ids.len()
    }

    /// Runs `iddio` and reads its output as JSON.
    pub fn json<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> serde_json::Value {
        let said = self.iddio(arguments);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error} in {said:?}"))
    }

    /// Returns every record of the log, in order.
    pub fn records(&self) -> Vec<serde_json::Value> {
        let said = self.iddio(["audit", "query", "--json"]).ok();
        let line = |line: &str| serde_json::from_str(line).expect("a record");
        said.stdout.lines().map(line).collect()
    }

    /// Checks that the log verifies.
    #[track_caller]
    pub fn verify(&self) {
        self.iddio(["audit", "verify"]).ok();
    }

    fn passwd(&self) -> PathBuf {
        self.directory.path().join("passwd")
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Said ===

impl Said {
    /// Reads what a command left.
    pub fn of(output: Output) -> Self {
        Self {
            code: code(output.status),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Returns itself if the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Returns itself if the command ended with `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Returns itself if standard error says `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` in {self:#?}");
        self
    }

    /// Returns itself if standard output has `text`.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "no `{text}` in {self:#?}");
        self
    }
}

// === impl Started ===

impl Started {
    /// Starts a command and reads what it says.
    pub fn of(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        thread::spawn(move || {
            for line in stderr.split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let mut stdout = child.stdout.take().expect("a pipe");
        let stdout = thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stdout.read_to_end(&mut bytes);
            bytes
        });
        Self { child, lines, seen: Vec::new(), stdout: Some(stdout) }
    }

    /// Waits for a line of standard error that holds `text`, and returns it.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        self.until_any(&[text])
    }

    /// Waits for a line of standard error that holds one of `texts`, and returns it.
    #[track_caller]
    pub fn until_any(&mut self, texts: &[&str]) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if texts.iter().any(|text| line.contains(text)) {
                        return line;
                    }
                }
                Err(error) => panic!("none of {texts:?} ({error}) after {:#?}", self.seen),
            }
        }
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    /// Waits until an approval is asked for, and returns its id.
    #[track_caller]
    pub fn until_asked(&mut self) -> String {
        let line = self.until("esc_");
        let rest = line.get(line.find("esc_").expect("an id")..).expect("an id");
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    }

    /// Writes to its standard input, which the command was given as a pipe.
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(bytes).and_then(|()| stdin.flush()).expect("it reads");
    }

    /// The process, which execs into `iddio` itself.
    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("a signal is sent");
    }

    /// Waits for its end.
    pub fn end(mut self) -> Said {
        let status = self.child.wait().expect("it ends");
        self.seen.extend(self.lines.iter());
        let stdout = self.stdout.take().expect("once").join().expect("a reader");
        Said {
            code: code(status),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: self.seen.join("\n"),
        }
    }
}

/// Returns the root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent")
}

/// Returns the `iddio` under test: what `IDDIO_TEST_BIN` names, else one built now.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("IDDIO_TEST_BIN") {
        Some(path) => path.into(),
        None => {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--package", "iddio"]).current_dir(repository());
            assert!(build.status().expect("cargo runs").success(), "iddio does not build");
            let own = std::env::current_exe().expect("a path");
            let deps = own.parent().and_then(Path::parent).expect("target/debug");
            deps.join("iddio")
        }
    })
}

/// Returns the `iddio-kube` under test, which stands beside `iddio`.
pub fn kube_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let built = binary().parent().expect("a directory").join("iddio-kube");
        if std::env::var_os("IDDIO_TEST_BIN").is_none() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--package", "iddio-kube"]).current_dir(repository());
            assert!(build.status().expect("cargo runs").success(), "iddio-kube does not build");
        }
        built
    })
}

/// Returns the real program `name`, or `None` if `IDDIO_TEST_WITHOUT` says to do without it.
///
/// A program that is neither there nor excused fails the test, with the command that installs it.
#[track_caller]
pub fn real(name: &str, install: &str) -> Option<PathBuf> {
    let without = std::env::var("IDDIO_TEST_WITHOUT").unwrap_or_default();
    if without.split(',').any(|word| word == name) {
        println!("WITHOUT {name}: {}", thread::current().name().unwrap_or("a test"));
        return None;
    }
    let found = PATH.split(':').map(|directory| Path::new(directory).join(name));
    let found = found.into_iter().find(|path| path.is_file());
    assert!(found.is_some(), "`{name}` is needed and not here: {install}");
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("an example") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => {
                fs::copy(entry.path(), target).expect("a copy");
            }
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// Mounts this world's user database over the system's, then becomes the command.
const ENTER: &str = r#"mount --bind "$0" /etc/passwd && exec "$@""#;

/// Where programs are looked for, by tests and by iddio itself.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a line is waited for before the test has failed. Not a measure of speed: only a hang
/// takes this long.
const PATIENCE: Duration = Duration::from_secs(120);
