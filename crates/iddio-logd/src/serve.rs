//! The one loop: hear everybody, store what they said with one write and one sync, answer.
//!
//! A turn takes at most one record from each client. While the disk syncs, what others say waits in
//! their sockets, and is the next turn's: the log's own group commit, over all clients.
//!
//! INVARIANT: an answer is given after the turn that stored the record, never before; a record's place,
//! time, user and process come from here and not from the client.

use std::{
    collections::{HashMap, HashSet},
    os::{
        fd::AsFd,
        unix::net::{UnixListener, UnixStream},
    },
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
    task::{Context as Poller, Poll, Waker},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use iddio_audit::{
    Charge, Log, Options,
    checkpoint::Notary,
    clock::SystemClock,
    query::newest,
    wire::{self, Call, Code, Reply, Statement},
};
use iddio_core::{
    BoxFuture,
    audit::{
        AdminEvent, AuditError, AuditSink, Body, Durability, Entry, Field, Receipt,
        line::{
            Fragment, Kind,
            stated::{Says, Stamp, Stated},
        },
        secret::Commit,
    },
    operation::OperationId,
    text::RawText,
    time::Clock,
};
use iddio_service::peer::Peer as Connected;
use rustix::event::{Timespec, epoll};

use crate::{
    checkpoints::{Keeper, Key, draw, second_log, settle},
    client::{Client, Going, Peer, Stage},
    config::Config,
    open::Open,
    readers::{Look, Readers, Wanted},
    recent::{Known, Recent},
    rights::{Rights, Sight},
};

/// The service, with its log open.
pub(crate) struct Service {
    log: Arc<Log>,
    clock: Arc<SystemClock>,
    commit: Arc<dyn Commit>,
    rights: Rights,
    open: Arc<Open>,
    recent: Recent,
    head: u64,
    readers: Readers,
    clients: HashMap<u64, Client>,
    next_client: u64,
    keeper: Option<(Sender<()>, JoinHandle<()>)>,
}

/// A record that goes into this turn.
struct Appending<'a> {
    client: u64,
    uid: u32,
    request: u128,
    id: OperationId,
    kind: Kind,
    writer: Arc<str>,
    stored: BoxFuture<'a, Result<Receipt, AuditError>>,
}

/// A statement that may be stored.
struct Prepared {
    id: OperationId,
    fragment: Fragment,
    charge: Charge,
}

/// What is in this turn already: a second record of an operation, or a second try of an append, has to
/// see what became of the first.
#[derive(Default)]
struct Touched {
    operations: HashSet<OperationId>,
    requests: HashSet<(u32, u128)>,
}

/// Whether there is more to do than the sockets say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum More {
    No,
    Yes,
}

/// Why a call is not answered as it would like.
type Refused = (Code, String);

// === impl Service ===

impl Service {
    /// Opens the log, mends what a crash left, and takes over what is still open.
    pub(crate) fn open(config: Config) -> Result<Self> {
        runs_as(&config.user)?;
        let clock = Arc::new(SystemClock::new());
        let open = Arc::new(Open::in_boot(clock.now().boot.boot_id));
        let key = Key::open(&config)?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut options = Options::of_home(clock.clone(), host, key.public());
        let second = second_log(&config, options.clone())?;
        options.bytes_max = config.bytes_max;
        options.owners = Some(open.clone());
        let log = Log::open(&config.directory, options);
        let log = log.with_context(|| format!("`{}`", config.directory.display()))?;
        let log = Arc::new(log);
        // Durable before anything else: it mends the end, and syncs what the service before this one
        // may have written and not synced.
        let head = begin(&log, &clock)?.seq() + 1;
        let mut recent = Recent::default();
        newest(&config.directory, RECENT_BYTES_MIN, |line| recent.read(&line))?;
        let readers =
            Readers::start(config.directory.clone(), open.clone()).context("reading thread")?;
        let (stop, stopped) = channel();
        let rights = Rights::of(&config);
        let keeper = Keeper { log: log.clone(), key, config, clock: clock.clone(), second };
        let thread = thread::Builder::new().name("iddio-log-sign".to_owned());
        let thread = thread.spawn(move || keeper.run(&stopped)).context("signing thread")?;
        Ok(Self {
            commit: log.committing(),
            log,
            clock,
            rights,
            open,
            recent,
            head,
            readers,
            clients: HashMap::new(),
            next_client: FIRST_CLIENT,
            keeper: Some((stop, thread)),
        })
    }

