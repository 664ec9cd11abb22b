//! Looks how large a tree is before it travels, and knows what of it stays at home.
//!
//! What a tool needs is often what version control ignores (`.terraform`, `*.tfvars`, states), so
//! `.gitignore` says nothing here. `.iddioignore`, at the top of the tree, does: a line is a name, found
//! anywhere below (`node_modules`), or a path from the top (`data/raw`), with `*` and `**`; a slash at its
//! end means directories alone; `#` begins a comment. INVARIANT: a line that is not understood sends nothing.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use iddio_exec::outputs::covers;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};

use super::{BYTES_MAX, DEPTH_MAX, FILES_MAX, PACKAGE_BYTES_MAX, is_package, names};

/// What of a tree does not travel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ignored(Vec<Line>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Line {
    pattern: PathBuf,
    only: Only,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Only {
    Anything,
    Directories,
}

/// Why it cannot be told what of a tree travels.
#[derive(Debug, thiserror::Error)]
pub enum IgnoreError {
    /// The file cannot be read.
    #[error("`{IGNORE}`: {0}")]
    Io(#[from] io::Error),
    /// A line is no pattern.
    #[error("`{IGNORE}`, line {line}: `{text}` is neither a name nor a path below the tree")]
    Line {
        /// Which.
        line: usize,
        /// What it says.
        text: String,
    },
    /// It is too long.
    #[error("`{IGNORE}` is longer than {LINES_MAX} lines or {TEXT_BYTES_MAX} bytes")]
    Long,
}

/// A tree that is too large to travel, and what makes it so.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct TooLarge {
    /// Files, directories and links.
    pub files: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// The directories that most of it is in, the largest first.
    pub largest: Vec<Largest>,
}

/// A directory that much of a tree is in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Largest {
    /// Where it is.
    pub path: PathBuf,
    /// Files, directories and links below it.
    pub files: usize,
    /// Bytes of all files below it.
    pub bytes: u64,
}

/// Makes sure that a tree may travel.
///
/// # Errors
///
/// When it is too large.
pub fn measure(directory: BorrowedFd<'_>, ignored: &Ignored) -> Result<(), TooLarge> {
    let mut walk = Walk { ignored, found: BTreeMap::new(), all: Sum::default(), deep: false };
    walk.directory(directory, Path::new(""), 0);
    let Sum { files, bytes, packages } = walk.all;
    let fits = files <= FILES_MAX && bytes <= BYTES_MAX && packages <= PACKAGE_BYTES_MAX;
    match fits && !walk.deep {
        true => Ok(()),
        false => {
            let bytes = bytes.saturating_add(packages);
            Err(TooLarge { files, bytes, largest: walk.largest() })
        }
    }
}

// === impl Ignored ===

impl Ignored {
    /// Reads what the tree says of itself.
    ///
    /// # Errors
    ///
    /// When it says what cannot be understood.
    pub fn of(top: BorrowedFd<'_>) -> Result<Self, IgnoreError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(top, IGNORE, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(Self::default()),
            Err(error) => return Err(io::Error::from(error).into()),
        };
        let mut text = String::new();
        if TEXT_BYTES_MAX < file.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)? as u64 {
            return Err(IgnoreError::Long);
        }
        Self::parse(&text)
    }

    /// Reads the lines of such a file.
    ///
    /// # Errors
    ///
    /// When one is not understood, or there are too many.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        if LINES_MAX < text.lines().count() {
            return Err(IgnoreError::Long);
        }
        let told = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let told = told.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        told.map(|(line, text)| Line::parse(line, text)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether what lies at `path`, below the top, stays at home.
    pub fn leaves_out(&self, path: &Path, kind: FileType) -> bool {
        path == Path::new(".git")
            || self.0.iter().any(|line| {
                let kind = line.only == Only::Anything || kind == FileType::Directory;
                kind && covers(&line.pattern, path)
            })
    }
}

// === impl Line ===

impl Line {
    fn parse(line: usize, text: &str) -> Result<Self, IgnoreError> {
        let wrong = || IgnoreError::Line { line, text: text.to_owned() };
        let (rest, only) = match text.strip_suffix('/') {
            Some(rest) => (rest, Only::Directories),
            None => (text, Only::Anything),
        };
        let plain = |part: &str| !matches!(part, "" | "." | "..");
        let (anywhere, rest) = match rest.strip_prefix('/') {
            Some(rest) => (false, rest),
            None => (!rest.contains('/'), rest),
        };
        // What other such files mean by these, this one cannot do.
        if !rest.split('/').all(plain) || rest.starts_with('!') || rest.contains(['\\', '[', '?']) {
            return Err(wrong());
        }
        let start = if anywhere { Path::new("**") } else { Path::new("") };
        Ok(Self { pattern: start.join(rest), only })
    }
}

