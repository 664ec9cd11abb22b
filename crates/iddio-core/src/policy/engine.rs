//! The native policy engine.
