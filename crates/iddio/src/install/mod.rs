//! `iddio install --system` and `iddio uninstall --system`: the services of a host.
//!
//! An installation is a list of steps, each of which knows whether it is needed, so installing twice
//! does nothing the second time, and `--dry-run` says what installing would do. What an administrator
//! wrote is never overwritten: configurations are made where there are none.
//!
//! What it does not do: remove what was recorded, or a key. `uninstall` says where they are.

mod check;
mod files;
mod step;

use std::path::{Path, PathBuf};

pub(crate) use check::{Fault, faults};
use rustix::process::geteuid;
use serde_json::json;
use step::{Act, Step};

use crate::{
    cli::SystemArgs,
    exit::{DONE, Ended, Failure},
    output::{self, Voice},
};

/// Installs.
pub(crate) fn install(arguments: SystemArgs, voice: Voice) -> Ended {
    if arguments.check {
        return checked(&arguments);
    }
    carry_out(&arguments, &installing(&root(&arguments)?)?, voice)
}

/// Removes what installing made run.
pub(crate) fn uninstall(arguments: SystemArgs, voice: Voice) -> Ended {
    let ended = carry_out(&arguments, &uninstalling(&root(&arguments)?), voice)?;
    voice.say(
        "kept: the log and the keys in /var/lib/iddio and /var/lib/iddio-signer, /etc/iddio/signer.key, the users",
    );
    Ok(ended)
}

/// Says what is wrong, as `iddio doctor` does for the host itself.
fn checked(arguments: &SystemArgs) -> Ended {
    let root = arguments.root.clone().unwrap_or_else(|| PathBuf::from("/"));
    let faults = faults(&root);
    let shown = faults.iter().map(|Fault { what, mend }| json!({"what": what, "mend": mend}));
    match arguments.json {
        true => {
            output::json(&json!({"ok": faults.is_empty(), "faults": shown.collect::<Vec<_>>()}))?
        }
        false => faults.iter().try_for_each(|Fault { what, mend }| {
            output::line(format_args!("WRONG  {}\n       mend: {mend}", output::foreign(what)))
        })?,
    }
    if faults.is_empty() { Ok(DONE) } else { Err(Failure::No) }
}

fn root(arguments: &SystemArgs) -> Result<PathBuf, Failure> {
    match (&arguments.root, arguments.dry_run) {
        (Some(root), _) => Ok(root.clone()),
        (None, false) if !geteuid().is_root() => {
            Err(Failure::refused("only root installs services")
                .hint("sudo iddio install --system, or --dry-run to see what it would do"))
        }
        (None, _) => Ok(PathBuf::from("/")),
    }
}

fn carry_out(arguments: &SystemArgs, steps: &[Step], voice: Voice) -> Ended {
    let mut done = Vec::new();
    for step in steps {
        // Looked at now and not before: a step may make the next one needless, or needed.
        if !step.is_needed() {
            continue;
        }
        let said = step.says();
        if !arguments.dry_run {
            step.apply().map_err(|error| Failure::unavailable(format!("{said}: {error}")))?;
            if step.is_needed() {
                return Err(Failure::unavailable(format!("{said}: it did not do what it should")));
            }
        }
        if !arguments.json {
            let word = if arguments.dry_run { "would" } else { "did" };
            output::line(format_args!("{word}  {}", output::foreign(&said)))?;
        }
        done.push(said);
    }
    match arguments.json {
        true => output::json(&json!({"dry_run": arguments.dry_run, "steps": done}))?,
        false if done.is_empty() => voice.say("nothing to do"),
        false => {}
    }
    Ok(DONE)
}

