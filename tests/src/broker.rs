//! A host whose commands are run by the exec broker: root's service, and callers who are real
//! unprivileged users.
//!
//! The host is a mount namespace with an `/etc` laid over the system's: its own users, its own
//! `/etc/iddio/exec.toml`. Nothing of it is seen outside.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use tempfile::TempDir;

use crate::{PATH, Said, Started, binary, keepers::until, repository};

/// A caller.
pub const ADA: User = User { name: "ada", uid: 61_001 };
/// Another one.
pub const EVE: User = User { name: "eve", uid: 61_002 };

/// A user of the host.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// The name.
    pub name: &'static str,
    /// The number.
    pub uid: u32,
}

/// A host with a broker.
#[derive(Debug)]
pub struct Host {
    dir: TempDir,
    broker: Option<Child>,
}

// === impl Host ===

impl Host {
    /// Makes a host with this policy and more lines of the broker's configuration, and starts the broker.
    pub fn started(policy: &str, more: &str) -> Self {
        let mut host = Self::new(policy, more);
        host.start();
        host
    }

    /// Makes a host whose broker is not started.
    pub fn new(policy: &str, more: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "run these tests as root: they need users");
        let dir = TempDir::with_prefix("iddio-broker-").expect("a directory");
        let host = Self { dir, broker: None };
        for name in ["etc/iddio", "etc-work", "bin", "root"] {
            fs::create_dir_all(host.path(name)).expect("a directory");
        }
        let open = Permissions::from_mode(0o755);
        fs::set_permissions(host.dir.path(), open).expect("a mode");
        let mut passwd = fs::read_to_string("/etc/passwd").expect("the user database");
        for User { name, uid } in [ADA, EVE] {
            for path in [host.home_of(name), host.work_of(name)] {
                fs::create_dir_all(&path).expect("a directory");
                chown(&path, Some(uid), Some(uid)).expect("an owner");
            }
            fs::set_permissions(host.home_of(name), Permissions::from_mode(0o700)).expect("a mode");
            let home = host.home_of(name);
            passwd += &format!("{name}:x:{uid}:{uid}:{name}:{}:/bin/sh\n", home.display());
        }
        fs::write(host.path("etc/passwd"), passwd).expect("a user database");
        host.configure(more);
        host.enter(["true"]).output().expect("a namespace");
        fs::create_dir(host.path("home")).expect("a directory");
        fs::set_permissions(host.path("home"), Permissions::from_mode(0o700)).expect("a mode");
        fs::remove_dir(host.path("home")).expect("it is empty");
        fs::write(host.path("policy"), policy).expect("a policy");
        host
    }

    /// Writes the broker's configuration.
    pub fn configure(&self, more: &str) {
        let (socket, home, runs) = (self.socket(), self.path("home"), self.path("runs"));
        let text = format!(
            "user = \"root\"\nsocket = {socket:?}\nhome = {home:?}\nruns = {runs:?}\n{more}\n"
        );
        fs::write(self.path("etc/iddio/exec.toml"), text).expect("a configuration");
    }

    /// Starts the broker and waits until it answers.
    pub fn start(&mut self) {
        let errors = fs::File::options().create(true).append(true).open(self.path("errors"));
        let broker = self.path("bin/iddio-execd");
        let mut command =
            self.enter([broker.as_os_str(), OsStr::new("--socket"), self.socket().as_os_str()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.expect("a file"));
        self.broker = Some(command.spawn().expect("it starts"));
        let answers = || UnixStream::connect(self.socket()).is_ok();
        until(answers, || self.errors());
        self.set_policy(&fs::read_to_string(self.path("policy")).expect("a policy"));
    }

    /// Kills the broker.
    pub fn kill(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            broker.kill().expect("it is ours");
            broker.wait().expect("it ends");
        }
    }

    /// The broker's process.
    pub fn pid(&self) -> u32 {
        self.broker.as_ref().expect("it runs").id()
    }

    /// Replaces the policy.
    pub fn set_policy(&self, policy: &str) {
        let new = self.path("home/policy.new");
        fs::write(&new, policy).expect("a policy");
        fs::rename(new, self.path("home/policy.yaml")).expect("a policy");
    }

    /// A path of this host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where the broker is.
    pub fn socket(&self) -> PathBuf {
        self.path("exec.sock")
    }

    /// The home directory of a user.
    pub fn home_of(&self, user: &str) -> PathBuf {
        self.path(user)
    }

    /// Where a user works.
    pub fn work_of(&self, user: &str) -> PathBuf {
        self.home_of(user).join("work")
    }

    /// Writes a file of a user's below where it works.
    pub fn file(&self, user: User, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work_of(user.name).join(name);
        let parent = path.parent().expect("a parent");
        fs::create_dir_all(parent).expect("a directory");
        fs::write(&path, content).expect("a file");
        for made in path.ancestors().take_while(|above| **above != *self.work_of(user.name)) {
            chown(made, Some(user.uid), Some(user.uid)).expect("an owner");
        }
        path
    }

    /// Returns a command of a user's, in this host.
    pub fn as_user<A: AsRef<OsStr>>(
        &self,
        user: User,
        words: impl IntoIterator<Item = A>,
    ) -> Command {
        let User { name, uid } = user;
        let drop = ["setpriv", "--reuid", &uid.to_string(), "--regid", &uid.to_string()]
            .map(OsString::from);
        let rest = words.into_iter().map(|word| word.as_ref().to_owned());
        let words = drop.into_iter().chain([OsString::from("--clear-groups")]).chain(rest);
        let mut command = self.enter(words);
        command.current_dir(self.work_of(name)).env("HOME", self.home_of(name));
        command
    }

    /// Returns `iddio exec -- WORDS` of a user's.
    pub fn exec<A: AsRef<OsStr>>(&self, user: User, words: impl IntoIterator<Item = A>) -> Command {
        let iddio = self.path("bin/iddio").into_os_string();
        let own = [iddio, "exec".into(), "--".into()];
        self.as_user(user, own.into_iter().chain(words.into_iter().map(|w| w.as_ref().to_owned())))
    }

    /// Runs `iddio exec -- WORDS` of a user's to its end.
    pub fn run<A: AsRef<OsStr>>(&self, user: User, words: impl IntoIterator<Item = A>) -> Said {
        Said::of(self.exec(user, words).stdin(Stdio::null()).output().expect("it runs"))
    }

    /// Starts `iddio exec -- WORDS` of a user's.
    pub fn begin<A: AsRef<OsStr>>(
        &self,
        user: User,
        words: impl IntoIterator<Item = A>,
    ) -> Started {
        Started::of(self.exec(user, words).stdin(Stdio::null()))
    }

    /// Runs `iddio` as root, whose home is the broker's.
    pub fn root<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Said {
        let iddio = self.path("bin/iddio").into_os_string();
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        let mut command = self.enter([iddio].into_iter().chain(words));
        Said::of(command.stdin(Stdio::null()).output().expect("it runs"))
    }

    /// Returns every record of the broker's log, in order.
    pub fn records(&self) -> Vec<serde_json::Value> {
        let said = self.root(["audit", "query", "--json"]).ok();
        said.stdout.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }

    /// What the broker said on standard error.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.path("errors")).unwrap_or_default()
    }

    /// Returns a command in this host.
    pub fn enter<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", ENTER]).arg(self.dir.path()).arg(programs()).args(words);
        command.current_dir(self.dir.path()).env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
        command.env("HOME", self.path("root")).env("TERM", "xterm");
        command
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where the programs under test are, built now if nobody did.
pub fn programs() -> &'static Path {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        if std::env::var_os("IDDIO_TEST_BIN").is_none() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--bins", "--package", "iddio-execd"]);
            let built = build.current_dir(repository()).status().expect("cargo runs");
            assert!(built.success(), "the broker does not build");
        }
    });
    binary().parent().expect("a directory")
}

/// Lays this host's `/etc` over the system's and shows the programs, then becomes the command.
const ENTER: &str = r#"
here="$0" programs="$1"; shift
mount -t overlay overlay -o "lowerdir=$here/etc:/etc" /etc &&
mount --bind "$programs" "$here/bin" && exec "$@""#;
