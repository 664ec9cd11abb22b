//! `iddio-push`: checkpoints of the host's log, taken to a place elsewhere. `docs/log-service.md` says
//! how it is set up.

use std::{
    path::PathBuf,
    pin::pin,
    process::ExitCode,
    task, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use iddio_audit::{clock::SystemClock, remote::Remote};
use iddio_core::{
    audit::{AdminEvent, AuditSink, Body, Durability, Entry, Field},
    operation::OperationId,
    text::RawText,
    time::Clock,
};
use iddio_push::{
    config::{self, Config},
    deliver::{Change, Deliveries, World},
    post::{Credentials, Place, PostError},
};
use zeroize::Zeroizing;

/// The log service, and the place.
struct Host {
    log: Remote,
    place: Place,
    credentials: Credentials,
    clock: SystemClock,
}

fn main() -> ExitCode {
    iddio_service::words::ended("iddio-push", run())
}

fn run() -> Result<()> {
    let config = arguments()?;
    let config = Config::read(&config)?;
    let place = Place::parse(&config.url)?;
    let user = nix::unistd::User::from_name(&config.log_user).context("the user database")?;
    let user = user.with_context(|| format!("there is no user `{}`", config.log_user))?;
    let token = config.token.as_deref().map(token).transpose()?;
    let credentials = Credentials::trusting(&config.roots, token);
    let credentials = credentials.with_context(|| format!("`{}`", config.roots.display()))?;
    iddio_service::confine::harden()?;
    let log = Remote::at(&config.log_socket, user.uid.as_raw());
    let host = Host { log, place, credentials, clock: SystemClock::new() };
    // Without systemd nobody waits for this.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let mut deliveries = Deliveries::new(Duration::from_secs(config.secs));
    loop {
        let wait = deliveries.turn(&host);
        let until = Instant::now() + wait;
        while Instant::now() < until {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            thread::sleep(until.saturating_duration_since(Instant::now()).min(NAP));
        }
    }
}

// === impl Host ===

impl World for Host {
    fn checkpoint(&self) -> Result<Option<String>, String> {
        self.log.checkpoint().map_err(|error| error.to_string())
    }

    fn post(&self, note: &str) -> Result<(), PostError> {
        self.place.post(note.as_bytes(), &self.credentials)
    }

    fn record(&self, change: &Change) {
        let text = |text: &str| Field::Text(RawText::from(text));
        let (event, fields) = match change {
            Change::Delivered(size) => ("checkpoint.delivered", vec![("size", Field::Int(*size))]),
            Change::Undelivered { size, reason } => (
                "checkpoint.undelivered",
                vec![("reason", text(reason)), ("size", Field::Int(*size))],
            ),
        };
        let event = AdminEvent { event, principal: None, fields };
        let mut id = [0; 16];
        // An id that is not random is still an id; what matters is that the record is made.
        let _ = rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty());
        let id = OperationId(u128::from_le_bytes(id));
        let entry = Entry { id, at: self.clock.now().wall, body: Body::Admin(event) };
        let mut stored = pin!(self.log.append(&entry, Durability::Sync));
        // It blocks, and is ready when it returns.
        let polled = stored.as_mut().poll(&mut task::Context::from_waker(task::Waker::noop()));
        if let task::Poll::Ready(Err(error)) = polled {
            eprintln!("iddio-push: {error}");
        }
    }
}

/// Reads a token: one line of a private file.
fn token(path: &std::path::Path) -> Result<Zeroizing<String>> {
    let file = iddio_mint::open_private(path)?;
    let mut text = Zeroizing::new(String::new());
    std::io::Read::read_to_string(&mut std::io::Read::take(file, TOKEN_BYTES_MAX), &mut text)?;
    let token = Zeroizing::new(text.trim_end().to_owned());
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("`{}` holds no token", path.display());
    }
    Ok(token)
}

fn arguments() -> Result<PathBuf> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match words.as_slice() {
        [] => Ok(PathBuf::from(config::PATH)),
        [flag, path] if flag == "--config" => Ok(PathBuf::from(path)),
        _ => bail!("usage: iddio-push [--config FILE]"),
    }
}

/// How often systemd is told that the service lives.
const NAP: Duration = Duration::from_secs(10);

/// The most bytes of a token.
const TOKEN_BYTES_MAX: u64 = 4_096;