/// Returns what installing does, in order.
fn installing(root: &Path) -> Result<Vec<Step>, Failure> {
    let place = |path: &str| root.join(path.trim_start_matches('/'));
    let mut steps = Vec::new();
    let own = std::env::current_exe().map_err(Failure::unavailable)?;
    for name in files::PROGRAMS {
        let from = own.with_file_name(name);
        // One that is not beside this one came another way, or comes later; `iddio doctor` says so.
        if from.is_file() {
            steps.push(Step::at(place(&format!("/usr/bin/{name}")), Act::Program { from }));
        }
    }
    steps.push(Step::at(place("/etc/iddio"), Act::Directory { mode: 0o755 }));
    for (path, content) in files::SHIPPED {
        steps.push(Step::at(place(path), Act::File { content }));
    }
    for (path, content) in files::CONFIGURATIONS {
        let (aside, path) = (place(&format!("{path}{ASIDE}")), place(path));
        steps.push(Step::at(path.clone(), Act::TakeBack { from: aside }));
        steps.push(Step::at(path, Act::First { content }));
    }
    steps.push(Step::at(place("/etc/iddio/signer.key"), Act::WrappingKey));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let at = |program: &str, more: &[&str]| {
        let mut all = words(&[program]);
        if root != Path::new("/") {
            all.push(format!("--root={}", root.display()));
        }
        all.extend(words(more));
        all
    };
    let users = Act::Users { passwd: place("/etc/passwd"), run: at("systemd-sysusers", &[]) };
    steps.push(Step::at(place("/etc/sysusers.d/iddio.conf"), users));
    let missing = files::DIRECTORIES.map(place).to_vec();
    let run = at("systemd-tmpfiles", &["--create", "--prefix=/run/iddio", "--prefix=/var/lib"]);
    steps.push(Step::at(place("/etc/tmpfiles.d/iddio.conf"), Act::Unless { all: missing, run }));
    let wanted = files::ENABLED
        .map(|unit| place(&format!("/etc/systemd/system/sockets.target.wants/{unit}")));
    let run = at("systemctl", &[&["enable"], &files::ENABLED[..]].concat());
    steps.push(Step::at(place(UNITS), Act::Unless { all: wanted.to_vec(), run }));
    if root == Path::new("/") && Path::new(RUNNING_SYSTEMD).exists() {
        let sockets = files::SOCKETS.map(PathBuf::from).to_vec();
        let run = words(&["systemctl", "daemon-reload"]);
        steps.push(Step::at(PathBuf::from(UNITS), Act::Unless { all: sockets.clone(), run }));
        let run = [&words(&["systemctl", "start"])[..], &words(&files::ENABLED)].concat();
        steps.push(Step::at(PathBuf::from(UNITS), Act::Unless { all: sockets, run }));
    }
    Ok(steps)
}

/// Returns what uninstalling does, in order.
fn uninstalling(root: &Path) -> Vec<Step> {
    let place = |path: &str| root.join(path.trim_start_matches('/'));
    let mut steps = Vec::new();
    let links =
        files::ENABLED.map(|unit| place(&format!("{UNITS}/sockets.target.wants/{unit}"))).to_vec();
    let mut run = vec!["systemctl".to_owned(), "disable".to_owned()];
    if root != Path::new("/") {
        run.push(format!("--root={}", root.display()));
    } else if Path::new(RUNNING_SYSTEMD).exists() {
        run.push("--now".to_owned());
    }
    run.extend(files::UNITS.iter().map(|unit| (*unit).to_owned()));
    steps.push(Step::at(place(UNITS), Act::While { any: links, run }));
    for (path, _) in files::SHIPPED {
        steps.push(Step::at(place(path), Act::Remove));
    }
    // Where its configuration is, every record goes to the service; set aside, homes record again.
    for (path, _) in files::CONFIGURATIONS {
        let from = place(path);
        steps.push(Step::at(place(&format!("{path}{ASIDE}")), Act::TakeBack { from }));
    }
    for name in files::PROGRAMS.iter().filter(|name| **name != "iddio") {
        steps.push(Step::at(place(&format!("/usr/bin/{name}")), Act::Remove));
    }
    steps
}

/// Where an administrator's units are.
const UNITS: &str = "/etc/systemd/system";

/// Is there while systemd runs the machine.
const RUNNING_SYSTEMD: &str = "/run/systemd/system";

/// What a configuration that was set aside ends with.
const ASIDE: &str = ".uninstalled";
