use std::cell::RefCell;

use serde::de::{self, Deserializer, IgnoredAny, Visitor};
use serde_json::{Number, Value};

use super::{
    fixes::{Fix, Fixes, MADE_UP, STRINGS},
    path::{Path, Step},
    problem::Problem,
    reading::Reading,
    refusal::Refusal,
};

/// serde_json's mark for a value that is kept as text.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// What the value was read as, as far as somebody may want to know.
pub(super) enum Seen {
    Struct(&'static [&'static str]),
    Newtype(&'static str),
    /// A type that takes whatever is there, or that serde buffers.
    Untyped,
}

type OnType<'a> = dyn Fn(&Path<'_>, Seen) + 'a;

/// One pass over the value: what it was told, and what it found.
pub(super) struct Pass<'a> {
    pub(super) reading: Reading,
    pub(super) limit: usize,
    pub(super) found: RefCell<Vec<(Vec<Step>, Problem)>>,
    /// Reads the fields that stopped an earlier pass after the others, so that this one sees everything else first.
    pub(super) troubled_last: bool,
    /// Told the path of each struct and newtype, where somebody wants to know.
    pub(super) on_type: Option<&'a OnType<'a>>,
}

impl Pass<'_> {
    pub(super) fn add(&self, path: &Path<'_>, problem: Problem) {
        let mut found = self.found.borrow_mut();
        if found.len() < self.limit {
            found.push((path.steps(), problem));
        }
    }
}

/// A deserializer that notes a value of the wrong type, as far as serde's hints tell, and goes on with a stand-in.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    /// `None` below a stand-in: whatever is asked for is made up, and no fault is noted.
    pub(super) value: Option<&'a Value>,
    pub(super) path: &'a Path<'a>,
    pub(super) fixes: Option<&'a Fixes>,
    pub(super) pass: &'a Pass<'a>,
}

impl<'a> Reader<'a> {
    fn fix(&self) -> Option<Fix> {
        self.fixes.and_then(|fixes| fixes.here)
    }

    /// The value to read; `None` for a stand-in.
    pub(super) fn given(&self) -> Option<&'a Value> {
        match self.fix() {
            Some(Fix::Absent | Fix::StandIn(_) | Fix::Name(_)) => None,
            Some(Fix::LeftOut) | None => self.value,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        self.fix() == Some(Fix::Absent)
    }

    /// As `given`, for types that are one value: of a repeated text the first.
    pub(super) fn scalar(&self) -> Option<&'a Value> {
        match self.given() {
            Some(Value::Array(items)) if self.pass.reading == Reading::Text => items.first().or(self.value),
            given => given,
        }
    }

    /// Which stand-in to use.
    pub(super) fn candidate(&self) -> usize {
        match self.fix() {
            Some(Fix::StandIn(index)) => index,
            _ => 0,
        }
    }

    fn stand_in_text(&self) -> &'a str {
        match self.fix() {
            Some(Fix::Name(name)) => name,
            _ => STRINGS.get(self.candidate()).copied().unwrap_or(""),
        }
    }

    pub(super) fn wrong(&self, problem: Problem) {
        let is_null = matches!(self.given(), Some(Value::Null));
        self.pass.add(self.path, if is_null { Problem::Null } else { problem });
    }

    /// The whole number that is given, or the stand-in.
    fn integer(&self, min: i128, max: i128) -> i128 {
        let stand_in = || i128::try_from(self.candidate()).unwrap_or(0);
        let Some(given) = self.scalar() else { return stand_in() };
        let number = match given {
            Value::Number(number) => {
                number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
            }
            Value::String(text) if self.pass.reading.reads_text() => text.parse::<i128>().ok(),
            _ => None,
        };
        match number {
            Some(number) if (min..=max).contains(&number) => return number,
            Some(number) => self.wrong(out_of_range(number, min, max)),
            None => self.wrong(Problem::Type("integer")),
        }
        stand_in()
    }

    fn float(&self, is_finite: impl Fn(f64) -> bool) -> f64 {
        let number = match self.scalar() {
            None => return 0.0,
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) if self.pass.reading.reads_text() => {
                text.parse().ok().filter(|number| is_finite(*number))
            }
            Some(_) => None,
        };
        if number.is_none() {
            self.wrong(Problem::Type("number"));
        }
        number.unwrap_or(0.0)
    }

    /// For a type that takes what comes.
    fn made_up<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Refusal> {
        if let Some(Fix::Name(name)) = self.fix() {
            return visitor.visit_str(name);
        }
        self.made_up_value().deserialize_any(visitor).map_err(de::Error::custom)
    }

    fn made_up_value(&self) -> Value {
        match MADE_UP.get(self.candidate()) {
            Some(json) => serde_json::from_str(json).unwrap_or_default(),
            None => Value::from(STRINGS.get(self.candidate() - MADE_UP.len()).copied().unwrap_or("")),
        }
    }
}

/// The range is worth telling for the small types. Nobody thinks in the bounds of 64 bits.
fn out_of_range(number: i128, min: i128, max: i128) -> Problem {
    if max <= i128::from(u32::MAX) {
        Problem::Range { min: Some(min), max: Some(max) }
    } else if min == 0 && number < 0 {
        Problem::Range { min: Some(0), max: None }
    } else {
        Problem::Type("integer")
    }
}

