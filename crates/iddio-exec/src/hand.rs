//! Whose hand a command is in: this process and its terminal, or a client of a broker's.
//!
//! The gateway decides and records; a [`Hand`] has the caller's streams, hears what the caller wants
//! meanwhile, and starts what was decided. INVARIANT: a hand runs what it is given and nothing else, and
//! returns when no process of the run is left. It can run nothing without the credential of that run, which
//! only a warrant mints, and a warrant is a decision that is durable.

use std::{
    io::{self, IsTerminal, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use iddio_core::credential::{CredentialMinter, NoCredential};
use iddio_runtime::freezes::Watch;
use iddio_spawn::{Ended, Limits, Output, Spawn, Stdin, SuperviseError, Supervisor};
use rustix::process::{Signal, getpid, kill_process};

use crate::{
    forward::{FREEZE_GRACE, ForwardError},
    operation::{CommandAction, Material, StdinMaterial},
};

/// What has the caller's streams, hears the caller, and starts what was decided.
pub trait Hand {
    /// Makes the credential of one run.
    type Minter: CredentialMinter<CommandAction>;

    /// Returns what makes the credential of a run.
    fn minter(&self) -> &Self::Minter;

    /// Returns what can be read once the caller wants something.
    fn calls(&self) -> BorrowedFd<'_>;

    /// Hears what the caller wants, while nothing runs.
    fn heed(&mut self) -> Vec<Wish>;

    /// Runs what was decided, until none of it is left, and ends it once its caller is frozen.
    ///
    /// Without a credential, and there is none but what the minter made for a warrant, nothing runs:
    ///
    /// ```compile_fail,E0061
    /// use iddio_exec::{forward::ForwardError, hand::{Hand, Run}};
    ///
    /// fn forward(hand: &mut impl Hand, run: Run<'_>) -> Result<iddio_spawn::Ended, ForwardError> {
    ///     hand.run(run)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// When nothing could be started, the caller went away, or the system lost the child.
    fn run(
        &mut self,
        run: Run<'_>,
        credential: CredentialOf<Self::Minter>,
    ) -> Result<Ended, ForwardError>;

    /// Looks what a run left that has ended, before its end is recorded. Returns what is worth a note.
    fn look_after(&mut self, _action: &CommandAction) -> Option<String> {
        None
    }

    /// Writes to the caller's standard output.
    fn show(&mut self, bytes: &[u8]);
}

/// What a caller wants while its command waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wish {
    /// It takes back what it asked.
    Leave,
}

/// What a minter makes.
pub type CredentialOf<M> = <M as CredentialMinter<CommandAction>>::Credential;

/// A command that was decided on.
pub struct Run<'a> {
    /// All of it.
    pub action: &'a CommandAction,
    /// Where its standard output goes.
    pub stdout: Output,
    /// How long it may take.
    pub limits: Limits,
    /// Says when its caller is frozen.
    pub watch: &'a Watch,
}

/// The caller's standard input.
#[derive(Clone, Debug)]
pub enum Input {
    /// What a client handed over.
    Given {
        /// It.
        fd: Arc<OwnedFd>,
        /// Whether somebody types there.
        source: Source,
    },
    /// This process's own.
    Own,
}

/// Where bytes come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// A file, a pipe, a socket.
    Plain,
    /// A terminal.
    Terminal,
}

/// This process's own hand: the child gets its streams and its terminal.
#[derive(Debug)]
pub struct Own {
    supervisor: Supervisor,
}

// === impl Own ===

impl Own {
    /// Makes this process the supervisor of the child to come.
    ///
    /// # Errors
    ///
    /// When it cannot be.
    pub fn new() -> Result<Self, SuperviseError> {
        Supervisor::install().map(|supervisor| Self { supervisor })
    }
}

impl Hand for Own {
    type Minter = NoCredential;

    fn minter(&self) -> &NoCredential {
        &NoCredential
    }

    fn calls(&self) -> BorrowedFd<'_> {
        self.supervisor.as_fd()
    }

    fn heed(&mut self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        for arrived in self.supervisor.arrived() {
            let is = |signal: Signal| arrived.signal == signal.as_raw();
            if [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM].into_iter().any(is) {
                wishes.push(Wish::Leave);
            } else if is(Signal::TSTP) {
                // It cannot fail for oneself.
                let _ = kill_process(getpid(), Signal::STOP);
            }
        }
        wishes
    }

    fn run(&mut self, run: Run<'_>, (): ()) -> Result<Ended, ForwardError> {
        let Run { action, stdout, limits, watch } = run;
        let Material { program, arguments, environment, directory, inputs, stdin, .. } =
            &action.material;
        let inputs: Vec<_> = inputs.iter().map(|input| &input.sealed).collect();
        let stdin = match stdin {
            StdinMaterial::Inherit => Stdin::Inherit,
            StdinMaterial::Nothing => Stdin::Null,
            StdinMaterial::Sealed(sealed) => Stdin::Sealed(sealed),
        };
        let mut running = self.supervisor.start(Spawn {
            program,
            arguments,
            environment,
            directory,
            inputs: &inputs,
            stdin,
            stdout,
            stderr: Output::Inherit,
            limits,
        })?;
        running.cancel_on(watch.held(), FREEZE_GRACE);
        Ok(running.wait()?)
    }

    fn show(&mut self, bytes: &[u8]) {
        // A closed stdout changes nothing about what happened.
        let _ = io::stdout().write_all(bytes);
    }
}

// === impl Input ===

impl Input {
    /// Whether somebody types there.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Given { source, .. } => *source == Source::Terminal,
            Self::Own => io::stdin().is_terminal(),
        }
    }
}

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Given { fd, .. } => fd.as_fd(),
            Self::Own => rustix::stdio::stdin(),
        }
    }
}
