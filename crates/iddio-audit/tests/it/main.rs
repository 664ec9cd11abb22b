//! The log on a real file system.

#[cfg(test)]
mod kit;
#[cfg(test)]
mod many;
