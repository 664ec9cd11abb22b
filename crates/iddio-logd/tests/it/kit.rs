//! A service to talk to: its own user, its own directory, its own socket.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use iddio_audit::{
    query::{Filter, Record, last},
    remote::Remote,
    verify::{Report, verify},
    wire::{self, Call, Reply},
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

#[path = "../../../iddio-audit/tests/it/kit.rs"]
#[expect(dead_code, reason = "its own tests use all of it")]
pub(crate) mod entries;

/// The user the service runs as.
pub(crate) const KEEPER: u32 = 1;
/// A user who is a gateway.
pub(crate) const GATEWAY: u32 = 65534;
/// A user who is nobody in particular.
pub(crate) const STRANGER: u32 = 2;

/// A service, and what it works with.
pub(crate) struct Host {
    dir: TempDir,
    service: Option<Child>,
}

/// What was acknowledged: seq to id and hash.
pub(crate) type Acks = BTreeMap<u64, (String, String)>;

impl Host {
    /// Makes a host whose service is not started.
    pub(crate) fn new(more: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "run these tests as root: they need users");
        let dir = TempDir::with_prefix("iddio-logd-").unwrap();
        let host = Self { dir, service: None };
        for (name, mode) in [("run", 0o755), ("lib", 0o700)] {
            let path = host.path(name);
            fs::create_dir(&path).unwrap();
            std::os::unix::fs::chown(&path, Some(KEEPER), Some(KEEPER)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(host.dir.path(), Permissions::from_mode(0o755)).unwrap();
        let (log, key) = (host.log(), host.path("lib/key"));
        let config = format!(
            "user = \"daemon\"\ndirectory = {log:?}\ncheckpoint_key = {key:?}\ngateways = [\"root\", \"nobody\"]\ncheckpoint_secs = 1\n{more}\n"
        );
        fs::write(host.config(), config).unwrap();
        host
    }

    /// Makes a host and starts its service.
    pub(crate) fn started() -> Self {
        let mut host = Self::new("");
        host.start();
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path("lib/log")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/log.sock")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("log.toml")
    }

    /// Starts the service and waits until it answers.
    pub(crate) fn start(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iddio-logd"));
        command.uid(KEEPER).gid(KEEPER);
        self.run(command);
        self.wait();
    }

    /// Starts the service under strace with a fault, and does not wait.
    pub(crate) fn start_with(&mut self, fault: &str) {
        let mut command = Command::new("strace");
        let calls = fault.split(':').next().unwrap();
        // `-D`: the service is our child and strace its grandchild, so that ending the child ends both.
        command.args(["-D", "-f", "-qq", "-u", "daemon", "-o", "/dev/null"]);
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={fault}")]);
        command.arg(env!("CARGO_BIN_EXE_iddio-logd"));
        self.run(command);
    }

    /// Starts the service with its log on a file system of its own, seen by nobody else, with some
    /// bytes of it taken, and waits until it answers.
    pub(crate) fn start_on(&mut self, options: &str, ballast: &str) {
        let mount = format!("{options},uid={KEEPER},gid={KEEPER},mode=0700");
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", ON_ITS_OWN, "sh"]).arg(self.path("lib")).arg(mount);
        command.arg(ballast).arg(KEEPER.to_string()).arg(env!("CARGO_BIN_EXE_iddio-logd"));
        self.run(command);
        self.wait();
    }

    /// Removes the ballast.
    pub(crate) fn make_room(&self) {
        let pid = self.service.as_ref().unwrap().id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid, "-m", "rm"]).arg(self.path("lib/ballast"));
        assert!(command.status().unwrap().success());
    }

    fn run(&mut self, mut command: Command) {
        assert!(self.service.is_none());
        command.arg("--config").arg(self.config()).arg("--socket").arg(self.socket());
        let errors = fs::File::options().create(true).append(true).open(self.path("errors"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.unwrap());
        self.service = Some(command.spawn().expect("it starts"));
    }

    /// Waits until the service answers.
    pub(crate) fn wait(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.remote().head().is_err() {
            let ended = self.service.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{ended:?}: {}", self.errors());
            std::thread::yield_now();
        }
    }

    /// Whether the service has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        let ended = self.service.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
        if ended {
            self.service = None;
        }
        ended
    }

    /// Kills the service.
    pub(crate) fn kill(&mut self) {
        let Some(mut service) = self.service.take() else { return };
        // Where it is a tracer, whom it traces ends as well.
        let pid = service.id();
        let traced = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        service.kill().unwrap();
        service.wait().unwrap();
        let traced = traced.unwrap_or_default();
        for pid in traced.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            // One that ended with its tracer is gone already.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    pub(crate) fn errors(&self) -> String {
        fs::read_to_string(self.path("errors")).unwrap_or_default()
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote::at(&self.socket(), KEEPER)
    }

    /// Returns a client process of a user, not started.
    pub(crate) fn speak(&self, uid: u32, mode: &str, numbers: [u64; 3]) -> Command {
        let own = std::env::current_exe().unwrap();
        let path = own.parent().unwrap().parent().unwrap().join("examples/speak");
        assert!(path.exists(), "build it first: cargo build -p iddio-logd --examples");
        let mut command = Command::new(path);
        command.uid(uid).gid(uid).arg(self.socket()).arg(KEEPER.to_string()).arg(mode);
        command.args(numbers.map(|number| number.to_string()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        last(&self.log(), &Filter::default(), usize::MAX).unwrap()
    }

    #[track_caller]
    pub(crate) fn verify(&self) -> Report {
        let report = verify(&self.log(), 1).unwrap();
        assert_eq!(report.bad, None, "{report:?}");
        report
    }

    /// Checks that every acknowledged record stands in the log, and that none stands there twice.
    #[track_caller]
    pub(crate) fn check(&self, acks: &Acks) {
        self.verify();
        let mut requests = std::collections::HashSet::new();
        let mut found = Acks::new();
        for record in self.records() {
            if let Some(request) = record.text("request") {
                assert!(requests.insert(request.to_owned()), "`{request}` stands there twice");
            }
            let text = |name| record.text(name).unwrap().to_owned();
            found.insert(record.int("seq").unwrap(), (text("id"), text("hash")));
        }
        for (seq, ack) in acks {
            assert_eq!(found.get(seq), Some(ack), "record {seq} was acknowledged");
        }
    }

    /// Waits until a record satisfies `wanted`.
    #[track_caller]
    pub(crate) fn until(&self, wanted: impl Fn(&Record) -> bool) -> Record {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.records().into_iter().find(&wanted) {
                return found;
            }
            assert!(Instant::now() < until, "no such record; {}", self.errors());
            std::thread::yield_now();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Takes down what a client said was acknowledged.
pub(crate) fn acks(said: &[u8], into: &mut Acks) {
    for line in String::from_utf8_lossy(said).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let ack = (words[1].to_owned(), words[2].to_owned());
        assert_eq!(into.insert(words[0].parse().unwrap(), ack), None, "{line}: acknowledged twice");
    }
}

/// Connects and says bytes, framed.
pub(crate) fn say(socket: &Path, bodies: &[&[u8]]) -> UnixStream {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for body in bodies {
        let mut frame = Vec::new();
        wire::put(&mut frame, body).unwrap();
        // Whoever cut us off already need not hear the rest.
        let _ = stream.write_all(&frame);
    }
    stream
}

/// Hears one answer; `None` when the connection ended.
pub(crate) fn hear(stream: &mut UnixStream) -> Option<Reply> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).ok()?;
    let mut body = vec![0; u32::from_be_bytes(header) as usize];
    stream.read_exact(&mut body).ok()?;
    Some(Reply::read(&body).unwrap())
}

/// The words that open a conversation.
pub(crate) fn hello() -> Vec<u8> {
    Call::Hello(wire::VERSION).to_bytes().to_vec()
}

/// Mounts a file system, takes some of it, and becomes the service.
const ON_ITS_OWN: &str = r#"mount -t tmpfs -o "$2" tmpfs "$1" && head -c "$3" /dev/zero > "$1/ballast" &&
user="$4" && shift 4 && exec setpriv --reuid="$user" --regid="$user" --clear-groups "$@""#;

/// How long anything may take on a busy machine before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
