use serde::de::{DeserializeSeed, EnumAccess, VariantAccess, Visitor};
use serde_json::Value;

use super::{
    key::Key,
    problem::Problem,
    reader::{Reader, Seen},
    refusal::Refusal,
};

impl Reader<'_> {
    /// One of these variants: its name, or an object with the name as the only key and the content as its value.
    pub(super) fn variant<'de, V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let known = |name: &str| names.iter().find(|known| **known == name).copied();
        let chosen = match self.scalar() {
            Some(Value::String(name)) => known(name).map(|name| (name, Content::None)),
            Some(Value::Object(object)) if object.len() == 1 => {
                let mut entries = object.iter();
                entries.next().and_then(|(name, value)| Some((known(name)?, Content::Given(value))))
            }
            Some(_) | None => None,
        };
        if chosen.is_none() && self.given().is_some() {
            self.wrong(Problem::Choice(names));
        }
        if let Some(on_type) = self.pass.on_type
            && matches!(chosen, Some((_, Content::Given(_))))
        {
            // The paths of what is in it leave the variant out.
            on_type(self.path, Seen::Untyped);
        }
        let stand_in = || names.get(self.candidate()).or(names.first()).copied().unwrap_or("");
        let (name, content) = chosen.unwrap_or_else(|| (stand_in(), Content::MadeUp));
        visitor
            .visit_enum(Variant { name, content, reader: self })
            .map_err(|refusal: Refusal| refusal.at(self.path))
    }
}

/// What a variant has beside its name.
enum Content<'a> {
    None,
    Given(&'a Value),
    MadeUp,
}

struct Variant<'a> {
    name: &'static str,
    content: Content<'a>,
    reader: Reader<'a>,
}

impl<'a> Variant<'a> {
    /// The reader of the content; there must be one.
    fn content(&self) -> Reader<'a> {
        let value = match self.content {
            Content::Given(value) => Some(value),
            Content::MadeUp => None,
            Content::None => {
                self.reader.wrong(Problem::NotAnObject);
                None
            }
        };
        Reader { value, ..self.reader }
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Refusal;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Refusal> {
        Ok((seed.deserialize(Key(self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        if let Content::Given(value) = self.content
            && !value.is_null()
        {
            self.reader.wrong(Problem::Invalid);
        }
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Refusal> {
        seed.deserialize(self.content())
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.content().list(Some(length), visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.content().object(fields, visitor)
    }
}
