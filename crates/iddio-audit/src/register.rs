//! Who writes, and what each writer still owes.
//!
//! Every writer has a file `writers/<boot>-<pid>-<start>.lock`. It holds the file's lock for as long
//! as it lives, so a lock that can be taken means a writer that is gone. In the file stand the
//! operations it has opened and not closed, in slots, each with a check sum.
//!
//! INVARIANT: a slot is written under the append lock, after the record and before the append is
//! published. So the slots of a dead writer, together with the records that were appended and never
//! published, are exactly what it owed.

use std::{
    collections::HashMap,
    os::fd::{AsFd, OwnedFd},
};

use iddio_core::{audit::line::Kind, digest::Digest, operation::OperationId};
use rustix::{
    fs::OFlags,
    io::{self, Errno},
};

use crate::{
    directory::{Directory, FileError, io_error},
    disk::Disk,
    lock::try_hold,
};

/// Where the record that opened an operation stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// This writer's own file.
#[derive(Debug)]
pub(crate) struct Register {
    name: String,
    file: OwnedFd,
    slots: Vec<Option<OperationId>>,
    owed: HashMap<OperationId, (usize, Place)>,
    free: Vec<usize>,
    image: Vec<u8>,
    dirty: Option<(usize, usize)>,
}

/// A writer that is gone, and what its file says it owed. Its lock is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Dead {
    pub(crate) name: String,
    pub(crate) owed: Vec<(OperationId, Place)>,
    _lock: OwnedFd,
}

// === impl Register ===

