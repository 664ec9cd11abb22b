//! Carries a stream between two connections until it ends or is cut.
//!
//! Each side is read no faster than the other takes what it is sent, and than the recording has room,
//! so a stream costs the same memory whoever is slow. Twice a second the gateway looks whether it may
//! go on (threat K20). A side that says nothing is asked whether it is there, and given up when it
//! does not answer.
//!
//! INVARIANT: whatever happens, both connections end and the end is recorded.

use std::{
    future::poll_fn,
    io,
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use iddio_core::{
    audit::{End, Outcome},
    pipeline::InFlight,
    recording::Channel,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    sync::{OwnedSemaphorePermit, watch},
    time::{self, Interval, MissedTickBehavior},
};

use super::{
    Cut, Outs, Side, Tape,
    exit::Listener,
    relay::{Relay, Went},
    websocket,
};
use crate::{
    forward::{Flight, LOOK_EVERY, Reins},
    upstream::Link,
};

/// The two connections of a stream, about to be taken over.
pub(crate) struct Ends {
    /// The client's.
    pub(crate) client: OnUpgrade,
    /// The API server's.
    pub(crate) server: OnUpgrade,
    /// What drives the server's until then.
    pub(crate) link: Link,
    /// Its place among the streams.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// A stream that flows.
struct Stream {
    client: Half,
    server: Half,
    relay: Relay,
    outs: Outs,
    listener: Listener,
    room: Room,
    ticks: Interval,
    reins: Reins,
    stopped: watch::Receiver<()>,
    ending: Ending,
}

/// One connection.
struct Half {
    read: ReadHalf<TokioIo<Upgraded>>,
    write: WriteHalf<TokioIo<Upgraded>>,
    buffer: Vec<u8>,
    heard: Instant,
    asked: Instant,
    flushed: Flushed,
    reads: Reads,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flushed {
    No,
    Yes,
}

/// What is done with what a side sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reads {
    /// It is read and passed on.
    Passed,
    /// It is read, and means nothing any more.
    Dropped,
    /// Nothing is read.
    Ended,
}

/// Whether the recording has room.
#[derive(Clone, Copy, Debug)]
enum Room {
    Is,
    Wanted(Instant),
}

/// How a stream ends, once it does.
#[derive(Clone, Debug)]
enum Ending {
    /// It does not yet.
    No,
    /// So, and no later than then.
    Soon { outcome: Outcome, note: String, until: Option<Instant> },
}

/// What happened.
enum Turn {
    Read(Side, io::Result<usize>),
    Room(io::Result<()>),
    Stopped,
    Tick,
    Wrote(io::Result<()>, Side),
}

/// The recording of a stream, and who listens to how it ends.
struct Taping<'a> {
    flight: &'a mut InFlight,
    listener: &'a mut Listener,
}

/// Carries a stream to its end.
pub(crate) async fn carry(
    ends: Ends,
    relay: Relay,
    mut flight: Flight,
    stopped: watch::Receiver<()>,
) {
    let Ends { client, server, link, place } = ends;
    let both = async { tokio::join!(client, server) };
    let taken = time::timeout(TAKEN_MAX, both).await;
    drop(link);
    let Ok((Ok(client), Ok(server))) = taken else {
        return flight.end(Outcome::Forwarded, Some("the stream did not begin".to_owned()));
    };
    let mut ticks = time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stream = Stream {
        client: Half::new(client),
        server: Half::new(server),
        relay,
        outs: Outs::default(),
        listener: Listener::default(),
        room: Room::Wanted(Instant::now()),
        ticks,
        reins: flight.reins(),
        stopped,
        ending: Ending::No,
    };
    while !stream.is_over() {
        let turn = stream.turn(&mut flight.flight).await;
        stream.step(turn, &mut flight.flight);
    }
    let Stream { client, server, listener, ending, .. } = stream;
    let exit_code = listener.code();
    if let Some(code) = exit_code {
        // It changes nothing any more where it cannot be taken: the record says it, too.
        let _ = flight.flight.frame(Channel::Exit, code.to_string().as_bytes());
    }
    let (outcome, note) = match ending {
        Ending::No => (Outcome::Forwarded, "ended".to_owned()),
        Ending::Soon { outcome, note, .. } => (outcome, note),
    };
    flight.close(End { exit_code, note: Some(note), ..End::of(outcome) });
    let closing = async { tokio::join!(client.close(), server.close()) };
    // Whoever does not take the end in time finds the connection gone.
    let _ = time::timeout(LINGER_MAX, closing).await;
    drop(place);
}

// === impl Stream ===

impl Stream {
    /// Waits until something happens.
    async fn turn(&mut self, flight: &mut InFlight) -> Turn {
        let Self { client, server, outs, room, ticks, stopped, .. } = self;
        let has_room = matches!(room, Room::Is);
        let reads = |half: &Half, waiting: usize| match half.reads {
            Reads::Passed => has_room && waiting < WAITING_BYTES_MAX,
            Reads::Dropped => true,
            Reads::Ended => false,
        };
        let client_reads = reads(client, outs.waiting(Side::Server));
        let server_reads = reads(server, outs.waiting(Side::Client));
        let client_writes = client.has_work(outs.waiting(Side::Client));
        let server_writes = server.has_work(outs.waiting(Side::Server));
        let Outs { client: to_client, server: to_server } = outs;
        tokio::select! {
            _ = ticks.tick() => Turn::Tick,
            Ok(()) = stopped.changed() => Turn::Stopped,
            room = poll_fn(|context| flight.poll_room(context)), if !has_room => Turn::Room(room),
            wrote = push(&mut client.write, to_client, &mut client.flushed), if client_writes =>
                Turn::Wrote(wrote, Side::Client),
            wrote = push(&mut server.write, to_server, &mut server.flushed), if server_writes =>
                Turn::Wrote(wrote, Side::Server),
            read = client.read.read(&mut client.buffer), if client_reads =>
                Turn::Read(Side::Client, read),
            read = server.read.read(&mut server.buffer), if server_reads =>
                Turn::Read(Side::Server, read),
        }
    }

    fn step(&mut self, turn: Turn, flight: &mut InFlight) {
        match turn {
            Turn::Read(side, Ok(0) | Err(_)) => self.gone(side),
            Turn::Read(side, Ok(read)) => self.read(side, read, flight),
            Turn::Room(Ok(())) => self.room = Room::Is,
            Turn::Room(Err(error)) => self.broken(&Cut::Recording(error)),
            Turn::Stopped => {
                let until = Instant::now().checked_add(STOPPING_MAX);
                self.reins.no_later_than(until, "cut: the gateway stops");
            }
            Turn::Tick => self.look(),
            Turn::Wrote(Ok(()), _) => {}
            Turn::Wrote(Err(_), side) => self.gone(side),
        }
    }

    /// Takes what was read.
    fn read(&mut self, side: Side, read: usize, flight: &mut InFlight) {
        let Self { client, server, relay, outs, listener, .. } = self;
        let half = match side {
            Side::Client => client,
            Side::Server => server,
        };
        half.heard = Instant::now();
        if half.reads != Reads::Passed {
            return;
        }
        let bytes = half.buffer.get_mut(..read).unwrap_or_default();
        let taken = relay.take(side, bytes, &mut Taping { flight, listener }, outs);
        self.room = Room::Wanted(Instant::now());
        match taken {
            Ok(Went::On) => {}
            Ok(Went::Closes) => self.closes(side),
            Err(cut) => self.broken(&cut),
        }
    }

    /// A side said that it closes: the other takes what is on its way, and then everything ends.
    fn closes(&mut self, side: Side) {
        (self.client.reads, self.server.reads) = (Reads::Dropped, Reads::Dropped);
        let until = match side {
            Side::Client => Instant::now().checked_add(CLOSING_MAX),
            // A client that reads slowly gets all there was.
            Side::Server => None,
        };
        let note = match side {
            Side::Client => "ended by the client",
            Side::Server => "ended",
        };
        self.ends(Outcome::Forwarded, note.to_owned(), until);
    }

    /// A connection ended.
    fn gone(&mut self, side: Side) {
        self.outs.to(side).clear();
        let half = self.half(side);
        (half.reads, half.flushed) = (Reads::Ended, Flushed::Yes);
        // What the other still sends has nowhere to go.
        let other = self.half(side.other());
        if other.reads == Reads::Passed {
            other.reads = Reads::Dropped;
        }
        let until = match side {
            Side::Client => Instant::now().checked_add(LINGER_MAX),
            // A client that reads slowly gets all there was.
            Side::Server => None,
        };
        let note = match side {
            Side::Client => "the client went away",
            Side::Server => "the API server ended it",
        };
        self.ends(Outcome::Forwarded, note.to_owned(), until);
    }

    /// The stream may not go on, or cannot.
    fn broken(&mut self, cut: &Cut) {
        let code = match cut {
            Cut::Broken(..) => websocket::PROTOCOL,
            Cut::Dice | Cut::Recording(_) => websocket::FAILED,
        };
        self.cut(Outcome::Forwarded, code, &cut.to_string());
    }

    fn cut(&mut self, outcome: Outcome, code: u16, why: &str) {
        if matches!(self.ending, Ending::Soon { until: Some(_), .. }) {
            return;
        }
        for half in [&mut self.client, &mut self.server] {
            if half.reads == Reads::Passed {
                half.reads = Reads::Dropped;
            }
        }
        // What cannot be told is not told; the connections end in any case.
        let _ = self.relay.end(code, why, &mut self.outs);
        let until = Instant::now().checked_add(CUT_MAX);
        self.ending = Ending::Soon { outcome, note: format!("cut: {why}"), until };
    }

    /// Remembers how it ends: as it was said first, and as soon as anybody said.
    fn ends(&mut self, outcome: Outcome, note: String, until: Option<Instant>) {
        self.ending = match std::mem::replace(&mut self.ending, Ending::No) {
            Ending::No => Ending::Soon { outcome, note, until },
            Ending::Soon { outcome, note, until: first } => {
                let until = [first, until].into_iter().flatten().min();
                Ending::Soon { outcome, note, until }
            }
        };
    }

    /// Looks whether it may go on, and whether anybody is there.
    fn look(&mut self) {
        if let Some((outcome, why)) = self.reins.cut() {
            let why = why.strip_prefix("cut: ").unwrap_or(why);
            return self.cut(outcome, websocket::POLICY, why);
        }
        if let Room::Wanted(since) = self.room
            && ROOM_MAX <= since.elapsed()
        {
            let error = io::Error::other("the recording had no room in time");
            return self.broken(&Cut::Recording(error));
        }
        for side in [Side::Client, Side::Server] {
            let held = !self.has_room() || WAITING_BYTES_MAX <= self.outs.waiting(side.other());
            let waiting = self.outs.waiting(side);
            let half = self.half(side);
            if held {
                // Whoever is not read cannot be heard.
                half.heard = Instant::now();
            }
            let read = waiting == 0 && half.flushed == Flushed::Yes;
            if half.reads != Reads::Passed || half.heard.elapsed() < ASK_AFTER || !read {
                continue;
            }
            if SILENCE_MAX <= half.heard.elapsed() && ASK_AFTER <= half.asked.elapsed() {
                let why = format!("{side} does not answer");
                return self.cut(Outcome::Forwarded, websocket::FAILED, &why);
            }
            if half.asked <= half.heard {
                half.asked = Instant::now();
                let _ = self.relay.ping(side, &mut self.outs);
            }
        }
    }

    /// Whether nothing is left to be done.
    fn is_over(&self) -> bool {
        let Ending::Soon { until, .. } = &self.ending else { return false };
        let idle = |half: &Half, side| !half.has_work(self.outs.waiting(side));
        let told = idle(&self.client, Side::Client) && idle(&self.server, Side::Server);
        told || until.is_some_and(|until| until <= Instant::now())
    }

    fn has_room(&self) -> bool {
        matches!(self.room, Room::Is)
    }

    fn half(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

// === impl Half ===

impl Half {
    fn new(upgraded: Upgraded) -> Self {
        let (read, write) = split(TokioIo::new(upgraded));
        let now = Instant::now();
        let (buffer, flushed, reads) = (vec![0; READ_BYTES], Flushed::Yes, Reads::Passed);
        Self { read, write, buffer, heard: now, asked: now, flushed, reads }
    }

    fn has_work(&self, waiting: usize) -> bool {
        waiting != 0 || self.flushed == Flushed::No
    }

    /// Ends the connection: says that nothing more comes, and takes what was on its way, so that the
    /// other side is not told of an error before it read everything.
    async fn close(mut self) {
        if self.write.shutdown().await.is_err() {
            return;
        }
        while self.reads != Reads::Ended {
            if matches!(self.read.read(&mut self.buffer).await, Ok(0) | Err(_)) {
                self.reads = Reads::Ended;
            }
        }
    }
}

// === impl Taping ===

impl Tape for Taping<'_> {
    fn frame(&mut self, channel: Channel, bytes: &[u8]) -> io::Result<()> {
        self.flight.frame(channel, bytes)?;
        self.listener.hear(channel, bytes);
        Ok(())
    }
}

/// Writes some of what waits, or sees to it that all of it is on its way.
///
/// Cancellation: what was not written still waits.
async fn push(
    write: &mut WriteHalf<TokioIo<Upgraded>>,
    out: &mut BytesMut,
    flushed: &mut Flushed,
) -> io::Result<()> {
    if out.is_empty() {
        write.flush().await?;
        *flushed = Flushed::Yes;
        return Ok(());
    }
    let written = write.write(out).await?;
    *flushed = Flushed::No;
    out.advance(written);
    match written {
        0 => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(()),
    }
}

/// How much is read at once.
const READ_BYTES: usize = 32 * 1024;

/// How much may wait for a side before the other is read no further.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// How long two connections may take to become a stream.
const TAKEN_MAX: Duration = Duration::from_secs(10);

/// How long the recording may have no room. It says by itself, and sooner, when its disk is gone.
const ROOM_MAX: Duration = Duration::from_secs(60);

/// How long a side says nothing before it is asked whether it is there.
const ASK_AFTER: Duration = Duration::from_secs(20);

/// How long a side may say nothing at all.
const SILENCE_MAX: Duration = Duration::from_secs(50);

/// How long the server may take what a client that closes had sent.
const CLOSING_MAX: Duration = Duration::from_secs(5);

/// How long a client that is cut may take to be told.
const CUT_MAX: Duration = Duration::from_millis(300);

/// How long a connection that ends may take to end.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// How long a stream may go on once the gateway stops.
const STOPPING_MAX: Duration = Duration::from_secs(8);
