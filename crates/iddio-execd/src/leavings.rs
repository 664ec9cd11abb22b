//! What the runs of one command left in the copy of their caller's tree.
//!
//! INVARIANT: only what was declared comes back, and what was not is named: to the caller, and in the record
//! of the run. Where something stays behind nothing is removed either: a file that was moved to a place that
//! nobody declared is not lost at both. No name with a secret in it leaves.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use iddio_exec::outputs::{Declared, Outputs};

use crate::{
    confine::Base,
    credentials::Given,
    tree::{self, Changes, Laid},
};

/// What was left, and what was declared so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leavings(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    outputs: Outputs,
    left: Option<Left>,
    notes: Vec<String>,
}

/// What was found after the last run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left {
    declared: Changes,
    /// What stays behind, as it may be named.
    behind: Vec<String>,
    /// What would have been removed, had nothing stayed behind.
    kept: usize,
    /// Why it could not be looked at.
    failed: Option<String>,
}

// === impl Leavings ===

impl Leavings {
    /// Adds a word about how a run ended.
    pub(crate) fn note(&self, notes: Vec<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).notes.extend(notes);
    }

    /// Looks what a run left that declared `outputs`. Returns what belongs in its record.
    pub(crate) fn look(
        &self,
        base: &Base,
        laid: &Laid,
        outputs: &Outputs,
        given: &Given,
    ) -> Option<String> {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.outputs.join(outputs);
        let left = match tree::look(&base.work(), laid) {
            Ok(changes) => Left::of(changes, &found.outputs, base, given),
            Err(error) => Left { failed: Some(error.to_string()), ..Left::default() },
        };
        let mut notes = std::mem::take(&mut found.notes);
        notes.extend(left.remark());
        found.left = Some(left);
        Some(notes.join("; ")).filter(|notes| !notes.is_empty())
    }

    /// Returns what the last run left.
    pub(crate) fn take(&self) -> Option<Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).left.take()
    }
}

// === impl Left ===

impl Left {
    fn of(changes: Changes, outputs: &Outputs, base: &Base, given: &Given) -> Self {
        let mut behind: Vec<PathBuf> = Vec::new();
        let work = base.work();
        let mut comes = |path: &PathBuf| {
            let called = base.reach().called(&work.join(path));
            let named = path.as_os_str().as_bytes();
            let sound = given.clean(named.to_vec()) == named;
            let comes = sound && outputs.declare(&called) == Declared::Yes;
            if !comes {
                behind.push(path.clone());
            }
            comes
        };
        let Changes { mut made, mut gone, closed, other } = changes;
        made.retain(&mut comes);
        gone.retain(&mut comes);
        let closed = closed.into_iter().filter(|path| {
            outputs.declare(&base.reach().called(&work.join(path))) == Declared::Yes
        });
        let mut closed: Vec<_> = closed.collect();
        behind.extend(other);
        let kept = if behind.is_empty() { 0 } else { gone.len() };
        if 0 < kept {
            gone.clear();
            closed.clear();
        }
        let behind = behind.iter().map(|path| shown(path, given)).collect();
        let declared = Changes { made, gone, closed, other: Vec::new() };
        Self { declared, behind, kept, failed: None }
    }

    /// Returns what comes back, if anything does.
    pub(crate) fn declared(&self) -> Option<&Changes> {
        Some(&self.declared).filter(|changes| **changes != Changes::default())
    }

    /// Says in one line what stays behind.
    pub(crate) fn remark(&self) -> Option<String> {
        if let Some(error) = &self.failed {
            return Some(format!("what the command wrote could not be brought back: {error}"));
        }
        let named = self.behind.iter().take(NAMED_MAX).map(String::as_str);
        let named = named.collect::<Vec<_>>().join(", ");
        if named.is_empty() {
            return None;
        }
        let more = match self.behind.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let kept = match self.kept {
            0 => String::new(),
            kept => format!("; for that, {kept} removed files stay"),
        };
        Some(format!(
            "not brought back, since nothing declares it (iddio exec --out): {named}{more}{kept}"
        ))
    }
}

/// Returns a name as it may be said.
fn shown(path: &Path, given: &Given) -> String {
    let clean = given.clean(path.as_os_str().as_bytes().to_vec());
    iddio_core::sanitise::line(&clean)
}

/// How many paths are named: a line has no room for more.
const NAMED_MAX: usize = 5;
