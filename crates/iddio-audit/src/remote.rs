//! The log service as a sink: what everybody but the service has instead of a log.
//!
//! Each append takes a connection, states its record, and waits for the receipt. It blocks its thread,
//! as the log itself does; threads that append at once take a connection each.
//!
//! Where the answer is lost, the same append is asked again under the same number, and the service
//! knows whether it stands in the log already. Where the service is away, the append is refused, and so
//! is the operation: there is no second place to record (N4). The end of an operation waits for the
//! service a while, since it happened.
//!
//! INVARIANT: the socket leads to the service's own user or to root, who listens for it; anybody else
//! there is a squatter, and is told nothing.

use std::{
    io::{self, Read, Write},
    ops::ControlFlow,
    os::{fd::AsFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use iddio_core::{
    BoxFuture,
    audit::{
        AuditError, AuditSink, Body, Durability, Entry, Receipt,
        line::stated,
        secret::{Commit, Commitment},
    },
    digest::Digest,
    operation::OperationId,
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    commitments::random,
    wire::{self, Call, Code, No, Reply, Secret, Standing, Statement, WireError},
};

/// The log service, as a sink.
#[derive(Debug)]
pub struct Remote {
    socket: PathBuf,
    keeper: u32,
    idle: Mutex<Vec<Connection>>,
    orphans: Mutex<Vec<OperationId>>,
    head: AtomicU64,
}

/// The log service cannot be asked, or will not.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// Nobody answers.
    #[error("the log service at `{}` is away ({source}), so nothing can be recorded", socket.display())]
    Away {
        /// Where it should be.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The connection broke, and whether the record was stored is not known.
    #[error("the log service went away ({0}); whether the record was stored is not known")]
    Lost(io::Error),
    /// It will not.
    #[error("the log service refuses: {0}")]
    No(String),
    /// What answers is not the service.
    #[error("`{}` belongs to uid {uid}, not to the log service", socket.display())]
    Squatter {
        /// Where.
        socket: PathBuf,
        /// Who is there.
        uid: u32,
    },
    /// What it says is no message.
    #[error("the log service does not speak as it should: {0}")]
    Wire(#[from] WireError),
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
}

/// Takes secrets out of a record, for the service to commit to.
#[derive(Default)]
struct Collecting(Mutex<Vec<Secret>>);

// === impl Remote ===

impl Remote {
    /// Returns the sink at `socket`, where the service runs as the user `keeper`. Nothing is asked yet.
    pub fn at(socket: &Path, keeper: u32) -> Self {
        Self {
            socket: socket.to_owned(),
            keeper,
            idle: Mutex::default(),
            orphans: Mutex::default(),
            head: AtomicU64::new(0),
        }
    }

    /// Where the service is.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The user the service runs as.
    pub fn keeper(&self) -> u32 {
        self.keeper
    }

    /// Asks whether the service is there, and returns how many records it has.
    ///
    /// # Errors
    ///
    /// When it is not, or is somebody else.
    pub fn head(&self) -> Result<u64, RemoteError> {
        let connection = self.connect()?;
        self.put_back(connection);
        Ok(self.head.load(Ordering::Relaxed))
    }

    /// Tells the service what the pipeline lost track of.
    ///
    /// # Errors
    ///
    /// When it cannot be told. It is told with the next record, or finds out when this process ends.
    pub fn finish(&self) -> Result<(), RemoteError> {
        loop {
            let mut orphans = self.orphans();
            let keep = orphans.len().saturating_sub(wire::ORPHANS_MAX);
            let some = orphans.split_off(keep);
            drop(orphans);
            if some.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.tell_orphans(&some) {
                // Whoever comes next tells it.
                self.orphans().extend(some);
                return Err(error);
            }
        }
    }

    fn tell_orphans(&self, some: &[OperationId]) -> Result<(), RemoteError> {
        let mut connection = self.take()?;
        connection.say(&Call::Orphan(some.to_vec()).to_bytes()).map_err(RemoteError::Lost)?;
        match connection.hear()? {
            Reply::Noted => {
                self.put_back(connection);
                Ok(())
            }
            other => Err(refused(other)),
        }
    }

    /// Returns the last checkpoint, for those who may read.
    ///
    /// # Errors
    ///
    /// When the service is away or will not.
    pub fn checkpoint(&self) -> Result<Option<String>, RemoteError> {
        self.reading(&Call::Checkpoint, |_, reply| match reply {
            Reply::Checkpoint(note) => Ok(note),
            other => Err(refused(other)),
        })
    }

    /// Returns lines from record `from` on, for those who may read, and the number of the record after
    /// them. None where there are none yet.
    ///
    /// # Errors
    ///
    /// When the service is away or will not.
    pub fn read(&self, from: u64) -> Result<(Vec<u8>, u64), RemoteError> {
        self.reading(&Call::Read(from), |connection, reply| match reply {
            Reply::Records { next } if next == from => Ok((Vec::new(), next)),
            Reply::Records { next } => Ok((connection.hear_bytes()?, next)),
            other => Err(refused(other)),
        })
    }

    /// Calls `each` with every line from record `from` on, without its newline, until it breaks or there
    /// are no more; returns the number of the record after the last.
    ///
    /// # Errors
    ///
    /// When the service is away or will not.
    pub fn lines(
        &self,
        from: u64,
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<u64, RemoteError> {
        let mut next = from;
        loop {
            let (page, after) = self.read(next)?;
            let lines = page.split_inclusive(|byte| *byte == b'\n');
            for line in lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line)) {
                next += 1;
                if each(line).is_break() {
                    return Ok(next);
                }
            }
            if after == next && page.is_empty() {
                return Ok(next);
            }
            if after != next {
                return Err(RemoteError::Wire(WireError::Shape));
            }
        }
    }

    /// Returns the line of record `seq`, without its newline, and whether what it decided is still
    /// open, for those who may read.
    ///
    /// # Errors
    ///
    /// When there is no such record, or the service is away or will not.
    pub fn warrant(&self, seq: u64) -> Result<(Vec<u8>, Standing), RemoteError> {
        self.reading(&Call::Warrant(seq), |connection, reply| match reply {
            Reply::Warrant(standing) => Ok((connection.hear_bytes()?, standing)),
            other => Err(refused(other)),
        })
    }

    /// Proves that record `seq` is in the log that was signed for last, for those who may read:
    /// the signed checkpoint, and the siblings.
    ///
    /// # Errors
    ///
    /// When it is not, or the service is away or will not.
    pub fn prove(&self, seq: u64) -> Result<(String, Vec<Digest>), RemoteError> {
        self.reading(&Call::Prove(seq), proof)
    }

    /// Proves that the log as it was with `old` records is the beginning of the one that was signed
    /// for last, for those who may read: the signed checkpoint, and the hashes.
    ///
    /// # Errors
    ///
    /// When it is not, or the service is away or will not.
    pub fn consistency(&self, old: u64) -> Result<(String, Vec<Digest>), RemoteError> {
        self.reading(&Call::Consistency(old), proof)
    }

    /// Asks to see something. A connection that was idle may have been cut meanwhile; looking twice
    /// harms nobody.
    fn reading<T>(
        &self,
        call: &Call,
        take: impl Fn(&mut Connection, Reply) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        let asked = |mut connection: Connection| {
            connection.say(&call.to_bytes()).map_err(RemoteError::Lost)?;
            let reply = connection.hear()?;
            let taken = take(&mut connection, reply)?;
            self.put_back(connection);
            Ok(taken)
        };
        match asked(self.take()?) {
            Err(RemoteError::Lost(_)) => asked(self.connect()?),
            done => done,
        }
    }

    fn append_now(&self, entry: &Entry, durability: Durability) -> Result<Receipt, RemoteError> {
        let collecting = Collecting::default();
        let record = stated::state(entry, &collecting);
        let secrets = collecting.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let request = u128::from_le_bytes(random());
        let mut statement = Statement { request, durability, after: None, record, secrets };
        let happened = matches!(entry.body, Body::Closed(_));
        let began = Instant::now();
        loop {
            let asked = statement.after.is_some();
            let taken = if asked { self.connect() } else { self.take() };
            let lost = match taken {
                Ok(mut connection) => {
                    // Before it is asked: what is stored for this comes after.
                    let head = self.head.load(Ordering::Relaxed);
                    let frame = Call::Append(statement).to_bytes();
                    let said = self.ask(&mut connection, &frame);
                    match said {
                        Ok(receipt) => {
                            self.put_back(connection);
                            return Ok(receipt);
                        }
                        Err(RemoteError::Lost(error)) => {
                            let Ok(Call::Append(again)) = Call::read(&frame) else {
                                return Err(RemoteError::Wire(WireError::Shape));
                            };
                            statement = again;
                            // The head of the first time: it only grows.
                            statement.after = statement.after.or(Some(head));
                            error
                        }
                        Err(error) => return Err(error),
                    }
                }
                // It was asked, or it happened whether it is recorded or not; and the service is coming back.
                Err(RemoteError::Away { source, .. } | RemoteError::Lost(source))
                    if asked || happened =>
                {
                    source
                }
                Err(error) => return Err(error),
            };
            if AGAIN_FOR <= began.elapsed() {
                return Err(match statement.after {
                    Some(_) => RemoteError::Lost(lost),
                    None => RemoteError::Away { socket: self.socket.clone(), source: lost },
                });
            }
            self.idle().clear();
            thread::sleep(AGAIN_NAP);
        }
    }

    fn ask(&self, connection: &mut Connection, frame: &[u8]) -> Result<Receipt, RemoteError> {
        connection.say(frame).map_err(RemoteError::Lost)?;
        match connection.hear()? {
            Reply::Receipt { id, seq, hash } => {
                self.head.fetch_max(seq + 1, Ordering::Relaxed);
                Ok(Receipt::assertion(id, seq, hash))
            }
            other => Err(refused(other)),
        }
    }

    /// Takes an idle connection, or makes one.
    fn take(&self) -> Result<Connection, RemoteError> {
        let idle = self.idle().pop();
        match idle {
            Some(connection) => Ok(connection),
            None => self.connect(),
        }
    }

    fn put_back(&self, connection: Connection) {
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }

    fn connect(&self) -> Result<Connection, RemoteError> {
        let socket = || self.socket.clone();
        let away = |source| RemoteError::Away { socket: socket(), source };
        let stream = UnixStream::connect(&self.socket).map_err(away)?;
        let peer = rustix::net::sockopt::socket_peercred(stream.as_fd());
        let uid = peer.map_err(|errno| away(errno.into()))?.uid.as_raw();
        if uid != self.keeper && uid != 0 {
            return Err(RemoteError::Squatter { socket: socket(), uid });
        }
        stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(away)?;
        stream.set_write_timeout(Some(ANSWER_WAIT)).map_err(away)?;
        let mut connection = Connection { stream };
        connection.say(&Call::Hello(wire::VERSION).to_bytes()).map_err(away)?;
        match connection.hear() {
            Ok(Reply::Hello { version: wire::VERSION, head }) => {
                self.head.fetch_max(head, Ordering::Relaxed);
                Ok(connection)
            }
            Ok(other) => Err(refused(other)),
            // It went away before it was asked anything.
            Err(RemoteError::Lost(source)) => Err(away(source)),
            Err(error) => Err(error),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn orphans(&self) -> MutexGuard<'_, Vec<OperationId>> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuditSink for Remote {
    fn append<'a>(
        &'a self,
        entry: &'a Entry,
        durability: Durability,
    ) -> BoxFuture<'a, Result<Receipt, AuditError>> {
        Box::pin(async move {
            let stored = self.append_now(entry, durability);
            if stored.is_ok() && !self.orphans().is_empty() {
                // The service is there again: what nobody will end is told now, and else the next time.
                let _ = self.finish();
            }
            stored.map_err(|error| AuditError::not_stored(error.to_string()))
        })
    }

    fn orphan(&self, id: OperationId) {
        self.orphans().push(id);
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // The service closes them when this process is gone, too.
        let _ = self.finish();
    }
}

fn proof(_: &mut Connection, reply: Reply) -> Result<(String, Vec<Digest>), RemoteError> {
    match reply {
        Reply::Proof { note, path } => Ok((note, path)),
        other => Err(refused(other)),
    }
}

fn refused(reply: Reply) -> RemoteError {
    match reply {
        Reply::No(No { code: Code::Unknown, reason }) => {
            RemoteError::Lost(io::Error::other(reason))
        }
        Reply::No(No { reason, .. }) => RemoteError::No(reason),
        Reply::Checkpoint(_)
        | Reply::Hello { .. }
        | Reply::Noted
        | Reply::Proof { .. }
        | Reply::Receipt { .. }
        | Reply::Records { .. }
        | Reply::Warrant(_) => RemoteError::Wire(WireError::Shape),
    }
}

// === impl Connection ===

impl Connection {
    fn say(&mut self, body: &[u8]) -> io::Result<()> {
        let mut frame = Zeroizing::new(Vec::with_capacity(body.len() + wire::HEADER_BYTES));
        wire::put(&mut frame, body).map_err(io::Error::other)?;
        self.stream.write_all(&frame)
    }

    fn hear(&mut self) -> Result<Reply, RemoteError> {
        let body = self.hear_bytes()?;
        Ok(Reply::read(&body)?)
    }

    fn hear_bytes(&mut self) -> Result<Vec<u8>, RemoteError> {
        let mut header = [0; wire::HEADER_BYTES];
        self.stream.read_exact(&mut header).map_err(RemoteError::Lost)?;
        let length = u32::from_be_bytes(header) as usize;
        if wire::FRAME_BYTES_MAX < length {
            return Err(WireError::Length(length as u64).into());
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(RemoteError::Lost)?;
        Ok(body)
    }
}

// === impl Collecting ===

impl Commit for Collecting {
    fn commit(&self, _: &str, bytes: &[u8]) -> Commitment {
        let secret = Secret(Zeroizing::new(bytes.to_vec()));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(secret);
        Commitment { key: String::new(), mac: [0; 32] }
    }
}

/// How long an answer is waited for: longer than the service waits for its disk.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// How long an append whose answer was lost, or that says how something ended, is asked again: what a service takes to be started anew,
/// several times over.
const AGAIN_FOR: Duration = Duration::from_secs(10);

/// How long to wait before it is asked again.
const AGAIN_NAP: Duration = Duration::from_millis(20);

/// How many connections are kept for the next append.
const IDLE_MAX: usize = 16;
