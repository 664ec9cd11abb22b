//! Substitutes what the command line names by copies that cannot change any more.
//!
//! INVARIANT: after binding, no word of the arguments leads to a file that was hashed and can still
//! be written: a file became a sealed memory file, a directory a private copy, standard input a
//! sealed spool. What could not be bound is said, and raises the tier.

use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::BorrowedFd,
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::symlink,
        },
    },
    path::{Path, PathBuf},
};

use iddio_classify::command::{Binding, InputFile, InputKind};
use iddio_core::{digest::Digest, text::RawText};
use iddio_spawn::{SPOOL_BYTES_MAX, SealedInput, SpoolError};
use rustix::event::{PollFd, PollFlags, poll};

use crate::{
    operation::BoundInput,
    reach::Reach,
    run_dir::RunDir,
    snapshot::{Apart, Snapshot, SnapshotError},
};

/// The words of a command line, and what they now read.
#[derive(Debug)]
pub struct Bound {
    /// The words, inputs substituted.
    pub words: Vec<OsString>,
    /// What was sealed, by the word that names it.
    pub inputs: Vec<BoundInput>,
    /// Directories that were copied.
    pub trees: Vec<Snapshot>,
    /// What the command line calls them, in the same order.
    pub copied: Vec<RawText>,
    /// What could not be bound.
    pub unbound: Vec<RawText>,
    /// What standard input gave, if it is read as a program or a manifest.
    pub stdin: Option<SealedInput>,
}

/// Where inputs are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// What paths are relative to.
    pub directory: &'a Path,
    /// What may be looked at.
    pub reach: &'a Reach,
    /// The caller's standard input.
    pub stdin: BorrowedFd<'a>,
    /// Readable once the caller wants something else: a wait for standard input ends then.
    pub signals: Option<BorrowedFd<'a>>,
}

/// Why an input could not be looked at at all.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A private directory could not be made.
    #[error("a private directory could not be made: {0}")]
    Io(#[from] io::Error),
    /// A directory could not be copied.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// It is too long, or memory could not be had.
    #[error("`{name}`: {source}")]
    Spool {
        /// What the caller called it.
        name: String,
        /// Why.
        source: SpoolError,
    },
}

/// Binds every input of a command line. Standard input is waited for until it ends, or the caller wants
/// something else.
///
/// # Errors
///
/// When an input is there and cannot be copied. One that is not there is left to the tool, and
/// counts as unbound.
pub fn bind(
    words: Vec<OsString>,
    wanted: &[InputFile],
    around: &Around<'_>,
    run: &RunDir,
) -> Result<Bound, BindError> {
    let mut bound = Bound::of(words);
    // From the last to the first, so that offsets in a word that names several stay true.
    for (place, input) in wanted.iter().enumerate().rev() {
        bound.one(place, input, around, run)?;
    }
    bound.inputs.reverse();
    bound.unbound.reverse();
    Ok(bound)
}

/// Reads standard input to its end, or until `signals` can be read.
///
/// # Errors
///
/// When it is too long, cannot be read, or a signal arrives.
pub fn standard_input(
    stdin: BorrowedFd<'_>,
    signals: Option<BorrowedFd<'_>>,
) -> Result<SealedInput, BindError> {
    spool("standard input", &mut StandardInput { stdin, signals })
}

// === impl Bound ===

impl Bound {
    /// Binds nothing yet.
    pub fn of(words: Vec<OsString>) -> Self {
        let (inputs, trees, copied, unbound) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { words, inputs, trees, copied, unbound, stdin: None }
    }

    /// Returns what an input that is a file or standard input was sealed as.
    pub fn sealed(&self, input: &InputFile) -> Option<&SealedInput> {
        let named =
            |bound: &&BoundInput| bound.argument == Some(input.word) && bound.name == input.path;
        match input.binding {
            Binding::Stdin => self.stdin.as_ref(),
            _ => self.inputs.iter().find(named).map(|bound| &bound.sealed),
        }
    }

    /// Returns what an input that is a directory was copied to.
    pub fn tree_of(&self, input: &InputFile) -> Option<&Snapshot> {
        let copied = self.copied.iter().zip(&self.trees);
        copied.filter(|(name, _)| **name == input.path).map(|(_, tree)| tree).next()
    }

    /// Returns what the input that `word` names was sealed as.
    pub fn input(&self, word: usize) -> Option<&BoundInput> {
        self.inputs.iter().find(|input| input.argument == Some(word))
    }

