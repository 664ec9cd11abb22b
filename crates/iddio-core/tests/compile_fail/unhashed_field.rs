//! A new field does not compile until it is hashed.

use iddio_core::digest::{Canonical, Encoder};

struct Request {
    verb: String,
    added: String,
}

impl Canonical for Request {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { verb } = self;
        encoder.text(verb);
    }
}

fn main() {}
