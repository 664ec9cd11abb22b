//! An ordinary user with a home, a project and secrets, for tests of what an agent in a box gets at.
//!
//! Run as root, the tests become a user that has no other rights; run as an ordinary user, they stay that user. Either
//! way the user database names the person's own home.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{PATH, Said, Started, binary};

/// An ordinary user.
#[derive(Debug)]
pub struct Person {
    directory: TempDir,
    uid: u32,
}

// === impl Person ===

impl Person {
    /// Makes a user with a home that holds secrets, and a project in it.
    pub fn new() -> Self {
        let directory = TempDir::with_prefix("iddio-person-").expect("a temporary directory");
        let root = rustix::process::geteuid().is_root();
        let uid = if root { UID } else { rustix::process::geteuid().as_raw() };
        let person = Self { directory, uid };
        let top = person.directory.path();
        fs::set_permissions(top, fs::Permissions::from_mode(0o755)).expect("permissions");
        for name in ["home", "home/shop", "home/.ssh", "home/.aws", "home/.kube"] {
            let path = top.join(name);
            fs::create_dir(&path).expect("a directory");
            person.own(&path);
        }
        for name in [".ssh/id_ed25519", ".aws/credentials", ".kube/config", ".netrc"] {
            person.file(name, CANARY);
        }
        let passwd = fs::read_to_string("/etc/passwd").expect("the user database");
        let others = passwd.lines().filter(|line| line.split(':').nth(2) != Some(&uid.to_string()));
        let home = person.home();
        let line = format!("ada:x:{uid}:{uid}:Ada:{}:/bin/bash", home.display());
        let all: Vec<_> = others.map(str::to_owned).chain([line]).collect();
        fs::write(top.join("passwd"), all.join("\n") + "\n").expect("a user database");
        // Where the person can execute it, wherever it was built.
        let program = top.join("iddio");
        if fs::hard_link(binary(), &program).is_err() {
            fs::copy(binary(), &program).expect("a copy");
        }
        person
    }

    /// The home.
    pub fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// The project, where agents are started.
    pub fn shop(&self) -> PathBuf {
        self.home().join("shop")
    }

    /// A directory that others may enter, and that is not the home.
    pub fn elsewhere(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir_all(&path).expect("a directory");
        self.own(&path);
        path
    }

    /// The user's number.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Writes a file of the person's, below the home.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(name);
        let mut above: Vec<_> = Path::new(name).ancestors().skip(1).collect();
        above.reverse();
        for directory in above.into_iter().map(|name| self.home().join(name)) {
            if fs::create_dir(&directory).is_ok() {
                self.own(&directory);
            }
        }
        fs::write(&path, content).expect("a file");
        self.own(&path);
        path
    }

    /// Replaces the policy, making iddio's home if there is none.
    pub fn set_policy(&self, rules: &str) {
        if !self.home().join(".iddio").exists() {
            self.iddio(["init"]).ok();
        }
        self.file(".iddio/policy.yaml", rules);
    }

    /// Runs `iddio` as the person, in the project, to its end.
    pub fn iddio<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Said {
        Said::of(self.command(words).stdin(Stdio::null()).output().expect("iddio runs"))
    }

    /// Returns a command that runs `iddio` as the person, not started yet.
    pub fn command<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Command {
        let program = OsString::from(self.directory.path().join("iddio"));
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        self.within([program].into_iter().chain(words))
    }

    /// Runs a script in a box.
    pub fn boxed(&self, script: &str) -> Said {
        self.boxed_with(&[], script)
    }

    /// Runs a script in a box, with these options of `iddio run`.
    pub fn boxed_with(&self, options: &[&str], script: &str) -> Said {
        let words = ["run"].into_iter().chain(options.iter().copied());
        self.iddio(words.chain(["--", "bash", "-c", script]))
    }

    /// Starts a script in a box.
    pub fn start_boxed(&self, options: &[&str], script: &str) -> Started {
        let words = ["run"].into_iter().chain(options.iter().copied());
        let words = words.chain(["--", "bash", "-c", script]);
        Started::of(self.command(words).stdin(Stdio::null()))
    }

    /// Runs a script as the person, in no box.
    pub fn outside(&self, script: &str) -> Said {
        let mut command = self.within(["bash", "-c", script]);
        Said::of(command.stdin(Stdio::null()).output().expect("it runs"))
    }

    /// Returns a command that runs any program as the person, in the project.
    pub fn within<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("unshare");
        let become_person = match rustix::process::geteuid().is_root() {
            true => {
                command.arg("--mount");
                format!("--reuid={0} --regid={0} --clear-groups", self.uid)
            }
            false => {
                command.args(["--mount", "--map-current-user", "--keep-caps"]);
                "--ambient-caps=-all --inh-caps=-all".to_owned()
            }
        };
        let enter =
            format!("mount --bind \"$0\" /etc/passwd && exec setpriv {become_person} -- \"$@\"");
        command.args(["sh", "-c", &enter]).arg(self.directory.path().join("passwd")).args(words);
        command.current_dir(self.shop()).env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
        command.env("HOME", self.home()).env("USER", "ada").env("TERM", "xterm");
        command
    }

    fn own(&self, path: &Path) {
        chown(path, Some(self.uid), Some(self.uid)).expect("an owner");
    }
}

impl Default for Person {
    fn default() -> Self {
        Self::new()
    }
}

/// What no agent may ever see.
pub const CANARY: &str = "canary-5d1e7a90c4";

/// A user that nobody is.
const UID: u32 = 60_321;
