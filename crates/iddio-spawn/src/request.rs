//! Everything a child gets, as values that can be read and hashed before they are used.
//!
//! INVARIANT: a [`Spawn`] names all of it. Nothing is added to the arguments or the environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use thiserror::Error;

use crate::directory::WorkingDirectory;
use crate::input::SealedInput;
use crate::program::{Program, shown};

/// How long a child has between being asked to end and being killed.
///
/// Long enough for terraform to release its state lock; an ask that is ignored longer was not heard.
pub const TERM_GRACE: Duration = Duration::from_secs(10);

/// How long descendants that outlive the main child have between being asked to end and being killed.
pub const STRAGGLER_GRACE: Duration = Duration::from_secs(2);

/// One run to be started.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// What runs.
    pub program: &'a Program,
    /// Its arguments, its own name first.
    pub arguments: &'a Arguments,
    /// Its whole environment.
    pub environment: &'a Environment,
    /// Where it starts.
    pub directory: &'a WorkingDirectory,
    /// What it can read at [`SealedInput::path`] besides its standard input.
    pub inputs: &'a [&'a SealedInput],
    /// Its standard input.
    pub stdin: Stdin<'a>,
    /// Its standard output.
    pub stdout: Output,
    /// Its standard error.
    pub stderr: Output,
    /// How long it may run.
    pub limits: Limits,
}

/// The arguments of a program, its own name first: at least one, and none holding a zero byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    name: OsString,
    rest: Vec<OsString>,
}

/// The whole environment of a program; every name once, in order.
#[derive(Clone, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

/// What a child reads.
#[derive(Debug)]
pub enum Stdin<'a> {
    /// This descriptor.
    From(OwnedFd),
    /// What this process would read, untouched.
    Inherit,
    /// Nothing.
    Null,
    /// A sealed input, from its first byte.
    Sealed(&'a SealedInput),
}

/// Where a child writes.
#[derive(Debug)]
pub enum Output {
    /// To where this process would write, untouched.
    Inherit,
    /// Into [`Ended`](crate::Ended), at most this many bytes; one more ends the run.
    Keep {
        /// The limit.
        bytes_max: usize,
    },
    /// To nowhere.
    Null,
    /// To this descriptor.
    To(OwnedFd),
}

/// How long a run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most the main child may take.
    pub run_time: RunTime,
    /// How long it has to end after it was asked to.
    pub term_grace: Duration,
    /// How long its descendants have to end after they were asked to.
    pub straggler_grace: Duration,
}

/// The most a main child may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunTime {
    /// This long, sleep of the machine included.
    AtMost(Duration),
    /// As long as it likes.
    Unlimited,
}

/// Why a request cannot be written down.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// The kernel would cut it at the zero byte.
    #[error("`{}` holds a zero byte", shown(.0.as_ref()))]
    ZeroByte(OsString),
    /// It is empty or holds an equals sign.
    #[error("`{}` is no name of a variable", shown(.0.as_ref()))]
    VariableName(OsString),
    /// The name stands there already.
    #[error("`{}` is set twice", shown(.0.as_ref()))]
    VariableTwice(OsString),
}

// === impl Arguments ===

impl Arguments {
    /// Takes the program's name for itself and what follows it.
    pub fn new<A: Into<OsString>>(
        name: impl Into<OsString>,
        rest: impl IntoIterator<Item = A>,
    ) -> Result<Self, RequestError> {
        let name = without_zero(name.into())?;
        let rest = rest
            .into_iter()
            .map(|argument| without_zero(argument.into()))
            .collect::<Result<_, _>>()?;
        Ok(Self { name, rest })
    }

    /// What the program finds as its own name.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// What follows the name.
    pub fn rest(&self) -> &[OsString] {
        &self.rest
    }

    /// All of it, the name first.
    pub fn iter(&self) -> impl Iterator<Item = &OsStr> {
        std::iter::once(self.name.as_os_str()).chain(self.rest.iter().map(OsString::as_os_str))
    }
}

// === impl Environment ===

impl Environment {
    /// Returns an environment with nothing in it.
    pub fn empty() -> Self {
        Self { variables: BTreeMap::new() }
    }

    /// Sets `name`, which must not be set yet.
    pub fn set(
        &mut self,
        name: impl Into<OsString>,
        value: impl Into<OsString>,
    ) -> Result<(), RequestError> {
        let name = without_zero(name.into())?;
        let value = without_zero(value.into())?;
        if name.is_empty() || name.as_bytes().contains(&b'=') {
            return Err(RequestError::VariableName(name));
        }
        if self.variables.contains_key(&name) {
            return Err(RequestError::VariableTwice(name));
        }
        self.variables.insert(name, value);
        Ok(())
    }

    /// Returns the value of `name`.
    pub fn value(&self, name: &OsStr) -> Option<&OsStr> {
        self.variables.get(name).map(OsString::as_os_str)
    }

    /// Names and values in the order of the names' bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be credentials.
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

// === impl Limits ===

impl Limits {
    /// Lets the main child run for `duration`, with the usual graces.
    pub fn at_most(duration: Duration) -> Self {
        Self { run_time: RunTime::AtMost(duration), ..Self::unlimited() }
    }

    /// Lets the main child run as long as it likes, with the usual graces.
    pub fn unlimited() -> Self {
        Self {
            run_time: RunTime::Unlimited,
            term_grace: TERM_GRACE,
            straggler_grace: STRAGGLER_GRACE,
        }
    }
}

fn without_zero(text: OsString) -> Result<OsString, RequestError> {
    if text.as_bytes().contains(&0) { Err(RequestError::ZeroByte(text)) } else { Ok(text) }
}
