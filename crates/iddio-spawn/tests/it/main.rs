//! The spawner, tried on real programs.
