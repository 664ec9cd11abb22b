//! `iddio doctor`: what is wrong with this installation, and the command that mends it; and what is
//! no boundary, however well it is.

use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Arc};

use iddio_approve::{Filter, Registry};
use iddio_audit::{Health, Status, remote::Remote, verify::verify};
use iddio_core::freeze::Freeze;
use iddio_execd::client::Broker;
use iddio_mint::signer::Signer;
use iddio_runtime::{
    assemble,
    clock::SystemClock,
    freezes::{self, Freezes, missing},
    home::Home,
    policy::{HomePolicy, InForce},
    recorder::{self, SignerPlace},
    tools::Tools,
};
use iddio_spawn::{
    Exposure, Program, ToolPath,
    sandbox::{Stage, StartError, probe},
};
use serde_json::json;

use crate::{
    commands::{self, enrolment::Enrolments},
    exit::{DONE, Ended, Failure},
    install,
    output::{self, Paint, Voice, foreign},
};

pub(crate) fn run(json: bool, voice: Voice) -> Ended {
    let home = match commands::host_home()? {
        Some(home) => Some(home),
        None => Home::open(commands::variable(commands::HOME_VARIABLE).as_deref())?,
    };
    let mut findings = match &home {
        Some(home) => findings(home),
        None => {
            let mut findings = vec![note("there is no home yet", "iddio init")];
            // The services of a host are everybody's, with a home or without.
            keepers(&mut findings);
            findings
        }
    };
    findings.extend(services());
    findings.extend(broker());
    let wrong = findings.iter().filter(|finding| finding.weight == Weight::Wrong).count();
    if json {
        let shown = findings.iter().map(|finding| {
            json!({"what": finding.what, "mend": finding.mend, "wrong": finding.weight == Weight::Wrong})
        });
        let shown: Vec<_> = shown.collect();
        output::json(&json!({"ok": wrong == 0, "findings": shown, "no_boundary": NO_BOUNDARY}))?;
    } else {
        for finding in &findings {
            let (word, paint) = match finding.weight {
                Weight::Note => ("note ", Paint::Dim),
                Weight::Wrong => ("WRONG", Paint::Red),
            };
            output::line(format_args!("{}  {}", voice.paint(paint, word), foreign(&finding.what)))?;
            output::line(format_args!("       mend: {}", foreign(&finding.mend)))?;
        }
        for line in NO_BOUNDARY {
            output::line(format_args!("{}  {line}", voice.paint(Paint::Dim, "plain")))?;
        }
        if wrong == 0 {
            output::line(voice.paint(Paint::Green, "all good"))?;
        }
    }
    if wrong == 0 { Ok(DONE) } else { Err(Failure::No) }
}

/// Something that was found.
struct Finding {
    weight: Weight,
    what: String,
    mend: String,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Weight {
    Note,
    Wrong,
}

fn findings(home: &Home) -> Vec<Finding> {
    let mut findings = Vec::new();
    policy(home, &mut findings);
    log(home, &mut findings);
    queue(home, &mut findings);
    operators(home, &mut findings);
    freezes(home, &mut findings);
    tools(home, &mut findings);
    private(home.root(), &mut findings);
    boxes(&mut findings);
    if fs::symlink_metadata("/etc/iddio").is_ok() {
        findings.push(note("/etc/iddio exists, so IDDIO_HOME chooses nothing", "nothing to do"));
    }
    findings
}

fn policy(home: &Home, findings: &mut Vec<Finding>) {
    match HomePolicy::open(home.policy()).in_force() {
        InForce::None { reason, .. } => {
            findings.push(wrong(format!("no policy is in force: {reason}"), "iddio policy check"));
        }
        InForce::Good(loaded) => {
            let local = format!("local:{}", home.user());
            if !loaded.spec.agents.iter().any(|agent| agent.id.as_str() == local) {
                findings.push(note(
                    format!("the policy does not name {local}, so you yourself are refused"),
                    "add it under agents: in policy.yaml",
                ));
            }
        }
    }
}

/// Who keeps the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Keeper {
    Home,
    Host,
}

/// Looks after the host's log service and signer, where it has them.
fn keepers(findings: &mut Vec<Finding>) -> Keeper {
    match recorder::service() {
        Err(error) => {
            let what = format!("nothing can be recorded: {error}");
            findings.push(wrong(what, "root mends it; docs/log-service.md says how"));
        }
        Ok(Some(remote)) => {
            service(&remote, findings);
            signer(findings);
        }
        Ok(None) => return Keeper::Home,
    }
    Keeper::Host
}

/// Looks whether the services of this host are as they were installed, and active.
fn services() -> impl Iterator<Item = Finding> {
    let faults = install::faults(Path::new("/")).into_iter();
    faults.map(|install::Fault { what, mend }| wrong(what, mend))
}

