//! Tests of the gateway's parts that need no gateway.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod spdy;
mod websocket;