    /// Serves until something breaks that is not a client.
    pub(crate) fn serve(mut self, listener: &UnixListener) -> Result<()> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?;
        let data = epoll::EventData::new_u64;
        epoll::add(&poll, listener, data(LISTENER), epoll::EventFlags::IN).context("epoll")?;
        epoll::add(&poll, self.readers.bell(), data(BELL), epoll::EventFlags::IN)
            .context("epoll")?;
        // Without systemd nobody waits for this.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let (mut ticked, mut minute) = (Instant::now(), Instant::now());
        let mut more = More::No;
        loop {
            let wait = if more == More::Yes { Duration::ZERO } else { TICK };
            let wait = Timespec::try_from(wait).context("time")?;
            events.clear();
            match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).context("epoll"),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept(listener, &poll),
                    BELL => self.show(),
                    client => self.receive(client),
                }
            }
            more = self.turn();
            self.watch(&poll);
            let now = Instant::now();
            if TICK <= now.saturating_duration_since(ticked) {
                ticked = now;
                self.tick(now);
            }
            if MINUTE <= now.saturating_duration_since(minute) {
                minute = now;
                self.rights.forget();
            }
        }
    }

    /// Lets in who may come in.
    fn accept(&mut self, listener: &UnixListener, poll: impl AsFd) {
        for _ in 0..ACCEPTS_PER_TURN {
            // Out of descriptors, or nobody there: the next turn looks again.
            let Ok((stream, _)) = listener.accept() else { return };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let (peer, refused) = match self.peer(&stream) {
                Ok(peer) => {
                    let refused = self.is_full(&peer);
                    (peer, refused)
                }
                Err(reason) => {
                    eprintln!("iddio-logd: a client is refused: {reason}");
                    continue;
                }
            };
            let mut client = Client::new(stream, peer);
            if let Some(reason) = refused {
                client.stage = Stage::Ending;
                // Best effort: it is not let in.
                let _ = client.refuse(Code::Busy, reason);
                continue;
            }
            let token = self.next_client;
            let data = epoll::EventData::new_u64(token);
            if epoll::add(&poll, &client.stream, data, epoll::EventFlags::IN).is_ok() {
                self.next_client += 1;
                self.clients.insert(token, client);
            }
        }
    }

    /// Asks the kernel who is at the other end.
    fn peer(&mut self, stream: &UnixStream) -> Result<Peer, String> {
        let Connected { uid, gid, pid, started } =
            Connected::of(stream).map_err(|error| error.to_string())?;
        let person = self.rights.person(uid, gid);
        let person = person.ok_or_else(|| format!("the user database does not know uid {uid}"))?;
        let boot = self.clock.now().boot.boot_id;
        let writer = format!("{boot:032x}-{pid}-{started}").into();
        Ok(Peer { uid, writer, person })
    }

    /// Whether there is no place for one more, or not for one more of this user. Whoever has said
    /// nothing for a while makes room.
    fn is_full(&mut self, peer: &Peer) -> Option<&'static str> {
        let own = self.clients.values().filter(|client| client.peer.uid == peer.uid).count();
        if CLIENTS_PER_USER_MAX <= own {
            return Some("this user has too many connections");
        }
        if self.clients.len() < CLIENTS_MAX {
            return None;
        }
        let now = Instant::now();
        let idle = self.clients.iter().filter_map(|(token, client)| {
            Some((client.idle(now).filter(|idle| IDLE_MIN <= *idle)?, *token))
        });
        match idle.max() {
            Some((_, token)) => {
                self.drop_client(token);
                None
            }
            None => Some("there are too many connections"),
        }
    }

    fn receive(&mut self, token: u64) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        let going = if client.send() == Going::Over { Going::Over } else { client.receive() };
        let crowded = client.is_large() && {
            let large = self.clients.values().filter(|client| client.is_large()).count();
            LARGE_MAX < large
        };
        let Some(client) = self.clients.get_mut(&token) else { return };
        let going = match going {
            Going::On if crowded => {
                client.stage = Stage::Ending;
                client.refuse(Code::Busy, "too many large records are under way")
            }
            going => going,
        };
        if going == Going::Over {
            self.drop_client(token);
        }
    }

    fn drop_client(&mut self, token: u64) {
        // Closing the socket takes it out of the epoll set.
        self.clients.remove(&token);
        self.readers.want(Wanted::Gone(token));
    }

    /// Hears one call of every client that has one, stores what is to be stored, and answers.
    fn turn(&mut self) -> More {
        let log = self.log.clone();
        let (mut appending, mut touched) = (Vec::new(), Touched::default());
        let tokens: Vec<u64> = self.clients.keys().copied().collect();
        for token in tokens {
            if self.hear(token, &log, &mut appending, &mut touched) == Going::Over {
                self.drop_client(token);
            }
        }
        settle_all(&mut appending, |done, stored| self.answer(done, stored));
        let whole = |client: &Client| matches!(client.frame(), Ok(Some(_)) | Err(_));
        if self.clients.values().any(whole) { More::Yes } else { More::No }
    }

    /// Hears one call.
    fn hear<'a>(
        &mut self,
        token: u64,
        log: &'a Log,
        appending: &mut Vec<Appending<'a>>,
        touched: &mut Touched,
    ) -> Going {
        let Some(client) = self.clients.get_mut(&token) else { return Going::On };
        let (call, used) = match client.frame() {
            Ok(None) => return Going::On,
            Ok(Some((body, used))) => (Call::read(body), used),
            Err(error) => (Err(error), 0),
        };
        let call = match call {
            Ok(call) => call,
            Err(error) => {
                client.stage = Stage::Ending;
                return client.refuse(Code::Malformed, error.to_string());
            }
        };
        match (client.stage, call) {
            (Stage::New, Call::Hello(wire::VERSION)) => {
                client.taken(used);
                client.stage = Stage::Ready;
                client.say(&Reply::Hello { version: wire::VERSION, head: self.head })
            }
            (Stage::New, Call::Hello(version)) => {
                client.stage = Stage::Ending;
                let own = wire::VERSION;
                let reason = format!("this service speaks version {own}, not {version}");
                client.refuse(Code::Version, reason)
            }
            (Stage::Ready, Call::Append(statement)) => {
                self.append(token, used, statement, log, appending, touched)
            }
            (Stage::Ready, Call::Orphan(ids)) => {
                client.taken(used);
                let writer = client.peer.writer.clone();
                let going = client.say(&Reply::Noted);
                for id in ids.into_iter().filter(|id| self.open.owner(*id) == Some(writer.clone()))
                {
                    self.open.end(id);
                    log.orphan(id);
                }
                going
            }
            (Stage::Ready, Call::Checkpoint) => self.want(token, used, Look::Checkpoint),
            (Stage::Ready, Call::Consistency(old)) => {
                self.want(token, used, Look::Consistency { old })
            }
            (Stage::Ready, Call::Prove(seq)) => self.want(token, used, Look::Proof { seq }),
            (Stage::Ready, Call::Read(from)) => self.want(token, used, Look::Records { from }),
            (Stage::Ready, Call::Warrant(seq)) => self.want(token, used, Look::Warrant { seq }),
            (
                _,
                Call::Append(_)
                | Call::Checkpoint
                | Call::Consistency(_)
                | Call::Hello(_)
                | Call::Orphan(_)
                | Call::Prove(_)
                | Call::Read(_)
                | Call::Warrant(_),
            ) => {
                client.stage = Stage::Ending;
                client.refuse(Code::Malformed, "out of turn")
            }
        }
    }

    fn want(&mut self, token: u64, used: usize, look: Look) -> Going {
        let Some(client) = self.clients.get_mut(&token) else { return Going::On };
        client.taken(used);
        if client.peer.person.sight == Sight::Blind {
            let own = &client.peer.person.own;
            let reason = format!("`{own}` may not read the log");
            return client.refuse(Code::Forbidden, reason);
        }
        client.stage = Stage::Reading;
        self.readers.want(Wanted::Look { client: token, look });
        Going::On
    }

    /// Shows pages to those who wanted them.
    fn show(&mut self) {
        for page in self.readers.take() {
            let Some(client) = self.clients.get_mut(&page.client) else { continue };
            client.stage = Stage::Ready;
            let mut going = client.say(&page.reply);
            if going == Going::On && !page.lines.is_empty() {
                going = client.say_bytes(&page.lines);
            }
            if going == Going::Over {
                self.drop_client(page.client);
            }
        }
    }

    /// Takes a statement into the turn, or answers at once why not.
    fn append<'a>(
        &mut self,
        token: u64,
        used: usize,
        statement: Statement,
        log: &'a Log,
        appending: &mut Vec<Appending<'a>>,
        touched: &mut Touched,
    ) -> Going {
        let Some(client) = self.clients.get_mut(&token) else { return Going::On };
        let (peer, request) = (client.peer.clone(), statement.request);
        let durability = statement.durability;
        if touched.requests.contains(&(peer.uid, request)) {
            return Going::On;
        }
        let reply = match self.recent.known(peer.uid, request, statement.after) {
            Known::Stored(reply) => Err(reply),
            Known::TooOld => Err(no((Code::Unknown, "it was asked too long ago".to_owned()))),
            Known::Not => match prepare(
                log,
                &self.open,
                &peer,
                statement,
                &*self.commit,
                self.clock.now().wall,
            ) {
                Ok(prepared) if touched.operations.contains(&prepared.id) => return Going::On,
                Ok(prepared) => Ok(prepared),
                Err(refused) => Err(no(refused)),
            },
        };
        client.taken(used);
        let Prepared { id, fragment, charge } = match reply {
            Ok(prepared) => prepared,
            Err(reply) => return client.say(&reply),
        };
        touched.operations.insert(id);
        touched.requests.insert((peer.uid, request));
        let kind = fragment.kind();
        let stored = log.append_stated(fragment, charge, durability);
        let (uid, writer) = (peer.uid, peer.writer);
        appending.push(Appending { client: token, uid, request, id, kind, writer, stored });
        Going::On
    }

    /// Tells a client what became of its record.
    fn answer(&mut self, done: &Appending<'_>, stored: Result<Receipt, AuditError>) {
        let reply = match stored {
            Ok(receipt) => {
                match done.kind {
                    Kind::Allowed | Kind::Asked => self.open.begin(done.id, done.writer.clone()),
                    Kind::Closed | Kind::Denied => self.open.end(done.id),
                    Kind::Admin => {}
                }
                self.recent.stored(done.uid, done.request, &receipt);
                self.head = self.head.max(receipt.seq() + 1);
                Reply::receipt(&receipt)
            }
            Err(error) => no((Code::NotStored, error.to_string())),
        };
        let Some(client) = self.clients.get_mut(&done.client) else { return };
        if client.say(&reply) == Going::Over {
            self.drop_client(done.client);
        }
    }

    /// Asks the kernel for what each client waits for, where that is something else than before.
    fn watch(&mut self, poll: impl AsFd) {
        for (token, client) in &mut self.clients {
            let wanted = (client.is_heard(), client.is_owed());
            if client.watched == wanted {
                continue;
            }
            let mut flags = epoll::EventFlags::empty();
            flags.set(epoll::EventFlags::IN, wanted.0);
            flags.set(epoll::EventFlags::OUT, wanted.1);
            let data = epoll::EventData::new_u64(*token);
            // One that cannot be watched is late some time, and cut then.
            if epoll::modify(&poll, &client.stream, data, flags).is_ok() {
                client.watched = wanted;
            }
        }
    }

    /// Cuts who is late, and closes what was abandoned.
    fn tick(&mut self, now: Instant) {
        let late = self.clients.iter().filter(|(_, client)| client.is_late(now));
        let late: Vec<u64> = late.map(|(token, _)| *token).collect();
        late.into_iter().for_each(|token| self.drop_client(token));
        self.open.take_abandoned().into_iter().for_each(|id| self.log.orphan(id));
        if let Err(error) = self.log.finish() {
            eprintln!("iddio-logd: {error}");
        }
        // Without systemd nobody waits for this.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.keeper.take() {
            drop(stop);
            // A thread that panicked has told standard error.
            let _ = thread.join();
        }
    }
}

