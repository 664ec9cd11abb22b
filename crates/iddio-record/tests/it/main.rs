//! Recordings, from the outside.

#[cfg(test)]
mod casts;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod screens;
#[cfg(test)]
mod sealed;
#[cfg(test)]
mod stores;