impl Register {
    /// Makes the file of a new writer.
    ///
    /// It is locked under a name nobody looks for dead writers under, and takes its own name by
    /// rename: it is never seen without its lock.
    pub(crate) fn new(dir: &Directory, stem: &str) -> Result<Self, FileError> {
        for place in 0..WRITERS_PER_PROCESS_MAX {
            let stem = match place {
                0 => stem.to_owned(),
                _ => format!("{stem}-{place}"),
            };
            let (unborn, name) = (format!("{stem}{UNBORN}"), format!("{stem}{SUFFIX}"));
            let file = match dir.new_file(&unborn, OFlags::RDWR) {
                Ok(file) => file,
                // Taken, or swept away as a leftover before it could be looked at.
                Err(FileError::Io { errno: Errno::EXIST, .. } | FileError::Foreign { .. }) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !matches!(try_hold(&file), Ok(true)) {
                continue;
            }
            match dir.rename_to_new(&unborn, &name) {
                Ok(()) => return Ok(Self::locked(name, file)),
                Err(FileError::Io { errno: Errno::EXIST, .. }) => dir.unlink(&unborn)?,
                // Somebody took it for a leftover before it was locked.
                Err(FileError::Io { errno: Errno::NOENT, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io_error(stem, Errno::EXIST))
    }

    fn locked(name: String, file: OwnedFd) -> Self {
        Self {
            name,
            file,
            slots: Vec::new(),
            owed: HashMap::new(),
            free: Vec::new(),
            image: Vec::new(),
            dirty: None,
        }
    }

    /// The name of the writer's file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The writer's name, as records give it.
    pub(crate) fn writer(&self) -> &str {
        self.name.strip_suffix(SUFFIX).unwrap_or(&self.name)
    }

    /// Where the record that opened `id` stands, if it is owed an end.
    pub(crate) fn place(&self, id: OperationId) -> Option<Place> {
        self.owed.get(&id).map(|(_, place)| *place)
    }

    /// Whether nothing is owed.
    pub(crate) fn is_clear(&self) -> bool {
        self.owed.is_empty()
    }

    /// Notes that a record of `kind` for `id` was appended at `place`.
    pub(crate) fn note(&mut self, kind: Kind, id: OperationId, place: Place) {
        match kind {
            Kind::Admin => {}
            Kind::Asked | Kind::Allowed => self.open(id, place),
            Kind::Closed | Kind::Denied => self.close(id),
        }
    }

    fn open(&mut self, id: OperationId, place: Place) {
        let known = self.owed.get(&id).map(|(slot, _)| *slot);
        let slot = known.or_else(|| self.free.pop()).unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
            self.image.resize(self.slots.len() * SLOT_BYTES, 0);
        }
        if let Some(owner) = self.slots.get_mut(slot) {
            *owner = Some(id);
        }
        self.owed.insert(id, (slot, place));
        self.put(slot, &encode(id, place));
    }

    fn close(&mut self, id: OperationId) {
        if let Some((slot, _)) = self.owed.remove(&id) {
            if let Some(owner) = self.slots.get_mut(slot) {
                *owner = None;
            }
            self.free.push(slot);
            self.put(slot, &[0; SLOT_BYTES]);
        }
    }

    fn put(&mut self, slot: usize, bytes: &[u8; SLOT_BYTES]) {
        let at = slot * SLOT_BYTES;
        if let Some(image) = self.image.get_mut(at..at + SLOT_BYTES) {
            image.copy_from_slice(bytes);
        }
        let (first, last) = self.dirty.unwrap_or((slot, slot));
        self.dirty = Some((first.min(slot), last.max(slot)));
    }

    /// Writes the slots that changed.
    pub(crate) fn write(&mut self, disk: &Disk) -> Result<(), FileError> {
        let Some((first, last)) = self.dirty else { return Ok(()) };
        let at = first * SLOT_BYTES;
        let bytes = self.image.get(at..(last + 1) * SLOT_BYTES).unwrap_or_default();
        let wrote = disk.overwrite(&self.file, bytes, at as u64);
        match wrote.map_err(|errno| io_error(&self.name, errno))? {
            wrote if wrote == bytes.len() => {
                self.dirty = None;
                Ok(())
            }
            _ => Err(io_error(&self.name, Errno::NOSPC)),
        }
    }
}

// === impl Dead ===

impl Dead {
    /// The writer's name, as records give it.
    pub(crate) fn writer(&self) -> &str {
        self.name.strip_suffix(SUFFIX).unwrap_or(&self.name)
    }
}

/// Whether the writer with this name still lives.
pub(crate) fn lives(dir: &Directory, writer: &str) -> bool {
    let file = dir.file(&format!("{writer}{SUFFIX}"), OFlags::RDONLY);
    matches!(file.map(|file| try_hold(&file)), Ok(Ok(false)))
}

/// Finds the writers that are gone. Under the append lock.
pub(crate) fn dead(dir: &Directory, own: Option<&str>) -> Result<Vec<Dead>, FileError> {
    let mut found = Vec::new();
    for name in dir.names()? {
        if name.ends_with(UNBORN) {
            sweep(dir, &name);
            continue;
        }
        if Some(name.as_str()) == own || !name.ends_with(SUFFIX) {
            continue;
        }
        let Some(file) = present(dir, &name)? else { continue };
        if try_hold(&file).map_err(|errno| io_error(&name, errno))? {
            let owed = slots(&file).map_err(|errno| io_error(&name, errno))?;
            found.push(Dead { name, owed, _lock: file });
        }
    }
    Ok(found)
}

/// Opens a writer's file, or returns `None` if its writer ended and removed it meanwhile.
fn present(dir: &Directory, name: &str) -> Result<Option<OwnedFd>, FileError> {
    let gone = |error: &FileError| matches!(error, FileError::Io { errno: Errno::NOENT, .. });
    match dir.file(name, OFlags::RDONLY) {
        Ok(file) => Ok(Some(file)),
        Err(error) if gone(&error) => Ok(None),
        // Removed between opening and looking at it: then it is gone at a second look.
        Err(error) => match dir.file(name, OFlags::RDONLY) {
            Err(again) if gone(&again) => Ok(None),
            Ok(_) | Err(_) => Err(error),
        },
    }
}

/// Removes what a writer left that died before it took its name. One that is being made takes
/// another name.
fn sweep(dir: &Directory, name: &str) {
    if let Ok(Some(file)) = present(dir, name)
        && matches!(try_hold(&file), Ok(true))
    {
        // Best effort: it holds nothing.
        let _ = dir.unlink(name);
    }
}

/// Makes every writer's slots durable, so that after a crash of the machine they and the last
/// segment together say what was owed.
pub(crate) fn sync_all(dir: &Directory) -> Result<(), FileError> {
    for name in dir.names()?.into_iter().filter(|name| name.ends_with(SUFFIX)) {
        // A writer may end, and remove its file, at any time.
        if let Some(file) = present(dir, &name)? {
            dir.disk().sync(&file).map_err(|errno| io_error(&name, errno))?;
        }
    }
    dir.sync()
}

fn slots(file: impl AsFd) -> Result<Vec<(OperationId, Place)>, Errno> {
    let mut owed = Vec::new();
    let mut chunk = vec![0; SLOT_BYTES * 1024];
    let mut at = 0;
    loop {
        let read = io::retry_on_intr(|| io::pread(&file, &mut chunk, at))?;
        let slots = chunk.get(..read).unwrap_or_default().chunks_exact(SLOT_BYTES);
        owed.extend(slots.filter_map(decode));
        at += read as u64;
        if read < chunk.len() {
            return Ok(owed);
        }
    }
}

fn encode(id: OperationId, place: Place) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    let Place { segment, offset } = place;
    let body = [&id.0.to_le_bytes()[..], &segment.to_le_bytes(), &offset.to_le_bytes()].concat();
    let sum = Digest::of_bytes(&body);
    let bytes = body.iter().chain(sum.as_bytes());
    slot.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    slot
}

fn decode(slot: &[u8]) -> Option<(OperationId, Place)> {
    let (body, sum) = slot.split_at_checked(BODY_BYTES)?;
    let (id, rest) = body.split_first_chunk()?;
    let (segment, rest) = rest.split_first_chunk()?;
    let (offset, _) = rest.split_first_chunk()?;
    let whole = Digest::of_bytes(body).as_bytes() == sum;
    let place =
        Place { segment: u64::from_le_bytes(*segment), offset: u64::from_le_bytes(*offset) };
    whole.then_some((OperationId(u128::from_le_bytes(*id)), place))
}

/// What the name of a living or dead writer's file ends with.
const SUFFIX: &str = ".lock";

/// What it ends with before it is locked.
const UNBORN: &str = ".unborn";

/// A slot is an id, a place and the SHA-256 of both: 64 bytes, so none crosses a sector.
const SLOT_BYTES: usize = 64;
const BODY_BYTES: usize = 32;

/// How many logs one process may have open at a time. More is a leak.
const WRITERS_PER_PROCESS_MAX: usize = 64;
