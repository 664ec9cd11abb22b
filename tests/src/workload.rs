//! What is behind the API server of ours: programs of a pod and its ports, by WebSocket and by SPDY as
//! a real one has them.
//!
//! It is written apart from the gateway and shares none of its code: WebSockets are a crate's, SPDY is
//! read and written here. Programs run on this host, a terminal is a real one.

#![expect(clippy::indexing_slicing, reason = "what a client sends wrong fails the test")]

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustix::termios::Winsize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    net::TcpStream,
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use futures_util::{SinkExt, StreamExt};

/// What a client asked of a pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// The command; empty to attach.
    pub(crate) command: Vec<String>,
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) tty: bool,
}

/// A program that runs.
struct Program {
    input: Option<std::sync::mpsc::SyncSender<Vec<u8>>>,
    output: mpsc::Receiver<(u8, Vec<u8>)>,
    terminal: Option<Arc<File>>,
    child: Arc<Mutex<Child>>,
}

/// Bytes, both ways.
struct Pipe {
    from: mpsc::Receiver<Vec<u8>>,
    to: mpsc::Sender<Vec<u8>>,
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

// === impl Asked ===

impl Asked {
    pub(crate) fn read(query: &str) -> Self {
        let mut asked = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let on = value == "true" || value == "1";
            match name {
                "command" => asked.command.push(decoded(value)),
                "stdin" => asked.stdin = on,
                "stdout" => asked.stdout = on,
                "stderr" => asked.stderr = on,
                "tty" => asked.tty = on,
                _ => {}
            }
        }
        asked
    }
}

// === impl Program ===

impl Program {
    fn start(asked: &Asked, place: &Path) -> Self {
        let attached = ["sh", "-c", ATTACHED].map(str::to_owned);
        let words = if asked.command.is_empty() { &attached[..] } else { &asked.command[..] };
        let (said, output) = mpsc::channel(8);
        let (input, inputs) = std::sync::mpsc::sync_channel::<Vec<u8>>(8);
        let mut terminal = None;
        let mut outputs: Vec<(u8, Box<dyn Read + Send>)> = Vec::new();
        let mut writer: Option<Box<dyn Write + Send>> = None;
        let mut command;
        let started = if asked.tty {
            let (own, theirs) = pty();
            command = Command::new("setsid");
            command.args(["--ctty", "--wait"]).args(words);
            let again = || Stdio::from(theirs.try_clone().expect("a descriptor"));
            command.stdin(again()).stdout(again()).stderr(again());
            let again = || own.try_clone().expect("a descriptor");
            outputs.push((1, Box::new(again())));
            writer = Some(Box::new(again()));
            terminal = Some(Arc::new(own));
            command.current_dir(place).env("TERM", "dumb").env("PS1", "$ ").spawn()
        } else {
            command = Command::new(&words[0]);
            let input = if asked.stdin { Stdio::piped() } else { Stdio::null() };
            command.args(&words[1..]).stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.current_dir(place).spawn()
        };
        drop(command);
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                let text = format!("cannot run: {error}");
                said.try_send((3, status(127, &text))).expect("room");
                let child = Command::new("true").spawn().expect("true");
                return Self { input: None, output, terminal, child: Arc::new(Mutex::new(child)) };
            }
        };
        if let Some(stdin) = child.stdin.take() {
            writer = Some(Box::new(stdin));
        }
        if let Some(stdout) = child.stdout.take() {
            outputs.push((1, Box::new(stdout)));
        }
        if let Some(stderr) = child.stderr.take() {
            outputs.push((2, Box::new(stderr)));
        }
        if let Some(mut writer) = writer {
            std::thread::spawn(move || {
                for bytes in inputs {
                    if writer.write_all(&bytes).and_then(|()| writer.flush()).is_err() {
                        break;
                    }
                }
            });
        }
        let child = Arc::new(Mutex::new(child));
        let own = child.clone();
        std::thread::spawn(move || {
            let readers: Vec<_> = outputs
                .into_iter()
                .map(|(channel, mut output)| {
                    let said = said.clone();
                    std::thread::spawn(move || {
                        let mut buffer = vec![0; 32 * 1024];
                        while let Ok(read @ 1..) = output.read(&mut buffer) {
                            if said.blocking_send((channel, buffer[..read].to_vec())).is_err() {
                                break;
                            }
                        }
                    })
                })
                .collect();
            for reader in readers {
                let _ = reader.join();
            }
            let code = own.lock().expect("a child").wait().expect("an end").code().unwrap_or(137);
            let _ = said.blocking_send((3, status(code, "")));
        });
        Self { input: Some(input), output, terminal, child }
    }

    /// Gives it input, however long that takes.
    async fn give(&self, bytes: Vec<u8>) {
        let Some(input) = self.input.clone() else { return };
        let _ = tokio::task::spawn_blocking(move || input.send(bytes)).await;
    }

    fn resize(&self, bytes: &[u8]) {
        let Ok(size) = serde_json::from_slice::<Value>(bytes) else { return };
        let side = |name: &str| size[name].as_u64().and_then(|n| u16::try_from(n).ok());
        if let (Some(terminal), Some(ws_col), Some(ws_row)) =
            (&self.terminal, side("Width"), side("Height"))
        {
            let size = Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
            let _ = rustix::termios::tcsetwinsize(terminal.as_ref(), size);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Who waits for it holds it locked, and then it ends with its input and output.
        if let Ok(mut child) = self.child.try_lock() {
            let _ = child.kill();
        }
    }
}

