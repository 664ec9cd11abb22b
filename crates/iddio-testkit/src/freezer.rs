//! A freezer that says what the test tells it to.

use std::sync::Mutex;

use iddio_core::{
    freeze::{Freeze, Freezer, Frozen, Whom},
    operation::OperationId,
    principal::PrincipalId,
    time::Timestamp,
};

use crate::lock;

/// Nobody is frozen until the test says so.
pub struct ScriptedFreezer {
    looks: Mutex<Box<dyn FnMut() -> Frozen + Send>>,
}

// === impl ScriptedFreezer ===

impl ScriptedFreezer {
    /// Freezes nobody.
    pub fn nobody() -> Self {
        Self { looks: Mutex::new(Box::new(|| Frozen::These(Vec::new()))) }
    }

    /// Says `frozen` from now on.
    pub fn set(&self, frozen: Frozen) {
        *lock(&self.looks) = Box::new(move || frozen.clone());
    }

    /// Says that nobody is frozen for `looks` looks, and `frozen` from then on.
    pub fn set_after(&self, looks: usize, frozen: Frozen) {
        let mut left = looks;
        *lock(&self.looks) = Box::new(move || match left {
            0 => frozen.clone(),
            _ => {
                left -= 1;
                Frozen::These(Vec::new())
            }
        });
    }
}

impl Freezer for ScriptedFreezer {
    fn look(&self) -> Frozen {
        (lock(&self.looks))()
    }
}

/// Returns a freeze of `whom`, by `human:ada`.
pub fn freeze(whom: Whom) -> Freeze {
    let by = PrincipalId::new("human:ada").expect("a name");
    let reason = Some("it deletes things".to_owned());
    Freeze { id: OperationId(7), whom, by, reason, since: Timestamp(1_795_186_987_000_001) }
}
