//! The two pages that processes share: what has been appended, and what has been synced.
//!
//! Each lies at the start of the file whose lock guards it and carries a check sum, so that a page
//! of a crashed machine, or none, is told apart from a true one. Neither is ever synced: after a
//! crash of the machine the log itself is the truth, and the boot id in the page says so.

use std::os::fd::AsFd;

use iddio_core::{audit::chain::Head, digest::Digest};
use rustix::io::{self, Errno};

use crate::disk::Disk;

/// What has been appended, as of the last complete append. Lies in `write.lock`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Published {
    pub(crate) boot: u128,
    pub(crate) segment: u64,
    /// The end of the last complete append: never a file size, which may cover half a line.
    pub(crate) end: u64,
    pub(crate) head: Head,
    pub(crate) space: Space,
    /// How many principals have refusals that were counted and not yet recorded.
    pub(crate) coalescing: u32,
}

/// Whether there was room for records, as of the last append.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Space {
    Full = 2,
    Plenty = 1,
}

/// What has been synced. Lies in `sync.lock`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Synced {
    pub(crate) boot: u128,
    pub(crate) segment: u64,
    pub(crate) end: u64,
    pub(crate) health: Health,
}

/// Whether every sync of this boot succeeded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Health {
    /// One failed. What it covered may be lost although a later one succeeds, so none is tried.
    Poisoned = 2,
    Sound = 1,
}

// === impl Published ===

impl Published {
    pub(crate) fn read(file: impl AsFd) -> Result<Option<Self>, Errno> {
        let Some(page) = read_page(file, PUBLISHED_MAGIC)? else { return Ok(None) };
        let mut fields = Fields(&page);
        let read = || {
            let boot = fields.wide()?;
            let (segment, end, seq) = (fields.int()?, fields.int()?, fields.int()?);
            let prev = Digest::from_bytes(fields.take::<32>()?);
            let head = match seq.checked_sub(1) {
                None => Head::GENESIS,
                Some(last) => Head::after(last, prev),
            };
            let space =
                if fields.int()? == Space::Full as u64 { Space::Full } else { Space::Plenty };
            let coalescing = u32::try_from(fields.int()?).ok()?;
            Some(Self { boot, segment, end, head, space, coalescing })
        };
        Ok({ read }())
    }

    pub(crate) fn write(&self, file: impl AsFd, disk: &Disk) -> Result<(), Errno> {
        let Self { boot, segment, end, head, space, coalescing } = self;
        let mut page = Vec::with_capacity(PAGE_BYTES);
        page.extend_from_slice(PUBLISHED_MAGIC);
        page.extend_from_slice(&boot.to_le_bytes());
        page.extend([*segment, *end, head.seq()].into_iter().flat_map(u64::to_le_bytes));
        page.extend_from_slice(head.prev().unwrap_or(Digest::from_bytes([0; 32])).as_bytes());
        page.extend_from_slice(&(*space as u64).to_le_bytes());
        page.extend_from_slice(&u64::from(*coalescing).to_le_bytes());
        write_page(file, disk, page)
    }
}

// === impl Synced ===

impl Synced {
    pub(crate) fn read(file: impl AsFd) -> Result<Option<Self>, Errno> {
        let Some(page) = read_page(file, SYNCED_MAGIC)? else { return Ok(None) };
        let mut fields = Fields(&page);
        let read = || {
            let (boot, segment, end) = (fields.wide()?, fields.int()?, fields.int()?);
            let sound = fields.int()? == Health::Sound as u64;
            let health = if sound { Health::Sound } else { Health::Poisoned };
            Some(Self { boot, segment, end, health })
        };
        Ok({ read }())
    }

    pub(crate) fn write(&self, file: impl AsFd, disk: &Disk) -> Result<(), Errno> {
        let Self { boot, segment, end, health } = self;
        let mut page = Vec::with_capacity(PAGE_BYTES);
        page.extend_from_slice(SYNCED_MAGIC);
        page.extend_from_slice(&boot.to_le_bytes());
        page.extend([*segment, *end, *health as u64].into_iter().flat_map(u64::to_le_bytes));
        write_page(file, disk, page)
    }

    /// Whether everything up to `end` of `segment` is durable, by this page of the boot `boot`.
    pub(crate) fn covers(&self, boot: u128, segment: u64, end: u64) -> bool {
        self.boot == boot && (segment, end) <= (self.segment, self.end)
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn int(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn wide(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }
}

fn read_page(file: impl AsFd, magic: &[u8; 8]) -> Result<Option<Vec<u8>>, Errno> {
    let mut page = [0; PAGE_BYTES];
    let read = io::retry_on_intr(|| io::pread(&file, &mut page, 0))?;
    let Some((body, sum)) = page.split_at_checked(SUMMED_BYTES) else { return Ok(None) };
    let summed = Digest::of_bytes(body);
    let whole = read == PAGE_BYTES && summed.as_bytes() == sum;
    Ok(body.strip_prefix(magic).filter(|_| whole).map(<[u8]>::to_vec))
}

fn write_page(file: impl AsFd, disk: &Disk, mut page: Vec<u8>) -> Result<(), Errno> {
    page.resize(SUMMED_BYTES, 0);
    let sum = Digest::of_bytes(&page);
    page.extend_from_slice(sum.as_bytes());
    match disk.overwrite(file, &page, 0)? {
        PAGE_BYTES => Ok(()),
        _ => Err(Errno::IO),
    }
}

const PUBLISHED_MAGIC: &[u8; 8] = b"iddio-w1";
const SYNCED_MAGIC: &[u8; 8] = b"iddio-s1";

/// Both pages have this size, the last 32 bytes being the SHA-256 of the rest.
const PAGE_BYTES: usize = 160;
const SUMMED_BYTES: usize = PAGE_BYTES - 32;
