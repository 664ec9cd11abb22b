//! Worlds whose log and keys have keepers of their own: the log service and the signer, each under its
//! user, with its directory and its socket.
//!
//! They need users, so these tests run as root. Who attacks is a real unprivileged user: `nobody`.

use std::{
    fs::{self, File, Permissions},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use iddio_audit::remote::Remote;
use iddio_mint::signer::{Signer, SignerError};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{binary, repository};

/// The user the log service runs as.
pub const LOG: u32 = 1;
/// The user the signer runs as.
pub const SIGNER: u32 = 3;
/// A gateway whose records get no certificates.
pub const OTHER_GATEWAY: u32 = 5;
/// The user that takes checkpoints elsewhere.
pub const PUSHER: u32 = 10;
/// A real unprivileged user.
pub const NOBODY: u32 = 65_534;

/// A host with its keepers.
#[derive(Debug)]
pub struct Keepers {
    dir: TempDir,
    log: Option<Child>,
    signer: Option<Child>,
}

// === impl Keepers ===

impl Keepers {
    /// Makes a host whose keepers are not started, with more lines of their configurations.
    pub fn new(log_more: &str, signer_more: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "run these tests as root: they need users");
        let dir = TempDir::with_prefix("iddio-keepers-").expect("a directory");
        let own = Self { dir, log: None, signer: None };
        for (name, mode, uid) in [
            ("run-log", 0o755, LOG),
            ("lib-log", 0o700, LOG),
            ("run-signer", 0o755, SIGNER),
            ("lib-signer", 0o700, SIGNER),
        ] {
            let path = own.path(name);
            fs::create_dir(&path).expect("a directory");
            chown(&path, Some(uid), Some(uid)).expect("an owner");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
        }
        fs::set_permissions(own.dir.path(), Permissions::from_mode(0o755)).expect("a mode");
        let (log, signer) = (own.path("run-log/log.sock"), own.path("run-signer/signer.sock"));
        let (directory, wrapping) = (own.path("lib-signer"), own.path("lib-signer/wrapping"));
        let text = format!(
            "user = \"daemon\"\nsocket = {log:?}\ndirectory = {:?}\nsigner = {signer:?}\nsigner_user = \"sys\"\ncheckpoint_secs = 1\ngateways = [\"root\", \"games\"]\nreaders = [\"sys\", \"uucp\"]\n{log_more}\n",
            own.path("lib-log/log")
        );
        fs::write(own.log_config(), text).expect("a configuration");
        let text = format!(
            "user = \"sys\"\nsocket = {signer:?}\ndirectory = {directory:?}\nwrapping_key = {wrapping:?}\nlog_user = \"daemon\"\nlog_socket = {log:?}\nssh = [\"root\"]\nssh_sources = [\"127.0.0.1\", \"10.0.0.0/8\"]\nx509 = [\"root\"]\nregistry = [\"root\"]\n{signer_more}\n"
        );
        fs::write(own.signer_config(), text).expect("a configuration");
        let mut init = Command::new(service("iddio-signer"));
        init.uid(SIGNER).gid(SIGNER).arg("init").arg("--config").arg(own.signer_config());
        let init = init.output().expect("it runs");
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        own
    }

    /// Makes a host and starts its keepers.
    pub fn started() -> Self {
        let mut own = Self::new("", "");
        own.start();
        own
    }

    /// Starts both keepers and waits until they answer.
    pub fn start(&mut self) {
        self.start_signer();
        self.start_log();
    }

    /// Starts the log service and waits until it answers.
    pub fn start_log(&mut self) {
        let mut command = Command::new(service("iddio-logd"));
        command.uid(LOG).gid(LOG).arg("--config").arg(self.log_config());
        command.arg("--socket").arg(self.log_socket());
        self.log = Some(self.spawn(command));
        until(|| self.log().head().is_ok(), || self.errors());
    }

    /// Starts the signer and waits until it answers.
    pub fn start_signer(&mut self) {
        let mut command = Command::new(service("iddio-signer"));
        command.uid(SIGNER).gid(SIGNER);
        self.run_signer(command);
        until(|| self.signer().is_ok(), || self.errors());
    }

    /// Starts the signer under strace with a fault, and does not wait.
    pub fn start_signer_with(&mut self, fault: &str) {
        let mut command = Command::new("strace");
        let calls = fault.split(':').next().unwrap_or_default();
        command.args(["-f", "-qq", "-u", "sys", "-o", "/dev/null"]);
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={fault}")]);
        command.arg(service("iddio-signer"));
        self.run_signer(command);
    }

    /// Starts both keepers on sockets that somebody else opened, as systemd does, and waits until they
    /// answer.
    pub fn start_activated(&mut self) {
        for (name, uid) in [("iddio-signer", SIGNER), ("iddio-logd", LOG)] {
            let (socket, config) = match uid {
                LOG => (self.log_socket(), self.log_config()),
                _ => (self.signer_socket(), self.signer_config()),
            };
            let mut command = Command::new("systemd-socket-activate");
            command.uid(uid).gid(uid).arg("--listen").arg(&socket);
            command.arg(service(name)).arg("--config").arg(config);
            let child = self.spawn(command);
            match uid {
                LOG => self.log = Some(child),
                _ => self.signer = Some(child),
            }
            until(|| socket.exists(), || self.errors());
            // As the unit says.
            fs::set_permissions(&socket, Permissions::from_mode(0o666)).expect("a mode");
        }
        until(|| self.signer().is_ok(), || self.errors());
        until(|| self.log().head().is_ok(), || self.errors());
    }

    /// Starts both keepers under strace, waits until they answer, and returns where their calls are
    /// written: the log service's, the signer's.
    pub fn start_traced(&mut self) -> [PathBuf; 2] {
        let traces = [self.path("trace-log"), self.path("trace-signer")];
        let [log, signer] = &traces;
        let strace = |user: &str, trace: &PathBuf, program: &str| {
            let mut command = Command::new("strace");
            command.args(["-f", "-qq", "-u", user, "-o"]).arg(trace).arg(service(program));
            command
        };
        self.run_signer(strace("sys", signer, "iddio-signer"));
        until(|| self.signer().is_ok(), || self.errors());
        let mut command = strace("daemon", log, "iddio-logd");
        command.arg("--config").arg(self.log_config()).arg("--socket").arg(self.log_socket());
        self.log = Some(self.spawn(command));
        until(|| self.log().head().is_ok(), || self.errors());
        traces
    }

    fn run_signer(&mut self, mut command: Command) {
        command.arg("--config").arg(self.signer_config());
        command.arg("--socket").arg(self.signer_socket());
        self.signer = Some(self.spawn(command));
    }

    fn spawn(&self, mut command: Command) -> Child {
        let errors = File::options().create(true).append(true).open(self.path("errors"));
        let errors = errors.expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        command.spawn().expect("it starts")
    }

    /// Kills the log service.
    pub fn kill_log(&mut self) {
        kill(self.log.take());
    }

    /// Kills the signer.
    pub fn kill_signer(&mut self) {
        kill(self.signer.take());
    }

    /// Whether the signer has ended by itself.
    pub fn signer_has_ended(&mut self) -> bool {
        let running = |child: &mut Child| child.try_wait().expect("a child").is_none();
        !self.signer.as_mut().is_some_and(running)
    }

    /// The process of the log service.
    pub fn log_pid(&self) -> u32 {
        self.log.as_ref().expect("it runs").id()
    }

    /// The process of the signer.
    pub fn signer_pid(&self) -> u32 {
        self.signer.as_ref().expect("it runs").id()
    }

    /// Returns the log service, as a sink and to read.
    pub fn log(&self) -> Remote {
        Remote::at(&self.log_socket(), LOG)
    }

    /// Connects to the signer.
    ///
    /// # Errors
    ///
    /// When it is away.
    pub fn signer(&self) -> Result<Signer, SignerError> {
        Signer::connect(&self.signer_socket(), SIGNER)
    }

    /// Runs the helper that asks the signer, as a user.
    pub fn ask(&self, uid: u32, kind: &str, one: &str, two: &str) -> Output {
        let mut command = Command::new(example("ask"));
        command.uid(uid).gid(uid).arg(self.signer_socket()).arg(SIGNER.to_string());
        command.args([kind, one, two]).env("IDDIO_TEST_USER", "nobody");
        command.output().expect("it runs")
    }

    /// Runs a program as a user of a machine whose `/etc/iddio` is this host's, and which has nobody's
    /// home but that user's own new one.
    pub fn within(&self, uid: u32, words: &[&str]) -> Command {
        let etc = self.path("etc");
        if !etc.exists() {
            let copied = Command::new("cp").args(["-a", "/etc"]).arg(&etc).status();
            assert!(copied.expect("cp runs").success(), "cp");
            fs::create_dir(etc.join("iddio")).expect("a directory");
            fs::copy(self.log_config(), etc.join("iddio/log.toml")).expect("a configuration");
            let passwd = fs::read_to_string("/etc/passwd").expect("the user database");
            let homes = passwd.lines().map(|line| {
                let mut fields: Vec<&str> = line.split(':').collect();
                let home = self.home(fields.get(2).and_then(|uid| uid.parse().ok()).unwrap_or(0));
                let home = home.display().to_string();
                if let Some(field) = fields.get_mut(5) {
                    *field = &home;
                }
                fields.join(":") + "\n"
            });
            fs::write(etc.join("passwd"), homes.collect::<String>()).expect("a user database");
        }
        let home = self.home(uid);
        if !home.exists() {
            fs::create_dir(&home).expect("a directory");
            chown(&home, Some(uid), Some(uid)).expect("an owner");
            fs::set_permissions(&home, Permissions::from_mode(0o700)).expect("a mode");
        }
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", ENTER]).arg(&etc).arg(uid.to_string()).args(words);
        command.current_dir(home).env_clear().env("PATH", crate::PATH).env("LANG", "C.UTF-8");
        command.stdin(Stdio::null());
        command
    }

    /// The home directory of a user of [`Self::within`].
    pub fn home(&self, uid: u32) -> PathBuf {
        self.path(&format!("home-{uid}"))
    }

    /// A path of this host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where the log service is.
    pub fn log_socket(&self) -> PathBuf {
        self.path("run-log/log.sock")
    }

    /// Where the signer is.
    pub fn signer_socket(&self) -> PathBuf {
        self.path("run-signer/signer.sock")
    }

    /// Where the log lies.
    pub fn log_directory(&self) -> PathBuf {
        self.path("lib-log/log")
    }

    /// The log service's configuration.
    pub fn log_config(&self) -> PathBuf {
        self.path("log.toml")
    }

    /// The signer's configuration.
    pub fn signer_config(&self) -> PathBuf {
        self.path("signer.toml")
    }

    /// What both said on standard error.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.path("errors")).unwrap_or_default()
    }
}

