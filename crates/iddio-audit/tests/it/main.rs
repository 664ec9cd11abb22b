//! The log on a real file system.

#[cfg(test)]
mod content;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod format;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod many;
#[cfg(test)]
mod tamper;
#[cfg(test)]
mod trust;
