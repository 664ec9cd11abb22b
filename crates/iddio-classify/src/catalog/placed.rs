//! A value with its place in the file it was read from.

use std::{fmt, marker::PhantomData, sync::Arc};

use serde::{Deserialize, Deserializer, de::Visitor};
use toml::Spanned;

/// A value that knows where it stands, if it was read from a file. Clones share it.
pub(crate) struct Placed<T> {
    value: Arc<T>,
    /// Its first byte; 0 if it was not read from a file.
    place: usize,
}

/// The name by which a reader knows that it is asked for a [`Placed`]: one that knows places takes
/// it for a newtype, one that does not for something that is there.
pub(super) const PLACED: &str = "iddio::Placed";

// === impl Placed ===

impl<T> Placed<T> {
    pub(crate) fn new(place: usize, value: T) -> Self {
        Self { value: Arc::new(value), place }
    }

    /// Returns the value.
    pub(crate) fn get_ref(&self) -> &T {
        &self.value
    }

    /// Returns where it stands.
    pub(crate) fn place(&self) -> usize {
        self.place
    }
}

impl<T> Clone for Placed<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), place: self.place }
    }
}

/// As the value itself: two readings of one value look the same.
impl<T: fmt::Debug> fmt::Debug for Placed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Placed<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_newtype_struct(PLACED, Reader(PhantomData))
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
    type Value = Placed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Placed<T>, D::Error> {
        let spanned = Spanned::<T>::deserialize(from)?;
        let place = spanned.span().start;
        Ok(Placed::new(place, spanned.into_inner()))
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Placed<T>, D::Error> {
        T::deserialize(from).map(|value| Placed::new(0, value))
    }
}
