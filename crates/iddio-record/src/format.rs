//! The form of a recording on disk, as bytes: blocks, links, frames.
//!
//! A file is [`MAGIC`] and then blocks. Each block belongs to a *track*, which is one operation; the
//! tracks of a file may lie between each other. A track begins with a block that says what it is
//! ([`Kind::Title`]), goes on with frames and ends with a block that counts them ([`Kind::End`]). Each
//! block carries a link: the SHA-256 of the link before it in its track and of itself. The link of the
//! last block is the seal, which the closed record in the chain repeats.
//!
//! INVARIANT: what is read back is what was written, or an error: a changed, dropped, swapped or
//! repeated block does not carry the link that its track has come to.
//!
//! What this module does not do: touch files. `docs/recordings.md` says the same for strangers.

use iddio_core::{
    digest::Digest,
    operation::OperationId,
    recording::{Channel, Way},
};
use sha2::{Digest as _, Sha256};

/// What a block holds. The numbers are stored, so a number is never reused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// What was counted, as JSON. Nothing of the track follows.
    End = 3,
    /// Frames.
    Frames = 2,
    /// What the track is, as JSON.
    Title = 1,
}

/// A block, unpacked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Block {
    /// What it holds.
    pub kind: Kind,
    /// Whose it is.
    pub operation: OperationId,
    /// Its place in its track, from 0.
    pub number: u32,
    /// What it holds, unpacked.
    pub content: Vec<u8>,
    /// The link it carries.
    pub link: Digest,
    /// How many bytes it takes on disk.
    pub stored: usize,
}

/// A frame, with its time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    /// Microseconds since the track began.
    pub micros: u64,
    /// What it is of.
    pub channel: Channel,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// Frames that will be one block.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    last: u64,
}

/// Where a track has come to: what the next block of it is made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// The number of the next block.
    pub number: u32,
    /// The link of the last one.
    pub link: Digest,
}

/// Why bytes are no block, or not the one that belongs there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FormatError {
    /// The head of a block is not one.
    #[error("no block begins here")]
    Head,
    /// The bytes end before the block does.
    #[error("the block is torn")]
    Torn,
    /// What is packed does not unpack to what the head says.
    #[error("the block does not unpack")]
    Packed,
    /// The block does not follow the one before it.
    #[error("the block is changed, or not the next of its operation")]
    Link,
    /// What is inside is no frames.
    #[error("the block holds no frames")]
    Frames,
}

/// Begins every file.
pub const MAGIC: &[u8; 18] = b"iddio recording 1\n";

/// Writes the next block of a track, and returns where the track has come to.
///
/// Content longer than [`CONTENT_BYTES_MAX`] is the caller's mistake, and cut there: no reader takes
/// more.
pub fn write(
    out: &mut Vec<u8>,
    kind: Kind,
    operation: OperationId,
    place: Place,
    content: &[u8],
) -> Place {
    let content = content.get(..CONTENT_BYTES_MAX).unwrap_or(content);
    let packed = lz4_flex::block::compress(content);
    // What does not shrink is stored as it is: reading it costs nothing.
    let worth = packed.len() < content.len() - content.len() / 16;
    let (packing, payload) = if worth { (PACKED, packed.as_slice()) } else { (STORED, content) };
    let start = out.len();
    out.extend_from_slice(BLOCK_MARK);
    out.push(kind as u8);
    out.push(packing);
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&length(payload.len()).to_le_bytes());
    out.extend_from_slice(&length(content.len()).to_le_bytes());
    out.extend_from_slice(&place.number.to_le_bytes());
    out.extend_from_slice(&operation.0.to_be_bytes());
    out.extend_from_slice(payload);
    let block = out.get(start..).unwrap_or_default();
    let link = link(place.link, block);
    out.extend_from_slice(link.as_bytes());
    Place { number: place.number.saturating_add(1), link }
}

/// Reads the block that `bytes` begin with. Whether it belongs there is for [`Block::follows`].
///
/// # Errors
///
/// When it is none, or is torn.
pub fn read(bytes: &[u8]) -> Result<Block, FormatError> {
    let head = Head::read(bytes)?;
    let stored = head.stored();
    let whole = bytes.get(..stored).ok_or(FormatError::Torn)?;
    let (block, link) = whole.split_at_checked(stored - LINK_BYTES).ok_or(FormatError::Torn)?;
    let link = Digest::from_bytes(link.try_into().map_err(|_| FormatError::Torn)?);
    let payload = block.get(HEAD_BYTES..).ok_or(FormatError::Torn)?;
    let content = match head.packing {
        STORED => payload.to_vec(),
        _ => {
            lz4_flex::block::decompress(payload, head.unpacked).map_err(|_| FormatError::Packed)?
        }
    };
    if content.len() != head.unpacked {
        return Err(FormatError::Packed);
    }
    let Head { kind, number, operation, .. } = head;
    Ok(Block { kind, operation, number, content, link, stored })
}

