use std::{borrow::Cow, collections::BTreeSet, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::{BorrowedStrDeserializer, MapAccessDeserializer},
    },
};

use super::Registered;
use crate::Sid;

/// What an authenticated payload says, before the policy is asked.
pub(crate) struct Read<C> {
    pub(crate) registered: Registered,
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Option<Vec<String>>,
    pub(crate) claims: C,
}

/// Reads the payload in one pass: our claims are peeled off, the rest streams into `C`.
pub(crate) fn read<C: DeserializeOwned>(json: &str, subject: &'static str) -> serde_json::Result<Read<C>> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let read = (&mut deserializer).deserialize_map(ClaimsVisitor { subject, claims: PhantomData })?;
    deserializer.end()?;
    Ok(read)
}

/// The names an application's claims may not use.
pub(crate) fn is_reserved(name: &str, subject: &str) -> bool {
    !matches!(Name::of(Cow::Borrowed(name), subject), Name::Other(_))
}

struct ClaimsVisitor<C> {
    subject: &'static str,
    claims: PhantomData<C>,
}

impl<'de, C: Deserialize<'de>> Visitor<'de> for ClaimsVisitor<C> {
    type Value = Read<C>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Read<C>, A::Error> {
        let mut peel = Peel { map, subject: self.subject, peeled: Peeled::default(), seen: Seen::default() };
        let claims = C::deserialize(MapAccessDeserializer::new(&mut peel))?;
        // a type that stops early must not hide a second `exp` behind it
        while let Some((IgnoredAny, IgnoredAny)) = peel.next_entry()? {}

        let peeled = peel.peeled;
        let missing = <A::Error as de::Error>::missing_field;
        Ok(Read {
            registered: Registered {
                session: peeled.session.ok_or_else(|| missing("rfid"))?,
                subject: peeled.subject.ok_or_else(|| missing(self.subject))?,
                issued_at: peeled.issued_at.ok_or_else(|| missing("iat"))?.0,
                expires_at: peeled.expires_at.ok_or_else(|| missing("exp"))?.0,
                not_before: peeled.not_before.map(|time| time.0),
                auth_time: peeled.auth_time.map(|time| time.0),
            },
            issuer: peeled.issuer,
            audience: peeled.audience.map(|audience| audience.0),
            claims,
        })
    }
}

#[derive(Default)]
struct Peeled {
    session: Option<Sid>,
    subject: Option<String>,
    issued_at: Option<NumericDate>,
    expires_at: Option<NumericDate>,
    not_before: Option<NumericDate>,
    auth_time: Option<NumericDate>,
    issuer: Option<String>,
    audience: Option<Audience>,
}

/// A map without our claims, which it keeps.
struct Peel<'de, A> {
    map: A,
    subject: &'static str,
    peeled: Peeled,
    seen: Seen<'de>,
}

