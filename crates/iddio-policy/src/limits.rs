//! How large a policy may be. Beyond any of these a file is refused before it is understood.

/// The most bytes of a policy file: ten thousand rules with their comments.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most values in a policy file.
pub(crate) const NODES_MAX: usize = 1_000_000;

/// The deepest nesting. The deepest key of a policy lies 9 levels down.
pub(crate) const DEPTH_MAX: usize = 16;

/// The most characters of a name: of a group, a role, a runbook, a channel.
pub(crate) const NAME_CHARS_MAX: usize = 128;

/// The most diagnostics of one file: whoever made more mistakes starts with these.
pub(crate) const DIAGNOSTICS_MAX: usize = 20;

/// The longest an operation may run by policy: a week. Longer than any tool, and it must end.
pub(crate) const RUN_MILLIS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;

/// The most approvers a rule may ask for.
pub(crate) const APPROVERS_MAX: u8 = 16;
