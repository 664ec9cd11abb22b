//! The reader, from inside.
