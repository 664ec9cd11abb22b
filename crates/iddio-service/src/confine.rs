//! Giving up what a service does not need, before it hears anybody.
//!
//! [`harden`] is for every service: no core dump, no look into its memory by its own user, no new
//! privileges. [`Confinement`] is for one that needs few files and no network: Landlock closes the file
//! system but for named places, and all of TCP; seccomp closes every call but those on a list, every
//! socket but a local one, and the way to another program.
//!
//! INVARIANT: what cannot be enforced whole is an error, and then nothing is served. What was enforced
//! is tried: the network and a file elsewhere, which must both be refused.

use std::{collections::BTreeMap, fs::File, io, path::PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::libc;
use rustix::{
    net::{AddressFamily, SocketType},
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
    thread::set_no_new_privs,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// What a confined service keeps.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// The directories whose files it reads, writes, makes and renames.
    pub writable: Vec<PathBuf>,
    /// The directories whose files it reads.
    pub readable: Vec<PathBuf>,
}

/// A service could not give up what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfineError {
    /// The kernel has no Landlock, or an old one.
    #[error("Landlock is not fully enforced (Linux 6.12 or later, with Landlock enabled): {0}")]
    Landlock(String),
    /// A limit could not be set.
    #[error("{0}: {1}")]
    Limit(&'static str, io::Error),
    /// What should be refused is not.
    #[error("{0} is possible although it was given up")]
    Open(&'static str),
    /// The filter of system calls could not be set.
    #[error("seccomp: {0}")]
    Seccomp(String),
}

/// Gives up core dumps, being looked into by processes of the same user, and new privileges.
///
/// # Errors
///
/// When one of them cannot be given up.
pub fn harden() -> Result<(), ConfineError> {
    let limit = |what| move |errno: rustix::io::Errno| ConfineError::Limit(what, errno.into());
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(limit("no core dumps"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(limit("no dumps"))?;
    set_no_new_privs(true).map_err(limit("no new privileges"))
}

// === impl Confinement ===

impl Confinement {
    /// Gives up everything else, for this thread and those it starts. To be called before there is
    /// another thread.
    ///
    /// # Errors
    ///
    /// When it cannot be given up whole.
    pub fn enforce(&self) -> Result<(), ConfineError> {
        harden()?;
        self.close_files()?;
        let filter = filter().map_err(ConfineError::Seccomp)?;
        seccompiler::apply_filter(&filter)
            .map_err(|error| ConfineError::Seccomp(error.to_string()))?;
        try_what_was_given_up()
    }

    fn close_files(&self) -> Result<(), ConfineError> {
        let failed = |error: String| ConfineError::Landlock(error);
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(LANDLOCK))
            .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(LANDLOCK)))
            .and_then(|ruleset| ruleset.scope(Scope::AbstractUnixSocket | Scope::Signal))
            .and_then(Ruleset::create);
        let mut ruleset = ruleset.map_err(|error| failed(error.to_string()))?;
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let write = read
            | AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::RemoveFile;
        let writable = self.writable.iter().map(|path| (path, write));
        for (path, access) in writable.chain(self.readable.iter().map(|path| (path, read))) {
            let place = PathFd::new(path).map_err(|error| failed(error.to_string()))?;
            let added = ruleset.add_rule(PathBeneath::new(place, access));
            ruleset = added.map_err(|error| failed(error.to_string()))?;
        }
        let status = ruleset.restrict_self().map_err(|error| failed(error.to_string()))?;
        match status.ruleset {
            RulesetStatus::FullyEnforced => Ok(()),
            status => Err(failed(format!("{status:?}"))),
        }
    }
}

/// Tries what must not be possible any more.
fn try_what_was_given_up() -> Result<(), ConfineError> {
    if rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).is_ok() {
        return Err(ConfineError::Open("a network socket"));
    }
    if File::open("/etc/passwd").is_ok() {
        return Err(ConfineError::Open("a file elsewhere"));
    }
    Ok(())
}

/// Makes the filter: what is not on the list fails with EPERM.
fn filter() -> Result<BpfProgram, String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let local = u64::try_from(libc::AF_UNIX).map_err(|error| error.to_string())?;
    let equal = |argument, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
    };
    let socket = equal(0, local).map_err(|error| error.to_string())?;
    rules.insert(libc::SYS_socket, vec![socket]);
    let arch: TargetArch =
        std::env::consts::ARCH.try_into().map_err(|_| "unknown architecture".to_owned())?;
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, arch);
    let filter = filter.map_err(|error| error.to_string())?;
    filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())
}

/// The Landlock that is demanded: files, TCP, and signals and abstract sockets.
const LANDLOCK: ABI = ABI::V6;

/// What a service of few files and local sockets calls. Not here, so refused: `execve`, `ptrace`,
/// `process_vm_readv`, `socket` but for a local one, `mount`, `unshare`, `bpf`, `keyctl`, `io_uring`.
#[rustfmt::skip]
const CALLS: &[libc::c_long] = &[
    // Memory and threads.
    libc::SYS_brk, libc::SYS_clone, libc::SYS_clone3, libc::SYS_futex, libc::SYS_get_robust_list,
    libc::SYS_madvise, libc::SYS_membarrier, libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_mremap,
    libc::SYS_munmap, libc::SYS_prctl, libc::SYS_rseq, libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield, libc::SYS_set_robust_list, libc::SYS_sigaltstack,
    // Time, dice, who I am.
    libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_getegid, libc::SYS_geteuid,
    libc::SYS_getgid, libc::SYS_getpid, libc::SYS_getrandom, libc::SYS_gettid, libc::SYS_getuid,
    libc::SYS_nanosleep, libc::SYS_uname,
    // Signals and the end.
    libc::SYS_exit, libc::SYS_exit_group, libc::SYS_restart_syscall, libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_tgkill,
    // Files, as far as Landlock lets them be opened.
    libc::SYS_close, libc::SYS_dup, libc::SYS_fcntl, libc::SYS_fdatasync, libc::SYS_fstat,
    libc::SYS_fsync, libc::SYS_ftruncate, libc::SYS_lseek, libc::SYS_newfstatat, libc::SYS_openat,
    libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_read, libc::SYS_readv, libc::SYS_renameat,
    libc::SYS_renameat2, libc::SYS_statx, libc::SYS_unlinkat, libc::SYS_write, libc::SYS_writev,
    // Local sockets.
    libc::SYS_accept4, libc::SYS_connect, libc::SYS_epoll_create1, libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait, libc::SYS_eventfd2, libc::SYS_getpeername, libc::SYS_getsockname,
    libc::SYS_getsockopt, libc::SYS_ppoll, libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_sendmsg,
    libc::SYS_sendto, libc::SYS_setsockopt, libc::SYS_shutdown,
    // What older architectures call as well.
    #[cfg(target_arch = "x86_64")] libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")] libc::SYS_poll,
    #[cfg(target_arch = "x86_64")] libc::SYS_rename,
    #[cfg(target_arch = "x86_64")] libc::SYS_stat,
    #[cfg(target_arch = "x86_64")] libc::SYS_unlink,
];
