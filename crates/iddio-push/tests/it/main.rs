//! Posting to a place on loopback, in clear and over TLS.

#[cfg(test)]
mod posting;
