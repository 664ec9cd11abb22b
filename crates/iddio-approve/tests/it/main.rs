//! The queue and its approvers, from the outside.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod kit;