/// Looks whether a statement may be stored, and makes the record.
fn prepare(
    log: &Log,
    open: &Open,
    peer: &Peer,
    statement: Statement,
    commit: &dyn Commit,
    at: iddio_core::time::Timestamp,
) -> Result<Prepared, Refused> {
    let malformed =
        |error: iddio_core::audit::line::stated::StatedError| (Code::Malformed, error.to_string());
    let Statement { request, record, secrets, .. } = statement;
    let mut stated = Stated::of(record).map_err(malformed)?;
    let id = stated.id();
    let charge = peer.person.charge(stated.says());
    let charge = charge.map_err(|reason| (Code::Forbidden, reason))?;
    let opening = opening(log, open, peer, &stated)?;
    if opening.is_none()
        && matches!(stated.says(), Says::Asked(_) | Says::Allowed { .. })
        && OPEN_PER_PROCESS_MAX <= open.count(&peer.writer)
    {
        return Err((Code::Busy, "this process has too many operations open".to_owned()));
    }
    let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.0.as_slice()).collect();
    stated.commit(&secrets, commit).map_err(malformed)?;
    let stamp = Stamp { at, uid: peer.uid, writer: &peer.writer, request };
    let fragment = stated.fragment(opening.as_deref(), &stamp);
    let fragment = fragment.map_err(|error| (Code::Malformed, error.to_string()))?;
    Ok(Prepared { id, fragment, charge })
}

