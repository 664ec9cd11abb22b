//! What client and broker say to each other, as values and as bytes. It does no IO.
//!
//! A frame is a length, four bytes with the highest first, and so many bytes; the first of them says
//! what it is. INVARIANT: a frame has one reading. What is too long, too short, of another kind or
//! longer than its content is no frame and ends the conversation; nothing is skipped.
//!
//! The client speaks first, with [`Start`], to which its descriptors are attached. From then on both
//! sides speak when they have something to say, until the broker says [`Say::Ended`].

use std::{ffi::OsString, fmt, os::unix::ffi::OsStringExt};

use zeroize::Zeroizing;

/// What a client asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Start {
    /// The command.
    pub words: Vec<OsString>,
    /// The caller's environment. The broker's child gets what the tool's catalog keeps of it.
    pub environment: Vec<(OsString, OsString)>,
    /// What the caller calls its working directory, whose descriptor is attached.
    pub directory: OsString,
    /// What the caller calls the top of the tree it sends, at or above its working directory.
    pub tree: OsString,
    /// The agent that the caller says it is.
    pub agent: Option<String>,
    /// The agent's token.
    pub token: Option<Token>,
    /// What the caller says about the command.
    pub because: Option<OsString>,
    /// The task that the caller says it is for.
    pub task: Option<String>,
    /// What of the tree the caller declares that the command writes.
    pub outputs: Vec<OsString>,
    /// What its three streams are.
    pub streams: [Stream; 3],
    /// How large its terminal is, if any stream is one.
    pub window: Window,
}

/// A token on its way.
#[derive(Clone, Eq, PartialEq)]
pub struct Token(Zeroizing<String>);

/// What a stream of a client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    /// A file, a pipe, a socket.
    Plain,
    /// A terminal: the client relays it, and the command gets one of its own.
    Terminal,
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// What a client says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ask {
    /// It wants this. The first thing it says, and said once.
    Start(Box<Start>),
    /// It got this signal.
    Signal(i32),
    /// Its terminal has this size now.
    Window(Window),
}

/// What a broker says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Say {
    /// A human is about to be asked.
    Asking {
        /// The tier's number.
        tier: u8,
        /// The command in a few words.
        command: String,
        /// Where it acts, if that is known.
        workspace: Option<String>,
        /// What a plan does, counted, if it is one.
        counts: Option<String>,
    },
    /// What the command left in its tree, as an archive whose descriptor is attached.
    Back,
    /// The command has run, with this exit code. The last thing said.
    Ended(u8),
    /// The command could not be decided on, or not be run. The last thing said.
    Failed {
        /// The exit code.
        code: u8,
        /// What failed.
        what: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Something happened to the ask.
    Notice(Notice),
    /// It was refused, and the refusal is recorded. The last thing said.
    Refused {
        /// The tier's number.
        tier: u8,
        /// The lines for people.
        lines: Vec<String>,
        /// The one line for programs.
        json: String,
    },
    /// Something the caller should know and nobody decided on.
    Remark(String),
    /// The command runs from here on, with streams that are these.
    Started([Stream; 3]),
}

/// What happened to an ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// Nobody can be asked.
    Failed(String),
    /// An answer did not count.
    Ignored {
        /// To what.
        id: String,
        /// Why.
        why: String,
    },
    /// No signature counts.
    NoRegistry(String),
    /// A ticket answers it.
    Ticket(String),
    /// It waits.
    Waiting {
        /// Under this name.
        id: String,
        /// For this long.
        lapses_millis: u64,
    },
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WireError {
    /// It ends before its content does, or goes on behind it.
    #[error("a frame does not hold what it says")]
    Length,
    /// It is longer than any frame may be.
    #[error("a frame is longer than {FRAME_BYTES_MAX} bytes")]
    Long,
    /// More words or variables than any command has.
    #[error("a list is longer than {LIST_MAX}")]
    List,
    /// There is no such kind, or no such value of it.
    #[error("a frame is of no known kind")]
    Kind,
    /// What must be text is none.
    #[error("a text is not UTF-8")]
    Text,
    /// The other side speaks another version.
    #[error("the other side speaks version {0}, this one {VERSION}")]
    Version(u16),
}

