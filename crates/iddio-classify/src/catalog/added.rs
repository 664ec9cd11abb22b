//! Catalogs that an installation adds to the built-in ones.
//!
//! INVARIANT: an added catalog joins, so it only raises what the built-in rules say. The one
//! exception is a catalog that somebody trusted by its content ([`Weight::Replaces`]): for a program
//! that no built-in catalog knows it stands in for the rule about unknown programs.

use std::sync::Arc;

use super::{Catalog, CatalogError};
use crate::command::CatalogIdentity;

/// A catalog of this installation.
#[derive(Clone, Debug)]
pub struct Added {
    catalog: Arc<Catalog>,
    weight: Weight,
}

/// What an added catalog may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Weight {
    /// It raises what the other rules say.
    Raises,
    /// Its content was trusted: it also says what a program does that nothing else knows.
    Replaces,
}

/// One command that an added catalog judges lower than an unknown program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lowering {
    /// The program, and its subcommand.
    pub command: String,
    /// The tier it has as an unknown program.
    pub from: u8,
    /// The tier the catalog gives it.
    pub to: u8,
}

// === impl Added ===

impl Added {
    /// Reads a catalog from its source.
    ///
    /// # Errors
    ///
    /// When it is no sound catalog.
    pub fn parse(source: &str, weight: Weight) -> Result<Self, CatalogError> {
        Ok(Self { catalog: Arc::new(Catalog::parse(source)?), weight })
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// What it may do.
    pub fn weight(&self) -> Weight {
        self.weight
    }

    /// What identifies it in records.
    pub fn identity(&self) -> CatalogIdentity {
        CatalogIdentity { name: self.catalog.name().into(), digest: self.catalog.digest() }
    }

    /// Returns the programs it is for that no built-in catalog knows.
    pub fn strangers(&self) -> impl Iterator<Item = &str> {
        let programs = self.catalog.programs().iter().map(String::as_str);
        programs.filter(|program| !Catalog::names(program))
    }

    /// Returns everything it judges lower than the built-in rules do.
    pub fn lowerings(&self) -> Vec<Lowering> {
        if self.weight == Weight::Raises {
            return Vec::new();
        }
        let from = iddio_core::tier::Tier::Sensitive;
        let commands = self.catalog.told();
        let lower = |program: &str| {
            let program = program.to_owned();
            commands.iter().filter(move |command| command.tier < from.number()).map(
                move |command| Lowering {
                    command: format!("{program} {}", command.path).trim_end().to_owned(),
                    from: from.number(),
                    to: command.tier,
                },
            )
        };
        self.strangers().flat_map(lower).collect()
    }
}
