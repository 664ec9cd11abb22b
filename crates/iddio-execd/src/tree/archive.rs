//! The bytes that a tree travels as.
//!
//! An entry is a kind, a name with its length, and what belongs to the kind; content comes in chunks, each
//! with its length, until one of none. INVARIANT: nothing is made room for that has not arrived, and a name
//! has one spelling: plain parts, parted by one slash each.

use std::{
    ffi::OsString,
    io::{self, BufReader, Read, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use super::{CHUNK_BYTES, NAME_BYTES_MAX, PATH_BYTES_MAX, TreeError};

/// An archive being read.
pub(super) struct Archive<R: Read>(BufReader<R>);

// === impl Archive ===

impl<R: Read> Archive<R> {
    pub(super) fn new(from: R) -> Self {
        Self(BufReader::with_capacity(CHUNK_BYTES, from))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TreeError> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, TreeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn flag(&mut self) -> Result<bool, TreeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(TreeError::Archive("a mode that is none")),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, TreeError> {
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(self.array()?))];
        self.0.read_exact(&mut bytes)?;
        match bytes.is_empty() || PATH_BYTES_MAX < bytes.len() || bytes.contains(&0) {
            true => Err(TreeError::Archive("a name that is none")),
            false => Ok(bytes),
        }
    }

    /// Reads a name made of plain parts, written in one way only.
    pub(super) fn name(&mut self) -> Result<PathBuf, TreeError> {
        let bytes = self.bytes()?;
        let plain = |part: &[u8]| {
            !part.is_empty() && part != b"." && part != b".." && part.len() <= NAME_BYTES_MAX
        };
        match bytes.split(|byte| *byte == b'/').all(plain) {
            true => Ok(PathBuf::from(OsString::from_vec(bytes))),
            false => Err(TreeError::Archive("a name that leads elsewhere")),
        }
    }

    /// Reads what a file holds, chunk by chunk.
    pub(super) fn content(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let length = u32::from_be_bytes(self.array()?);
            if length == 0 {
                return Ok(());
            }
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let chunk = chunk.get_mut(..length).ok_or(TreeError::Archive("a chunk too long"))?;
            self.0.read_exact(chunk)?;
            take(chunk)?;
        }
    }
}

pub(super) fn put_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u16::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(bytes)
}

pub(super) fn put_name(out: &mut impl Write, kind: u8, path: &Path) -> io::Result<()> {
    out.write_all(&[kind])?;
    put_bytes(out, path.as_os_str().as_bytes())
}

/// Writes a part of what a file holds.
pub(super) fn put_part(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for chunk in bytes.chunks(CHUNK_BYTES) {
        out.write_all(&u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_be_bytes())?;
        out.write_all(chunk)?;
    }
    Ok(())
}

/// Writes that a file holds no more than was written.
pub(super) fn put_end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&0_u32.to_be_bytes())
}

/// Writes all that a file holds, and returns how much that was.
pub(super) fn put_content(out: &mut impl Write, from: impl Read) -> io::Result<u64> {
    let mut sent = 0_u64;
    each_part(from, |part| {
        sent = sent.saturating_add(part.len() as u64);
        put_part(out, part)
    })?;
    put_end(out)?;
    Ok(sent)
}

/// Reads to the end, and hands every part on.
pub(super) fn each_part(
    mut from: impl Read,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => take(chunk.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