// === impl Token ===

impl Token {
    /// Takes a token.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Lends it to whoever checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

// === impl Ask ===

impl Ask {
    /// Returns it as a frame, its length included.
    ///
    /// # Errors
    ///
    /// When it is longer than a frame may be.
    pub fn frame(&self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        let mut out = Out::new();
        match self {
            Self::Start(start) => out.start(start),
            Self::Signal(number) => {
                out.byte(2);
                out.bytes.extend_from_slice(&number.to_be_bytes());
            }
            Self::Window(window) => {
                out.byte(3);
                out.window(*window);
            }
        }
        out.finish()
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn read(body: &[u8]) -> Result<Self, WireError> {
        let mut from = In(body);
        let ask = match from.byte()? {
            1 => Self::Start(Box::new(from.start()?)),
            2 => Self::Signal(i32::from_be_bytes(from.array()?)),
            3 => Self::Window(from.window()?),
            _ => return Err(WireError::Kind),
        };
        from.end().map(|()| ask)
    }
}

// === impl Say ===

impl Say {
    /// Returns it as a frame, its length included.
    ///
    /// # Errors
    ///
    /// When it is longer than a frame may be.
    pub fn frame(&self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        let mut out = Out::new();
        match self {
            Self::Asking { tier, command, workspace, counts } => {
                out.byte(1);
                out.byte(*tier);
                out.text(command);
                out.option(workspace.as_deref());
                out.option(counts.as_deref());
            }
            Self::Back => out.byte(2),
            Self::Ended(code) => {
                out.byte(3);
                out.byte(*code);
            }
            Self::Failed { code, what, hint } => {
                out.byte(4);
                out.byte(*code);
                out.text(what);
                out.option(hint.as_deref());
            }
            Self::Notice(notice) => out.notice(notice),
            Self::Refused { tier, lines, json } => {
                out.byte(6);
                out.byte(*tier);
                out.count(lines.len());
                lines.iter().for_each(|line| out.text(line));
                out.text(json);
            }
            Self::Remark(text) => {
                out.byte(7);
                out.text(text);
            }
            Self::Started(streams) => {
                out.byte(8);
                out.streams(streams);
            }
        }
        out.finish()
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn read(body: &[u8]) -> Result<Self, WireError> {
        let mut from = In(body);
        let say = match from.byte()? {
            1 => Self::Asking {
                tier: from.byte()?,
                command: from.text()?,
                workspace: from.option(In::text)?,
                counts: from.option(In::text)?,
            },
            2 => Self::Back,
            3 => Self::Ended(from.byte()?),
            4 => Self::Failed {
                code: from.byte()?,
                what: from.text()?,
                hint: from.option(In::text)?,
            },
            5 => Self::Notice(from.notice()?),
            6 => {
                let (tier, lines) = (from.byte()?, from.list(In::text)?);
                Self::Refused { tier, lines, json: from.text()? }
            }
            7 => Self::Remark(from.text()?),
            8 => Self::Started(from.streams()?),
            _ => return Err(WireError::Kind),
        };
        from.end().map(|()| say)
    }

    /// Whether nothing is said after it.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Failed { .. } | Self::Refused { .. })
    }
}

/// Bytes being written. It may hold a token, so it leaves no copy.
struct Out {
    bytes: Zeroizing<Vec<u8>>,
}

// === impl Out ===

impl Out {
    fn new() -> Self {
        Self { bytes: Zeroizing::new(vec![0; LENGTH_BYTES]) }
    }

    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn count(&mut self, count: usize) {
        // More than fits is more than a frame may hold, and is refused there.
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&count.to_be_bytes());
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.raw(text.as_bytes());
    }

    fn option(&mut self, text: Option<&str>) {
        self.byte(u8::from(text.is_some()));
        text.into_iter().for_each(|text| self.text(text));
    }

