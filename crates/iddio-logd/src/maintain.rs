//! What an administrator does to the log where it lies, as the service's own user: opening it again
//! after the disk failed, and erasing the key of a day's commitments.
//!
//! The log is shared by its two locks, so the service may run meanwhile.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use iddio_audit::{
    Log, Options, Repaired,
    checkpoint::Notary,
    clock::SystemClock,
    commitments::{Erased, erase},
};
use iddio_core::{
    audit::{AdminEvent, AuditSink, Body, Durability, Entry, Field},
    operation::OperationId,
    time::Clock,
};

use crate::{
    checkpoints::{Key, draw, settle},
    config::Config,
};

/// Opens the log again after a failed sync, and says what was set aside.
pub(crate) fn repair(config: &Config) -> Result<()> {
    match log(config)?.repair()? {
        Repaired::Nothing => println!("nothing to repair"),
        Repaired::SetAside(bytes) => println!(
            "the log takes records again; {bytes} bytes that may not have been synced were set aside"
        ),
    }
    Ok(())
}

/// Erases the key behind a past day's commitments, for good.
pub(crate) fn forget(config: &Config, day: &str) -> Result<()> {
    let clock = SystemClock::new();
    let now = clock.now().wall;
    let form = day.len() == DAY_CHARS
        && day.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !form || now.to_string().get(..DAY_CHARS).is_none_or(|today| today <= day) {
        bail!("`{day}` is no day that is over in UTC, as 2026-11-20");
    }
    // Recorded first: a key that is gone without a record would look like an accident.
    let fields = vec![("day", Field::Text(day.into()))];
    let event = AdminEvent { event: "commitments.erased", principal: None, fields };
    let id = OperationId(u128::from_be_bytes(draw()?));
    let entry = Entry { id, at: now, body: Body::Admin(event) };
    let log = log(config)?;
    settle(log.append(&entry, Durability::Sync)).map(drop)?;
    match erase(&config.directory, day)? {
        Erased::Absent => println!("{day}  there was no key of that day"),
        Erased::Now => println!("{day}  erased"),
    }
    Ok(())
}

fn log(config: &Config) -> Result<Log> {
    crate::serve::runs_as(&config.user)?;
    let key = Key::open(config)?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let options = Options::of_home(Arc::new(SystemClock::new()), host, key.public());
    let log = Log::open(&config.directory, options);
    log.with_context(|| format!("`{}`", config.directory.display()))
}

/// The characters of a date: `2026-11-20`.
const DAY_CHARS: usize = 10;
