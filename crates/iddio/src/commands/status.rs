//! `iddio status`: which services of this host run, and how each of them is.

use std::path::{Path, PathBuf};

use iddio_core::time::Timestamp;
use iddio_execd::client::Broker;
use iddio_mint::signer::Signer;
use iddio_runtime::{
    home::{Home, unix_user},
    recorder::{self, SignerPlace},
    status::{self, Readiness, Report, StatusError},
};
use serde_json::{Value, json};

use crate::{
    commands,
    exit::{DONE, Ended, Failure},
    output::{self, Paint, Voice, foreign},
};

/// What one service says, or what is said of it.
struct Service {
    name: &'static str,
    state: State,
    /// What there is to say, in a few words.
    said: Vec<String>,
    report: Option<Report>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    /// It is configured and does not answer.
    Away,
    /// Only its user and root may ask it.
    Closed,
    /// It answers, and takes no requests.
    Unready,
    /// It answers.
    Up,
}

pub(crate) fn run(json: bool, voice: Voice) -> Ended {
    let services: Vec<Service> =
        [log(), signer(), broker()].into_iter().flatten().chain(gateways()?).collect();
    let well = services.iter().all(|service| matches!(service.state, State::Up | State::Closed));
    if json {
        let shown: Vec<Value> = services.iter().map(Service::json).collect();
        output::json(&json!({"ok": well, "services": shown}))?;
    } else {
        for service in &services {
            service.print(voice)?;
        }
        if services.is_empty() {
            output::line("no service of iddio is configured here, and none is needed")?;
        }
    }
    if well { Ok(DONE) } else { Err(Failure::No) }
}

/// Asks the gateways: the host's, and whatever serves the caller's own home.
fn gateways() -> Result<Vec<Service>, Failure> {
    let own = Home::open(commands::variable(commands::HOME_VARIABLE).as_deref())?;
    let own = own.map(|home| status::socket(&home)).filter(|socket| socket.exists());
    let kept = unix_user(KUBE_USER).map(|user| user.directory.join(".iddio"));
    let kept = kept.filter(|_| Path::new(KUBE_CONFIGURATION).exists());
    let kept = kept.map(|root| status::socket_in(&root));
    let mut sockets: Vec<PathBuf> = kept.into_iter().chain(own).collect();
    sockets.dedup();
    Ok(sockets.iter().map(|socket| gateway(socket)).collect())
}

fn gateway(socket: &Path) -> Service {
    match status::ask(socket) {
        Ok(report) => {
            let state = match &report.ready {
                Readiness::Ready => State::Up,
                Readiness::Unready { .. } => State::Unready,
            };
            Service { name: KUBE, state, said: words(&report), report: Some(report) }
        }
        Err(StatusError::Away { source, .. })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            let said = vec!["only its own user and root may ask it".to_owned()];
            Service { name: KUBE, state: State::Closed, said, report: None }
        }
        Err(error) => Service::away(KUBE, error),
    }
}

/// Asks the host's log service, if there is one.
fn log() -> Option<Service> {
    let name = "iddio-logd";
    match recorder::service() {
        Ok(None) => None,
        Err(error) => Some(Service::away(name, error)),
        Ok(Some(remote)) => Some(match remote.head() {
            Ok(records) => Service::up(name, format!("{records} records")),
            Err(error) => Service::away(name, error),
        }),
    }
}

/// Asks the host's signer, if there is one.
fn signer() -> Option<Service> {
    let name = "iddio-signer";
    match recorder::signer() {
        Ok(None) => None,
        Err(error) => Some(Service::away(name, error)),
        Ok(Some(SignerPlace { socket, keeper })) => {
            let asked = Signer::connect(&socket, keeper).and_then(|mut signer| signer.public());
            Some(match asked {
                Ok(_) => Service::up(name, "it signs".to_owned()),
                Err(error) => Service::away(name, error),
            })
        }
    }
}

/// Asks the host's exec broker, if there is one.
fn broker() -> Option<Service> {
    let name = "iddio-execd";
    match Broker::find() {
        Ok(None) => None,
        Err(error) => Some(Service::away(name, error)),
        Ok(Some(broker)) => Some(match broker.connect() {
            Ok(_) => Service::up(name, "commands run there".to_owned()),
            Err(error) => Service::away(name, error),
        }),
    }
}

// === impl Service ===

impl Service {
    fn up(name: &'static str, said: String) -> Self {
        Self { name, state: State::Up, said: vec![said], report: None }
    }

    fn away(name: &'static str, error: impl ToString) -> Self {
        Self { name, state: State::Away, said: vec![error.to_string()], report: None }
    }

    fn json(&self) -> Value {
        let Self { name, state, said, report } = self;
        json!({"name": name, "state": state.word(), "said": said, "report": report})
    }

    fn print(&self, voice: Voice) -> Result<(), Failure> {
        let paint = match self.state {
            State::Up => Paint::Green,
            State::Closed => Paint::Dim,
            State::Away | State::Unready => Paint::Red,
        };
        let word = voice.paint(paint, format_args!("{:7}", self.state.word()));
        output::line(format_args!("{:12}  {word}", self.name))?;
        for said in &self.said {
            output::line(format_args!("    {}", foreign(said)))?;
        }
        Ok(())
    }
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Closed => "closed",
            Self::Unready => "unready",
            Self::Up => "up",
        }
    }
}

/// Says in lines what a gateway reported.
fn words(report: &Report) -> Vec<String> {
    let Report { version, pid, running_secs, ready, policy, certificate, .. } = report;
    let mut words =
        vec![format!("version {version}, process {pid}, up {}", lasting(*running_secs))];
    if let Readiness::Unready { reasons } = ready {
        words.extend(reasons.iter().map(|reason| format!("not ready: {reason}")));
    }
    match &policy.fault {
        None => words.push(format!("policy {}", short(&policy.version))),
        Some(fault) => words.push(format!("no policy in force, everything is denied: {fault}")),
    }
    if let Some(certificate) = certificate {
        let end = certificate.not_after.and_then(|end| u64::try_from(end).ok());
        let end = end.map_or("an unknown time".to_owned(), |end| {
            Timestamp(end.saturating_mul(1_000_000)).to_string()
        });
        words.push(format!("certificate {} until {end}", short(&certificate.fingerprint)));
    }
    let number = |count: Option<u64>| count.map_or("unreadable".to_owned(), |n| n.to_string());
    words.push(format!(
        "last record {}, agents {}, freezes {}",
        report.log_head,
        number(report.agents),
        number(report.freezes)
    ));
    let counted = report
        .counts
        .iter()
        .filter(|(name, count)| 0 < **count && !name.starts_with("iddio_build_info"));
    words.extend(counted.map(|(name, count)| format!("{name} {count}")));
    words
}

fn lasting(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

const KUBE: &str = "iddio-kube";

/// Whom the host's gateway runs as.
const KUBE_USER: &str = "iddio-kube";

/// Where there is one, it is configured.
const KUBE_CONFIGURATION: &str = "/etc/iddio/kube.toml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_is_said_in_two_units_at_most() {
        for (seconds, text) in
            [(7, "7 s"), (60, "1 min"), (3_600, "1 h 0 min"), (90_061, "1 d 1 h")]
        {
            assert_eq!(lasting(seconds), text);
        }
    }
}