    fn window(&mut self, window: Window) {
        let Window { rows, columns } = window;
        self.bytes.extend_from_slice(&rows.to_be_bytes());
        self.bytes.extend_from_slice(&columns.to_be_bytes());
    }

    fn start(&mut self, start: &Start) {
        let Start { words, environment, directory, tree, agent, token, .. } = start;
        let Start { because, task, outputs, streams, window, .. } = start;
        self.byte(1);
        self.bytes.extend_from_slice(&VERSION.to_be_bytes());
        self.count(words.len());
        words.iter().for_each(|word| self.raw(word.as_encoded_bytes()));
        self.count(environment.len());
        for (name, value) in environment {
            self.raw(name.as_encoded_bytes());
            self.raw(value.as_encoded_bytes());
        }
        self.raw(directory.as_encoded_bytes());
        self.raw(tree.as_encoded_bytes());
        self.option(agent.as_deref());
        self.option(token.as_ref().map(Token::expose));
        self.byte(u8::from(because.is_some()));
        because.iter().for_each(|because| self.raw(because.as_encoded_bytes()));
        self.option(task.as_deref());
        self.count(outputs.len());
        outputs.iter().for_each(|output| self.raw(output.as_encoded_bytes()));
        self.streams(streams);
        self.window(*window);
    }

    fn streams(&mut self, streams: &[Stream; 3]) {
        streams.iter().for_each(|stream| self.byte(u8::from(*stream == Stream::Terminal)));
    }

    fn notice(&mut self, notice: &Notice) {
        self.byte(5);
        match notice {
            Notice::Failed(reason) => {
                self.byte(1);
                self.text(reason);
            }
            Notice::Ignored { id, why } => {
                self.byte(2);
                self.text(id);
                self.text(why);
            }
            Notice::NoRegistry(reason) => {
                self.byte(3);
                self.text(reason);
            }
            Notice::Ticket(id) => {
                self.byte(4);
                self.text(id);
            }
            Notice::Waiting { id, lapses_millis } => {
                self.byte(5);
                self.text(id);
                self.bytes.extend_from_slice(&lapses_millis.to_be_bytes());
            }
        }
    }

    fn finish(mut self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        let length = self.bytes.len().saturating_sub(LENGTH_BYTES);
        let length = u32::try_from(length).map_err(|_| WireError::Long)?;
        if FRAME_BYTES_MAX < length {
            return Err(WireError::Long);
        }
        if let Some(head) = self.bytes.first_chunk_mut::<LENGTH_BYTES>() {
            *head = length.to_be_bytes();
        }
        Ok(self.bytes)
    }
}

/// Bytes being read.
struct In<'a>(&'a [u8]);

// === impl In ===

