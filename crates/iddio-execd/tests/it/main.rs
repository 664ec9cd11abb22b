//! The broker, from outside.
