//! A place in the text of a program, for readers that go over it once.

/// Bytes, and how far they are read.
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    /// The next byte.
    pub(super) place: usize,
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    /// Starts at the front.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, place: 0 }
    }

    /// Returns what is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.get(self.place..).unwrap_or_default()
    }

    /// Takes and returns the bytes in front that something covers.
    pub(super) fn skip(&mut self, covers: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|byte| !covers(*byte)).unwrap_or(rest.len());
        self.place += length;
        rest.get(..length).unwrap_or_default()
    }

    /// Returns the next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.place).copied()
    }

    /// Takes the next byte.
    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.place += 1;
        Some(byte)
    }
}