fn log(home: &Home, findings: &mut Vec<Finding>) {
    if keepers(findings) == Keeper::Host {
        return;
    }
    match verify(&home.log(), 1) {
        Err(error) => findings.push(wrong(
            format!("the log cannot be read: {error}"),
            "mend the permissions of the log directory",
        )),
        Ok(report) => {
            if let Some(bad) = report.bad {
                findings.push(wrong(
                    format!("the log is damaged at record {}: {}", bad.seq, bad.why),
                    "iddio audit verify, and compare with a checkpoint kept elsewhere",
                ));
            }
        }
    }
    if let Ok(Status { health: Health::Poisoned, .. }) = iddio_audit::status(&home.log(), None) {
        findings.push(wrong(
            "the disk failed to sync the log, so nothing is recorded and nothing is allowed",
            "look at the disk, then: iddio audit repair",
        ));
    }
    if let Ok(space) = rustix::fs::statvfs(home.root()) {
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if free < FREE_BYTES_MIN {
            findings.push(wrong(
                format!(
                    "{} MB are free; a log that cannot be written refuses everything",
                    free >> 20
                ),
                "free some space",
            ));
        }
    }
}

/// Confines a program that does nothing, to see whether this host lets it.
fn boxes(findings: &mut Vec<Finding>) {
    let probed = Stage::current().map_err(StartError::from).and_then(|stage| probe(&stage));
    if let Err(error) = probed {
        let mend = match &error {
            StartError::Step { step, .. } if step.contains("namespaces") => {
                "let users make namespaces: kernel.unprivileged_userns_clone, user.max_user_namespaces, \
                 kernel.apparmor_restrict_unprivileged_userns"
            }
            StartError::Step { step, .. } if step.contains("Landlock") => {
                "a kernel with Landlock (5.13 or newer, `landlock` in lsm=)"
            }
            StartError::Step { step, .. } if step.contains("/proc") => {
                "a container that covers parts of /proc has no boxes in it: run it outside"
            }
            _ => "docs/run.md says what a box needs of a host",
        };
        findings.push(note(format!("iddio run cannot make boxes here: {error}"), mend));
    }
}

/// Asks the host's log service whether it is there.
fn service(remote: &Remote, findings: &mut Vec<Finding>) {
    let socket = remote.socket().display();
    match remote.head() {
        Ok(records) => findings.push(note(
            format!("the host's log service at {socket} keeps the log: {records} records"),
            "nothing to do",
        )),
        Err(error) => findings.push(wrong(
            format!("everything is refused: {error}"),
            "systemctl status iddio-logd.socket iddio-logd.service",
        )),
    }
}

/// Looks whether the exec broker is there, where commands run at one.
fn broker() -> Option<Finding> {
    let broker = match Broker::find() {
        Ok(None) => return None,
        Ok(Some(broker)) => broker,
        Err(error) => {
            let what = format!("nothing runs: {error}");
            return Some(wrong(what, "root mends it; docs/broker.md says how"));
        }
    };
    Some(match broker.connect() {
        Ok(_) => note("commands run at the exec broker".to_owned(), "nothing to do"),
        Err(error) => wrong(
            format!("nothing runs: {error}"),
            "systemctl status iddio-execd.socket iddio-execd.service",
        ),
    })
}

/// Asks the host's signer whether it is there.
fn signer(findings: &mut Vec<Finding>) {
    let Ok(Some(SignerPlace { socket, keeper })) = recorder::signer() else { return };
    let asked = Signer::connect(&socket, keeper).and_then(|mut signer| signer.public());
    let socket = socket.display();
    match asked {
        Ok(_) => findings
            .push(note(format!("the host's signer at {socket} keeps the keys"), "nothing to do")),
        Err(error) => findings.push(wrong(
            format!("checkpoints are not signed: {error}"),
            "systemctl status iddio-signer.socket iddio-signer.service",
        )),
    }
}

fn queue(home: &Home, findings: &mut Vec<Finding>) {
    let clock = Arc::new(SystemClock::new());
    let listed = assemble::queue(home, clock).and_then(|mut queue| queue.list(Filter::All));
    match listed {
        Err(error) => findings.push(wrong(
            format!("nobody can be asked: {error}"),
            "move approvals.db away: what waits is withdrawn, and the log keeps every ask",
        )),
        Ok(listed) => {
            for id in listed.damaged {
                findings.push(wrong(
                    format!("the ask {} was changed in the queue's file", id.as_str()),
                    "nobody can answer it; ask who wrote approvals.db",
                ));
            }
        }
    }
}