impl<'a> In<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(WireError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.take(N)?.try_into().map_err(|_| WireError::Length)
    }

    fn byte(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn short(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    fn count(&mut self) -> Result<usize, WireError> {
        let count = u32::from_be_bytes(self.array()?);
        usize::try_from(count).map_err(|_| WireError::Length)
    }

    fn raw(&mut self) -> Result<&'a [u8], WireError> {
        let count = self.count()?;
        self.take(count)
    }

    fn os(&mut self) -> Result<OsString, WireError> {
        self.raw().map(|bytes| OsString::from_vec(bytes.to_vec()))
    }

    fn text(&mut self) -> Result<String, WireError> {
        std::str::from_utf8(self.raw()?).map(str::to_owned).map_err(|_| WireError::Text)
    }

    fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, WireError>,
    ) -> Result<Option<T>, WireError> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(WireError::Kind),
        }
    }

    fn list<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let count = self.count()?;
        if LIST_MAX < count {
            return Err(WireError::List);
        }
        (0..count).map(|_| read(self)).collect()
    }

    fn window(&mut self) -> Result<Window, WireError> {
        Ok(Window { rows: self.short()?, columns: self.short()? })
    }

    fn stream(&mut self) -> Result<Stream, WireError> {
        match self.byte()? {
            0 => Ok(Stream::Plain),
            1 => Ok(Stream::Terminal),
            _ => Err(WireError::Kind),
        }
    }

    fn streams(&mut self) -> Result<[Stream; 3], WireError> {
        Ok([self.stream()?, self.stream()?, self.stream()?])
    }

    fn start(&mut self) -> Result<Start, WireError> {
        match self.short()? {
            VERSION => {}
            other => return Err(WireError::Version(other)),
        }
        Ok(Start {
            words: self.list(Self::os)?,
            environment: self.list(|from| Ok((from.os()?, from.os()?)))?,
            directory: self.os()?,
            tree: self.os()?,
            agent: self.option(Self::text)?,
            token: self.option(Self::text)?.map(Token::new),
            because: self.option(Self::os)?,
            task: self.option(Self::text)?,
            outputs: self.list(Self::os)?,
            streams: self.streams()?,
            window: self.window()?,
        })
    }

    fn notice(&mut self) -> Result<Notice, WireError> {
        Ok(match self.byte()? {
            1 => Notice::Failed(self.text()?),
            2 => Notice::Ignored { id: self.text()?, why: self.text()? },
            3 => Notice::NoRegistry(self.text()?),
            4 => Notice::Ticket(self.text()?),
            5 => Notice::Waiting {
                id: self.text()?,
                lapses_millis: u64::from_be_bytes(self.array()?),
            },
            _ => return Err(WireError::Kind),
        })
    }

    fn end(self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError::Length) }
    }
}

/// The version of what is said. Another one is another conversation.
pub const VERSION: u16 = 2;

/// The most bytes of a frame: the most that a kernel hands to a program as arguments and environment.
pub const FRAME_BYTES_MAX: u32 = 4 << 20;

/// How many bytes say how long a frame is.
pub const LENGTH_BYTES: usize = 4;

