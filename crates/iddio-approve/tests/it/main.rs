//! The queue and its approvers, from the outside.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod operators;
#[cfg(test)]
mod shown;
#[cfg(test)]
mod tickets;
#[cfg(test)]
mod waiting;