fn operators(home: &Home, findings: &mut Vec<Finding>) {
    match Registry::open(home.root()) {
        Err(error) => findings.push(wrong(format!("operators: {error}"), "restore operators.json")),
        Ok(registry) => {
            strangers(home, &registry, findings);
            let live = registry.operators().iter().filter(|operator| operator.revoked.is_none());
            let own = format!("local:{}", home.user());
            let other = |operator: &&iddio_approve::Operator| {
                operator.key.is_some()
                    && !operator.aliases.iter().any(|alias| alias.as_str() == own)
            };
            if live.filter(other).count() == 0 {
                findings.push(note(
                    "nobody but you can approve, so T3 and above cannot be approved at all",
                    "iddio operator add NAME, then iddio operator enroll NAME",
                ));
            }
        }
    }
}

/// Compares who is frozen with the log.
fn freezes(home: &Home, findings: &mut Vec<Finding>) {
    let known = match Freezes::of(home).list() {
        Ok(known) => known,
        Err(reason) => {
            let what = format!("who is frozen cannot be told, so everybody is: {reason}");
            return findings.push(wrong(what, "iddio freeze repair"));
        }
    };
    for freeze in &known {
        let Freeze { whom, since, by, .. } = freeze;
        let selector = whom.selector();
        findings.push(note(
            format!("frozen since {since} by {by}: {whom}"),
            format!("iddio thaw {selector}, when it is time"),
        ));
    }
    let recorded = match freezes::recorded(&home.log()) {
        Ok(recorded) => recorded,
        Err(error) => {
            let what = format!("freezes cannot be compared with the log: {error}");
            return findings.push(wrong(what, "mend the permissions of the log directory"));
        }
    };
    for freeze in missing(&known, &recorded) {
        let (whom, selector) = (&freeze.whom, freeze.whom.selector());
        findings.push(wrong(
            format!(
                "frozen, and the log does not say so (interrupted, or written by hand): {whom}"
            ),
            format!("iddio freeze repair to keep it, or iddio thaw {selector} to lift it"),
        ));
    }
    for freeze in missing(&recorded, &known) {
        findings.push(wrong(
            format!("frozen by the log and not by freezes/state.json: {}", freeze.whom),
            "iddio freeze repair, and ask who wrote freezes/state.json",
        ));
    }
}

/// Looks for operators who were written into the registry behind iddio's back.
fn strangers(home: &Home, registry: &Registry, findings: &mut Vec<Finding>) {
    match Enrolments::read(&home.log()) {
        Err(error) => findings.push(wrong(
            format!("operators cannot be compared with the log: {error}"),
            "mend the permissions of the log directory",
        )),
        Ok(enrolments) => {
            for (operator, why) in enrolments.strangers(registry) {
                let name = operator.name();
                findings.push(wrong(
                    format!("operator {name} {why}"),
                    format!("iddio operator revoke {name}, and ask who wrote operators.json"),
                ));
            }
        }
    }
}

fn tools(home: &Home, findings: &mut Vec<Finding>) {
    let path = ToolPath::system();
    for name in ["terraform", "tofu", "helm", "aws", "kubectl"] {
        let Ok(program) = path.find(name.as_ref()) else { continue };
        exposed(&program, findings);
    }
    match Tools::of(home).list() {
        Err(error) => findings.push(wrong(format!("tools: {error}"), "restore tools.json")),
        Ok(tools) => {
            for tool in tools {
                match Program::open(&tool.path) {
                    Ok(program) => exposed(&program, findings),
                    Err(error) => findings.push(note(
                        format!("a known program is gone: {error}"),
                        "nothing to do unless you want it back",
                    )),
                }
            }
        }
    }
}

fn exposed(program: &Program, findings: &mut Vec<Finding>) {
    if let Ok(Exposure::Writable { path, .. }) = program.exposure() {
        let (program, path) = (program.path().display(), path.display());
        findings.push(note(
            format!("others may change {program}: {path} is writable for them"),
            format!("chmod go-w {path}"),
        ));
    }
}

/// Looks for files of the home that others may read. The home itself is closed, so this is depth.
fn private(root: &Path, findings: &mut Vec<Finding>) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.filter_map(Result::ok) {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.mode() & 0o077 != 0 && !metadata.file_type().is_symlink() {
            let path = entry.path();
            findings.push(note(
                format!("{} is open to others", path.display()),
                format!("chmod go-rwx {}", path.display()),
            ));
        }
    }
}

fn note(what: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { weight: Weight::Note, what: what.into(), mend: mend.into() }
}

fn wrong(what: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { weight: Weight::Wrong, what: what.into(), mend: mend.into() }
}

/// Said every time, because it is true every time.
const NO_BOUNDARY: [&str; 3] = [
    "caller, approver, keys and log share one Unix user here: whoever holds it can answer asks up to T2, enrol an approver, edit the policy, and rewrite the log since the last checkpoint kept elsewhere",
    "a command runs with the caller's own credentials and files; what it could do without iddio it can still do without iddio, unless it is an agent in a box (iddio run)",
    "if iddio itself is killed with SIGKILL, the command it started runs on; the next command records that as abandoned",
];

/// Below this much free space the log is about to refuse.
const FREE_BYTES_MIN: u64 = 64 << 20;
