//! The zip archive a saved plan is, read only where it can be read one way.
//!
//! INVARIANT: the archive is laid out as Go's `archive/zip` writes it: local entries from offset 0
//! without gaps, in the order of the central directory, saying the same as it; then the directory;
//! then its end record and nothing after it. No zip64, encryption, comments, prefix, duplicate or
//! unsafe name. So a reader that goes by local headers and one that goes by the directory agree.
//!
//! It does not know what the entries mean.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read as _},
};

/// Why an archive was not read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ArchiveError {
    /// It does not start or end as a zip archive does.
    #[error("not a zip archive")]
    NotZip,
    /// More bytes or entries than a plan has.
    #[error("the archive has too many bytes or entries")]
    TooLarge,
    /// Two readers could read it differently.
    #[error("the archive is ambiguous: {0}")]
    Ambiguous(&'static str),
    /// An entry's name is not one a plan has.
    #[error("the archive holds an entry named `{0}`")]
    Name(String),
    /// An entry does not decompress to what its header says.
    #[error("entry `{0}` is damaged")]
    Damaged(String),
}

/// What the central directory says of an entry.
struct Entry<'a> {
    name: &'a str,
    flags: u16,
    method: u16,
    time: &'a [u8],
    checksum: u32,
    compressed: u32,
    uncompressed: u32,
    offset: u32,
}

/// A reader of little-endian fields.
struct Fields<'a>(&'a [u8]);

/// Returns the content of every entry by its name.
pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, ArchiveError> {
    if bytes.len() > ARCHIVE_BYTES_MAX {
        return Err(ArchiveError::TooLarge);
    }
    let entries = directory(bytes)?;
    let mut total = 0_u64;
    for entry in &entries {
        total = total.saturating_add(u64::from(entry.uncompressed));
    }
    if total > CONTENT_BYTES_MAX {
        return Err(ArchiveError::TooLarge);
    }
    contents(bytes, &entries)
}

fn directory(bytes: &[u8]) -> Result<Vec<Entry<'_>>, ArchiveError> {
    let start = bytes.len().checked_sub(END_BYTES).ok_or(ArchiveError::NotZip)?;
    let (before, end) = bytes.split_at_checked(start).ok_or(ArchiveError::NotZip)?;
    let mut end = Fields(end);
    if end.u32()? != END_SIGNATURE {
        return Err(ArchiveError::NotZip);
    }
    let (disk, directory_disk) = (end.u16()?, end.u16()?);
    let (entries_here, entries) = (end.u16()?, end.u16()?);
    let (size, offset, comment) = (end.u32()?, end.u32()?, end.u16()?);
    if disk != 0 || directory_disk != 0 || entries_here != entries || comment != 0 {
        return Err(ArchiveError::Ambiguous("its end record"));
    }
    if usize::from(entries) > ENTRIES_MAX {
        return Err(ArchiveError::TooLarge);
    }
    let (locals, directory) =
        before.split_at_checked(index(offset)?).ok_or(ArchiveError::NotZip)?;
    if directory.len() != index(size)? {
        return Err(ArchiveError::Ambiguous("the size of its directory"));
    }
    let mut directory = Fields(directory);
    let mut found: Vec<Entry<'_>> = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    let mut cursor = 0_usize;
    for _ in 0..entries {
        let entry = directory.central()?;
        if !names.insert(entry.name) {
            return Err(ArchiveError::Ambiguous("two entries of one name"));
        }
        cursor = local(locals, cursor, &entry)?;
        found.push(entry);
    }
    if !directory.0.is_empty() || cursor != locals.len() {
        return Err(ArchiveError::Ambiguous("bytes that belong to no entry"));
    }
    Ok(found)
}

/// Checks that a local entry says what the directory says, and returns where it ends.
fn local(locals: &[u8], start: usize, entry: &Entry<'_>) -> Result<usize, ArchiveError> {
    if index(entry.offset)? != start {
        return Err(ArchiveError::Ambiguous("entries with gaps between them"));
    }
    let mut fields = Fields(locals.get(start..).ok_or(ArchiveError::NotZip)?);
    let differs = ArchiveError::Ambiguous("an entry and the directory differ");
    if fields.u32()? != LOCAL_SIGNATURE {
        return Err(differs);
    }
    let (_version, flags, method) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let time = fields.take(4)?;
    let sizes = (fields.u32()?, fields.u32()?, fields.u32()?);
    let (name_length, extra_length) = (fields.u16()?, fields.u16()?);
    let name = fields.take(usize::from(name_length))?;
    extra(fields.take(usize::from(extra_length))?)?;
    let said = (entry.checksum, entry.compressed, entry.uncompressed);
    let expected = if flags & STREAMED == 0 { said } else { (0, 0, 0) };
    let same = flags == entry.flags && method == entry.method && time == entry.time;
    if !same || name != entry.name.as_bytes() || sizes != expected {
        return Err(differs);
    }
    fields.take(index(entry.compressed)?)?;
    if flags & STREAMED != 0 {
        let signature = fields.u32()?;
        let descriptor = (fields.u32()?, fields.u32()?, fields.u32()?);
        if signature != DESCRIPTOR_SIGNATURE || descriptor != said {
            return Err(differs);
        }
    }
    Ok(locals.len().saturating_sub(fields.0.len()))
}