/// Runs a program for a client that speaks WebSocket.
pub(crate) async fn command_by_websocket(
    upgraded: Upgraded,
    asked: Asked,
    five: bool,
    place: std::path::PathBuf,
) {
    let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let (mut to, mut from) = socket.split();
    let mut program = Program::start(&asked, &place);
    let _ = to.send(Message::binary(vec![1])).await;
    loop {
        tokio::select! {
            said = program.output.recv() => {
                let Some((channel, bytes)) = said else { break };
                let message = [&[channel][..], &bytes].concat();
                if to.send(Message::binary(message)).await.is_err() || channel == 3 {
                    break;
                }
            }
            message = from.next() => match message {
                Some(Ok(message @ (Message::Binary(_) | Message::Text(_)))) => {
                    let bytes = message.into_data();
                    match bytes.split_first() {
                        Some((0, bytes)) => program.give(bytes.to_vec()).await,
                        Some((4, bytes)) => program.resize(bytes),
                        Some((255, [0])) if five => program.input = None,
                        other => panic!("a client sent {other:?}"),
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            }
        }
    }
    let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let _ = to.send(Message::Close(Some(normal))).await;
    while let Some(Ok(_)) = from.next().await {}
}

/// Runs a program for a client that speaks SPDY.
pub(crate) async fn command_by_spdy(upgraded: Upgraded, asked: Asked, place: std::path::PathBuf) {
    let mut spdy = Spdy::new(raw(upgraded));
    let expected = 1
        + usize::from(asked.stdin)
        + usize::from(asked.stdout)
        + usize::from(asked.stderr && !asked.tty)
        + usize::from(asked.tty);
    let mut streams: BTreeMap<String, u32> = BTreeMap::new();
    while streams.len() < expected {
        match spdy.next().await {
            Some(Said::Opened(stream, headers)) => {
                streams.insert(headers["streamtype"].clone(), stream);
            }
            Some(_) => {}
            None => return,
        }
    }
    let stream = |name: &str| streams.get(name).copied().unwrap_or(0);
    let mut program = Program::start(&asked, &place);
    loop {
        tokio::select! {
            said = program.output.recv() => {
                let Some((channel, bytes)) = said else { break };
                let name = ["stdin", "stdout", "stderr", "error"][usize::from(channel)];
                spdy.send(stream(name), &bytes, false).await;
                if channel == 3 {
                    break;
                }
            }
            said = spdy.next() => match said {
                Some(Said::Data(own, bytes, fin)) if own == stream("stdin") => {
                    if !bytes.is_empty() {
                        program.give(bytes).await;
                    }
                    if fin {
                        program.input = None;
                    }
                }
                Some(Said::Data(own, bytes, _)) if own == stream("resize") => program.resize(&bytes),
                Some(_) => {}
                None => return,
            }
        }
    }
    for stream in streams.values() {
        spdy.send(*stream, &[], true).await;
    }
    spdy.frame(7, &[0; 8]).await;
    while spdy.next().await.is_some() {}
}

/// Forwards ports for a client that speaks SPDY.
pub(crate) async fn ports_by_spdy(upgraded: Upgraded) {
    ports(Spdy::new(raw(upgraded))).await;
}

/// Forwards ports for a client that speaks SPDY within a WebSocket.
pub(crate) async fn ports_by_websocket(upgraded: Upgraded) {
    let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let (mut write, mut read) = socket.split();
    let (to, mut outgoing) = mpsc::channel::<Vec<u8>>(8);
    let (incoming, from) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Some(Ok(message)) = read.next().await {
            if let Message::Binary(bytes) = message
                && incoming.send(bytes.to_vec()).await.is_err()
            {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(bytes) = outgoing.recv().await {
            if write.send(Message::binary(bytes)).await.is_err() {
                break;
            }
        }
        let _ = write.close().await;
    });
    ports(Spdy::new(Pipe { from, to })).await;
}

async fn ports(mut spdy: Spdy) {
    let mut errors: BTreeMap<String, u32> = BTreeMap::new();
    let mut open: BTreeMap<u32, mpsc::Sender<Vec<u8>>> = BTreeMap::new();
    while let Some(said) = spdy.next().await {
        match said {
            Said::Opened(stream, headers) if headers["streamtype"] == "error" => {
                errors.insert(headers["requestid"].clone(), stream);
            }
            Said::Opened(stream, headers) => {
                let error = errors[&headers["requestid"]];
                let port: u16 = headers["port"].parse().expect("a port");
                let (to, from) = mpsc::channel(8);
                open.insert(stream, to);
                tokio::spawn(connected(spdy.pipe.to.clone(), stream, error, port, from));
            }
            Said::Data(stream, bytes, fin) => {
                if let Some(to) = open.get(&stream)
                    && !bytes.is_empty()
                {
                    let _ = to.send(bytes).await;
                }
                if fin {
                    open.remove(&stream);
                }
            }
            Said::Reset(stream) => {
                open.remove(&stream);
            }
        }
    }
}

async fn connected(
    to: mpsc::Sender<Vec<u8>>,
    stream: u32,
    error: u32,
    port: u16,
    mut from: mpsc::Receiver<Vec<u8>>,
) {
    match TcpStream::connect(("127.0.0.1", port)).await {
        Err(failed) => {
            let text = format!("cannot connect to port {port}: {}", failed.kind());
            let _ = to.send(data(error, text.as_bytes(), true)).await;
        }
        Ok(mut socket) => {
            let (mut read, mut write) = socket.split();
            let inward = async {
                while let Some(bytes) = from.recv().await {
                    if write.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                let _ = write.shutdown().await;
            };
            let outward = async {
                let mut buffer = vec![0; 32 * 1024];
                while let Ok(count @ 1..) = read.read(&mut buffer).await {
                    let _ = to.send(data(stream, &buffer[..count], false)).await;
                }
                let _ = to.send(data(stream, &[], true)).await;
                let _ = to.send(data(error, &[], true)).await;
            };
            tokio::join!(inward, outward);
            return;
        }
    }
    let _ = to.send(data(stream, &[], true)).await;
}

/// What came on a connection of SPDY.
enum Said {
    Opened(u32, BTreeMap<String, String>),
    Data(u32, Vec<u8>, bool),
    Reset(u32),
}

struct Spdy {
    pipe: Pipe,
    buffer: Vec<u8>,
    inflate: Decompress,
    deflate: Compress,
}

// === impl Spdy ===

impl Spdy {
    fn new(pipe: Pipe) -> Self {
        let mut deflate = Compress::new(Compression::default(), true);
        deflate.set_dictionary(DICTIONARY).expect("a dictionary");
        Self { pipe, buffer: Vec::new(), inflate: Decompress::new(true), deflate }
    }

    async fn next(&mut self) -> Option<Said> {
        loop {
            let length = match self.buffer.get(..8) {
                Some(head) => 8 + u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize,
                None => usize::MAX,
            };
            if self.buffer.len() < length {
                let more = self.pipe.from.recv().await?;
                self.buffer.extend_from_slice(&more);
                continue;
            }
            let frame: Vec<u8> = self.buffer.drain(..length).collect();
            let word =
                |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four bytes"));
            if frame[0] & 0x80 == 0 {
                return Some(Said::Data(word(0), frame[8..].to_vec(), frame[4] & 1 == 1));
            }
            assert_eq!(frame[..2], [0x80, 3]);
            match frame[3] {
                1 => {
                    let headers = self.headers(&frame[18..]);
                    let mut reply = word(8).to_be_bytes().to_vec();
                    reply.extend(self.nothing());
                    self.frame(2, &reply).await;
                    return Some(Said::Opened(word(8), headers));
                }
                3 => return Some(Said::Reset(word(8))),
                6 if word(8) % 2 == 1 => self.frame(6, &frame[8..12]).await,
                6 | 7 => {}
                other => panic!("a client sent a frame of type {other}"),
            }
        }
    }

    async fn send(&mut self, stream: u32, bytes: &[u8], fin: bool) {
        let _ = self.pipe.to.send(data(stream, bytes, fin)).await;
    }

    async fn frame(&mut self, kind: u8, body: &[u8]) {
        let length = u32::try_from(body.len()).expect("a length").to_be_bytes();
        let head = [0x80, 3, 0, kind, 0, length[1], length[2], length[3]];
        let _ = self.pipe.to.send([&head[..], body].concat()).await;
    }

    fn headers(&mut self, block: &[u8]) -> BTreeMap<String, String> {
        let mut text = Vec::with_capacity(4096);
        let before = self.inflate.total_in();
        if let Err(error) = self.inflate.decompress_vec(block, &mut text, FlushDecompress::Sync) {
            assert!(error.needs_dictionary().is_some());
            self.inflate.set_dictionary(DICTIONARY).expect("the dictionary");
            let taken = usize::try_from(self.inflate.total_in() - before).expect("a length");
            let rest = &block[taken..];
            self.inflate.decompress_vec(rest, &mut text, FlushDecompress::Sync).expect("headers");
        }
        let mut words = Vec::new();
        let mut rest = &text[4..];
        while let Some((length, more)) = rest.split_at_checked(4) {
            let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
            words.push(String::from_utf8(more[..length].to_vec()).expect("text"));
            rest = &more[length..];
        }
        words.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }

    /// A header block without headers.
    fn nothing(&mut self) -> Vec<u8> {
        let mut block = Vec::with_capacity(256);
        self.deflate.compress_vec(&[0; 4], &mut block, FlushCompress::Sync).expect("a block");
        block
    }
}

fn data(stream: u32, bytes: &[u8], fin: bool) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a length").to_be_bytes();
    let head = [u8::from(fin), length[1], length[2], length[3]];
    [&stream.to_be_bytes()[..], &head, bytes].concat()
}

fn raw(upgraded: Upgraded) -> Pipe {
    let (mut read, mut write) = split(TokioIo::new(upgraded));
    let (to, mut outgoing) = mpsc::channel::<Vec<u8>>(8);
    let (incoming, from) = mpsc::channel(8);
    tokio::spawn(async move {
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            if incoming.send(buffer[..count].to_vec()).await.is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(bytes) = outgoing.recv().await {
            if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    });
    Pipe { from, to }
}

/// How a program ended, as a kubelet says it.
fn status(code: i32, text: &str) -> Vec<u8> {
    let status = match code {
        0 => json!({"metadata": {}, "status": "Success"}),
        code => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: {text}exit status {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
    };
    status.to_string().into_bytes()
}

fn pty() -> (File, OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let own =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pty");
    grantpt(&own).expect("a pty");
    unlockpt(&own).expect("a pty");
    let name = ptsname(&own, Vec::new()).expect("a name");
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let theirs =
        rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty()).expect("a pty");
    (File::from(own), theirs)
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        match (bytes[at], digits.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).expect("text")
}

/// The answer to the key of a WebSocket.
pub(crate) fn accept(key: &str) -> String {
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes())
}

/// What one attaches to.
const ATTACHED: &str = "echo attached; while read -r line; do echo \"heard $line\"; done; exit 3";

/// What headers are folded with.
const DICTIONARY: &[u8] = include_bytes!("../vectors/spdy3-dictionary");
