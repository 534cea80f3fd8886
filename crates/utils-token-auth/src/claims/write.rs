use std::fmt;

use serde::{
    Deserializer, Serialize, Serializer,
    de::{IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap,
};

use super::{
    Registered,
    read::{Name, NameSeed, Seen},
};

/// Why there is no payload.
pub(crate) enum WriteError {
    NotAnObject,
    Taken(String),
    Json(serde_json::Error),
}

impl From<serde_json::Error> for WriteError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

/// The payload of a new token: our claims, then the application's.
pub(crate) fn write<C: Serialize>(
    registered: &Registered,
    subject: &str,
    issuer: Option<&str>,
    audience: Option<&str>,
    claims: &C,
) -> Result<Vec<u8>, WriteError> {
    let theirs = serde_json::to_string(claims)?;
    let members = theirs.strip_prefix('{').ok_or(WriteError::NotAnObject)?;
    if let Some(taken) =
        serde_json::Deserializer::from_str(&theirs).deserialize_map(FirstTaken { subject })?
    {
        return Err(WriteError::Taken(taken));
    }

    let mut json = Vec::with_capacity(192 + theirs.len());
    let mut serializer = serde_json::Serializer::new(&mut json);
    let mut ours = serializer.serialize_map(None)?;
    ours.serialize_entry("rfid", &registered.session)?;
    ours.serialize_entry(subject, &registered.subject)?;
    ours.serialize_entry("exp", &registered.expires_at)?;
    ours.serialize_entry("iat", &registered.issued_at)?;
    for (name, time) in [("nbf", registered.not_before), ("auth_time", registered.auth_time)] {
        if let Some(time) = time {
            ours.serialize_entry(name, &time)?;
        }
    }
    for (name, text) in [("iss", issuer), ("aud", audience)] {
        if let Some(text) = text {
            ours.serialize_entry(name, text)?;
        }
    }
    // left open: their members follow, with the brace that ends them
    if members != "}" {
        json.push(b',');
    }
    json.extend_from_slice(members.as_bytes());
    Ok(json)
}

/// The names of an object's members, twice where they are there twice.
pub(crate) fn member_names(json: &str) -> serde_json::Result<Vec<String>> {
    struct Names;

    impl<'de> Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
            let mut names = Vec::new();
            while let Some((name, IgnoredAny)) = map.next_entry()? {
                names.push(name);
            }
            Ok(names)
        }
    }

    serde_json::Deserializer::from_str(json).deserialize_map(Names)
}

/// The first name of an object that is ours, or there twice.
struct FirstTaken<'a> {
    subject: &'a str,
}

impl<'de> Visitor<'de> for FirstTaken<'_> {
    type Value = Option<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut seen = Seen::default();
        let mut taken = None;
        while let Some(name) = map.next_key_seed(NameSeed { subject: self.subject })? {
            let IgnoredAny = map.next_value()?;
            match name {
                Name::Other(name) if seen.insert(&name) => {}
                name => taken = taken.or_else(|| Some(name.as_str(self.subject).to_owned())),
            }
        }
        Ok(taken)
    }
}
