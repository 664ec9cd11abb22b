//! The values of a TOML file as `build.rs` packs them, read by serde.
//!
//! Reading the TOML of a large catalog takes milliseconds, and the first judgement of a tool should
//! take none. So the built-in catalogs are parsed when the crate is built; what is left to do is to
//! make a [`super::format::Tool`] of what was parsed. A value is a tag, then what belongs to it;
//! numbers and lengths are in seven-bit groups, the least first.
//!
//! It says nothing about places in the file, and checks nothing that the TOML reader has checked:
//! a test holds every packed catalog against its source.

use std::str;

use serde::{
    Deserialize, Deserializer,
    de::{
        self, DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected,
        VariantAccess, Visitor,
        value::{BorrowedStrDeserializer, Error},
    },
    forward_to_deserialize_any,
};

use super::placed::PLACED;

/// Reads a value that stands alone.
pub(crate) fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let mut packed = Packed { rest: bytes };
    let value = T::deserialize(&mut packed)?;
    match packed.rest {
        [] => Ok(value),
        _ => Err(Error::custom("bytes behind the value")),
    }
}

/// What is left to read.
struct Packed<'de> {
    rest: &'de [u8],
}

/// The values of an array, or the entries of a table.
struct Items<'p, 'de> {
    packed: &'p mut Packed<'de>,
    left: usize,
}

/// The one entry of a table that stands for a variant.
struct Variant<'p, 'de> {
    packed: &'p mut Packed<'de>,
}

// === impl Packed ===

impl<'de> Packed<'de> {
    fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.rest.split_first().ok_or_else(ended)?;
        self.rest = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, Error> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Error::custom("a number that does not end"))
    }

    fn length(&mut self) -> Result<usize, Error> {
        usize::try_from(self.number()?).map_err(|_| ended())
    }

    fn text(&mut self) -> Result<&'de str, Error> {
        let length = self.length()?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or_else(ended)?;
        self.rest = rest;
        str::from_utf8(text).map_err(|_| Error::custom("a text that is not UTF-8"))
    }
}

impl<'de> Deserializer<'de> for &mut Packed<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.byte()? {
            FALSE => visitor.visit_bool(false),
            TRUE => visitor.visit_bool(true),
            NUMBER => visitor.visit_u64(self.number()?),
            TEXT => visitor.visit_borrowed_str(self.text()?),
            ARRAY => {
                let left = self.length()?;
                visitor.visit_seq(Items { packed: self, left })
            }
            TABLE => {
                let left = self.length()?;
                visitor.visit_map(Items { packed: self, left })
            }
            tag => Err(Error::invalid_value(Unexpected::Unsigned(tag.into()), &"a tag")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    /// What may know its place does not know it here.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match name {
            PLACED => visitor.visit_some(self),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.byte()? {
            TEXT => visitor.visit_enum(BorrowedStrDeserializer::new(self.text()?)),
            TABLE if self.length()? == 1 => visitor.visit_enum(Variant { packed: self }),
            tag => Err(Error::invalid_value(Unexpected::Unsigned(tag.into()), &"a variant")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.packed).map(Some)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let key = BorrowedStrDeserializer::<Error>::new(self.packed.text()?);
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.packed)
    }
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let key: BorrowedStrDeserializer<'de, Error> =
            BorrowedStrDeserializer::new(self.packed.text()?);
        Ok((seed.deserialize(key)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Err(de::Error::invalid_type(Unexpected::NewtypeVariant, &"a variant without a value"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.packed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.packed.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.packed.deserialize_any(visitor)
    }
}

fn ended() -> Error {
    Error::custom("the bytes end in the middle")
}

// The tags, as `build.rs` writes them.
const FALSE: u8 = 0;
const TRUE: u8 = 1;
const NUMBER: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const TABLE: u8 = 5;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::catalog::{BUILT_IN, Catalog};

    #[test]
    fn every_packed_catalog_is_what_its_source_says() {
        let mut tables = 0;
        for built_in in &BUILT_IN {
            let mut read = Catalog::parse(built_in.source)
                .unwrap_or_else(|error| panic!("{}.toml:{error}", built_in.name));
            let packed = built_in.catalog.as_ref().unwrap();
            assert_eq!(read.digest, packed.digest, "{}", built_in.name);
            tables += usize::from(read.tool.values.operations.is_some());
            assert!(!packed.examples().is_empty(), "{}", built_in.name);
            read.tool.example.clear();
            assert_eq!(format!("{read:?}"), format!("{packed:?}"), "{}", built_in.name);
        }
        assert!(0 < tables);
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_an_error() {
        let packed = [5, 2, 1, b'a', 2, 0x80, 1, 1, b'b', 3, 2, b'x', b'y'];
        let read = super::read::<BTreeMap<String, toml::Value>>(&packed).unwrap();
        assert_eq!(read.get("a"), Some(&toml::Value::Integer(128)));
        assert_eq!(read.get("b"), Some(&toml::Value::String("xy".to_owned())));
        for length in 0..packed.len() {
            let cut = super::read::<BTreeMap<String, toml::Value>>(&packed[..length]);
            assert!(cut.is_err(), "{length}");
        }
        let longer = [packed.as_slice(), &[1]].concat();
        assert!(super::read::<BTreeMap<String, toml::Value>>(&longer).is_err());
        assert!(super::read::<BTreeMap<String, toml::Value>>(&[6]).is_err());
    }
}