/// Returns the line that opened the operation of a statement, if it is open, and this peer's to go on
/// with.
fn opening(
    log: &Log,
    open: &Open,
    peer: &Peer,
    stated: &Stated,
) -> Result<Option<Vec<u8>>, Refused> {
    use iddio_core::audit::line::stated::Answered;
    let not_open = |reason: &str| Err((Code::NotOpen, reason.to_owned()));
    let says = stated.says();
    let owner = match (says, open.owner(stated.id())) {
        (Says::Admin { .. }, None) => return Ok(None),
        (Says::Admin { .. }, Some(_)) => return not_open("the id is an operation's"),
        (_, owner) => owner,
    };
    let answers = matches!(
        says,
        Says::Closed { .. }
            | Says::Allowed { answer: Answered::Yes, .. }
            | Says::Denied { answer: Answered::Yes, .. }
    );
    match owner {
        None if answers => return not_open("there is no such operation open"),
        None => return Ok(None),
        Some(owner) if owner != peer.writer => {
            return not_open("another process has this operation open");
        }
        Some(_) => {}
    }
    let line = log.opening(stated.id()).map_err(|error| (Code::NotStored, error.to_string()))?;
    let decided = line.as_deref().is_some_and(|line| {
        let scanned = iddio_core::audit::verify::scan(line);
        scanned.is_ok_and(|scanned| scanned.event == iddio_core::audit::verify::Event::Allowed)
    });
    match (says, decided) {
        (Says::Closed { .. }, true)
        | (Says::Allowed { .. } | Says::Asked(_) | Says::Denied { .. }, false) => Ok(line),
        (Says::Closed { .. }, false) => not_open("the operation is not decided"),
        _ => not_open("the operation is decided already"),
    }
}

