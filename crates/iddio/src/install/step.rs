//! One step: whether it is needed, what it does, and how it is said.
//!
//! INVARIANT: a file appears whole or not at all, and a link in its place is replaced, never followed.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use iddio_mint::wrapping::create_wrapping_key;
use iddio_spawn::{
    Arguments, Environment, Limits, Output, Spawn, Status, Stdin, Supervisor, ToolPath,
    WorkingDirectory,
};

use super::{check::Tree, files::USERS};

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    place: PathBuf,
    act: Act,
}

/// What a step does at its place.
#[derive(Debug)]
pub(super) enum Act {
    /// Makes a directory.
    Directory { mode: u32 },
    /// Runs a program unless the directories of services are there, whose they should be.
    Directories { root: PathBuf, run: Vec<String> },
    /// Writes a file of ours.
    File { content: &'static str },
    /// Writes a file if there is none.
    First { content: &'static str },
    /// Copies a program.
    Program { from: PathBuf },
    /// Has systemd read its units again, if one was changed before.
    Reload,
    /// Removes a file.
    Remove,
    /// Restarts those of these units that run, if a program or a unit was changed before.
    Restart { units: Vec<&'static str> },
    /// Starts a unit unless it is active.
    Start { unit: &'static str },
    /// Stops those of these units that are active.
    Stop { units: Vec<&'static str> },
    /// Renames what was set aside, if there is nothing in its place.
    TakeBack { from: PathBuf },
    /// Runs a program unless all of these are there.
    Unless { all: Vec<PathBuf>, run: Vec<String> },
    /// Runs a program unless the user database knows our users.
    Users { passwd: PathBuf, run: Vec<String> },
    /// Runs a program while any of these is there.
    While { any: Vec<PathBuf>, run: Vec<String> },
    /// Makes the key that the signer's keys are wrapped under.
    WrappingKey,
}

/// Whether something that runs was changed by the steps so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Changed {
    Nothing,
    Something,
}

/// Whether a unit is active.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Activity {
    Active,
    Inactive,
    /// systemd did not say, as where it speaks to root alone.
    Unknown,
}

// === impl Step ===

impl Step {
    pub(super) fn at(place: PathBuf, act: Act) -> Self {
        Self { place, act }
    }

    /// Whether there is something to do.
    pub(super) fn is_needed(&self, changed: Changed) -> bool {
        let place = &self.place;
        match &self.act {
            Act::Directories { root, .. } => !Tree::at(root).directories().is_empty(),
            Act::Directory { .. } => !place.is_dir(),
            Act::File { content } => {
                fs::symlink_metadata(place).is_ok_and(|there| there.is_symlink())
                    || fs::read(place).ok().as_deref() != Some(content.as_bytes())
            }
            Act::First { .. } | Act::WrappingKey => fs::symlink_metadata(place).is_err(),
            Act::Program { from } => {
                !same_file(from, place) && fs::read(from).ok() != fs::read(place).ok()
            }
            Act::Reload => changed == Changed::Something,
            Act::Remove => fs::symlink_metadata(place).is_ok(),
            Act::Restart { units } => changed == Changed::Something && !active(units).is_empty(),
            Act::Start { unit } => activity(unit) != Activity::Active,
            Act::Stop { units } => !active(units).is_empty(),
            Act::TakeBack { from } => {
                fs::symlink_metadata(from).is_ok() && fs::symlink_metadata(place).is_err()
            }
            Act::Unless { all, .. } => all.iter().any(|path| fs::symlink_metadata(path).is_err()),
            Act::Users { passwd, .. } => {
                let known = fs::read_to_string(passwd).unwrap_or_default();
                let knows = |user: &str| known.lines().any(|line| is_of(line, user));
                !USERS.iter().all(|user| knows(user))
            }
            Act::While { any, .. } => any.iter().any(|path| fs::symlink_metadata(path).is_ok()),
        }
    }

    /// Does it.
    pub(super) fn apply(&self) -> io::Result<()> {
        let place = &self.place;
        match &self.act {
            Act::Directory { mode } => {
                fs::DirBuilder::new().recursive(true).mode(*mode).create(place)
            }
            Act::File { content } | Act::First { content } => {
                write(place, content.as_bytes(), 0o644)
            }
            Act::Program { from } => write(place, &fs::read(from)?, 0o755),
            Act::Reload => systemctl("daemon-reload", &[]),
            Act::Restart { units } => systemctl("try-restart", &active(units)),
            Act::Start { unit } => systemctl("start", &[unit]),
            Act::Stop { units } => systemctl("stop", &active(units)),
            Act::Remove => fs::remove_file(place),
            Act::TakeBack { from } => fs::rename(from, place),
            Act::Directories { run: words, .. }
            | Act::Unless { run: words, .. }
            | Act::Users { run: words, .. }
            | Act::While { run: words, .. } => run(words),
            Act::WrappingKey => create_wrapping_key(place).map_err(io::Error::other),
        }
    }

    /// Returns what changed when it was done, if what runs depends on it.
    pub(super) fn changes(&self) -> Option<Changed> {
        let changes = matches!(self.act, Act::File { .. } | Act::Program { .. } | Act::Remove);
        changes.then_some(Changed::Something)
    }

    /// Whether it can be seen afterwards that it was done.
    pub(super) fn shows(&self) -> bool {
        !matches!(self.act, Act::Reload | Act::Restart { .. })
    }

    /// Says what it does.
    pub(super) fn says(&self) -> String {
        let place = self.place.display();
        match &self.act {
            Act::Directory { .. } => format!("make the directory {place}"),
            Act::File { .. } => format!("write {place}"),
            Act::First { .. } => format!("write {place}, to be changed by you"),
            Act::Program { from } => format!("copy {} to {place}", from.display()),
            Act::Reload => "run systemctl daemon-reload".to_owned(),
            Act::Remove => format!("remove {place}"),
            Act::Restart { units } => format!("restart {}", active(units).join(" ")),
            Act::Start { unit } => format!("start {unit}"),
            Act::Stop { units } => format!("stop {}", active(units).join(" ")),
            Act::TakeBack { from } => format!("rename {} to {place}", from.display()),
            Act::Directories { run: words, .. }
            | Act::Unless { run: words, .. }
            | Act::Users { run: words, .. }
            | Act::While { run: words, .. } => format!("run {}", words.join(" ")),
            Act::WrappingKey => format!("make a new key in {place}"),
        }
    }
}

/// Whether a line of the user database is of `user`.
fn is_of(line: &str, user: &str) -> bool {
    line.strip_prefix(user).is_some_and(|rest| rest.starts_with(':'))
}

/// Whether both are one file: then there is nothing to copy.
fn same_file(one: &Path, two: &Path) -> bool {
    let one = fs::canonicalize(one).ok();
    one.is_some() && one == fs::canonicalize(two).ok()
}

/// Writes a file under another name and moves it into place.
fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let parent = path.parent().ok_or_else(|| io::Error::other("no directory"))?;
    fs::create_dir_all(parent)?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(FRESH);
    let fresh = PathBuf::from(fresh);
    if fs::symlink_metadata(&fresh).is_ok() {
        fs::remove_file(&fresh)?;
    }
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(content)?;
    // Whatever the caller's mask was.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(parent)?.sync_all()
}

/// Asks systemd whether a unit is active.
pub(super) fn activity(unit: &str) -> Activity {
    let words = ["systemctl", "is-active", "--quiet", unit].map(str::to_owned);
    match status(&words, Output::Null) {
        Ok(Status::Exited(0)) => Activity::Active,
        Ok(Status::Exited(NOT_ACTIVE)) => Activity::Inactive,
        Ok(_) | Err(_) => Activity::Unknown,
    }
}

/// Returns those of these units that are active.
fn active(units: &[&'static str]) -> Vec<&'static str> {
    units.iter().copied().filter(|unit| activity(unit) == Activity::Active).collect()
}

fn systemctl(verb: &str, units: &[&str]) -> io::Result<()> {
    let words = ["systemctl", verb].into_iter().chain(units.iter().copied());
    run(&words.map(str::to_owned).collect::<Vec<_>>())
}

/// Runs one of systemd's programs to its end.
fn run(words: &[String]) -> io::Result<()> {
    match status(words, Output::Inherit)? {
        Status::Exited(0) => Ok(()),
        status => Err(io::Error::other(format!("it ended with {status:?}"))),
    }
}

/// Runs one of systemd's programs and returns how it ended.
fn status(words: &[String], stderr: Output) -> io::Result<Status> {
    let name = words.first().map(String::as_str).unwrap_or_default();
    let program = ToolPath::system().find(name.as_ref()).map_err(io::Error::other)?;
    let arguments = Arguments::new(name, words.iter().skip(1)).map_err(io::Error::other)?;
    let directory = WorkingDirectory::open(Path::new("/"))?;
    let mut supervisor = Supervisor::install().map_err(io::Error::other)?;
    let running = supervisor.start(Spawn {
        program: &program,
        arguments: &arguments,
        environment: &Environment::empty(),
        directory: &directory,
        inputs: &[],
        stdin: Stdin::Null,
        stdout: Output::Null,
        stderr,
        limits: Limits::at_most(RUN_TIME_MAX),
    });
    let ended = running.map_err(io::Error::other)?.wait().map_err(io::Error::other)?;
    Ok(ended.status)
}

/// What a file is called before it is whole.
const FRESH: &str = ".iddio-new";

/// How `systemctl is-active` says that it is not.
const NOT_ACTIVE: u8 = 3;

/// How long one of systemd's programs may take.
const RUN_TIME_MAX: Duration = Duration::from_secs(60);
