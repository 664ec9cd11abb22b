//! The service: hears one call after the other, from those who may make it, and signs what is
//! warranted.
//!
//! A thread for each connection, and few of them: whoever asks has a decision in hand and goes away
//! with a certificate. The log is asked without a lock held; ledger and standing are behind one.
//!
//! INVARIANT: a signature is given after the ledger or the standing was synced, never before, and only
//! to whom the configuration names for that kind of it.

use std::{
    collections::HashMap,
    io::{Read, Write},
    os::{fd::AsFd, unix::net::UnixListener, unix::net::UnixStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use iddio_audit::{
    clock::SystemClock,
    remote::{Remote, RemoteError},
    wire::{HEADER_BYTES, Standing as Open, put},
};
use iddio_core::time::{Clock, Timestamp};
use iddio_mint::signer::wire::{
    Call, Code, FRAME_BYTES_MAX, No, Public, Reply, VERSION, Warranted,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt::socket_peercred,
};

use crate::{
    config::{Config, Rights},
    derive::{Allowed, Unwarranted, Vouched},
    issue::{self, IssueError, SshSubject, Subject},
    keys::{ForSsh, KeyName, KeyStore, KeyStoreError},
    ledger::{Enrolled, Ledger, SpendError, Spending},
    standing::{Standing, StandingError},
};

/// The signer.
pub struct Service {
    store: Box<dyn KeyStore>,
    x509_authority: String,
    trust_domain: String,
    ssh_sources: String,
    rights: Rights,
    log: Remote,
    clock: SystemClock,
    books: Mutex<Books>,
    crowd: Mutex<HashMap<u32, usize>>,
}

/// What is written down before a signature leaves.
#[derive(Debug)]
struct Books {
    ledger: Ledger,
    standing: Standing,
}

/// Why a call is not answered as it would like.
#[derive(Debug)]
struct Refused(Code, String);

// === impl Service ===

impl Service {
    /// Puts a signer together.
    pub fn new(
        config: &Config,
        rights: Rights,
        store: Box<dyn KeyStore>,
        x509_authority: String,
        (ledger, standing): (Ledger, Standing),
    ) -> Self {
        Self {
            store,
            x509_authority,
            trust_domain: config.trust_domain.clone(),
            ssh_sources: config.ssh_sources.join(","),
            log: Remote::at(&config.log_socket, rights.log),
            rights,
            clock: SystemClock::new(),
            books: Mutex::new(Books { ledger, standing }),
            crowd: Mutex::default(),
        }
    }

    /// Serves until the socket breaks.
    ///
    /// # Errors
    ///
    /// When it does.
    pub fn serve(self, listener: &UnixListener) -> std::io::Result<()> {
        let own = Arc::new(self);
        // Without systemd nobody waits for this.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        loop {
            let wait = Timespec { tv_sec: TICK_SECS, tv_nsec: 0 };
            match poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            // Nobody there, or out of descriptors: the next turn looks again.
            let Ok((stream, _)) = listener.accept() else { continue };
            let Ok(peer) = socket_peercred(stream.as_fd()) else { continue };
            own.clone().let_in(stream, peer.uid.as_raw());
        }
    }

    /// Hears a connection on a thread of its own, if there is room for one more of this user.
    fn let_in(self: Arc<Self>, mut stream: UnixStream, uid: u32) {
        let patience = Some(SENTENCE_MAX);
        // A connection does not inherit that its listener does not block.
        let ready =
            stream.set_read_timeout(patience).is_ok() && stream.set_write_timeout(patience).is_ok();
        if !ready {
            return;
        }
        if !self.takes_a_place(uid) {
            // Best effort: it is not let in.
            let _ = say(&mut stream, &no(Refused(Code::Busy, "too many ask at once".to_owned())));
            return;
        }
        let own = self.clone();
        let thread = thread::Builder::new().name("iddio-signer".to_owned()).stack_size(STACK_BYTES);
        let started = thread.spawn(move || {
            let place = Place(own, uid);
            place.0.converse(&mut stream, uid);
        });
        if started.is_err() {
            self.leaves(uid);
        }
    }

    fn converse(&self, stream: &mut UnixStream, uid: u32) {
        match hear(stream) {
            Some(Ok(Call::Hello(VERSION))) => {
                if say(stream, &Reply::Hello(VERSION)).is_err() {
                    return;
                }
            }
            Some(Ok(Call::Hello(version))) => {
                let reason = format!("this signer speaks version {VERSION}, not {version}");
                let _ = say(stream, &no(Refused(Code::Version, reason)));
                return;
            }
            Some(_) => {
                let _ = say(stream, &no(Refused(Code::Malformed, "no hello".to_owned())));
                return;
            }
            None => return,
        }
        for _ in 0..CALLS_MAX {
            let reply = match hear(stream) {
                Some(Ok(call)) => self.answer(call, uid).unwrap_or_else(no),
                Some(Err(reason)) => {
                    let _ = say(stream, &no(Refused(Code::Malformed, reason)));
                    return;
                }
                None => return,
            };
            if say(stream, &reply).is_err() {
                return;
            }
        }
    }

    fn answer(&self, call: Call, uid: u32) -> Result<Reply, Refused> {
        match call {
            Call::Checkpoint { checkpoint, path } => {
                self.only(&[self.rights.log], uid, "have checkpoints signed")?;
                self.books().standing.advance(&checkpoint, &path)?;
                let signature = self.store.sign(KeyName::Checkpoint, checkpoint.text().as_bytes());
                let signature = signature.map_err(broken)?.try_into();
                let odd = |_| Refused(Code::Unavailable, "an odd signature".to_owned());
                Ok(Reply::Signature(signature.map_err(odd)?))
            }
            Call::Hello(_) => Err(Refused(Code::Malformed, "out of turn".to_owned())),
            Call::Last => {
                self.only(&[self.rights.log], uid, "ask what was signed last")?;
                let books = self.books();
                let last = books.standing.last();
                let log_id = last.map(|last| last.log_id.clone());
                Ok(Reply::Last { log_id, size: last.map_or(0, |last| last.size) })
            }
            Call::Public => Ok(Reply::Public(self.public().map_err(broken)?)),
            Call::Registry(record) => self.registry(record, uid),
            Call::Ssh(record, key) => self.ssh(record, &key, uid),
            Call::X509(record, key) => self.x509(record, &key, uid),
        }
    }

    fn public(&self) -> Result<Public, KeyStoreError> {
        let store = &*self.store;
        let checkpoint = store.public(KeyName::Checkpoint).try_into();
        Ok(Public {
            checkpoint: checkpoint.map_err(|_| KeyStoreError::Bug("not an Ed25519 key"))?,
            registry: ForSsh::of(store, KeyName::Registry)?.line(),
            ssh: ForSsh::of(store, KeyName::Ssh)?.line(),
            x509: self.x509_authority.clone(),
        })
    }

    fn ssh(&self, record: Warranted, key: &str, uid: u32) -> Result<Reply, Refused> {
        self.only(&self.rights.ssh, uid, "have SSH certificates")?;
        if self.ssh_sources.is_empty() {
            let reason = "the configuration names no address that certificates are good from";
            return Err(Refused(Code::Forbidden, reason.to_owned()));
        }
        let subject = SshSubject::read(key)?;
        let (allowed, now) = self.allowed(record, uid)?;
        let constraints = allowed.ssh()?;
        self.books().ledger.spend(record.seq, Spending::Ssh)?;
        let (store, sources) = (&*self.store, &self.ssh_sources);
        let line = issue::ssh(store, subject, &constraints, sources, record.seq, now)?;
        Ok(Reply::Certificate(line))
    }

    fn x509(&self, record: Warranted, key: &[u8], uid: u32) -> Result<Reply, Refused> {
        self.only(&self.rights.x509, uid, "have client certificates")?;
        let subject = Subject::read(key)?;
        let (allowed, now) = self.allowed(record, uid)?;
        let constraints = allowed.x509(&self.trust_domain)?;
        self.books().ledger.spend(record.seq, Spending::X509)?;
        let (store, domain) = (&*self.store, &self.trust_domain);
        let pem = issue::x509(store, domain, &subject, &constraints, record.seq, now)?;
        Ok(Reply::Certificate(pem))
    }

    fn registry(&self, record: Warranted, uid: u32) -> Result<Reply, Refused> {
        self.only(&self.rights.registry, uid, "have approvers registered")?;
        let (allowed, _) = self.allowed(record, uid)?;
        let (enrolment, vouched) = allowed.registry()?;
        {
            let mut books = self.books();
            // The first approver of a host has nobody to vouch for it but root.
            let first = books.ledger.enrolled() == Enrolled::Nobody && allowed.uid == 0;
            if vouched == Vouched::ByNobody && !first {
                let reason = "no approver's key vouches for it (approval_assurance)";
                return Err(Refused(Code::Warrant, reason.to_owned()));
            }
            books.ledger.spend(record.seq, Spending::Registry)?;
        }
        let signed = issue::registry(&*self.store, &enrolment, record.seq, record.action)?;
        let (entry, signature) = signed;
        Ok(Reply::Entry { entry, signature })
    }

    /// Reads a record back from the log service, and what it allows.
    fn allowed(&self, record: Warranted, uid: u32) -> Result<(Allowed, Timestamp), Refused> {
        let (line, open) = self.log.warrant(record.seq)?;
        let now = self.clock.now().wall;
        let allowed = Allowed::read(&line, record, uid, now)?;
        match open {
            Open::Open => Ok((allowed, now)),
            Open::Ended => Err(Refused(Code::Warrant, "what it decided has ended".to_owned())),
        }
    }

    fn only(&self, these: &[u32], uid: u32, what: &str) -> Result<(), Refused> {
        match these.contains(&uid) {
            true => Ok(()),
            false => Err(Refused(Code::Forbidden, format!("uid {uid} may not {what}"))),
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Ledger and standing refuse everything after a step that did not end, so a panic elsewhere
        // leaves them usable.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn takes_a_place(&self, uid: u32) -> bool {
        let mut crowd = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = crowd.values().sum();
        let own = crowd.get(&uid).copied().unwrap_or_default();
        let room = all < CLIENTS_MAX && own < CLIENTS_PER_USER_MAX;
        if room {
            *crowd.entry(uid).or_default() += 1;
        }
        room
    }

    fn leaves(&self, uid: u32) {
        let mut crowd = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = crowd.get_mut(&uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                crowd.remove(&uid);
            }
        }
    }
}

/// A place in the crowd, given back however the conversation ends.
struct Place(Arc<Service>, u32);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leaves(self.1);
    }
}

