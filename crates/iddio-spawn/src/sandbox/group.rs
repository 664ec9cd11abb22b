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
    let Some(above) = unified(&own) else { return Ok(Room::Unchanged) };
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
        let name = format!("{PREFIX}{pid}");
        let mut made = Self { directories: Vec::new() };
        let result = match unified(&own) {
            Some(own) => {
                let aside = own.ends_with(KEEPER).then(|| own.parent()).flatten();
                made.unified(&aside.unwrap_or(&own).join(&name), memory, processes)
            }
            None => made.divided(&own, &name, memory, processes),
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
            // Swap would be a way around it, where there is any.
            let _ = fs::write(directory.join("memory.memsw.limit_in_bytes"), memory.to_string());
        }
        Ok(())
    }

    fn create(&mut self, directory: &Path) -> io::Result<()> {
        sweep(directory.parent().unwrap_or(directory));
        let made = match fs::create_dir(directory) {
            // The process is this one's child and has started nothing: whose it was is gone.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_dir(directory).and_then(|()| fs::create_dir(directory))
            }
            made => made,
        };
        made.map_err(|error| {
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

/// Removes the groups of runs whose maker was killed: they are empty, and another process may get the number that
/// one is named after.
fn sweep(above: &Path) {
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).map(str::parse::<u32>);
        // The outer stage lives as long as its run.
        if let Some(Ok(pid)) = pid
            && !Path::new("/proc").join(pid.to_string()).exists()
        {
            // One that is not empty stays.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Returns the directory of this process's own group in the second version.
fn unified(own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    // A kernel that knows the first version lists it even where only the second is in use.
    let used = Path::new(ROOT).join(CONTROLLERS).exists();
    used.then(|| Path::new(ROOT).join(path.trim_start_matches('/')))
}

/// Returns the path of this process's own group under a controller of the first version.
fn path_of<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let controllers = fields.nth(1)?;
        controllers.split(',').any(|name| name == controller).then(|| fields.next()).flatten()
    })
}

/// What the group of a run begins with; the number of its outer stage follows.
const PREFIX: &str = "iddio-";

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";

/// What a group of the second version can limit.
const CONTROLLERS: &str = "cgroup.controllers";

/// The processes of a group.
const PROCESSES: &str = "cgroup.procs";

/// The group that a service steps into.
const KEEPER: &str = "keeper";

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// A group in the hierarchy of the second version, wherever this host has it, with a process in it.
    struct Held {
        at: PathBuf,
        child: Child,
    }

    impl Held {
        fn new(name: &str) -> Self {
            assert!(rustix::process::geteuid().is_root(), "run these tests as root");
            let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
            let top = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
            let top = top.expect("a hierarchy of control groups").split(' ').nth(1).unwrap();
            let at = Path::new(top).join(format!("iddio-{name}-{}", std::process::id()));
            fs::create_dir(&at).unwrap();
            let child = Command::new("sleep").arg("1000").spawn().unwrap();
            fs::write(at.join(PROCESSES), child.id().to_string()).unwrap();
            Self { at, child }
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            let _ = fs::remove_dir(self.at.join(KEEPER));
            fs::remove_dir(&self.at).unwrap();
        }
    }

    #[test]
    fn a_service_alone_in_its_group_steps_aside_and_then_groups_beside_it_can_have_limits() {
        let held = Held::new("aside");
        let available = fs::read_to_string(held.at.join(CONTROLLERS)).unwrap();
        let enable = |controller: &str| {
            fs::write(held.at.join("cgroup.subtree_control"), format!("+{controller}"))
        };
        // Whichever this host has: a group that holds a process gives none of them to those below.
        for controller in available.split_whitespace() {
            assert!(enable(controller).is_err(), "{controller}");
        }
        assert_eq!(divide(&held.at, held.child.id()).unwrap(), Room::Made);
        let inside = fs::read_to_string(held.at.join(KEEPER).join(PROCESSES)).unwrap();
        assert_eq!(inside.trim(), held.child.id().to_string());
        for controller in available.split_whitespace() {
            enable(controller).unwrap();
        }
        let aside = divide(&held.at.join(KEEPER), held.child.id()).unwrap();
        assert_eq!(aside, Room::Unchanged, "one step is enough");
    }

    #[test]
    fn a_group_that_others_are_in_is_left_as_it_is() {
        let held = Held::new("shared");
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(held.at.join(PROCESSES), other.id().to_string()).unwrap();
        assert_eq!(divide(&held.at, held.child.id()).unwrap(), Room::Unchanged);
        assert!(!held.at.join(KEEPER).exists());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn the_group_of_a_controller_is_found_by_its_name() {
        let own = "9:name=systemd:/a\n8:pids:/p\n4:memory,hugetlb:/m/n\n0::/u\n";
        assert_eq!(path_of(own, "memory"), Some("/m/n"));
        assert_eq!(path_of(own, "pids"), Some("/p"));
        assert_eq!(path_of(own, "cpu"), None);
    }
}
