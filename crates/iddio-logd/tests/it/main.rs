//! The log service as a process, with clients that are processes of other users.

#[cfg(test)]
mod kit;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod service;