impl Drop for Keepers {
    fn drop(&mut self) {
        self.kill_log();
        self.kill_signer();
    }
}

/// Waits until something holds; `told` says what was seen if it never does.
#[track_caller]
pub fn until(holds: impl Fn() -> bool, told: impl Fn() -> String) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{}", told());
        std::thread::yield_now();
    }
}

/// Returns a command that runs as a user, with nothing of ours but what is named.
pub fn as_user(uid: u32, program: &str) -> Command {
    let mut command = Command::new(program);
    command.uid(uid).gid(uid).current_dir("/").env_clear().env("PATH", crate::PATH);
    command.stdin(Stdio::null());
    command
}

/// Returns a service's program, built now if nobody did.
pub fn service(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        if std::env::var_os("IDDIO_TEST_BIN").is_none() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--bins", "--examples"]);
            build.args(["--package", "iddio-logd", "--package", "iddio-signer"]);
            build.args(["--package", "iddio-push"]);
            let built = build.current_dir(repository()).status().expect("cargo runs");
            assert!(built.success(), "the services do not build");
        }
    });
    binary().parent().expect("a directory").join(name)
}

/// Returns a helper of the services' crates.
pub fn example(name: &str) -> PathBuf {
    let beside = service("iddio-signer");
    beside.parent().expect("a directory").join("examples").join(name)
}

/// Ends a process that was started, and, where that is a tracer, whom it traced.
fn kill(child: Option<Child>) {
    let Some(mut child) = child else { return };
    let pid = child.id();
    let traced = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    child.kill().expect("it is ours");
    child.wait().expect("it ends");
    let traced = traced.unwrap_or_default();
    let pids = traced.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
    for pid in pids {
        // One that ended with its tracer is gone already.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Mounts this host's `/etc` over the system's, and becomes the program as the user.
const ENTER: &str = r#"mount --bind "$0" /etc && uid="$1" && shift &&
exec setpriv --reuid="$uid" --regid="$uid" --clear-groups "$@""#;

/// How long anything may take on a busy machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
