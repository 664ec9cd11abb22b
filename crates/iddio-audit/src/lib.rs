//! The durable log of one home: many processes, one hash chain.