macro_rules! integers {
    ($($deserialize:ident $visit:ident $integer:ty),+) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            let number = self.integer(i128::from(<$integer>::MIN), i128::from(<$integer>::MAX));
            visitor.$visit(<$integer>::try_from(number).unwrap_or_default()).map_err(|refusal: Refusal| refusal.at(self.path))
        }
    )+};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Refusal;

    integers!(
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64
    );

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let number = match self.scalar() {
            // Beyond i128: only text can hold it.
            Some(Value::String(text)) if self.pass.reading.reads_text() => text.parse().ok(),
            _ => None,
        };
        let number = number.unwrap_or_else(|| u128::try_from(self.integer(0, i128::MAX)).unwrap_or_default());
        visitor.visit_u128(number).map_err(|refusal: Refusal| refusal.at(self.path))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let number = self.float(|number| number.abs() <= f64::from(f32::MAX));
        visitor.visit_f64(number).map_err(|refusal: Refusal| refusal.at(self.path))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_f64(self.float(f64::is_finite)).map_err(|refusal: Refusal| refusal.at(self.path))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let truth = match self.scalar() {
            None => Some(false),
            Some(Value::Bool(truth)) => Some(*truth),
            Some(Value::String(text)) if self.pass.reading.reads_text() => self.pass.reading.truth(text),
            Some(_) => None,
        };
        if truth.is_none() {
            self.wrong(Problem::Type("boolean"));
        }
        visitor.visit_bool(truth.unwrap_or(false)).map_err(|refusal: Refusal| refusal.at(self.path))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let text = match self.scalar() {
            Some(Value::String(text)) => text,
            Some(_) => {
                self.wrong(Problem::Type("string"));
                self.stand_in_text()
            }
            None => self.stand_in_text(),
        };
        let expected = Expectation(&visitor).to_string();
        visitor.visit_str(text).map_err(|refusal: Refusal| refusal.of_string(&expected).at(self.path))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.scalar() {
            None => visitor.visit_char('a'),
            Some(_) => return self.deserialize_str(visitor),
        }
        .map_err(|refusal: Refusal| refusal.at(self.path))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.given() {
            None | Some(Value::Null) => visitor.visit_none(),
            Some(Value::String(text)) if text.is_empty() && self.pass.reading == Reading::Settings => {
                visitor.visit_none()
            }
            Some(_) => visitor.visit_some(self),
        }
        .map_err(|refusal: Refusal| refusal.at(self.path))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if !matches!(self.given(), None | Some(Value::Null)) {
            self.wrong(Problem::Invalid);
        }
        visitor.visit_unit().map_err(|refusal: Refusal| refusal.at(self.path))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        if name == RAW_VALUE {
            return self.raw(visitor).map_err(|refusal| refusal.at(self.path));
        }
        if let Some(on_type) = self.pass.on_type {
            on_type(self.path, Seen::Newtype(name));
        }
        visitor.visit_newtype_struct(self).map_err(|refusal| refusal.at(self.path))
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if let Some(on_type) = self.pass.on_type {
            on_type(self.path, Seen::Untyped);
        }
        match self.given() {
            None => self.made_up(visitor),
            Some(Value::Null) => visitor.visit_unit(),
            Some(Value::Bool(truth)) => visitor.visit_bool(*truth),
            Some(Value::Number(number)) => visit_number(number, visitor),
            Some(Value::String(text)) => visitor.visit_str(text),
            Some(Value::Array(_)) => return self.list(None, visitor),
            Some(Value::Object(_)) => return self.object(&[], visitor),
        }
        .map_err(|refusal: Refusal| refusal.at(self.path))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.list(None, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.list(Some(length), visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.list(Some(length), visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.object(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        if let Some(on_type) = self.pass.on_type {
            on_type(self.path, Seen::Struct(fields));
        }
        self.object(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.variant(names, visitor)
    }

    serde::forward_to_deserialize_any! { bytes byte_buf }
}

impl Reader<'_> {
    /// A value that its type wants as JSON text: serde_json knows how to hand it over.
    fn raw<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Refusal> {
        let value = match self.scalar() {
            // As it is written, so that `1.10` keeps its zero.
            Some(Value::String(text)) if self.pass.reading.reads_text() && is_json(text) => {
                let mut text = serde_json::Deserializer::from_reader(text.as_bytes());
                return text.deserialize_newtype_struct(RAW_VALUE, visitor).map_err(de::Error::custom);
            }
            Some(given) => given.clone(),
            None => self.made_up_value(),
        };
        value.deserialize_newtype_struct(RAW_VALUE, visitor).map_err(de::Error::custom)
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

struct Expectation<'a, V>(&'a V);

impl<'de, V: Visitor<'de>> std::fmt::Display for Expectation<'_, V> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(formatter)
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Refusal> {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(number), _, _) => visitor.visit_u64(number),
        (None, Some(number), _) => visitor.visit_i64(number),
        (None, None, number) => visitor.visit_f64(number.unwrap_or(0.0)),
    }
}
