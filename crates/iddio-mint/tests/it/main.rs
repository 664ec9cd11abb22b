//! Keys and tokens, from the outside: files, signatures, and what is never shown.

#[cfg(test)]
mod approver_keys;
#[cfg(test)]
mod checkpoint_keys;
#[cfg(test)]
mod tokens;
