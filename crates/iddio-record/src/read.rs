//! Reads recordings, and checks every byte of them.
//!
//! INVARIANT: frames that are given out stand in blocks whose links were followed from the first block of
//! their track. A file may be changed while it is read: what was read is checked, and nothing else is
//! believed.
//!
//! What this module does not do: believe a track that no closed record vouches for. Links alone show
//! accidents; that a track is what was recorded shows the digest in the chain ([`Track::is`]).

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use iddio_core::{digest::Digest, json::Value, operation::OperationId, recording::Sealed};
use rustix::fs::{Mode, OFlags};

use crate::format::{self, Block, FormatError, Frame, HEAD_BYTES, Head, Kind, MAGIC, Place};

/// A file of recordings, read from its beginning.
#[derive(Debug)]
pub struct Reader<R> {
    file: R,
    offset: u64,
}

/// What is known of one operation in a file.
#[derive(Clone, Debug)]
pub struct Track {
    /// The operation.
    pub operation: OperationId,
    /// Where its first block begins.
    pub offset: u64,
    /// How many bytes its blocks take.
    pub bytes: u64,
    /// What it says it is.
    pub title: Value,
    /// How it ends.
    pub end: End,
    place: Place,
}

/// How a track ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// With a block that does not belong there.
    Broken(FormatError),
    /// With its last block, which counts it.
    Sealed(Value),
    /// In the middle: it is being recorded, or whoever did was killed.
    Unsealed,
}

/// What is in a file.
#[derive(Debug)]
pub struct Contents {
    /// The operations, in the order in which they began.
    pub tracks: Vec<Track>,
    /// Where the file stops being a recording, if it does.
    pub fault: Option<(u64, FormatError)>,
    /// How long the file is.
    pub bytes: u64,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A block is not one, or not the one that belongs there.
    #[error("at byte {0}: {1}")]
    Format(u64, FormatError),
    /// The system does not give it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not begin as one.
    #[error("it is no recording of iddio, or of a later form")]
    NotOne,
}

/// Opens a file of recordings. A link is not followed.
///
/// # Errors
///
/// When it cannot be opened, or is none.
pub fn open(path: &Path) -> Result<Reader<BufReader<File>>, ReadError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?;
    Reader::new(BufReader::with_capacity(BUFFER_BYTES, File::from(file)))
}

/// Reads all of a file, and says what is in it.
///
/// # Errors
///
/// When it cannot be read, or is no recording from its first byte.
pub fn contents(path: &Path) -> Result<Contents, ReadError> {
    contents_of(&mut open(path)?)
}

/// Reads all that comes, and says what is in it.
///
/// # Errors
///
/// When it cannot be read.
pub fn contents_of<R: Read>(reader: &mut Reader<R>) -> Result<Contents, ReadError> {
    let mut tracks: Vec<Track> = Vec::new();
    let mut open: HashMap<OperationId, usize> = HashMap::new();
    let fault = loop {
        let at = reader.offset;
        let (block, stored) = match reader.next_block() {
            Ok(Some(next)) => next,
            Ok(None) => break None,
            Err(ReadError::Format(at, error)) => break Some((at, error)),
            Err(error) => return Err(error),
        };
        let begun = tracks.len();
        let place = open.get(&block.operation).copied();
        match place.and_then(|place| tracks.get_mut(place)) {
            Some(track) => track.take(&block, &stored),
            None if TRACKS_MAX <= begun => break Some((at, FormatError::Link)),
            None => {
                open.insert(block.operation, tracks.len());
                tracks.push(Track::begin(at, &block, &stored));
            }
        }
    };
    Ok(Contents { tracks, fault, bytes: reader.offset })
}

/// Says what is in a file by the first and last block of each operation, without reading the others.
/// Nothing of it is checked.
///
/// # Errors
///
/// When it cannot be read, or is no recording from its first byte.
pub fn skim(path: &Path) -> Result<Contents, ReadError> {
    let mut reader = open(path)?;
    let mut tracks: Vec<Track> = Vec::new();
    let mut begun: HashMap<OperationId, usize> = HashMap::new();
    let fault = loop {
        let at = reader.offset;
        let head = match reader.head() {
            Ok(Some((head, _))) => head,
            Ok(None) => break None,
            Err(ReadError::Format(at, error)) => break Some((at, error)),
            Err(error) => return Err(error),
        };
        if head.kind == Kind::Title && tracks.len() < TRACKS_MAX {
            begun.insert(head.operation, tracks.len());
            tracks.push(Track::empty(head.operation, at));
        }
        let stored = head.stored() as u64;
        let track = begun.get(&head.operation).and_then(|place| tracks.get_mut(*place));
        let told = match head.kind {
            Kind::Frames => None,
            Kind::Title | Kind::End => {
                reader.seek(at)?;
                match reader.next_block() {
                    Ok(block) => block.map(|(block, _)| value(&block.content)),
                    Err(ReadError::Format(at, error)) => break Some((at, error)),
                    Err(error) => return Err(error),
                }
            }
        };
        reader.seek(at + stored)?;
        let Some(track) = track else { continue };
        track.bytes += stored;
        match (head.kind, told) {
            (Kind::Title, Some(title)) => track.title = title,
            (Kind::End, Some(end)) => track.end = End::Sealed(end),
            _ => {}
        }
    };
    let bytes = reader.file.seek(SeekFrom::End(0))?;
    Ok(Contents { tracks, fault, bytes })
}

