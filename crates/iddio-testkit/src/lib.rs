//! Deterministic stand-ins for everything outside the core.