    fn one(
        &mut self,
        place: usize,
        input: &InputFile,
        around: &Around<'_>,
        run: &RunDir,
    ) -> Result<(), BindError> {
        let path = around.directory.join(OsString::from_vec(input.path.as_bytes().to_vec()));
        match input.binding {
            Binding::Unbound => self.unbound.push(input.path.clone()),
            Binding::Stdin => self.stdin = Some(standard_input(around.stdin, around.signals)?),
            Binding::Directory => self.tree(place, input, &path, around.reach, run)?,
            Binding::FileOrDirectory if around.reach.is_directory(&path) => {
                self.tree(place, input, &path, around.reach, run)?;
            }
            Binding::File | Binding::FileOrDirectory => {
                self.file(place, input, &path, around.reach, run)?;
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        place: usize,
        input: &InputFile,
        path: &Path,
        reach: &Reach,
        run: &RunDir,
    ) -> Result<(), BindError> {
        let Ok(mut file) = reach.open(path) else {
            self.unbound.push(input.path.clone());
            return Ok(());
        };
        let sealed = spool(&path.display().to_string(), &mut file)?;
        let mut substitute = sealed.path();
        if cares_for_name(input) {
            substitute = named(&substitute, path, &run.directory(&format!("input-{place}"))?)?;
        }
        self.substitute(input, &substitute);
        let argument = Some(input.word);
        self.inputs.push(BoundInput { name: input.path.clone(), argument, sealed });
        Ok(())
    }

    fn tree(
        &mut self,
        place: usize,
        input: &InputFile,
        path: &Path,
        reach: &Reach,
        run: &RunDir,
    ) -> Result<(), BindError> {
        if !reach.is_directory(path) {
            self.unbound.push(input.path.clone());
            return Ok(());
        }
        let parent = run.directory(&format!("input-{place}"))?;
        let name = path.file_name().unwrap_or("tree".as_ref());
        let apart = Apart { linked: Vec::new(), omitted: vec![".git".into()] };
        let tree = Snapshot::take(&reach.real(path)?, &parent.join(name), &apart)?;
        // What a link leads out of the copy may change before it is read: it is not bound.
        let root = tree.root().canonicalize()?;
        let leads_out = |link: &Path| {
            !root.join(link).canonicalize().is_ok_and(|target| target.starts_with(&root))
        };
        let out = tree.links().filter(|link| leads_out(link));
        let named = out.map(|link| RawText::new(path.join(link).as_os_str().as_bytes()));
        self.unbound.extend(named);
        self.substitute(input, tree.root());
        self.trees.push(tree);
        self.copied.push(input.path.clone());
        Ok(())
    }

    /// Puts `path` where the word names the input.
    fn substitute(&mut self, input: &InputFile, path: &Path) {
        let Some(word) = self.words.get_mut(input.word) else { return };
        let old = word.as_bytes();
        let before = old.get(..input.start).unwrap_or_default();
        let after = old.get(input.end..).unwrap_or_default();
        let new = [before, path.as_os_str().as_bytes(), after].concat();
        *word = OsString::from_vec(new);
    }
}

/// The caller's standard input, read until its end or until a signal arrives that this process
/// must see to: whoever types must be able to leave.
struct StandardInput<'a> {
    stdin: BorrowedFd<'a>,
    /// Readable once a signal has arrived.
    signals: Option<BorrowedFd<'a>>,
}

impl io::Read for StandardInput<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut waiting = vec![PollFd::from_borrowed_fd(self.stdin, PollFlags::IN)];
            waiting.extend(self.signals.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            match poll(&mut waiting, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            match waiting.as_slice() {
                [_, signals] if !signals.revents().is_empty() => {
                    return Err(io::Error::other("a signal arrived before its end"));
                }
                _ => {}
            }
            let count = rustix::io::read(self.stdin, buffer)?;
            // A signal may have come between the look and the end: who sends one and then closes leaves.
            return match count == 0 && self.has_signal()? {
                true => Err(io::Error::other("a signal arrived before its end")),
                false => Ok(count),
            };
        }
    }
}

impl StandardInput<'_> {
    fn has_signal(&self) -> io::Result<bool> {
        let Some(signals) = self.signals else { return Ok(false) };
        let mut looked = [PollFd::from_borrowed_fd(signals, PollFlags::IN)];
        let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut looked, Some(&now)) {
            Ok(ready) => Ok(0 < ready),
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

fn spool(name: &str, source: &mut impl io::Read) -> Result<SealedInput, BindError> {
    SealedInput::spool(source, SPOOL_BYTES_MAX)
        .map_err(|source| BindError::Spool { name: name.to_owned(), source })
}

/// Whether the tool reads the file differently by the end of its name.
fn cares_for_name(input: &InputFile) -> bool {
    input.kind == InputKind::Variables && input.path.as_bytes().ends_with(b".json")
}

/// Gives a sealed input the name it had, as a link to its descriptor in a private directory.
fn named(sealed: &Path, original: &Path, directory: &Path) -> io::Result<PathBuf> {
    let link = directory.join(original.file_name().unwrap_or("input".as_ref()));
    symlink(sealed, &link)?;
    Ok(link)
}

/// Reads a sealed input back, for the reader that judges it.
///
/// # Errors
///
/// When it cannot be read, which a sealed memory file can.
pub fn content(input: &SealedInput) -> io::Result<Vec<u8>> {
    let bytes = fs::read(input.path())?;
    match Digest::of_bytes(&bytes) == Digest::from_bytes(input.sha256()) {
        true => Ok(bytes),
        false => Err(io::Error::other("a sealed input is not what was sealed")),
    }
}
