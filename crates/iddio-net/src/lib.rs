//! The one connector: what was named is reached, and nothing else.
//!
//! A [`Destination`] is a name or address and a port that a human wrote down. [`connect`] resolves what is asked for
//! once, refuses addresses that are never anybody's business, and connects to the address it looked at. A [`Relay`]
//! answers `CONNECT` on a listener that was handed to it, for children that have no network of their own. [`Seats`] bounds how many are served at
//! once.
//!
//! INVARIANT: cloud metadata addresses, link-local addresses and their disguises are never reached, whoever named
//! them; the loopback of this host only where it was named as such.
//!
//! It reads nothing of what it carries.

mod address;
mod connector;
mod destination;
mod relay;
mod seats;

pub use address::{Reach, reach};
pub use connector::{ConnectError, connect};
pub use destination::{Destination, DestinationError};
pub use relay::{Relay, Tally};
pub use seats::{Seat, Seats};