impl<'de, A: MapAccess<'de>> Peel<'de, A> {
    fn keep<T: Deserialize<'de>>(
        map: &mut A,
        slot: &mut Option<T>,
        name: &'static str,
    ) -> Result<(), A::Error> {
        match slot.replace(map.next_value()?) {
            None => Ok(()),
            Some(_) => Err(de::Error::duplicate_field(name)),
        }
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Peel<'de, A> {
    type Error = A::Error;

    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        let Self { map, subject, peeled, seen } = self;
        while let Some(name) = map.next_key_seed(NameSeed { subject })? {
            match name {
                Name::Session => Self::keep(map, &mut peeled.session, "rfid")?,
                Name::Subject => Self::keep(map, &mut peeled.subject, subject)?,
                Name::IssuedAt => Self::keep(map, &mut peeled.issued_at, "iat")?,
                Name::ExpiresAt => Self::keep(map, &mut peeled.expires_at, "exp")?,
                Name::NotBefore => Self::keep(map, &mut peeled.not_before, "nbf")?,
                Name::AuthTime => Self::keep(map, &mut peeled.auth_time, "auth_time")?,
                Name::Issuer => Self::keep(map, &mut peeled.issuer, "iss")?,
                Name::Audience => Self::keep(map, &mut peeled.audience, "aud")?,
                Name::Other(name) => {
                    if !seen.insert(&name) {
                        return Err(de::Error::custom("a claim is there twice"));
                    }
                    return match name {
                        Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
                        Cow::Owned(name) => seed.deserialize(name.into_deserializer()),
                    }
                    .map(Some);
                }
            }
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// The application's claim names so far. RFC 7519 section 4 lets a reader refuse a name that is there twice; a type
/// like `serde_json::Value` would take the last one, and two readers could then see two different tokens.
#[derive(Default)]
pub(super) struct Seen<'de> {
    first: [&'de str; 16],
    used: usize,
    more: BTreeSet<String>,
}

impl<'de> Seen<'de> {
    #[expect(clippy::ptr_arg, reason = "whether the name is borrowed matters")]
    pub(super) fn insert(&mut self, name: &Cow<'de, str>) -> bool {
        if self.first[..self.used].contains(&&**name) || self.more.contains(&**name) {
            return false;
        }
        match name {
            Cow::Borrowed(name) if self.used < self.first.len() => {
                self.first[self.used] = name;
                self.used += 1;
            }
            _ => {
                self.more.insert(name.clone().into_owned());
            }
        }
        true
    }
}

pub(super) enum Name<'de> {
    Session,
    Subject,
    IssuedAt,
    ExpiresAt,
    NotBefore,
    AuthTime,
    Issuer,
    Audience,
    Other(Cow<'de, str>),
}

impl<'de> Name<'de> {
    fn of(name: Cow<'de, str>, subject: &str) -> Self {
        match &*name {
            "rfid" => Self::Session,
            "exp" => Self::ExpiresAt,
            "iat" => Self::IssuedAt,
            "nbf" => Self::NotBefore,
            "auth_time" => Self::AuthTime,
            "iss" => Self::Issuer,
            "aud" => Self::Audience,
            other if other == subject => Self::Subject,
            _ => Self::Other(name),
        }
    }

    pub(super) fn as_str<'a>(&'a self, subject: &'a str) -> &'a str {
        match self {
            Self::Session => "rfid",
            Self::Subject => subject,
            Self::IssuedAt => "iat",
            Self::ExpiresAt => "exp",
            Self::NotBefore => "nbf",
            Self::AuthTime => "auth_time",
            Self::Issuer => "iss",
            Self::Audience => "aud",
            Self::Other(name) => name,
        }
    }
}

pub(super) struct NameSeed<'a> {
    pub(super) subject: &'a str,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Name<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed<'_> {
    type Value = Name<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a claim")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name::of(Cow::Borrowed(name), self.subject))
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name::of(Cow::Owned(name.to_owned()), self.subject))
    }
}

/// Whole seconds since 1970. RFC 7519 section 2 allows fractions; nobody needs them and every reader rounds them
/// differently, so only non-negative integers are read.
struct NumericDate(i64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumericDateVisitor;

        impl Visitor<'_> for NumericDateVisitor {
            type Value = NumericDate;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("whole seconds since 1970")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<NumericDate, E> {
                i64::try_from(seconds).map(NumericDate).map_err(|_| E::custom("a time out of range"))
            }
        }
        deserializer.deserialize_u64(NumericDateVisitor)
    }
}

/// `aud` is one string or an array of strings, RFC 7519 section 4.1.3.
struct Audience(Vec<String>);

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AudienceVisitor;

        impl<'de> Visitor<'de> for AudienceVisitor {
            type Value = Audience;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string or an array of strings")
            }

            fn visit_str<E>(self, one: &str) -> Result<Audience, E> {
                Ok(Audience(vec![one.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Audience, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    all.push(one);
                }
                Ok(Audience(all))
            }
        }
        deserializer.deserialize_any(AudienceVisitor)
    }
}
