//! Landlock: what a confined child may open, connect to and signal, whatever it mounts or holds.
//!
//! The tree already shows no more than was given; this says the same a second time, by another part of the kernel.
//! INVARIANT: the newest interface that the kernel has is enforced in full, or nothing starts.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
    make_bitflags,
};

use super::failed::{At, Failed};
use super::wire::NetworkPlan;

/// What is let through.
pub(super) struct Fence<'a> {
    /// What may be written, besides being read and executed like all else in the tree.
    pub(super) writable: Vec<PathBuf>,
    /// What may be read and executed though the tree does not show it.
    pub(super) held: Vec<BorrowedFd<'a>>,
    /// What may be connected to.
    pub(super) network: &'a NetworkPlan,
}

// === impl Fence ===

impl Fence<'_> {
    /// Fences this process and all it starts. Returns the version of the interface.
    pub(super) fn close(&self) -> Result<u32, Failed> {
        let mut newest = None;
        for (version, abi) in VERSIONS {
            match self.rules(abi) {
                Ok(rules) => {
                    newest = Some((version, abi, rules));
                    break;
                }
                Err(_) if version > 1 => {}
                Err(error) => return Err(error).at("asking for Landlock"),
            }
        }
        let (version, abi, rules) =
            newest.ok_or("this kernel has none").at("asking for Landlock")?;
        if matches!(self.network, NetworkPlan::Host { .. }) && version < VERSION_OF_NETWORK {
            return Err("this kernel cannot limit what is connected to")
                .at("keeping connections to the ports that were named");
        }
        let rules = self.allow(rules, abi).at("writing down what Landlock lets through")?;
        let status = rules.restrict_self().at("enforcing Landlock")?;
        match status.ruleset {
            RulesetStatus::FullyEnforced if status.no_new_privs => Ok(version),
            _ => Err("it is enforced in part only").at("enforcing Landlock"),
        }
    }

    /// Asks for everything that `abi` can forbid.
    fn rules(&self, abi: ABI) -> Result<RulesetCreated, landlock::RulesetError> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(abi))?;
        if !AccessNet::from_all(abi).is_empty()
            && !matches!(self.network, NetworkPlan::Loopback { .. })
        {
            rules = rules.handle_access(AccessNet::from_all(abi))?;
        }
        if !Scope::from_all(abi).is_empty() {
            rules = rules.scope(Scope::from_all(abi))?;
        }
        rules.create()
    }

    fn allow(
        &self,
        rules: RulesetCreated,
        abi: ABI,
    ) -> Result<RulesetCreated, Box<dyn std::error::Error>> {
        let handled = AccessFs::from_all(abi);
        let reading = make_bitflags!(AccessFs::{ReadFile | ReadDir | Execute});
        let of_file = reading & AccessFs::from_file(abi);
        let devices: BitFlags<AccessFs> =
            make_bitflags!(AccessFs::{WriteFile | Truncate | IoctlDev});
        let process: BitFlags<AccessFs> = AccessFs::WriteFile.into();
        let mut rules = rules
            .add_rule(PathBeneath::new(PathFd::new("/")?, reading))?
            .add_rule(PathBeneath::new(PathFd::new("/dev")?, reading | (devices & handled)))?
            .add_rule(PathBeneath::new(PathFd::new("/proc")?, reading | process))?;
        for path in &self.writable {
            let fd = PathFd::new(path)?;
            let all = if path.is_dir() { handled } else { AccessFs::from_file(abi) };
            // What a device answers to is asked of the devices that were given, and of no other.
            let rights = all & !BitFlags::from(AccessFs::IoctlDev);
            rules = rules.add_rule(PathBeneath::new(fd, rights))?;
        }
        for fd in &self.held {
            rules = rules.add_rule(PathBeneath::new(*fd, of_file))?;
        }
        if let NetworkPlan::Host { connect } = self.network {
            for port in connect {
                rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
            }
        }
        Ok(rules)
    }
}

/// The interfaces this was written for, newest first.
const VERSIONS: [(u32, ABI); 6] =
    [(6, ABI::V6), (5, ABI::V5), (4, ABI::V4), (3, ABI::V3), (2, ABI::V2), (1, ABI::V1)];
/// The first that can limit connections.
const VERSION_OF_NETWORK: u32 = 4;
