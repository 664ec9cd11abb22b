//! The one spawner: an opened program, an allow-listed environment, no shell.
