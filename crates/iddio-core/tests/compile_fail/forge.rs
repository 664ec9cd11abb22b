//! Nobody makes a witness but its one maker.

use iddio_core::{
    approval::Grant,
    audit::Receipt,
    pipeline::{Permit, Rejection, Warrant},
    principal::{Identified, Principal},
};

fn warrant<A>(action: A) -> Warrant<A> {
    Warrant { action }
}

fn permit<A>(warrant: Warrant<A>) -> Permit<A, ()> {
    Permit { action: warrant.action, credential: () }
}

fn refuse() -> Rejection {
    Rejection::default()
}

fn receipt() -> Receipt {
    Receipt { seq: 1 }
}

fn grant() -> Grant {
    Grant { aliases: Vec::new() }
}

fn identified(principal: Principal) -> Identified {
    Identified(principal)
}

fn main() {}
