//! Giving up ids, capabilities and limits, for good.

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

use super::failed::{At, Failed};
use super::wire::{IdsPlan, Plan};

/// Makes this process, alone in a user namespace that is new, itself again: the same ids, and nobody else.
pub(super) fn map_ids(ids: IdsPlan) -> Result<(), Failed> {
    let IdsPlan::Own { uid, gid } = ids else { return Ok(()) };
    for (file, line) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{uid} {uid} 1")),
        ("gid_map", format!("{gid} {gid} 1")),
    ] {
        std::fs::write(format!("/proc/self/{file}"), line).at("mapping the user and the group")?;
    }
    Ok(())
}

/// Keeps what the second stage needs across its exec, in the new user namespace and nowhere else.
pub(super) fn keep_for_second_stage(ids: IdsPlan) -> Result<(), Failed> {
    let IdsPlan::Own { .. } = ids else { return Ok(()) };
    let step = "keeping what the second stage needs";
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::SETPCAP | CapabilitySet::NET_ADMIN;
    let sets = CapabilitySets { effective: needed, permitted: needed, inheritable: needed };
    set_capabilities(None, sets).at(step)?;
    for capability in needed {
        configure_capability_in_ambient_set(capability, true).at(step)?;
    }
    Ok(())
}

/// Gives up every capability, also those that an exec could give back, and every id but those of the plan.
pub(super) fn give_up(plan: &Plan) -> Result<(), Failed> {
    for bit in 0..u64::BITS {
        let Some(capability) = CapabilitySet::from_bits(1_u64 << bit) else { continue };
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Beyond the last that this kernel has.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error).at("emptying the bounding set"),
        }
    }
    if let IdsPlan::Drop { uid, gid } = plan.ids {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        setgroups(&[]).at("leaving all groups")?;
        setresgid(gid, gid, gid).at("becoming the group")?;
        setresuid(uid, uid, uid).at("becoming the user")?;
    }
    clear_ambient_capability_set().at("giving up capabilities")?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).at("giving up capabilities")?;
    set_no_new_privs(true).at("giving up new privileges")?;
    // Its memory and its descriptors are nobody's business, also not of what it starts.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).at("closing this process to others")
}

/// Sets the limits of one process.
pub(super) fn limit(plan: &Plan) -> Result<(), Failed> {
    lower(Resource::Core, 0)?;
    lower(Resource::Nproc, plan.processes_max)?;
    lower(Resource::Nofile, plan.descriptors_max)?;
    plan.file_bytes_max.map_or(Ok(()), |bytes| lower(Resource::Fsize, bytes))
}

/// Lowers a limit; one that is lower stays.
fn lower(resource: Resource, most: u64) -> Result<(), Failed> {
    let now = getrlimit(resource);
    let lower = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
    let limit = Rlimit { current: lower(now.current), maximum: lower(now.maximum) };
    setrlimit(resource, limit).at("setting limits")
}