/// Hears one call; `None` when the connection ended or was silent for too long.
fn hear(stream: &mut UnixStream) -> Option<Result<Call, String>> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).ok()?;
    let length = u32::from_be_bytes(header) as usize;
    if length == 0 || FRAME_BYTES_MAX < length {
        return Some(Err(format!("a frame of {length} bytes")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Call::read(&body).map_err(|error| error.to_string()))
}

fn say(stream: &mut UnixStream, reply: &Reply) -> std::io::Result<()> {
    let mut frame = Vec::new();
    put(&mut frame, &reply.to_bytes()).map_err(std::io::Error::other)?;
    stream.write_all(&frame)
}

fn no(Refused(code, reason): Refused) -> Reply {
    Reply::No(No { code, reason })
}

fn broken(error: KeyStoreError) -> Refused {
    Refused(Code::Unavailable, error.to_string())
}

impl From<Unwarranted> for Refused {
    fn from(error: Unwarranted) -> Self {
        Self(Code::Warrant, error.to_string())
    }
}

impl From<IssueError> for Refused {
    fn from(error: IssueError) -> Self {
        let code = match &error {
            IssueError::Key(_) => Code::Malformed,
            IssueError::Bug(_) => Code::Unavailable,
        };
        Self(code, error.to_string())
    }
}

impl From<SpendError> for Refused {
    fn from(error: SpendError) -> Self {
        let code = match &error {
            SpendError::Spent => Code::Used,
            SpendError::Failed | SpendError::Io(_) => Code::Unavailable,
        };
        Self(code, error.to_string())
    }
}

impl From<StandingError> for Refused {
    fn from(error: StandingError) -> Self {
        let code = match &error {
            StandingError::Fewer { .. } | StandingError::OtherLog | StandingError::Unproven(_) => {
                Code::Warrant
            }
            StandingError::Failed | StandingError::Io(_) => Code::Unavailable,
        };
        Self(code, error.to_string())
    }
}

impl From<RemoteError> for Refused {
    fn from(error: RemoteError) -> Self {
        let code = match &error {
            RemoteError::No(_) => Code::Warrant,
            RemoteError::Away { .. }
            | RemoteError::Lost(_)
            | RemoteError::Squatter { .. }
            | RemoteError::Wire(_) => Code::Unavailable,
        };
        Self(code, error.to_string())
    }
}

/// How long a sentence may take, and how long nothing may be said.
const SENTENCE_MAX: Duration = Duration::from_secs(10);

/// How many calls one connection may make.
const CALLS_MAX: usize = 1_024;

/// How many connections there may be, each with a thread.
const CLIENTS_MAX: usize = 128;

/// How many of them one user may have.
const CLIENTS_PER_USER_MAX: usize = 32;

/// What a conversation takes, several times over.
const STACK_BYTES: usize = 512 << 10;

/// How often systemd is told that the signer lives.
const TICK_SECS: i64 = 5;