/// The most words, variables or lines: more than any command has, and a bound on what is made room for.
pub const LIST_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Ask {
        Ask::Start(Box::new(Start {
            words: vec!["aws".into(), OsString::from_vec(vec![0xff, 0])],
            environment: vec![("A".into(), "b=c".into())],
            directory: "/w/x".into(),
            tree: "/w".into(),
            agent: Some("builder".into()),
            token: Some(Token::new("iddio_secret".into())),
            because: Some("why".into()),
            task: Some("OPS-7".into()),
            outputs: vec!["dist/**".into()],
            streams: [Stream::Terminal, Stream::Plain, Stream::Terminal],
            window: Window { rows: 24, columns: 80 },
        }))
    }

    fn asks() -> Vec<Ask> {
        vec![start(), Ask::Signal(15), Ask::Window(Window { rows: 1, columns: 2 })]
    }

    fn says() -> Vec<Say> {
        let text = |text: &str| text.to_owned();
        let notices = [
            Notice::Failed(text("r")),
            Notice::Ignored { id: text("i"), why: text("w") },
            Notice::NoRegistry(text("r")),
            Notice::Ticket(text("t")),
            Notice::Waiting { id: text("i"), lapses_millis: 7 },
        ];
        let asking =
            Say::Asking { tier: 3, command: text("c"), workspace: None, counts: Some(text("1")) };
        let failed = Say::Failed { code: 69, what: text("w"), hint: Some(text("h")) };
        let refused = Say::Refused { tier: 4, lines: vec![text("a"), text("b")], json: text("{}") };
        let mut says =
            vec![asking, Say::Back, Say::Ended(9), failed, refused, Say::Remark(text("r"))];
        says.push(Say::Started([Stream::Plain, Stream::Terminal, Stream::Plain]));
        says.extend(notices.map(Say::Notice));
        says
    }

    #[test]
    fn what_is_said_is_what_is_heard() {
        for ask in asks() {
            assert_eq!(Ask::read(&ask.frame().unwrap()[LENGTH_BYTES..]), Ok(ask));
        }
        for say in says() {
            assert_eq!(Say::read(&say.frame().unwrap()[LENGTH_BYTES..]), Ok(say));
        }
    }

    #[test]
    fn a_frame_cut_short_or_gone_on_with_is_no_frame() {
        for ask in asks() {
            let frame = ask.frame().unwrap();
            let body = &frame[LENGTH_BYTES..];
            (0..body.len()).for_each(|end| assert!(Ask::read(&body[..end]).is_err()));
            assert!(Ask::read(&[body, &[0]].concat()).is_err());
        }
        for say in says() {
            let frame = say.frame().unwrap();
            let body = &frame[LENGTH_BYTES..];
            (0..body.len()).for_each(|end| assert!(Say::read(&body[..end]).is_err()));
            assert!(Say::read(&[body, &[0]].concat()).is_err());
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic_or_make_room_for_more_than_they_are() {
        for ask in asks() {
            let frame = ask.frame().unwrap();
            for place in LENGTH_BYTES..frame.len() {
                for value in [0, 1, 2, 0x7f, 0xff] {
                    let mut body = frame[LENGTH_BYTES..].to_vec();
                    body[place - LENGTH_BYTES] = value;
                    let _ = (Ask::read(&body), Say::read(&body));
                }
            }
        }
    }

    #[test]
    fn another_version_is_said_by_its_number() {
        let mut frame = start().frame().unwrap();
        frame[LENGTH_BYTES + 2] = 9;
        assert_eq!(Ask::read(&frame[LENGTH_BYTES..]), Err(WireError::Version(9)));
    }

    #[test]
    fn what_is_too_long_is_not_said_and_a_token_is_not_shown() {
        let long = Say::Remark("x".repeat(FRAME_BYTES_MAX as usize));
        assert_eq!(long.frame().unwrap_err(), WireError::Long);
        assert!(!format!("{:?}", start()).contains("iddio_secret"));
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        fn os() -> impl Strategy<Value = OsString> {
            prop::collection::vec(any::<u8>(), 0..24).prop_map(OsString::from_vec)
        }

        fn text() -> impl Strategy<Value = Option<String>> {
            prop::option::of("\\PC{0,12}")
        }

        fn a_start() -> impl Strategy<Value = Start> {
            let list = || prop::collection::vec(os(), 0..6);
            let streams = prop::array::uniform3(any::<bool>());
            let said = (list(), prop::collection::vec((os(), os()), 0..6), os(), os());
            let of = (text(), text(), prop::option::of(os()), text(), list());
            (said, of, streams, any::<(u16, u16)>()).prop_map(
                |((words, environment, directory, tree), of, streams, (rows, columns))| {
                    let (agent, token, because, task, outputs) = of;
                    let kind = |is: bool| if is { Stream::Terminal } else { Stream::Plain };
                    Start {
                        words,
                        environment,
                        directory,
                        tree,
                        agent,
                        token: token.map(Token::new),
                        because,
                        task,
                        outputs,
                        streams: streams.map(kind),
                        window: Window { rows, columns },
                    }
                },
            )
        }

        proptest! {
            #[test]
            fn whatever_is_asked_is_heard_as_it_was_and_in_no_other_way(start in a_start()) {
                let ask = Ask::Start(Box::new(start));
                let frame = ask.frame().unwrap();
                let body = &frame[LENGTH_BYTES..];
                let heard = Ask::read(body).unwrap();
                prop_assert_eq!(&heard, &ask);
                let again = heard.frame().unwrap();
                prop_assert_eq!(again.as_slice(), frame.as_slice());
                prop_assert!(Ask::read(&body[..body.len() - 1]).is_err());
            }

            #[test]
            fn bytes_that_are_heard_are_the_ones_that_would_be_said(
                bytes in prop::collection::vec(any::<u8>(), 0..96)
            ) {
                if let Ok(ask) = Ask::read(&bytes) {
                    prop_assert_eq!(&ask.frame().unwrap()[LENGTH_BYTES..], bytes.as_slice());
                }
                if let Ok(say) = Say::read(&bytes) {
                    prop_assert_eq!(&say.frame().unwrap()[LENGTH_BYTES..], bytes.as_slice());
                }
            }
        }
    }
}
