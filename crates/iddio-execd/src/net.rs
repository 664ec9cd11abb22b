//! The network of one run: a loopback of its own, and on it what leads to what was named.
//!
//! A program reaches a destination through the relay, as its proxy, or a port of this host's loopback that
//! was named as such, through a port of its own. INVARIANT: whatever it reaches, the one connector of
//! [`iddio_net`] connected it, so that metadata addresses are never reached. All of it ends with the run.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use iddio_net::{Destination, Relay, Seats, connect};
use iddio_spawn::sandbox::Network;
use rustix::event::{PollFd, PollFlags, poll};

use crate::stream::Bell;

/// What a run may reach.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reachable {
    named: Vec<Destination>,
}

/// The network of a run. Dropped, it ends every connection.
pub(crate) struct Outlet {
    _relay: Option<Relay>,
    _doors: Vec<Door>,
}

/// A listener on the run's loopback, and who answers there. Dropped, it ends every connection.
pub(crate) struct Door {
    stop: Bell,
    thread: Option<JoinHandle<()>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

// === impl Reachable ===

impl Reachable {
    pub(crate) fn new(named: Vec<Destination>) -> Self {
        Self { named }
    }

    /// Returns what a run's network is, with `own` a listener of ours besides.
    pub(crate) fn network(&self, own: Option<u16>) -> Network {
        let relay = Some(RELAY_PORT).filter(|_| self.is_anything());
        Network::Loopback { listen: relay.into_iter().chain(self.ports()).chain(own).collect() }
    }

    /// Answers on the listeners of a run's loopback, in the order of [`Reachable::network`]. Returns those
    /// that are left.
    pub(crate) fn serve(
        &self,
        listeners: Vec<TcpListener>,
    ) -> io::Result<(Outlet, Vec<TcpListener>)> {
        let mut listeners = listeners.into_iter();
        let relay = match self.is_anything() {
            true => listeners.next().map(|listener| Relay::start(listener, self.named.clone())),
            false => None,
        };
        let relay = relay.transpose()?;
        let mut doors = Vec::new();
        for port in self.ports() {
            let Some(listener) = listeners.next() else { continue };
            let named = self.named.clone();
            doors.push(Door::open(listener, move |client| {
                if let Ok(upstream) = connect(&named, LOOPBACK, port) {
                    carry(&client, &upstream);
                }
            })?);
        }
        Ok((Outlet { _relay: relay, _doors: doors }, listeners.collect()))
    }

    /// Returns the variables by which programs find their proxy.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        if !self.is_anything() {
            return Vec::new();
        }
        let proxy = format!("http://{LOOPBACK}:{RELAY_PORT}");
        let proxies = ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"];
        let mut variables: Vec<_> =
            proxies.iter().map(|name| ((*name).to_owned(), proxy.clone())).collect();
        let own = format!("{LOOPBACK},localhost");
        variables.extend(["NO_PROXY", "no_proxy"].map(|name| (name.to_owned(), own.clone())));
        variables
    }

    fn is_anything(&self) -> bool {
        self.named.iter().any(|destination| !destination.is_loopback())
    }

    fn ports(&self) -> impl Iterator<Item = u16> {
        let loopback = self.named.iter().filter(|destination| destination.is_loopback());
        loopback.map(Destination::port).filter(|port| *port != RELAY_PORT).take(PORTS_MAX)
    }
}

// === impl Door ===

impl Door {
    /// Answers whoever comes, each on a thread of its own.
    pub(crate) fn open(
        listener: TcpListener,
        answer: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (stop, streams) = (Bell::new()?, Arc::<Mutex<Vec<TcpStream>>>::default());
        let (stopped, held, answer) = (stop.clone(), streams.clone(), Arc::new(answer));
        let named = thread::Builder::new().name("iddio-door".to_owned());
        let thread = named.spawn(move || attend(&listener, &held, &answer, &stopped))?;
        Ok(Self { stop, thread: Some(thread), streams })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.ring();
        if let Some(thread) = self.thread.take() {
            // Whatever became of it, it is over.
            let _ = thread.join();
        }
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in streams.drain(..) {
            // One that is shut already is what is wanted.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn attend<A: Fn(TcpStream) + Send + Sync + 'static>(
    listener: &TcpListener,
    held: &Mutex<Vec<TcpStream>>,
    answer: &Arc<A>,
    stop: &Bell,
) {
    let seats = Seats::new(CONNECTIONS_MAX);
    loop {
        let both = [listener.as_fd(), stop.as_fd()];
        let mut waiting = both.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        if poll(&mut waiting, None).is_err_and(|error| error != rustix::io::Errno::INTR) {
            return;
        }
        let [_, stopped] = &waiting;
        if !stopped.revents().is_empty() {
            return;
        }
        let Ok((client, _)) = listener.accept() else { continue };
        let (Some(seat), Ok(copy)) = (seats.take(), client.try_clone()) else { continue };
        let mut streams = held.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|stream| stream.peer_addr().is_ok());
        streams.push(copy);
        drop(streams);
        let _ = client.set_nonblocking(false);
        let answer = answer.clone();
        let named = thread::Builder::new().name("iddio-door".to_owned());
        // A client that no thread can be had for is hung up on.
        let _ = named.spawn(move || {
            answer(client);
            drop(seat);
        });
    }
}

/// Carries bytes both ways until both sides have said all.
fn carry(client: &TcpStream, upstream: &TcpStream) {
    thread::scope(|scope| {
        scope.spawn(|| one_way(upstream, client));
        one_way(client, upstream);
    });
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

const LOOPBACK: &str = "127.0.0.1";

/// Where the relay listens on a run's loopback.
const RELAY_PORT: u16 = 3128;

/// The most ports of the host's loopback that are named.
const PORTS_MAX: usize = 16;

/// The most connections at once through one door.
const CONNECTIONS_MAX: usize = 64;