/// Allows the modification time and no other extra field: zip64 sizes and second names hide there.
fn extra(bytes: &[u8]) -> Result<(), ArchiveError> {
    let mut fields = Fields(bytes);
    while !fields.0.is_empty() {
        let (kind, length) = (fields.u16()?, fields.u16()?);
        fields.take(usize::from(length))?;
        if kind != EXTENDED_TIMESTAMP {
            return Err(ArchiveError::Ambiguous("an extra field"));
        }
    }
    Ok(())
}

fn contents(
    bytes: &[u8],
    entries: &[Entry<'_>],
) -> Result<BTreeMap<String, Vec<u8>>, ArchiveError> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|_| ArchiveError::NotZip)?;
    if archive.len() != entries.len() {
        return Err(ArchiveError::Ambiguous("the number of its entries"));
    }
    let mut found = BTreeMap::new();
    for entry in entries {
        let damaged = || ArchiveError::Damaged(entry.name.to_owned());
        let file = archive.by_name(entry.name).map_err(|_| damaged())?;
        let size = u64::from(entry.uncompressed);
        let mut content = Vec::new();
        // One byte more than promised is asked for, so that a longer stream is noticed; reading to
        // its end also checks the sum.
        file.take(size.saturating_add(1)).read_to_end(&mut content).map_err(|_| damaged())?;
        if u64::try_from(content.len()) != Ok(size) {
            return Err(damaged());
        }
        found.insert(entry.name.to_owned(), content);
    }
    Ok(found)
}

fn index(number: u32) -> Result<usize, ArchiveError> {
    usize::try_from(number).map_err(|_| ArchiveError::TooLarge)
}

fn safe_name(bytes: &[u8]) -> Result<&str, ArchiveError> {
    let refused = || ArchiveError::Name(String::from_utf8_lossy(bytes).into_owned());
    let name = std::str::from_utf8(bytes).map_err(|_| refused())?;
    let unsafe_part = |part: &str| part.is_empty() || part == "." || part == "..";
    let odd = |byte: u8| byte < b' ' || byte == b'\\' || byte == 0x7f;
    if name.split('/').any(unsafe_part) || name.bytes().any(odd) {
        return Err(refused());
    }
    Ok(name)
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], ArchiveError> {
        let (taken, rest) =
            self.0.split_at_checked(length).ok_or(ArchiveError::Ambiguous("it is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, ArchiveError> {
        let bytes = self.take(2)?;
        bytes.try_into().map(u16::from_le_bytes).map_err(|_| ArchiveError::NotZip)
    }

    fn u32(&mut self) -> Result<u32, ArchiveError> {
        let bytes = self.take(4)?;
        bytes.try_into().map(u32::from_le_bytes).map_err(|_| ArchiveError::NotZip)
    }

    fn central(&mut self) -> Result<Entry<'a>, ArchiveError> {
        if self.u32()? != CENTRAL_SIGNATURE {
            return Err(ArchiveError::Ambiguous("its directory"));
        }
        let (_made_by, _version) = (self.u16()?, self.u16()?);
        let (flags, method) = (self.u16()?, self.u16()?);
        let time = self.take(4)?;
        let (checksum, compressed, uncompressed) = (self.u32()?, self.u32()?, self.u32()?);
        let (name_length, extra_length) = (self.u16()?, self.u16()?);
        let (comment_length, disk) = (self.u16()?, self.u16()?);
        let (_internal, _external) = (self.u16()?, self.u32()?);
        let offset = self.u32()?;
        let name = safe_name(self.take(usize::from(name_length))?)?;
        extra(self.take(usize::from(extra_length))?)?;
        if comment_length != 0 || disk != 0 {
            return Err(ArchiveError::Ambiguous("an entry with a comment or of another disk"));
        }
        if flags & !(STREAMED | UTF8) != 0 {
            return Err(ArchiveError::Ambiguous("an entry that is encrypted or patched"));
        }
        if method != STORED && method != DEFLATED {
            return Err(ArchiveError::Ambiguous("an unknown compression"));
        }
        if method == STORED && compressed != uncompressed {
            return Err(ArchiveError::Ambiguous("a stored entry of two sizes"));
        }
        Ok(Entry { name, flags, method, time, checksum, compressed, uncompressed, offset })
    }
}

const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;
const END_BYTES: usize = 22;
const STREAMED: u16 = 1 << 3;
const UTF8: u16 = 1 << 11;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const EXTENDED_TIMESTAMP: u16 = 0x5455;

/// The largest archive read: plans of ten thousand resources stay below 16 MiB.
const ARCHIVE_BYTES_MAX: usize = 64 << 20;

/// The most that all entries together may decompress to: the defence against zip bombs.
const CONTENT_BYTES_MAX: u64 = 128 << 20;

/// The most entries: one for each configuration file of every module, and six of its own.
const ENTRIES_MAX: usize = 8192;
