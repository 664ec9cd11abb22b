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
use step::{Act, Changed, Step};

use self::files::Service;
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
    let mut changed = Changed::Nothing;
    for step in steps {
        // Looked at now and not before: a step may make the next one needless, or needed.
        if !step.is_needed(changed) {
            continue;
        }
        let said = step.says();
        if !arguments.dry_run {
            step.apply().map_err(|error| Failure::unavailable(format!("{said}: {error}")))?;
            if step.shows() && step.is_needed(changed) {
                return Err(Failure::unavailable(format!("{said}: it did not do what it should")));
            }
        }
        if !arguments.json {
            let word = if arguments.dry_run { "would" } else { "did" };
            output::line(format_args!("{word}  {}", output::foreign(&said)))?;
        }
        changed = step.changes().unwrap_or(changed);
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
    for Service { configuration, .. } in &files::SERVICES {
        let from = place(&format!("{configuration}{ASIDE}"));
        steps.push(Step::at(place(configuration), Act::TakeBack { from }));
    }
    for (path, content) in files::CONFIGURATIONS {
        steps.push(Step::at(place(path), Act::First { content }));
    }
    steps.push(Step::at(place(files::WRAPPING_KEY), Act::WrappingKey));
    let at = |program: &str, more: &[&str]| {
        let mut all = vec![program.to_owned()];
        if root != Path::new("/") {
            all.push(format!("--root={}", root.display()));
        }
        all.extend(more.iter().map(|word| (*word).to_owned()));
        all
    };
    let users = Act::Users { passwd: place("/etc/passwd"), run: at("systemd-sysusers", &[]) };
    steps.push(Step::at(place("/etc/sysusers.d/iddio.conf"), users));
    let run = at("systemd-tmpfiles", &["--create", "--prefix=/run/iddio", "--prefix=/var/lib"]);
    let directories = Act::Directories { root: root.to_owned(), run };
    steps.push(Step::at(place("/etc/tmpfiles.d/iddio.conf"), directories));
    let set_up: Vec<&Service> =
        files::SERVICES.iter().filter(|service| will_have(root, service.configuration)).collect();
    let enabled: Vec<&str> = set_up.iter().map(|service| service.enabled).collect();
    let links = set_up.iter().map(|service| place(&service.link())).collect();
    let run = at("systemctl", &[&["enable"], &enabled[..]].concat());
    steps.push(Step::at(place(files::UNITS), Act::Unless { all: links, run }));
    if is_live(root) {
        let units = PathBuf::from(files::UNITS);
        let running: Vec<_> = files::SERVICES.iter().map(Service::main).collect();
        steps.push(Step::at(units.clone(), Act::Reload));
        steps.push(Step::at(units.clone(), Act::Restart { units: running }));
        steps.extend(enabled.into_iter().map(|unit| Step::at(units.clone(), Act::Start { unit })));
    }
    Ok(steps)
}

/// Whether a configuration is there once installing is done.
fn will_have(root: &Path, configuration: &str) -> bool {
    let ours = files::CONFIGURATIONS.iter().any(|(path, _)| *path == configuration);
    let place = |path: &str| root.join(path.trim_start_matches('/'));
    ours || [configuration.to_owned(), format!("{configuration}{ASIDE}")]
        .iter()
        .any(|path| place(path).exists())
}

/// Whether this is the tree that systemd runs.
fn is_live(root: &Path) -> bool {
    root == Path::new("/") && Path::new(RUNNING_SYSTEMD).exists()
}

/// Returns what uninstalling does, in order.
fn uninstalling(root: &Path) -> Vec<Step> {
    let place = |path: &str| root.join(path.trim_start_matches('/'));
    let mut steps = Vec::new();
    let units = place(files::UNITS);
    if is_live(root) {
        let all = files::SERVICES.iter().flat_map(|service| service.units).copied().collect();
        steps.push(Step::at(units.clone(), Act::Stop { units: all }));
    }
    let links = files::SERVICES.iter().map(|service| place(&service.link())).collect();
    let mut run = vec!["systemctl".to_owned(), "disable".to_owned()];
    if root != Path::new("/") {
        run.push(format!("--root={}", root.display()));
    }
    run.extend(files::SERVICES.iter().map(|service| service.enabled.to_owned()));
    steps.push(Step::at(units.clone(), Act::While { any: links, run }));
    for (path, _) in files::SHIPPED {
        steps.push(Step::at(place(path), Act::Remove));
    }
    // Where its configuration is, every record goes to the service; set aside, homes record again.
    for Service { configuration, .. } in &files::SERVICES {
        let from = place(configuration);
        steps.push(Step::at(place(&format!("{configuration}{ASIDE}")), Act::TakeBack { from }));
    }
    for socket in files::SERVICES.iter().filter_map(|service| service.socket) {
        steps.push(Step::at(place(socket), Act::Remove));
    }
    for name in files::PROGRAMS.iter().filter(|name| **name != "iddio") {
        steps.push(Step::at(place(&format!("/usr/bin/{name}")), Act::Remove));
    }
    if is_live(root) {
        steps.push(Step::at(units, Act::Reload));
    }
    steps
}

/// Is there while systemd runs the machine.
const RUNNING_SYSTEMD: &str = "/run/systemd/system";

/// What a configuration that was set aside ends with.
const ASIDE: &str = ".uninstalled";
