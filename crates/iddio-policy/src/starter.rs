//! The policy a new home starts with.

/// Returns the default policy, with its rules for the Unix user `user`.
///
/// What cannot stand in a principal's name is left out of `user`; whoever has such a name matches
/// no rule and is refused.
pub fn default_policy(user: &str) -> String {
    let sound = |character: &char| character.is_ascii_alphanumeric() || "._-@".contains(*character);
    let user: String = user.chars().filter(sound).collect();
    DEFAULT.replace(PLACEHOLDER, &format!("local:{user}"))
}

/// The default policy as it ships, for a principal that does not exist.
const DEFAULT: &str = include_str!("../../../policies/default.yaml");

/// The principal that [`default_policy`] replaces.
const PLACEHOLDER: &str = "local:YOUR-USER";
