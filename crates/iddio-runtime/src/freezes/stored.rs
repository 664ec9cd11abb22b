//! The file: read strictly, so that what is not exactly a state is none.

use iddio_core::{
    freeze::{FREEZES_MAX, Freeze, Whom},
    operation::OperationId,
    principal::PrincipalId,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// The file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    format: String,
    freezes: Vec<StoredFreeze>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredFreeze {
    id: String,
    whom: StoredWhom,
    by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    since_us: u64,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "kind")]
enum StoredWhom {
    Agent { name: String },
    All {},
    Operator { name: String, names: Vec<String> },
    Task { name: String },
}

// === impl Stored ===

impl Stored {
    /// Returns the file of `freezes`.
    pub(super) fn of(freezes: &[Freeze]) -> Self {
        let freezes = freezes.iter().map(|freeze| {
            let Freeze { id, whom, by, reason, since } = freeze;
            StoredFreeze {
                id: id.to_string(),
                whom: StoredWhom::of(whom),
                by: by.to_string(),
                reason: reason.clone(),
                since_us: since.0,
            }
        });
        Self { format: FORMAT.to_owned(), freezes: freezes.collect() }
    }

    /// Reads a file, or says why it is none.
    pub(super) fn read(bytes: &[u8]) -> Result<Vec<Freeze>, String> {
        let stored: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if stored.format != FORMAT {
            return Err(format!("it is no {FORMAT}"));
        }
        if FREEZES_MAX.saturating_add(1) < stored.freezes.len() {
            return Err(format!("it has more than {FREEZES_MAX} freezes"));
        }
        let freezes = stored.freezes.into_iter().map(StoredFreeze::read);
        freezes.collect::<Option<_>>().ok_or_else(|| "a freeze in it is none".to_owned())
    }
}

// === impl StoredFreeze ===

impl StoredFreeze {
    fn read(self) -> Option<Freeze> {
        let Self { id, whom, by, reason, since_us } = self;
        Some(Freeze {
            id: OperationId::from_hex(&id)?,
            whom: whom.read()?,
            by: PrincipalId::new(&by)?,
            reason,
            since: Timestamp(since_us),
        })
    }
}

// === impl StoredWhom ===

impl StoredWhom {
    fn of(whom: &Whom) -> Self {
        match whom {
            Whom::Agent(name) => Self::Agent { name: name.to_string() },
            Whom::All => Self::All {},
            Whom::Operator { name, names } => Self::Operator {
                name: name.to_string(),
                names: names.iter().map(PrincipalId::to_string).collect(),
            },
            Whom::Task(name) => Self::Task { name: name.clone() },
        }
    }

    fn read(self) -> Option<Whom> {
        Some(match self {
            Self::Agent { name } => Whom::Agent(PrincipalId::new(&name)?),
            Self::All {} => Whom::All,
            Self::Operator { name, names } => Whom::Operator {
                name: PrincipalId::new(&name)?,
                names: names.iter().map(|name| PrincipalId::new(name)).collect::<Option<_>>()?,
            },
            Self::Task { name } => Whom::Task(name),
        })
    }
}

const FORMAT: &str = "iddio-freezes/v1";
