//! How the log is doing, for operators. Takes no lock.

use std::path::Path;

use rustix::{fs::OFlags, fs::fstatvfs};

use crate::{
    chain::{SYNC_LOCK, WRITE_LOCK},
    directory::{Directory, FileError, io_error},
    pages::{self, Published, Space, Synced},
    segment,
};

/// How the log is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status {
    /// How many records it has.
    pub records: u64,
    /// How many bytes its segments take.
    pub bytes: u64,
    /// How many segments there are.
    pub segments: u64,
    /// Whether there is room for more.
    pub room: Room,
    /// Whether it takes more.
    pub health: Health,
}

/// Whether there is room for more records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Room {
    /// There is none: everything is refused until there is.
    Full,
    /// So many percent of the limit or of the file system are used: time to act.
    Low(u8),
    /// There is.
    Plenty,
}

/// Whether the log takes records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Health {
    /// A sync failed in this boot. Nothing is recorded, so nothing is allowed, until it is repaired.
    Poisoned,
    /// It does.
    Sound,
}

/// Tells how the log in `dir` is doing, under the limit `bytes_max` if there is one.
///
/// # Errors
///
/// When it cannot be read.
pub fn status(dir: &Path, bytes_max: Option<u64>) -> Result<Status, FileError> {
    let dir = Directory::open_to_read(dir)?;
    let mut bytes = 0;
    let numbers = segment::numbers(&dir)?;
    for number in &numbers {
        let file = segment::open_to_read(&dir, *number)?;
        bytes += segment::size(&file).map_err(|errno| io_error(&segment::name(*number), errno))?;
    }
    let write = dir.file(WRITE_LOCK, OFlags::RDONLY)?;
    let sync = dir.file(SYNC_LOCK, OFlags::RDONLY)?;
    let published = Published::read(&write).map_err(|errno| io_error(WRITE_LOCK, errno))?;
    let synced = Synced::read(&sync).map_err(|errno| io_error(SYNC_LOCK, errno))?;
    let poisoned = synced.is_some_and(|page| page.health == pages::Health::Poisoned);
    Ok(Status {
        records: published.map_or(0, |page| page.head.seq()),
        bytes,
        segments: numbers.len() as u64,
        room: room(&dir, published, bytes, bytes_max)?,
        health: if poisoned { Health::Poisoned } else { Health::Sound },
    })
}

fn room(
    dir: &Directory,
    published: Option<Published>,
    bytes: u64,
    bytes_max: Option<u64>,
) -> Result<Room, FileError> {
    if published.is_some_and(|page| page.space == Space::Full) {
        return Ok(Room::Full);
    }
    let disk = fstatvfs(dir).map_err(|errno| io_error(".", errno))?;
    let percent = |used: u64, of: u64| used.saturating_mul(100).checked_div(of).unwrap_or(100);
    let of_disk = percent(disk.f_blocks.saturating_sub(disk.f_bavail), disk.f_blocks);
    let of_cap = bytes_max.map_or(0, |cap| percent(bytes, cap));
    let used = of_disk.max(of_cap);
    Ok(match u8::try_from(used.min(100)) {
        Ok(used) if LOW_PERCENT <= used => Room::Low(used),
        Ok(_) | Err(_) => Room::Plenty,
    })
}

/// From how much use on the operator is warned (AU-5(1)).
const LOW_PERCENT: u8 = 80;
