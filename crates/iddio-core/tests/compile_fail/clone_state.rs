//! No state is copied.

use iddio_core::{
    pipeline::{Decided, InFlight, Permit, Request, Settled, Warrant},
    principal::Identified,
};

fn copies<T: Clone>() {}

fn main() {
    copies::<Request<()>>();
    copies::<Decided<()>>();
    copies::<Settled<()>>();
    copies::<Warrant<()>>();
    copies::<Permit<(), ()>>();
    copies::<InFlight>();
    copies::<Identified>();
}
