//! What is wrong with the services of a host, for `iddio doctor`.
//!
//! It looks only where anybody may look, and says nothing about a host without services.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use super::files::{CONFIGURATIONS, DIRECTORIES, ENABLED, PROGRAMS, UNITS, USERS};

/// Something wrong, and what mends it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) what: String,
    pub(crate) mend: &'static str,
}

/// Returns what is wrong with the services installed under `root`; nothing where there are none.
pub(crate) fn faults(root: &Path) -> Vec<Fault> {
    let place = |path: &str| root.join(path.trim_start_matches('/'));
    let mut faults = Vec::new();
    if !CONFIGURATIONS.iter().any(|(path, _)| place(path).exists()) {
        return faults;
    }
    for name in PROGRAMS.iter().filter(|name| !WAITING.contains(name)) {
        let path = place(&format!("/usr/bin/{name}"));
        faults.extend(of_root(&path, "a program"));
    }
    for (path, _) in CONFIGURATIONS {
        faults.extend(of_root(&place(path), "a configuration"));
    }
    for unit in
        UNITS.iter().filter(|unit| !WAITING.iter().any(|name| unit.split('.').next() == Some(name)))
    {
        let found = UNIT_PLACES.iter().map(|dir| place(&format!("{dir}/{unit}")));
        match found.into_iter().find(|path| path.exists()) {
            Some(path) => faults.extend(of_root(&path, "a unit")),
            None => faults.push(fault(format!("the unit {unit} is missing"), AGAIN)),
        }
    }
    for unit in ENABLED {
        let link = place(&format!("/etc/systemd/system/sockets.target.wants/{unit}"));
        if fs::symlink_metadata(link).is_err() {
            faults.push(fault(format!("{unit} does not start with the machine"), AGAIN));
        }
    }
    let passwd = fs::read_to_string(place("/etc/passwd")).unwrap_or_default();
    for user in USERS {
        let mut lines = passwd.lines();
        if !lines.any(|line| line.strip_prefix(user).is_some_and(|rest| rest.starts_with(':'))) {
            faults.push(fault(format!("there is no user {user}"), AGAIN));
        }
    }
    for path in DIRECTORIES {
        let Ok(metadata) = fs::symlink_metadata(place(path)) else { continue };
        if !metadata.is_dir() || metadata.mode() & 0o077 != 0 {
            let what = format!("{path} is open to others (mode {:03o})", metadata.mode() & 0o777);
            faults.push(fault(what, "chmod 700 it, and ask who looked"));
        }
    }
    faults.extend(key(&place("/etc/iddio/signer.key")));
    faults
}

/// A file that services obey must be root's alone to write.
fn of_root(path: &Path, what: &str) -> Option<Fault> {
    let shown = path.display();
    let Ok(metadata) = fs::metadata(path) else {
        return Some(fault(format!("{what} is missing: {shown}"), AGAIN));
    };
    let loose = metadata.uid() != 0 || metadata.mode() & 0o022 != 0;
    let says = || format!("{what} may be changed by others than root: {shown}");
    loose.then(|| fault(says(), "chown root and chmod go-w it, and ask who changed it"))
}

fn key(path: &Path) -> Option<Fault> {
    match fs::symlink_metadata(path) {
        Err(_) => Some(fault("the signer's wrapping key is missing".to_owned(), AGAIN)),
        Ok(metadata) if metadata.mode() & 0o077 != 0 || metadata.uid() != 0 => {
            let what = format!("{} may be read by others than root", path.display());
            Some(fault(what, "make new keys: whoever read it can open the signer's"))
        }
        Ok(_) => None,
    }
}

fn fault(what: String, mend: &'static str) -> Fault {
    Fault { what, mend }
}

/// What is there without being needed: the command line itself, and services that wait for a
/// configuration.
const WAITING: [&str; 4] = ["iddio", "iddio-execd", "iddio-kube", "iddio-push"];

const AGAIN: &str = "iddio install --system";

/// Where systemd looks for units.
const UNIT_PLACES: [&str; 3] =
    ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
