//! Two values with one digest are one value.
