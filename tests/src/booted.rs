//! A machine that systemd runs: the real one, as the first process of namespaces of its own.
//!
//! Its files are this host's under a layer that is gone with it, its control groups are a part of this
//! host's, its network is a loopback. So units run as they would on a machine, with every line of theirs in
//! force, and nothing of it is seen outside.
//!
//! What it is not: another kernel. What a unit may do to the kernel, it would do to this one.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use tempfile::TempDir;

use crate::{PATH, Said, binary, keepers::until, repository};

/// How a machine keeps its control groups.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Groups {
    /// Controllers of the first version, with the second beside them.
    Hybrid,
    /// The second version alone.
    Unified,
}

/// A machine. Dropped, it is off.
#[derive(Debug)]
pub struct Machine {
    dir: TempDir,
    outer: Child,
    init: u32,
    /// Where its control groups lie in this host's.
    groups: Vec<PathBuf>,
}

/// A user of the machine, with a home and a directory to work in.
pub const ADA: &str = "ada";

// === impl Groups ===

impl Groups {
    /// The forms that this host's kernel can give a machine. There is always one.
    pub fn available() -> Vec<Self> {
        let divided = mounted().iter().any(|(_, kind)| kind == "cgroup");
        if divided { vec![Self::Hybrid, Self::Unified] } else { vec![Self::Unified] }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Unified => "unified",
        }
    }
}

// === impl Machine ===

impl Machine {
    /// Boots a machine and waits until systemd says that it runs; or returns nothing, if
    /// `IDDIO_TEST_WITHOUT` says to do without one, because this host lets nobody make one.
    pub fn boot(groups: Groups) -> Option<Self> {
        let without = std::env::var("IDDIO_TEST_WITHOUT").unwrap_or_default();
        if without.split(',').any(|word| word == EXCUSE) {
            println!("WITHOUT {EXCUSE}: {}", std::thread::current().name().unwrap_or("a test"));
            return None;
        }
        assert!(rustix::process::geteuid().is_root(), "run these tests as root: they boot systemd");
        assert!(Path::new(SYSTEMD).exists(), "{SYSTEMD} is needed: apt-get install systemd");
        let dir = TempDir::with_prefix("iddio-booted-").expect("a directory");
        let name = dir.path().file_name().expect("a name").to_owned();
        let parts = parts(&name);
        let log = fs::File::create(dir.path().join("log")).expect("a file");
        fs::create_dir(dir.path().join("machine")).expect("a directory");
        let mut command = Command::new("sh");
        command.args(["-c", JOIN]).arg(dir.path().join("machine")).arg(groups.word());
        command.arg(programs()).args(&parts);
        command.env_clear().env("PATH", PATH).env("BOOT", BOOT).current_dir("/");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let outer = command.spawn().expect("it starts");
        let mut machine = Self { dir, outer, init: 0, groups: parts };
        machine.init = machine.find_init();
        let runs = || machine.systemctl(["is-system-running"]).stdout.trim() == "running";
        until(runs, || machine.told());
        // It was closed so that booting changes no limit of this host's kernel.
        machine.root(["umount", "/proc/sys/fs"]).ok();
        Some(machine)
    }

    /// Waits until systemd is what the first process of the machine runs.
    fn find_init(&self) -> u32 {
        let outer = self.outer.id();
        let find = || {
            let children =
                fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).ok()?;
            let pid: u32 = children.split_whitespace().next()?.parse().ok()?;
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            (name.trim() == "systemd").then_some(pid)
        };
        until(|| find().is_some(), || self.log());
        find().expect("it was there")
    }

    /// Returns a command of root's in the machine.
    pub fn enter<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string()]);
        command.args(["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--wd=/root"]);
        command.arg("--").args(words);
        command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").env("HOME", "/root");
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command of root's in the machine to its end.
    pub fn root<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Said {
        Said::of(self.enter(words).output().expect("it runs"))
    }

    /// Runs `systemctl` in the machine.
    pub fn systemctl<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Said {
        self.root(["systemctl", "--no-pager"].into_iter().chain(words))
    }

    /// Makes a user with a home.
    pub fn add_user(&self, name: &str) {
        let script = r#"id="$1"; uid=61001
            echo "$id:x:$uid:$uid:$id:/home/$id:/bin/sh" >> /etc/passwd &&
            echo "$id:x:$uid:" >> /etc/group &&
            mkdir -p "/home/$id/work" && chown -R "$uid:$uid" "/home/$id""#;
        self.root(["sh", "-c", script, "sh", name]).ok();
    }

    /// Returns a command of a user's, where it works.
    pub fn as_user<A: AsRef<OsStr>>(
        &self,
        user: &str,
        words: impl IntoIterator<Item = A>,
    ) -> Command {
        let script = r#"id="$0"; cd "/home/$id/work" && export HOME="/home/$id" &&
            exec setpriv --reuid="$id" --regid="$id" --init-groups -- "$@""#;
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        let own = ["sh", "-c", script, user].map(Into::into);
        self.enter(own.into_iter().chain(words))
    }

    /// Runs `iddio exec -- WORDS` of a user's to its end.
    pub fn exec<'a>(&self, user: &str, words: impl IntoIterator<Item = &'a str>) -> Said {
        let words = ["iddio", "exec", "--"].into_iter().chain(words);
        Said::of(self.as_user(user, words).output().expect("it runs"))
    }

    /// Writes a file of root's, mode 0644.
    pub fn write(&self, path: &str, content: &str) {
        let script = r#"umask 022; printf '%s' "$2" > "$1""#;
        self.root(["sh", "-c", script, "sh", path, content]).ok();
    }

    /// The process of a unit, as the machine numbers it; none if it has none.
    pub fn pid(&self, unit: &str) -> Option<u32> {
        let said = self.systemctl(["show", "--property=MainPID", "--value", unit]).ok();
        said.stdout.trim().parse().ok().filter(|pid| *pid != 0)
    }

    /// Whether systemd says of a unit what it does to one that is up.
    pub fn is_active(&self, unit: &str) -> bool {
        self.systemctl(["is-active", unit]).stdout.trim() == "active"
    }

    /// What the machine said, for a test that fails.
    pub fn told(&self) -> String {
        let journal = self.root(["journalctl", "--no-pager", "--lines=60"]).stdout;
        let units = self.systemctl(["list-units", "--all", "iddio*"]).stdout;
        format!("{units}\n{journal}\n{}", self.log())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its first process goes with it, and the machine with that.
        let _ = self.outer.kill();
        let _ = self.outer.wait();
        for group in &self.groups {
            let removed = || remove(group);
            until(removed, || format!("`{}` is not empty", group.display()));
        }
    }
}

