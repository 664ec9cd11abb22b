//! Whole-gateway tests with real clients.