/// The head of a block: what it takes to find the next one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// What it holds.
    pub kind: Kind,
    /// Its place in its track.
    pub number: u32,
    /// Whose it is.
    pub operation: OperationId,
    packing: u8,
    payload: usize,
    unpacked: usize,
}

/// Returns the link of a block that follows one with the link `before`: `block` is all of it but its
/// own link.
pub fn link(before: Digest, block: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(block);
    Digest::from_bytes(hash.finalize().into())
}

/// Calls `each` with the frames of a block of frames, in order.
///
/// # Errors
///
/// When it holds none, or something else.
pub fn frames<'a>(content: &'a [u8], mut each: impl FnMut(Frame<'a>)) -> Result<(), FormatError> {
    let (micros, mut rest) = content.split_first_chunk().ok_or(FormatError::Frames)?;
    let mut micros = u64::from_le_bytes(*micros);
    while let Some((tag, tail)) = rest.split_first() {
        let (delta, tail) = varint(tail).ok_or(FormatError::Frames)?;
        let (length, tail) = varint(tail).ok_or(FormatError::Frames)?;
        let length = usize::try_from(length).map_err(|_| FormatError::Frames)?;
        let (body, tail) = tail.split_at_checked(length).ok_or(FormatError::Frames)?;
        let (channel, bytes) = channel(*tag, body).ok_or(FormatError::Frames)?;
        micros = micros.checked_add(delta).ok_or(FormatError::Frames)?;
        each(Frame { micros, channel, bytes });
        rest = tail;
    }
    Ok(())
}

// === impl Kind ===

impl Kind {
    fn of(number: u8) -> Option<Self> {
        [Self::End, Self::Frames, Self::Title].into_iter().find(|kind| *kind as u8 == number)
    }
}

// === impl Head ===

impl Head {
    /// Reads the head that `bytes` begin with.
    ///
    /// # Errors
    ///
    /// When it is none, or is torn.
    pub fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let head: &[u8; HEAD_BYTES] = bytes.first_chunk().ok_or(FormatError::Torn)?;
        let [m0, m1, m2, m3, kind, packing, z0, z1, rest @ ..] = head;
        if [*m0, *m1, *m2, *m3] != *BLOCK_MARK || [*z0, *z1] != [0; 2] || PACKED < *packing {
            return Err(FormatError::Head);
        }
        let (payload, rest) = rest.split_first_chunk().ok_or(FormatError::Head)?;
        let (unpacked, rest) = rest.split_first_chunk().ok_or(FormatError::Head)?;
        let (number, rest) = rest.split_first_chunk().ok_or(FormatError::Head)?;
        let operation = rest.first_chunk().ok_or(FormatError::Head)?;
        let size = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes) as usize;
        let (payload, unpacked) = (size(payload), size(unpacked));
        let fits = payload <= unpacked && unpacked <= CONTENT_BYTES_MAX;
        let kind = Kind::of(*kind).filter(|_| fits).ok_or(FormatError::Head)?;
        let number = u32::from_le_bytes(*number);
        let operation = OperationId(u128::from_be_bytes(*operation));
        Ok(Self { kind, number, operation, packing: *packing, payload, unpacked })
    }

    /// How many bytes the block takes.
    pub fn stored(&self) -> usize {
        HEAD_BYTES + self.payload + LINK_BYTES
    }
}

// === impl Block ===

impl Block {
    /// Checks that this block, whose bytes are `stored`, is the one that comes at `place`; returns where
    /// the track has come to.
    ///
    /// # Errors
    ///
    /// When it is another one.
    pub fn follows(&self, place: Place, stored: &[u8]) -> Result<Place, FormatError> {
        let own = self.stored.checked_sub(LINK_BYTES).and_then(|end| stored.get(..end));
        let own = own.ok_or(FormatError::Torn)?;
        match self.number == place.number && link(place.link, own) == self.link {
            true => Ok(Place { number: place.number.saturating_add(1), link: self.link }),
            false => Err(FormatError::Link),
        }
    }
}

// === impl Place ===

impl Place {
    /// Where a track begins.
    pub const START: Self = Self { number: 0, link: Digest::from_bytes([0; 32]) };
}

// === impl Frames ===

