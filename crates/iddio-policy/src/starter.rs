//! The policy a new home starts with.

use iddio_core::principal::PrincipalId;

/// Returns the default policy, with its rules for the Unix user `user`.
///
/// A user whose name no principal can have is given no rules: the policy then names nobody, and
/// refuses everything.
pub fn default_policy(user: &str) -> String {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    let name = format!("local:{user}");
    let fits = name.len() <= PrincipalId::BYTES_MAX && !user.is_empty();
    match fits && user.bytes().all(sound) {
        true => DEFAULT.replace(PLACEHOLDER, &name),
        false => DEFAULT.to_owned(),
    }
}

/// The default policy as it ships, for a principal that does not exist.
const DEFAULT: &str = include_str!("../../../policies/default.yaml");

/// The principal that [`default_policy`] replaces.
const PLACEHOLDER: &str = "local:YOUR-USER";