/// Where the programs under test are, built now if nobody did.
fn programs() -> &'static Path {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        if std::env::var_os("IDDIO_TEST_BIN").is_none() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--bins"]);
            for package in ["execd", "kube", "logd", "push", "signer"] {
                build.args(["--package", &format!("iddio-{package}")]);
            }
            let built = build.current_dir(repository()).status().expect("cargo runs");
            assert!(built.success(), "the services do not build");
        }
    });
    binary().parent().expect("a directory")
}

/// Where control groups are, and of which kind.
fn mounted() -> Vec<(PathBuf, String)> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("a list of mounts");
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let groups = fields.filter_map(|fields| match fields.as_slice() {
        [_, place, kind @ ("cgroup" | "cgroup2"), ..] => {
            Some((PathBuf::from(place), (*kind).to_owned()))
        }
        _ => None,
    });
    groups.collect()
}

/// Makes a part of each of this host's hierarchies: below this process's own group where that can be
/// divided, else at the top.
fn parts(name: &OsStr) -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").expect("groups");
    let mut parts = Vec::new();
    for (place, kind) in mounted() {
        let below = own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let controllers = fields.nth(1)?.trim_start_matches("name=");
            let base = place.file_name()?.to_str()?;
            let this = controllers.split(',').any(|one| base.split(',').any(|two| one == two));
            (kind == "cgroup" && this).then(|| fields.next()).flatten()
        });
        let part = place.join(below.unwrap_or_default().trim_start_matches('/')).join(name);
        fs::create_dir(&part).unwrap_or_else(|error| panic!("`{}`: {error}", part.display()));
        for file in ["cpuset.cpus", "cpuset.mems"] {
            // A new one of the first version has none, and takes nobody in.
            if let Ok(inherited) = fs::read_to_string(part.with_file_name(file)) {
                let _ = fs::write(part.join(file), inherited);
            }
        }
        parts.push(part);
    }
    parts
}

/// Removes a group with all below it; false while somebody is in one.
fn remove(group: &Path) -> bool {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    // All of them, also behind one that is not empty yet.
    let left = below.filter(|entry| !remove(&entry.path())).count();
    left == 0 && (fs::remove_dir(group).is_ok() || !group.exists())
}

/// What `IDDIO_TEST_WITHOUT` says where systemd cannot be booted.
const EXCUSE: &str = "systemd-boot";

const SYSTEMD: &str = "/lib/systemd/systemd";

/// Joins the machine's control groups, and starts its first process. It goes with the test, however that ends.
const JOIN: &str = r#"
set -eu
machine="$0" groups="$1" programs="$2"; shift 2
for part in "$@"; do echo $$ > "$part/cgroup.procs"; done
exec setpriv --pdeathsig=KILL unshare --pid --fork --kill-child --mount --cgroup --net --uts --ipc \
    sh -c "$BOOT" "$machine" "$groups" "$programs""#;

/// Puts the machine's files together, and becomes systemd. What this host starts, it does not.
const BOOT: &str = r#"
set -eu
machine="$0" groups="$1" programs="$2"
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$machine"
cd "$machine"
mkdir upper work root
mount -t overlay -o "lowerdir=/,upperdir=$machine/upper,workdir=$machine/work" overlay root
cd root
mount -t proc proc proc
mount -t sysfs sysfs sys
if [ "$groups" = unified ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/unified sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do
    : > "dev/$name"; mount --bind "/dev/$name" "dev/$name"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
for wants in lib/systemd/system/*.wants lib/systemd/system-generators; do
    mount -t tmpfs -o mode=755 tmpfs "$wants"
done
rm -rf etc/systemd/system etc/iddio
mkdir -p etc/systemd/system opt/iddio mnt/host
mount --bind "$programs" opt/iddio
printf '%s\n' '[Unit]' 'Requires=basic.target' 'After=basic.target' 'AllowIsolate=yes' \
    'Requires=systemd-journald.socket' > etc/systemd/system/machine.target
pivot_root . mnt/host
umount -l /mnt/host
mount --make-rshared /
mount --bind /proc/sys/fs /proc/sys/fs
mount -o remount,bind,ro /proc/sys/fs
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd \
    --unit=machine.target --log-target=console --show-status=no --default-standard-output=journal"#;
