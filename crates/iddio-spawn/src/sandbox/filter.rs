//! Seccomp: the system calls that a confined child may not make.
//!
//! It is a list of what is refused, since what an agent runs is anything. Refused is what changes the namespaces and
//! mounts that confine it, what looks into or writes to other processes, what reaches parts of the kernel that no
//! namespace divides, and what types on a terminal in another's name. A call of a foreign architecture ends the
//! process; those of the x32 table do not exist.

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, sock_filter,
};

use super::failed::{At, Failed};

/// Filters the calls of this process and all it starts.
pub(super) fn install() -> Result<(), Failed> {
    for program in programs().at("compiling the filter of system calls")? {
        seccompiler::apply_filter(&program).at("filtering system calls")?;
    }
    Ok(())
}

/// Returns the filters: each refuses calls that the other lets through.
fn programs() -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let mut refused: Vec<(i64, Vec<SeccompRule>)> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    refused.push((libc::SYS_clone, namespaces()?));
    refused.push((libc::SYS_ioctl, typing()?));
    refused.push((libc::SYS_personality, personalities()?));
    refused.push((libc::SYS_socket, families()?));
    refused.push((libc::SYS_socketpair, vec![SeccompRule::new(vec![is_not(0, libc::AF_UNIX)?])?]));
    let eperm = filter(refused, libc::EPERM)?;
    // As if the kernel were older: the caller then asks in a way that can be looked at.
    let enosys = filter(ABSENT.iter().map(|call| (*call, Vec::new())).collect(), libc::ENOSYS)?;
    Ok(vec![without_foreign_tables(enosys), eperm])
}

fn filter(
    calls: Vec<(i64, Vec<SeccompRule>)>,
    answer: i32,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let answer = SeccompAction::Errno(answer.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(calls.into_iter().collect(), SeccompAction::Allow, answer, arch)?.try_into()
}

/// Refuses, ahead of `program`, the second table of calls that x86 has under the same name of architecture.
fn without_foreign_tables(program: BpfProgram) -> BpfProgram {
    let load_number = sock_filter { code: BPF_LD_W_ABS, jt: 0, jf: 0, k: 0 };
    let is_foreign = sock_filter { code: BPF_JMP_JGE_K, jt: 0, jf: 1, k: X32_BIT };
    let refuse = sock_filter {
        code: BPF_RET_K,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
    };
    [load_number, is_foreign, refuse].into_iter().chain(program).collect()
}

/// A new process in new namespaces.
fn namespaces() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let flags = [
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWUTS,
    ];
    let rule = |flag: i32| {
        let bit = u64::from(flag.unsigned_abs());
        let condition =
            SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(bit), bit)?;
        SeccompRule::new(vec![condition])
    };
    flags.into_iter().map(rule).collect()
}

/// Typing into a terminal, and taking over the console.
fn typing() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let rule = |request: u64| SeccompRule::new(vec![is(1, request)?]);
    [libc::TIOCSTI, libc::TIOCLINUX, libc::TIOCCONS].into_iter().map(rule).collect()
}

/// Every personality but the usual one, and the question which it is.
fn personalities() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let not =
        |value: u64| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value);
    let question = u64::from(u32::MAX);
    // Without a random layout of memory, as debuggers and some runtimes want it, for the process itself.
    let plain = u64::from(libc::ADDR_NO_RANDOMIZE.unsigned_abs());
    Ok(vec![SeccompRule::new(vec![not(0)?, not(question)?, not(plain)?])?])
}

/// Every family of sockets but local ones, the internet, and questions about routes. The others lead to parts of
/// the kernel that a network namespace does not divide, or to hardware.
fn families() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let known = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let others = known.into_iter().map(|family| is_not(0, family)).collect::<Result<_, _>>()?;
    let netlink = u64::from(libc::AF_NETLINK.unsigned_abs());
    Ok(vec![
        SeccompRule::new(others)?,
        SeccompRule::new(vec![is(0, netlink)?, is_not(2, libc::NETLINK_ROUTE)?])?,
    ])
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn is_not(argument: u8, value: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    let value = u64::from(value.unsigned_abs());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
}

/// What is refused however it is asked for.
const REFUSED: &[i64] = &[
    // Namespaces, mounts, roots.
    libc::SYS_chroot,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
    // Other processes.
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    // Files by number instead of by name.
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // Keys, which no namespace divides.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // Large parts of the kernel that an agent does not need.
    libc::SYS_bpf,
    libc::SYS_fanotify_init,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    // The host itself.
    libc::SYS_acct,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_lookup_dcookie,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];

/// What is answered as if this kernel did not have it: its arguments cannot be looked at.
const ABSENT: &[i64] = &[libc::SYS_clone3];

/// Loads a word of what describes the call; the number is the first.
const BPF_LD_W_ABS: u16 = 0x20;
/// Jumps if it is at least this.
const BPF_JMP_JGE_K: u16 = 0x35;
/// Answers.
const BPF_RET_K: u16 = 0x06;
/// What numbers of the second table have set. On other machines no call has a number this high.
const X32_BIT: u32 = 0x4000_0000;