/// Calls `each` with the frames of one operation, whose first block is at `offset`, and returns how it
/// ends.
///
/// # Errors
///
/// When it cannot be read, or is broken: the frames before were sound.
pub fn frames<R: Read + Seek>(
    reader: &mut Reader<R>,
    operation: OperationId,
    offset: u64,
    mut each: impl FnMut(Frame<'_>) -> io::Result<()>,
) -> Result<End, ReadError> {
    reader.seek(offset)?;
    let mut place = Place::START;
    loop {
        let at = reader.offset;
        let Some((block, stored)) = reader.next_of(operation)? else { return Ok(End::Unsealed) };
        let broken = |error| ReadError::Format(at, error);
        place = block.follows(place, &stored).map_err(broken)?;
        match block.kind {
            Kind::Title => {}
            Kind::End => return Ok(End::Sealed(value(&block.content))),
            Kind::Frames => {
                let mut told = Ok(());
                format::frames(&block.content, |frame| {
                    if told.is_ok() {
                        told = each(frame);
                    }
                })
                .map_err(broken)?;
                told?;
            }
        }
    }
}

// === impl Reader ===

impl<R: Read> Reader<R> {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// When what comes is no recording.
    pub fn new(mut file: R) -> Result<Self, ReadError> {
        let mut magic = [0; MAGIC.len()];
        match file.read_exact(&mut magic) {
            Ok(()) if &magic == MAGIC => Ok(Self { file, offset: MAGIC.len() as u64 }),
            Ok(()) => Err(ReadError::NotOne),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ReadError::NotOne),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the next block, and its bytes. `None` at the end of the file.
    fn next_block(&mut self) -> Result<Option<(Block, Vec<u8>)>, ReadError> {
        let Some((head, mut stored)) = self.head()? else { return Ok(None) };
        let at = self.offset;
        let rest = head.stored() - HEAD_BYTES;
        let read = self.file.by_ref().take(rest as u64).read_to_end(&mut stored)?;
        if read < rest {
            return Err(ReadError::Format(at, FormatError::Torn));
        }
        let block = format::read(&stored).map_err(|error| ReadError::Format(at, error))?;
        self.offset += stored.len() as u64;
        Ok(Some((block, stored)))
    }

    fn head(&mut self) -> Result<Option<(Head, Vec<u8>)>, ReadError> {
        let mut stored = Vec::with_capacity(HEAD_BYTES);
        let read = self.file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut stored)?;
        if read == 0 {
            return Ok(None);
        }
        match Head::read(&stored) {
            Ok(head) => Ok(Some((head, stored))),
            Err(error) => Err(ReadError::Format(self.offset, error)),
        }
    }
}

impl<R: Read + Seek> Reader<R> {
    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.offset = self.file.seek(SeekFrom::Start(offset))?;
        Ok(())
    }

    /// Reads the next block of one operation, and skips those of others.
    fn next_of(&mut self, operation: OperationId) -> Result<Option<(Block, Vec<u8>)>, ReadError> {
        loop {
            let at = self.offset;
            let Some((head, _)) = self.head()? else { return Ok(None) };
            if head.operation == operation {
                self.seek(at)?;
                return self.next_block();
            }
            self.seek(at + head.stored() as u64)?;
        }
    }
}

// === impl Track ===

impl Track {
    fn begin(offset: u64, block: &Block, stored: &[u8]) -> Self {
        let mut track = Self::empty(block.operation, offset);
        track.take(block, stored);
        track
    }

    fn empty(operation: OperationId, offset: u64) -> Self {
        Self {
            operation,
            offset,
            bytes: 0,
            title: Value::Object(Vec::new()),
            end: End::Unsealed,
            place: Place::START,
        }
    }

    fn take(&mut self, block: &Block, stored: &[u8]) {
        self.bytes += block.stored as u64;
        let first = self.place == Place::START;
        let fits = match (&self.end, block.kind) {
            (End::Unsealed, Kind::Title) => first,
            (End::Unsealed, Kind::Frames | Kind::End) => !first,
            (End::Sealed(_) | End::Broken(_), _) => false,
        };
        let followed = match fits {
            true => block.follows(self.place, stored),
            false => Err(FormatError::Link),
        };
        let held = match block.kind {
            Kind::Frames => format::frames(&block.content, |_| {}),
            Kind::Title | Kind::End => Ok(()),
        };
        match followed.and_then(|place| held.map(|()| place)) {
            Err(error) => self.end = End::Broken(error),
            Ok(place) => {
                self.place = place;
                match block.kind {
                    Kind::Title => self.title = value(&block.content),
                    Kind::Frames => {}
                    Kind::End => self.end = End::Sealed(value(&block.content)),
                }
            }
        }
    }

    /// The digest of what there is of it.
    pub fn digest(&self) -> Digest {
        self.place.link
    }

    /// Whether it is what a closed record says.
    #[must_use]
    pub fn is(&self, sealed: &Sealed) -> Matches {
        let Sealed { recording: _, offset, bytes, digest } = sealed;
        let ended = matches!(self.end, End::Sealed(_));
        let same = (self.offset, self.bytes, self.place.link) == (*offset, *bytes, *digest);
        if ended && same { Matches::Yes } else { Matches::No }
    }
}

/// Whether a track is what a record says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Matches {
    /// It was changed, or is another one.
    No,
    /// Every byte of it is.
    Yes,
}

/// What a block of JSON says, or nothing.
fn value(content: &[u8]) -> Value {
    Value::read(content).unwrap_or(Value::Object(Vec::new()))
}

/// How much is read from a file at once.
const BUFFER_BYTES: usize = 256 << 10;

/// The most operations in one file: an agent that asks a hundred times a second for five hours.
const TRACKS_MAX: usize = 2_000_000;
