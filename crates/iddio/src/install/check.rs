//! What is wrong with the services of a host, for `iddio doctor`.
//!
//! It looks only where anybody may look, and says nothing about a host without services. Whether a service
//! is active is asked only where systemd runs this very host; whether it answers, `iddio doctor` asks through
//! its client.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::{
    RUNNING_SYSTEMD,
    files::{
        DIRECTORIES, Directory, PROGRAMS, SERVICES, SHIPPED, Service, UNITS, USERS, WRAPPING_KEY,
    },
    step::{Activity, activity},
};

/// Something wrong, and what mends it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) what: String,
    pub(crate) mend: String,
}

/// The tree of a system, and its users.
pub(super) struct Tree {
    root: PathBuf,
    passwd: String,
}

/// Returns what is wrong with the services installed under `root`; nothing where there are none.
pub(crate) fn faults(root: &Path) -> Vec<Fault> {
    let tree = Tree::at(root);
    let units = SHIPPED.iter().map(|(path, _)| *path);
    let traces = SERVICES.iter().map(|service| service.configuration).chain(units);
    if !traces.into_iter().any(|path| tree.has(path)) {
        return Vec::new();
    }
    let mut faults = tree.directories();
    faults.extend(tree.users());
    faults.extend(SHIPPED.iter().filter_map(|(path, content)| tree.shipped(path, content)));
    for service in &SERVICES {
        faults.extend(tree.service(service));
    }
    faults.extend(tree.file("/usr/bin/iddio", Demand::IfThere));
    faults.extend(tree.key());
    if root == Path::new("/") && Path::new(RUNNING_SYSTEMD).exists() {
        let set_up = SERVICES.iter().filter(|service| tree.has(service.configuration));
        faults.extend(set_up.flat_map(activity_of));
    }
    faults
}

/// Whether a file must be there.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Demand {
    Always,
    IfThere,
}

// === impl Tree ===

impl Tree {
    pub(super) fn at(root: &Path) -> Self {
        let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
        Self { root: root.to_owned(), passwd }
    }

    fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.place(path)).is_ok()
    }

    /// Returns the number of a user. The database is the tree's own, whoever runs this.
    fn uid(&self, user: &str) -> Option<u32> {
        if user == "root" {
            return Some(0);
        }
        let fields = self.passwd.lines().map(|line| line.split(':'));
        fields.into_iter().find_map(|mut fields| match (fields.next()?, fields.nth(1)) {
            (name, Some(uid)) if name == user => uid.parse().ok(),
            _ => None,
        })
    }

    /// Whose it is, in words.
    fn owner(&self, uid: u32) -> String {
        let mut lines = self.passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let uid = uid.to_string();
        let line = lines.find(|fields| fields.get(2) == Some(&uid.as_str()));
        let name = line.and_then(|fields| fields.first().map(|name| (*name).to_owned()));
        name.unwrap_or_else(|| format!("uid {uid}"))
    }

    /// Returns what is wrong with the directories.
    pub(super) fn directories(&self) -> Vec<Fault> {
        DIRECTORIES.iter().filter_map(|directory| self.directory(directory)).collect()
    }

    fn directory(&self, wanted: &Directory) -> Option<Fault> {
        let Directory { path, owner, mode } = wanted;
        let Ok(found) = fs::symlink_metadata(self.place(path)) else {
            return Some(fault(format!("the directory {path} is missing"), AGAIN));
        };
        if !found.is_dir() {
            return Some(fault(
                format!("{path} is no directory"),
                "move it away, then: iddio install --system",
            ));
        }
        if self.uid(owner).is_some_and(|uid| uid != found.uid()) {
            let own = self.owner(found.uid());
            let mend = format!("chown {owner}: {path}, and ask who changed it");
            return Some(fault(format!("{path} is {own}'s and not {owner}'s"), mend));
        }
        (found.mode() & 0o7777 != *mode).then(|| {
            let now = found.mode() & 0o7777;
            let what = format!("{path} has mode {now:04o} and not {mode:04o}");
            fault(what, format!("chmod {mode:o} {path}, and ask who looked"))
        })
    }

    fn users(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for user in USERS {
            let Some(uid) = self.uid(user) else {
                faults.push(fault(format!("there is no user {user}"), AGAIN));
                continue;
            };
            if uid == 0 {
                let mend = "give it a number of its own";
                faults.push(fault(format!("the user {user} is root"), mend));
            }
            let others = self.passwd.lines().filter_map(|line| {
                let fields: Vec<_> = line.split(':').collect();
                let same = fields.get(2).is_some_and(|other| **other == uid.to_string());
                fields.first().filter(|name| same && **name != user).map(|name| (*name).to_owned())
            });
            for other in others.filter(|_| uid != 0) {
                let what = format!("{other} and {user} are one user to the kernel (uid {uid})");
                faults.push(fault(what, "give one of them another number"));
            }
        }
        faults
    }

    fn service(&self, service: &Service) -> Vec<Fault> {
        let Service { program, enabled, configuration, .. } = service;
        let set_up = self.has(configuration);
        let demand = if set_up { Demand::Always } else { Demand::IfThere };
        let mut faults: Vec<_> =
            self.file(&format!("/usr/bin/{program}"), demand).into_iter().collect();
        faults.extend(self.file(configuration, Demand::IfThere));
        let starts = fs::symlink_metadata(self.place(&service.link())).is_ok();
        if set_up && !starts {
            faults.push(fault(format!("{enabled} does not start with the machine"), AGAIN));
        }
        // The two that everything else stands on must be set up.
        if !set_up && STANDING.contains(program) {
            faults.push(fault(format!("the configuration {configuration} is missing"), AGAIN));
        }
        faults
    }

    /// A file of ours, which is what it was when it was installed.
    fn shipped(&self, path: &str, content: &str) -> Option<Fault> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let packaged = PACKAGED.iter().map(|dir| format!("{dir}/{name}"));
        if !self.has(path) {
            // A package brings units to a place of its own.
            let there = path.starts_with(UNITS) && packaged.into_iter().any(|path| self.has(&path));
            return (!there).then(|| fault(format!("{name} is missing"), AGAIN));
        }
        if let Some(fault) = self.file(path, Demand::Always) {
            return Some(fault);
        }
        (fs::read(self.place(path)).ok().as_deref() != Some(content.as_bytes())).then(|| {
            let what = format!("{path} is not what was installed");
            fault(what, "iddio install --system puts it back; changes belong into a drop-in (systemctl edit)")
        })
    }

    /// A file that services obey: root's alone to write, and no link to elsewhere.
    fn file(&self, path: &str, demand: Demand) -> Option<Fault> {
        let Ok(found) = fs::symlink_metadata(self.place(path)) else {
            return (demand == Demand::Always).then(|| fault(format!("{path} is missing"), AGAIN));
        };
        if !found.is_file() {
            let mend = "move it away, then: iddio install --system";
            return Some(fault(format!("{path} is no file"), mend));
        }
        if found.uid() != 0 {
            let what = format!("{path} is {}'s and not root's", self.owner(found.uid()));
            return Some(fault(what, format!("chown root: {path}, and ask who changed it")));
        }
        let program = path.starts_with("/usr/bin/");
        let wanted = if program { 0o755 } else { 0o644 };
        let mode = found.mode() & 0o7777;
        if mode & 0o022 != 0 {
            let what = format!("{path} may be changed by others than root (mode {mode:04o})");
            return Some(fault(what, format!("chmod {wanted:o} {path}, and ask who changed it")));
        }
        if program && mode != wanted {
            let what = format!("{path} has mode {mode:04o} and not {wanted:04o}");
            return Some(fault(what, format!("chmod {wanted:o} {path}, and ask who changed it")));
        }
        None
    }

    fn key(&self) -> Option<Fault> {
        match fs::symlink_metadata(self.place(WRAPPING_KEY)) {
            Err(_) => Some(fault("the signer's wrapping key is missing", AGAIN)),
            Ok(found) if !found.is_file() => Some(fault(
                format!("{WRAPPING_KEY} is no file"),
                "restore it from where it is kept",
            )),
            Ok(found) if found.mode() & 0o077 != 0 || found.uid() != 0 => {
                let what = format!("{WRAPPING_KEY} may be read by others than root");
                Some(fault(what, "make new keys: whoever read it can open the signer's"))
            }
            Ok(_) => None,
        }
    }
}

/// Returns what is wrong with a service that is set up and should run here.
fn activity_of(service: &Service) -> Vec<Fault> {
    let Service { enabled, socket, .. } = service;
    let mut faults = Vec::new();
    if activity(enabled) == Activity::Inactive {
        let mend = format!("systemctl status {enabled}, then: iddio install --system");
        faults.push(fault(format!("{enabled} is not active"), mend));
        return faults;
    }
    let Some(socket) = socket else { return faults };
    let status = format!("systemctl restart {enabled}");
    match fs::symlink_metadata(socket) {
        Err(_) => faults.push(fault(format!("the socket {socket} is missing"), status)),
        Ok(found) if !found.file_type().is_socket() => {
            faults.push(fault(format!("{socket} is no socket"), status));
        }
        Ok(found) if found.uid() != 0 || found.mode() & 0o777 != 0o666 => {
            let mode = found.mode() & 0o777;
            let what = format!("the socket {socket} is not root's with mode 666 (mode {mode:03o})");
            faults.push(fault(what, status));
        }
        Ok(_) => {}
    }
    faults
}

fn fault(what: impl Into<String>, mend: impl Into<String>) -> Fault {
    Fault { what: what.into(), mend: mend.into() }
}

const AGAIN: &str = "iddio install --system";

/// The programs without which no other service of ours works.
const STANDING: [&str; 2] = ["iddio-logd", "iddio-signer"];

/// Where packages bring units.
const PACKAGED: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];

// Whatever is copied is looked at: the services' programs, and the command line itself.
const _: () = assert!(PROGRAMS.len() == SERVICES.len() + 1);
