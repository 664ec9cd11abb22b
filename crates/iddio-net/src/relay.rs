//! Answers `CONNECT` for children that have no network: each tunnel leads to what was named, or is refused.
//!
//! INVARIANT: a listener handed over leads to the destinations it was started with, and to nothing else. Tunnels
//! end with the relay. It understands `CONNECT` alone: a plain request would have to be read and written anew.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::connector::{ConnectError, connect};
use crate::destination::Destination;
use crate::seats::Seats;

/// A relay at work. Dropped, it ends every tunnel.
#[must_use]
pub struct Relay {
    shared: Arc<Shared>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// What went through a relay, and what did not: how often, by destination as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What was connected.
    pub connected: BTreeMap<String, u64>,
    /// What was refused, for not being named or not being reachable by anybody.
    pub refused: BTreeMap<String, u64>,
}

struct Shared {
    named: Vec<Destination>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tally: Tally,
    next: u64,
    /// Both ends of each tunnel.
    tunnels: BTreeMap<u64, [TcpStream; 2]>,
    over: Over,
}

/// Whether the relay has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Over {
    #[default]
    No,
    Yes,
}

// === impl Relay ===

impl Relay {
    /// Answers on `listener`, from threads of its own.
    ///
    /// # Errors
    ///
    /// When there is no thread or no descriptor left.
    pub fn start(listener: TcpListener, named: Vec<Destination>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let shared = Arc::new(Shared { named, state: Mutex::default() });
        let (stopped, held) = (stop.clone(), shared.clone());
        let builder = thread::Builder::new().name("iddio-relay".to_owned());
        let thread = Some(builder.spawn(move || listen(&listener, &held, &stopped))?);
        Ok(Self { shared, stop, thread })
    }

    /// Returns what went through so far.
    pub fn tally(&self) -> Tally {
        self.shared.state().tally.clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It is full only if it is readable already, which is all that is wanted.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            // Whatever became of it, it is over.
            let _ = thread.join();
        }
        let mut state = self.shared.state();
        state.over = Over::Yes;
        for stream in std::mem::take(&mut state.tunnels).into_values().flatten() {
            // One that is shut already is what is wanted.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection, under a name that cannot be made up without end.
    fn count(&self, what: &str, which: impl Fn(&mut Tally) -> &mut BTreeMap<String, u64>) {
        let mut state = self.state();
        let counts = which(&mut state.tally);
        let known = counts.contains_key(what) || counts.len() < NAMES_MAX;
        let name = if known { what } else { OTHERS };
        let count = counts.entry(name.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// Notes a tunnel; nothing, if the relay has ended meanwhile.
    fn enter(&self, ends: [TcpStream; 2]) -> Option<u64> {
        let mut state = self.state();
        if state.over == Over::Yes {
            return None;
        }
        let id = state.next;
        state.next = id.wrapping_add(1);
        state.tunnels.insert(id, ends);
        Some(id)
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>, stop: &OwnedFd) {
    let seats = Seats::new(TUNNELS_MAX);
    loop {
        let mut waiting = [PollFd::new(listener, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        if poll(&mut waiting, None).is_err_and(|error| error != rustix::io::Errno::INTR) {
            return;
        }
        let [_, stopped] = &waiting;
        if !stopped.revents().is_empty() {
            return;
        }
        let Ok((client, _)) = listener.accept() else { continue };
        let Some(seat) = seats.take() else {
            let _ = refuse(client, "503 Service Unavailable", "too many connections at once");
            continue;
        };
        let held = shared.clone();
        let named = thread::Builder::new().name("iddio-tunnel".to_owned());
        // A client that no thread can be had for is hung up on.
        let _ = named.spawn(move || {
            // A client that breaks off is no failure of ours.
            let _ = serve(client, &held);
            drop(seat);
        });
    }
}

/// Hears one client, and carries bytes until either side is done.
fn serve(mut client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(HEAD_TIME_MAX))?;
    client.set_write_timeout(Some(HEAD_TIME_MAX))?;
    let (head, early) = match head(&mut client) {
        Ok(head) => head,
        Err(error) => return refuse(client, "400 Bad Request", &error.to_string()),
    };
    let Some((host, port)) = target(&head) else {
        shared.count(OTHERS, |tally| &mut tally.refused);
        return refuse(client, "405 Method Not Allowed", "only CONNECT HOST:PORT is understood");
    };
    let asked = format!("{host}:{port}");
    let mut upstream = match connect(&shared.named, host, port) {
        Ok(upstream) => upstream,
        Err(error) => {
            shared.count(&asked, |tally| &mut tally.refused);
            let status = match error {
                ConnectError::Forbidden { .. } | ConnectError::NotNamed { .. } => "403 Forbidden",
                ConnectError::Silent { .. } | ConnectError::Unknown { .. } => "502 Bad Gateway",
            };
            return refuse(client, status, &error.to_string());
        }
    };
    shared.count(&asked, |tally| &mut tally.connected);
    client.set_read_timeout(None)?;
    client.set_write_timeout(None)?;
    let ends = [client.try_clone()?, upstream.try_clone()?];
    let Some(id) = shared.enter(ends) else { return Ok(()) };
    let carried = client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .and_then(|()| upstream.write_all(&early))
        .and_then(|()| carry(&client, &upstream));
    shared.state().tunnels.remove(&id);
    carried
}

/// Carries bytes both ways until both sides have said all.
fn carry(client: &TcpStream, upstream: &TcpStream) -> io::Result<()> {
    let (from, to) = (upstream.try_clone()?, client.try_clone()?);
    let named = thread::Builder::new().name("iddio-tunnel".to_owned());
    let back = named.spawn(move || one_way(&from, &to))?;
    one_way(client, upstream);
    // It ends when either side does.
    let _ = back.join();
    Ok(())
}

fn one_way(mut from: &TcpStream, mut to: &TcpStream) {
    match io::copy(&mut from, &mut to) {
        // The other direction may still have something to say.
        Ok(_) => drop(to.shutdown(Shutdown::Write)),
        Err(_) => {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        }
    }
}

/// Reads the head of a request, and what came behind it.
fn head(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut bytes = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let early = bytes.split_off(end.saturating_add(4));
            let text = String::from_utf8(bytes).map_err(|_| bad("the request is not UTF-8"))?;
            return Ok((text, early));
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(bad("the request is too long"));
        }
        match client.read(&mut chunk)? {
            0 => return Err(bad("the request ends early")),
            count => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
    }
}

/// Returns what a request asks to be connected to.
fn target(head: &str) -> Option<(&str, u16)> {
    let line = head.split("\r\n").next()?;
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let sound = method == "CONNECT" && version.starts_with("HTTP/1.") && words.next().is_none();
    let (host, port) = target.rsplit_once(':')?;
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    Some((host, port.parse().ok()?)).filter(|_| sound && digits)
}

fn refuse(mut client: TcpStream, status: &str, why: &str) -> io::Result<()> {
    let body = format!("iddio: {why}\n");
    let length = body.len();
    client.write_all(
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .as_bytes(),
    )?;
    client.shutdown(Shutdown::Write)
}

/// More than a browser opens at once.
const TUNNELS_MAX: usize = 256;
/// A request for a tunnel is one line and a few headers.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Whoever is slower than this is not asking.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// As many destinations are counted by name; a child can make up any number.
const NAMES_MAX: usize = 64;
/// What the rest is counted as.
const OTHERS: &str = "others";