impl Frames {
    /// Adds a frame. Time does not go back: a frame is never earlier than the one before it.
    pub fn push(&mut self, frame: Frame<'_>) {
        let Frame { micros, channel, bytes } = frame;
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&micros.to_le_bytes());
            self.last = micros;
        }
        let mut extra = [0; EXTRA_BYTES_MAX];
        let (tag, extra) = tag(channel, &mut extra);
        self.bytes.push(tag);
        put_varint(&mut self.bytes, micros.saturating_sub(self.last));
        put_varint(&mut self.bytes, (extra.len() + bytes.len()) as u64);
        self.bytes.extend_from_slice(extra);
        self.bytes.extend_from_slice(bytes);
        self.last = self.last.max(micros);
    }

    /// What they will be stored as, before packing.
    pub fn content(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

/// Returns the number of a channel, and what stands before its bytes.
fn tag(channel: Channel, extra: &mut [u8; EXTRA_BYTES_MAX]) -> (u8, &[u8]) {
    let tag = match channel {
        Channel::Data { way: Way::Inward, .. } => DATA_IN,
        Channel::Data { way: Way::Outward, .. } => DATA_OUT,
        Channel::Error => 3,
        Channel::Exit => 4,
        Channel::Request => 5,
        Channel::RequestHead => 6,
        Channel::Resize { .. } => RESIZE,
        Channel::Response => 8,
        Channel::ResponseHead => 9,
        Channel::Signal => 10,
        Channel::Stderr => 11,
        Channel::Stdin => 12,
        Channel::Stdout => 13,
    };
    let [e0, e1, e2, e3, e4, e5] = extra;
    let used = match channel {
        Channel::Data { port, connection, .. } => {
            [*e0, *e1] = port.to_le_bytes();
            [*e2, *e3, *e4, *e5] = connection.to_le_bytes();
            6
        }
        Channel::Resize { columns, rows } => {
            [*e0, *e1] = columns.to_le_bytes();
            [*e2, *e3] = rows.to_le_bytes();
            4
        }
        _ => 0,
    };
    (tag, extra.get(..used).unwrap_or_default())
}

/// Returns the channel with a number, and the bytes after what stands before them.
fn channel(tag: u8, body: &[u8]) -> Option<(Channel, &[u8])> {
    let channel = match tag {
        DATA_IN | DATA_OUT => {
            let (port, rest) = body.split_first_chunk()?;
            let (connection, rest) = rest.split_first_chunk()?;
            let (port, connection) = (u16::from_le_bytes(*port), u32::from_le_bytes(*connection));
            let way = if tag == DATA_IN { Way::Inward } else { Way::Outward };
            return Some((Channel::Data { port, connection, way }, rest));
        }
        RESIZE => {
            let (columns, rest) = body.split_first_chunk()?;
            let (rows, rest) = rest.split_first_chunk()?;
            let (columns, rows) = (u16::from_le_bytes(*columns), u16::from_le_bytes(*rows));
            return Some((Channel::Resize { columns, rows }, rest));
        }
        3 => Channel::Error,
        4 => Channel::Exit,
        5 => Channel::Request,
        6 => Channel::RequestHead,
        8 => Channel::Response,
        9 => Channel::ResponseHead,
        10 => Channel::Signal,
        11 => Channel::Stderr,
        12 => Channel::Stdin,
        13 => Channel::Stdout,
        _ => return None,
    };
    Some((channel, body))
}

/// Writes seven bits a byte, the lowest first; the highest bit says that more follow.
fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while 0x7f < number {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (place, byte) in bytes.iter().enumerate().take(VARINT_BYTES_MAX) {
        let bits = u64::from(byte & 0x7f);
        number |= bits.checked_shl(7 * place as u32)?;
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(place + 1..)?));
        }
    }
    None
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Begins every block, so that one is not taken for another's middle.
const BLOCK_MARK: &[u8; 4] = b"iRb1";

/// The bytes before what a block holds.
pub const HEAD_BYTES: usize = 36;

/// The bytes of a link.
pub const LINK_BYTES: usize = 32;

/// The most a block may hold, unpacked: a reader needs no more memory for one, whatever its head says.
pub const CONTENT_BYTES_MAX: usize = 256 << 10;

/// The longest stretch of bytes in one frame; a longer one is several frames of the same moment.
pub const FRAME_BYTES_MAX: usize = 64 << 10;

/// The most a varint of 64 bits takes.
const VARINT_BYTES_MAX: usize = 10;

/// The most that stands before the bytes of a frame.
const EXTRA_BYTES_MAX: usize = 6;

/// As it is.
const STORED: u8 = 0;

/// LZ4 block, without its length.
const PACKED: u8 = 1;

const DATA_IN: u8 = 1;
const DATA_OUT: u8 = 2;
const RESIZE: u8 = 7;