/// Polls every append to its end. The first one leads, and stores for all.
fn settle_all<'a>(
    appending: &mut Vec<Appending<'a>>,
    mut each: impl FnMut(&Appending<'a>, Result<Receipt, AuditError>),
) {
    let mut context = Poller::from_waker(Waker::noop());
    while !appending.is_empty() {
        appending.retain_mut(|one| match one.stored.as_mut().poll(&mut context) {
            Poll::Pending => true,
            Poll::Ready(stored) => {
                each(one, stored);
                false
            }
        });
    }
}

/// Records that the service begins.
fn begin(log: &Log, clock: &SystemClock) -> Result<Receipt> {
    let version = Field::Text(RawText::from(env!("CARGO_PKG_VERSION")));
    let event =
        AdminEvent { event: "log.opened", principal: None, fields: vec![("version", version)] };
    let id = OperationId(u128::from_be_bytes(draw()?));
    let entry = Entry { id, at: clock.now().wall, body: Body::Admin(event) };
    Ok(settle(log.append(&entry, Durability::Sync))?)
}

/// Whether this process runs as the user that clients expect.
pub(crate) fn runs_as(user: &str) -> Result<()> {
    let known = nix::unistd::User::from_name(user).context("the user database")?;
    let known = known.with_context(|| format!("there is no user `{user}`"))?;
    let own = rustix::process::geteuid().as_raw();
    if known.uid.as_raw() != own {
        anyhow::bail!("the configuration says `{user}`, and this runs as uid {own}");
    }
    Ok(())
}

fn no((code, reason): Refused) -> Reply {
    Reply::No(wire::No { code, reason })
}

const LISTENER: u64 = 0;
const BELL: u64 = 1;
const FIRST_CLIENT: u64 = 2;

/// How many connections there may be: twice the crowd that a busy host has.
const CLIENTS_MAX: usize = 1_024;

/// How many of them one user may have: a user who takes all it may leaves as many for the others.
const CLIENTS_PER_USER_MAX: usize = 512;

/// How long a connection must have been idle to make room for another.
const IDLE_MIN: Duration = Duration::from_secs(10);

/// How many clients may have a record over 64 KiB under way: 64 MiB in all.
const LARGE_MAX: usize = 64;

/// How many operations one process may have open: what a gateway forwards at a time, several times
/// over.
const OPEN_PER_PROCESS_MAX: usize = 16_384;

/// How many connections are let in before those who are in are heard again.
const ACCEPTS_PER_TURN: usize = 64;

/// How many sockets one look at the kernel names. The others are named by the next.
const EVENTS_MAX: usize = 1_024;

/// How often the service looks for late clients and gone ones.
const TICK: Duration = Duration::from_secs(1);

/// How long users are remembered.
const MINUTE: Duration = Duration::from_secs(60);

/// A last segment shorter than this does not reach back far enough to know the appends of late.
const RECENT_BYTES_MIN: u64 = 8 << 20;
