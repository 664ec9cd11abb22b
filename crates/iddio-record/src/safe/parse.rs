//! Bytes for a terminal, told apart as a terminal does (ECMA-48, and what xterm makes of the rest).
//!
//! The 8-bit forms of control sequences are none here: those bytes are no UTF-8, and are told as bytes
//! that are no text. Whatever breaks off a sequence ends it: nothing is kept to be put together with what
//! comes later in another way than a terminal would.

/// What comes, told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event<'a> {
    /// A byte that is no text.
    Bad(u8),
    /// A character, which may still be one that nobody sees.
    Char(char),
    /// A control byte.
    Control(u8),
    /// A control sequence: `ESC [` parameters, and the byte that says what to do.
    Csi {
        /// What stands between, digits and separators.
        parameters: &'a [u8],
        /// Whether a mark of private use or an intermediate byte is among them.
        private: bool,
        /// What to do.
        last: u8,
        /// All of it.
        raw: &'a [u8],
    },
    /// An escape sequence.
    Esc {
        /// The bytes after the escape.
        after: &'a [u8],
        /// All of it.
        raw: &'a [u8],
    },
    /// A string for the terminal itself: OSC, DCS, APC, PM, SOS. A long one is cut.
    Text {
        /// Its beginning.
        raw: &'a [u8],
    },
}

/// Reads bytes as they come.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    state: State,
    /// The sequence that is being read, or the bytes of one character.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    Csi,
    Esc,
    #[default]
    Ground,
    /// In a string.
    Text,
    /// In a string, after an escape that may end it.
    TextEsc,
}

// === impl Parser ===

impl Parser {
    /// Tells `each` what `bytes` are, after those that came before.
    pub(crate) fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(Event<'_>)) {
        for byte in bytes {
            self.byte(*byte, each);
        }
    }

    /// Tells what is left when nothing follows.
    pub(crate) fn finish(&mut self, each: &mut dyn FnMut(Event<'_>)) {
        match self.state {
            State::Ground => self.bad(each),
            _ => self.give_up(each),
        }
    }

    fn byte(&mut self, byte: u8, each: &mut dyn FnMut(Event<'_>)) {
        match (self.state, byte) {
            (State::Ground, _) => self.ground(byte, each),
            // Cancels whatever was begun.
            (_, 0x18 | 0x1a) => {
                self.give_up(each);
                each(Event::Control(byte));
            }
            (State::Text, 0x1b) => self.state = State::TextEsc,
            (State::Text, 0x07) => self.end_text(each),
            (State::Text, _) => self.hold(byte, TEXT_HELD_MAX),
            (State::TextEsc, b'\\') => self.end_text(each),
            (_, 0x1b) => {
                self.give_up(each);
                self.begin(State::Esc);
            }
            (State::TextEsc, _) => {
                // A string that something else breaks off.
                self.end_text(each);
                self.begin(State::Esc);
                self.byte(byte, each);
            }
            (State::Esc | State::Csi, 0..0x20 | 0x7f..) => {
                self.give_up(each);
                self.ground(byte, each);
            }
            (State::Esc, b'[') if self.held.len() == 1 => {
                self.held.push(byte);
                self.state = State::Csi;
            }
            (State::Esc, b']' | b'P' | b'X' | b'^' | b'_' | b'k') if self.held.len() == 1 => {
                self.held.push(byte);
                self.state = State::Text;
            }
            (State::Esc, 0x20..0x30) => self.longer(byte, each),
            (State::Esc, _) => {
                self.held.push(byte);
                let raw = std::mem::take(&mut self.held);
                self.state = State::Ground;
                each(Event::Esc { after: raw.get(1..).unwrap_or_default(), raw: &raw });
            }
            (State::Csi, 0x20..0x40) => self.longer(byte, each),
            (State::Csi, _) => self.end_csi(byte, each),
        }
    }

    fn ground(&mut self, byte: u8, each: &mut dyn FnMut(Event<'_>)) {
        match byte {
            0x80.. => self.utf8(byte, each),
            _ => {
                self.bad(each);
                match byte {
                    0x1b => self.begin(State::Esc),
                    0x20..0x7f => each(Event::Char(char::from(byte))),
                    _ => each(Event::Control(byte)),
                }
            }
        }
    }

    fn utf8(&mut self, byte: u8, each: &mut dyn FnMut(Event<'_>)) {
        self.held.push(byte);
        match std::str::from_utf8(&self.held) {
            Ok(text) => {
                let char = text.chars().next();
                char.into_iter().for_each(|char| each(Event::Char(char)));
                self.held.clear();
            }
            Err(error) if error.error_len().is_none() => {}
            Err(_) => {
                // The last byte may begin another character.
                let again = 1 < self.held.len();
                if again {
                    self.held.pop();
                }
                self.bad(each);
                if again {
                    self.utf8(byte, each);
                }
            }
        }
    }

    /// Tells the bytes of a character that did not become one.
    fn bad(&mut self, each: &mut dyn FnMut(Event<'_>)) {
        self.held.drain(..).for_each(|byte| each(Event::Bad(byte)));
    }

    fn begin(&mut self, state: State) {
        self.held.clear();
        self.held.push(0x1b);
        self.state = state;
    }

    /// Holds a byte, unless there are too many.
    fn hold(&mut self, byte: u8, most: usize) {
        if self.held.len() < most {
            self.held.push(byte);
        }
    }

    /// Takes a byte of a sequence that goes on; one that does not end is none.
    fn longer(&mut self, byte: u8, each: &mut dyn FnMut(Event<'_>)) {
        self.held.push(byte);
        if SEQUENCE_BYTES_MAX < self.held.len() {
            self.give_up(each);
        }
    }

    /// Tells a sequence that was broken off.
    fn give_up(&mut self, each: &mut dyn FnMut(Event<'_>)) {
        let raw = std::mem::take(&mut self.held);
        self.state = State::Ground;
        each(Event::Text { raw: &raw });
    }

    fn end_text(&mut self, each: &mut dyn FnMut(Event<'_>)) {
        self.give_up(each);
    }

    fn end_csi(&mut self, last: u8, each: &mut dyn FnMut(Event<'_>)) {
        self.held.push(last);
        let raw = std::mem::take(&mut self.held);
        self.state = State::Ground;
        let end = raw.len().saturating_sub(1);
        let parameters = raw.get(2..end).unwrap_or_default();
        let plain = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
        let private = !parameters.iter().all(plain);
        each(Event::Csi { parameters, private, last, raw: &raw });
    }
}

/// The longest control sequence that is read.
const SEQUENCE_BYTES_MAX: usize = 128;

/// How much of a string for the terminal is kept to be shown.
const TEXT_HELD_MAX: usize = 256;
