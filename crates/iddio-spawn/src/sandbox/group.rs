//! A control group for one run, where this process may make one.
//!
//! It bounds memory and the number of processes of the whole run together. Where the host lets nobody make one, the
//! limits of single processes remain, and the caller is told.
//!
//! In the second version a group that has groups with limits below it may hold no process itself. So a service whose
//! unit is its own to divide ([`make_room`]) steps into a group below before it serves, and runs are made beside it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::description::Resources;
use super::start::Limit;

/// Whether the groups of runs can be limited.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Room {
    /// This process stepped aside: groups are made beside its own.
    Made,
    /// There was nothing to do, or the group is not this process's to divide.
    Unchanged,
}

/// Steps into a group below this process's own, where that group is of the second version and holds nobody else.
/// To be called by a service before it starts a run, and before it has a thread.
///
/// # Errors
///
/// When it may divide its group, and cannot.
pub fn make_room() -> io::Result<Room> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let Some(above) = unified(&own).filter(|path| path.join("cgroup.subtree_control").exists())
    else {
        return Ok(Room::Unchanged);
    };
    divide(&above, std::process::id())
}

/// Makes `pid`, alone in the group at `above`, a member of a group below it, and lets limits be set on others there.
fn divide(above: &Path, pid: u32) -> io::Result<Room> {
    let alone = |text: String| text.lines().eq([pid.to_string()]);
    if above.ends_with(KEEPER) || !fs::read_to_string(above.join(PROCESSES)).is_ok_and(alone) {
        return Ok(Room::Unchanged);
    }
    let keeper = above.join(KEEPER);
    match fs::create_dir(&keeper) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Room::Unchanged);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    fs::write(keeper.join(PROCESSES), pid.to_string())?;
    for controller in ["+memory", "+pids"] {
        // Where this host has none, the limits of single processes remain.
        let _ = fs::write(above.join("cgroup.subtree_control"), controller);
    }
    Ok(Room::Made)
}

/// The directories of a group that was made; in the first version of control groups, one for each controller.
#[derive(Debug)]
pub(super) struct Group {
    directories: Vec<PathBuf>,
}

// === impl Group ===

impl Group {
    /// Makes a group with these limits and moves the process `pid`, which has started nothing yet, into it.
    pub(super) fn hold(pid: i32, resources: &Resources) -> (Option<Self>, Limit) {
        let Some(memory) = resources.memory_bytes_max else { return (None, Limit::NotAsked) };
        match Self::make(pid, memory, resources.processes_max) {
            Ok(group) => (Some(group), Limit::Held),
            Err(error) => (None, Limit::Unavailable(error.to_string())),
        }
    }

    fn make(pid: i32, memory: u64, processes: u64) -> io::Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let name = format!("iddio-{pid}");
        let mut made = Self { directories: Vec::new() };
        let result = match unified(&own) {
            Some(own) if own.join("cgroup.controllers").exists() => {
                let aside = own.ends_with(KEEPER).then(|| own.parent()).flatten();
                made.unified(&aside.unwrap_or(&own).join(&name), memory, processes)
            }
            _ => made.divided(&own, &name, memory, processes),
        };
        match result.and_then(|()| made.take_in(pid)) {
            Ok(()) => Ok(made),
            Err(error) => {
                made.remove();
                Err(error)
            }
        }
    }

    fn unified(&mut self, directory: &Path, memory: u64, processes: u64) -> io::Result<()> {
        self.create(directory)?;
        fs::write(directory.join("memory.max"), memory.to_string())?;
        // Swap would be a way around it, where there is any.
        let _ = fs::write(directory.join("memory.swap.max"), "0");
        fs::write(directory.join("pids.max"), processes.to_string())
    }

    fn divided(&mut self, own: &str, name: &str, memory: u64, processes: u64) -> io::Result<()> {
        for (controller, file, value) in
            [("memory", "memory.limit_in_bytes", memory), ("pids", "pids.max", processes)]
        {
            let above = path_of(own, controller)
                .ok_or_else(|| io::Error::other(format!("no controller for {controller}")))?;
            let base = Path::new(ROOT).join(controller);
            let directory = base.join(above.trim_start_matches('/')).join(name);
            self.create(&directory)?;
            fs::write(directory.join(file), value.to_string())?;
        }
        Ok(())
    }

    fn create(&mut self, directory: &Path) -> io::Result<()> {
        fs::create_dir(directory).map_err(|error| {
            io::Error::new(error.kind(), format!("`{}`: {error}", directory.display()))
        })?;
        self.directories.push(directory.to_owned());
        Ok(())
    }

    fn take_in(&self, pid: i32) -> io::Result<()> {
        self.directories
            .iter()
            .try_for_each(|directory| fs::write(directory.join(PROCESSES), pid.to_string()))
    }

    /// Removes it, once it is empty.
    pub(super) fn remove(self) {
        for directory in self.directories {
            // An empty directory left behind holds nobody.
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Returns the directory of this process's own group in the second version.
fn unified(own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let lone = own.lines().count() == 1;
    lone.then(|| Path::new(ROOT).join(path.trim_start_matches('/')))
}

/// Returns the path of this process's own group under a controller of the first version.
fn path_of<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let controllers = fields.nth(1)?;
        controllers.split(',').any(|name| name == controller).then(|| fields.next()).flatten()
    })
}

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";

/// The processes of a group.
const PROCESSES: &str = "cgroup.procs";

/// The group that a service steps into.
const KEEPER: &str = "keeper";
