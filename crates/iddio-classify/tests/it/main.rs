//! Command lines and catalogs, from outside.

mod catalogs;
mod corpus;
mod kit;