/// A tree being looked at.
struct Walk<'a> {
    ignored: &'a Ignored,
    /// What is below the directories near the top.
    found: BTreeMap<PathBuf, Sum>,
    all: Sum,
    deep: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    files: usize,
    bytes: u64,
    packages: u64,
}

// === impl Walk ===

impl Walk<'_> {
    fn directory(&mut self, directory: BorrowedFd<'_>, path: &Path, depth: usize) {
        if DEPTH_MAX < depth {
            self.deep = true;
            return;
        }
        // What cannot be read does not travel either.
        for (name, kind) in names(directory).unwrap_or_default() {
            let below = path.join(&name);
            if self.ignored.leaves_out(&below, kind) || WALK_MAX < self.all.files {
                continue;
            }
            let bytes = match kind {
                FileType::RegularFile => statat(directory, &*name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(0, |found| u64::try_from(found.st_size).unwrap_or_default()),
                _ => 0,
            };
            self.count(&below, bytes);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if kind == FileType::Directory
                && let Ok(opened) = openat(directory, &*name, flags, Mode::empty())
            {
                self.directory(opened.as_fd(), &below, depth + 1);
            }
        }
    }

    fn count(&mut self, path: &Path, bytes: u64) {
        let package = is_package(path);
        let add = |sum: &mut Sum| {
            sum.files = sum.files.saturating_add(1);
            let kind = if package { &mut sum.packages } else { &mut sum.bytes };
            *kind = kind.saturating_add(bytes);
        };
        add(&mut self.all);
        let above = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
        for above in above.filter(|above| above.components().count() <= TOLD_DEPTH_MAX) {
            add(self.found.entry(above.to_owned()).or_default());
        }
    }

    /// Returns the directories that say the most: not one that is large for a single one below it.
    fn largest(&self) -> Vec<Largest> {
        let within = |path: &Path, sum: &Sum| {
            let mut below = self.found.iter().filter(|(other, _)| other.parent() == Some(path));
            below.any(|(_, other)| sum.share() * 6 / 10 < other.share())
        };
        let own = self.found.iter().filter(|(path, sum)| !within(path, sum));
        let mut own: Vec<_> = own.filter(|(_, sum)| SHARE_MIN < sum.share()).collect();
        own.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.share()));
        let told = own.into_iter().take(TOLD_MAX).map(|(path, sum)| Largest {
            path: path.clone(),
            files: sum.files,
            bytes: sum.bytes.saturating_add(sum.packages),
        });
        told.collect()
    }
}

// === impl Sum ===

impl Sum {
    /// How much of the room it takes, in thousandths.
    fn share(&self) -> u64 {
        let thousandths = |part: u64, whole: u64| part.saturating_mul(1000) / whole.max(1);
        thousandths(self.files as u64, FILES_MAX as u64)
            .max(thousandths(self.bytes, BYTES_MAX))
            .max(thousandths(self.packages, PACKAGE_BYTES_MAX))
    }
}

// === impl TooLarge ===

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let (files, bytes) = (self.files, mib(self.bytes));
        let more = if WALK_MAX < files { "at least " } else { "" };
        write!(f, "the tree has {more}{files} files and {bytes} MiB, and no more travels than ")?;
        write!(f, "{FILES_MAX} files, {} MiB and {DEPTH_MAX} levels", mib(BYTES_MAX))?;
        for (number, Largest { path, files, bytes }) in self.largest.iter().enumerate() {
            let before = if number == 0 { ": " } else { ", " };
            write!(f, "{before}`{}` has {files} files, {} MiB", path.display(), mib(*bytes))?;
        }
        Ok(())
    }
}

/// The file in which a tree says what of it stays at home.
pub const IGNORE: &str = ".iddioignore";

/// The longest such file: more than anybody writes by hand.
const TEXT_BYTES_MAX: u64 = 64 * 1024;

/// The most lines of it.
const LINES_MAX: usize = 1_000;

/// How many names are looked at to say what is large: a moment's work on any disk.
const WALK_MAX: usize = 200_000;

/// How deep the directories lie that are told of.
const TOLD_DEPTH_MAX: usize = 3;

/// How many are told of.
const TOLD_MAX: usize = 3;

/// Smaller ones, in thousandths of the room, are not worth a word.
const SHARE_MIN: u64 = 50;
