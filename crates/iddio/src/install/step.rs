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

use super::files::USERS;

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
    /// Writes a file of ours.
    File { content: &'static str },
    /// Writes a file if there is none.
    First { content: &'static str },
    /// Copies a program.
    Program { from: PathBuf },
    /// Removes a file.
    Remove,
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

// === impl Step ===

impl Step {
    pub(super) fn at(place: PathBuf, act: Act) -> Self {
        Self { place, act }
    }

    /// Whether there is something to do.
    pub(super) fn is_needed(&self) -> bool {
        let place = &self.place;
        match &self.act {
            Act::Directory { .. } => !place.is_dir(),
            Act::File { content } => {
                fs::symlink_metadata(place).is_ok_and(|there| there.is_symlink())
                    || fs::read(place).ok().as_deref() != Some(content.as_bytes())
            }
            Act::First { .. } | Act::WrappingKey => fs::symlink_metadata(place).is_err(),
            Act::Program { from } => {
                !same_file(from, place) && fs::read(from).ok() != fs::read(place).ok()
            }
            Act::Remove => fs::symlink_metadata(place).is_ok(),
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
            Act::Remove => fs::remove_file(place),
            Act::TakeBack { from } => fs::rename(from, place),
            Act::Unless { run: words, .. }
            | Act::Users { run: words, .. }
            | Act::While { run: words, .. } => run(words),
            Act::WrappingKey => create_wrapping_key(place).map_err(io::Error::other),
        }
    }

    /// Says what it does.
    pub(super) fn says(&self) -> String {
        let place = self.place.display();
        match &self.act {
            Act::Directory { .. } => format!("make the directory {place}"),
            Act::File { .. } => format!("write {place}"),
            Act::First { .. } => format!("write {place}, to be changed by you"),
            Act::Program { from } => format!("copy {} to {place}", from.display()),
            Act::Remove => format!("remove {place}"),
            Act::TakeBack { from } => format!("rename {} to {place}", from.display()),
            Act::Unless { run: words, .. }
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

/// Runs one of systemd's programs to its end.
fn run(words: &[String]) -> io::Result<()> {
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
        stderr: Output::Inherit,
        limits: Limits::at_most(RUN_TIME_MAX),
    });
    let ended = running.map_err(io::Error::other)?.wait().map_err(io::Error::other)?;
    match ended.status {
        Status::Exited(0) => Ok(()),
        status => Err(io::Error::other(format!("it ended with {status:?}"))),
    }
}

/// What a file is called before it is whole.
const FRESH: &str = ".iddio-new";

/// How long one of systemd's programs may take.
const RUN_TIME_MAX: Duration = Duration::from_secs(60);
