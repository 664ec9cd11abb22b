//! The child-process gateway behind `iddio exec`.
