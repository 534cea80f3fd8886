//! Which faults the engine finds, for the shapes that serde can give a type.
#![allow(dead_code, reason = "the types are there to be refused")]
use std::{collections::HashMap, net::SocketAddr, num::NonZeroU32, time::Instant};

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use utils_webargs::{Problem, Reading, collect};

#[track_caller]
fn check_as<T: DeserializeOwned>(reading: Reading, value: Value, expected: Expect) {
    let faults = match collect::<T>(&value, reading) {
        Ok(_) => "ok".to_owned(),
        Err(faults) => {
            let lines = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.problem));
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    expected.assert_eq(&faults);
}

#[track_caller]
fn check<T: DeserializeOwned>(value: Value, expected: Expect) {
    // What serde_json takes we take, and the other way round.
    let by_serde = serde_json::from_value::<T>(value.clone());
    assert_eq!(by_serde.is_ok(), collect::<T>(&value, Reading::Typed).is_ok(), "{:?}", by_serde.err());
    check_as::<T>(Reading::Typed, value, expected);
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Everything {
    name: String,
    age: u8,
    born: chrono::NaiveDate,
    since: chrono::DateTime<chrono::Utc>,
    role: Role,
    address: Address,
    tags: Vec<String>,
    nick: Option<String>,
    #[serde(default)]
    admin: bool,
    balance: f64,
    at: SocketAddr,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Reader,
    Writer,
}

#[derive(Debug, Deserialize)]
struct Address {
    street: String,
    zip: String,
    geo: (f64, f64),
    note: Option<String>,
}

fn good() -> Value {
    json!({"name": "abc", "age": 30, "born": "2020-12-01", "since": "2020-01-01T00:00:00Z", "role": "reader",
        "address": {"street": "s", "zip": "12345", "geo": [1, 2]}, "tags": ["a"], "balance": 1.5, "at": "127.0.0.1:80"})
}

#[test]
fn a_good_value_has_no_fault() {
    check::<Everything>(good(), expect!["ok"]);
}

#[test]
fn every_missing_field_is_named_and_an_absent_object_by_its_fields() {
    check::<Everything>(
        json!({}),
        expect![[r#"
            address.geo: Missing data for required field.
            address.street: Missing data for required field.
            address.zip: Missing data for required field.
            age: Missing data for required field.
            at: Missing data for required field.
            balance: Missing data for required field.
            born: Missing data for required field.
            name: Missing data for required field.
            role: Missing data for required field.
            since: Missing data for required field.
            tags: Missing data for required field."#]],
    );
}

#[test]
fn every_wrong_field_is_named() {
    check::<Everything>(
        json!({"name": 1, "age": 300, "born": "2020-13-01", "since": "yesterday", "role": "king", "at": "here",
            "address": {"zip": null, "geo": [1], "street": "s"}, "tags": ["ok", 7, "x", null], "nick": 5,
            "admin": "no", "balance": "1.x", "extra": 1}),
        expect![[r#"
            address.geo: Length must be 2.
            address.zip: Field may not be null.
            admin: Not a valid boolean.
            age: Must be between 0 and 255.
            at: Not a valid socket address.
            balance: Not a valid number.
            born: Not a valid date.
            extra: Unknown field.
            name: Not a valid string.
            nick: Not a valid string.
            role: Not a valid choice.
            since: Not a valid datetime.
            tags[1]: Not a valid string.
            tags[3]: Field may not be null."#]],
    );
}

#[test]
fn a_value_of_another_shape_is_one_fault() {
    check::<Everything>(json!([1]), expect![": Invalid input type."]);
    check::<Everything>(json!(null), expect![": Field may not be null."]);
    check::<Vec<Address>>(json!({}), expect![": Not a valid list."]);
    check::<HashMap<String, u8>>(json!("x"), expect![": Not a valid mapping type."]);
    check::<Everything>(
        {
            let mut value = good();
            value["address"] = json!("Main Street");
            value["age"] = json!(5.9);
            value
        },
        expect![[r#"
            address: Invalid input type.
            age: Not a valid integer."#]],
    );
}

#[test]
fn the_choices_are_there_for_those_who_want_to_list_them() {
    let faults = collect::<Role>(&json!("king"), Reading::Typed).unwrap_err();
    assert_eq!(faults.iter().next().unwrap().problem, Problem::Choice(&["reader", "writer"]));
}

#[test]
fn integers_know_their_bounds() {
    type Numbers = (u8, i8, u32, i64, u64, NonZeroU32);
    check::<Numbers>(
        json!([-1, 128, 4_294_967_296_u64, 1e300, -5, 0]),
        expect![[r#"
            [0]: Must be between 0 and 255.
            [1]: Must be between -128 and 127.
            [2]: Must be between 0 and 4294967295.
            [3]: Not a valid integer.
            [4]: Must be at least 0.
            [5]: Must be a nonzero u32."#]],
    );
    check_as::<Numbers>(
        Reading::Settings,
        json!("256,-0,+7,9223372036854775808,99999999999999999999999999999999999999999,1"),
        expect![[r#"
            [0]: Must be between 0 and 255.
            [3]: Not a valid integer.
            [4]: Not a valid integer."#]],
    );
    assert_eq!(collect(&json!(u128::MAX.to_string()), Reading::Text), Ok(u128::MAX));
    check_as::<u128>(Reading::Text, json!("-1"), expect![": Must be at least 0."]);
}

#[derive(Debug, Deserialize)]
enum Event {
    Ping,
    Move(i32, i32),
    Say { text: String },
    Rename(String),
}

#[test]
fn the_variants_of_an_enum_are_read_with_their_content() {
    check::<Vec<Event>>(
        json!(["Ping", {"Ping": null}, {"Move": [1, 2]}, {"Say": {"text": "x"}}, {"Rename": "a"}]),
        expect!["ok"],
    );
    check::<Vec<Event>>(
        json!([{"Ping": 1}, {"Move": [1]}, {"Say": {}}, "Rename", {"Rename": 5}, "Jump", 7, {"a": 1, "b": 2}]),
        expect![[r#"
            [0]: Invalid value.
            [1]: Length must be 2.
            [2].text: Missing data for required field.
            [3]: Invalid input type.
            [4]: Not a valid string.
            [5]: Not a valid choice.
            [6]: Not a valid choice.
            [7]: Not a valid choice."#]],
    );
}

#[derive(Debug, Deserialize)]
struct Hidden {
    id: u8,
    #[serde(flatten)]
    place: Place,
    tagged: Tagged,
    untagged: Untagged,
}

#[derive(Debug, Deserialize)]
struct Place {
    x: u8,
    y: u8,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    Number { n: u8 },
    Nothing,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Truth(bool),
}

#[test]
fn what_serde_buffers_is_reported_as_far_as_serde_tells() {
    check::<Hidden>(
        json!({"id": 1, "x": 1, "y": 2, "tagged": {"type": "Nothing"}, "untagged": true}),
        expect!["ok"],
    );
    check::<Hidden>(
        json!({"tagged": {"type": "Text"}, "x": 1}),
        expect![[r#"
            id: Missing data for required field.
            tagged.type: Not a valid choice.
            untagged: Missing data for required field.
            y: Missing data for required field."#]],
    );
    check::<Hidden>(
        json!({"id": "x", "x": 1, "y": 2, "tagged": {"type": "Number", "n": "q"}, "untagged": "zz"}),
        expect![[r#"
            id: Not a valid integer.
            tagged.n: Not a valid integer.
            untagged: Invalid value."#]],
    );
    check::<Hidden>(
        json!({"id": "x", "x": 1000, "y": 2, "tagged": {"type": "Number"}, "untagged": true}),
        expect![[r#"
            id: Not a valid integer.
            tagged.n: Missing data for required field.
            x: Not a valid integer."#]],
    );
    check::<Hidden>(
        json!({"id": 1, "x": null, "y": "y", "tagged": {"type": "Nothing"}, "untagged": 5}),
        expect![[r#"
            x: Field may not be null."#]],
    );
}

#[test]
fn a_refused_key_of_a_map_is_named() {
    check::<HashMap<u8, bool>>(
        json!({"1": true, "x": true, "300": false, "2": 1}),
        expect![[r#"
            2: Not a valid boolean.
            300: Not a valid integer.
            x: Not a valid integer."#]],
    );
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Even(usize);

impl TryFrom<String> for Even {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len().is_multiple_of(2) {
            Ok(Self(text.len()))
        } else {
            Err("Must have an even length.".to_owned())
        }
    }
}

#[test]
fn a_type_that_refuses_speaks_for_itself_and_the_rest_is_still_read() {
    check::<Vec<Even>>(
        json!(["ab", "a", 5, "abc"]),
        expect![[r#"
            [1]: Must have an even length.
            [2]: Not a valid string.
            [3]: Must have an even length."#]],
    );
}

#[derive(Debug)]
struct Never;

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let _ = Value::deserialize(deserializer)?;
        Err(serde::de::Error::custom("Never."))
    }
}

#[derive(Debug, Deserialize)]
struct WithNever {
    a: u8,
    never: Never,
    z: u8,
}

#[test]
fn a_type_that_takes_no_stand_in_ends_the_search_with_what_was_found() {
    check::<Never>(json!(1), expect![": Never."]);
    check::<WithNever>(
        json!({"a": "x", "never": 1, "z": "x"}),
        expect![[r#"
            a: Not a valid integer.
            never: Never.
            z: Not a valid integer."#]],
    );
    check::<Vec<Never>>(json!([1]), expect!["[0]: Never."]);
}

#[test]
fn json_text_is_kept_as_it_is() {
    #[derive(Deserialize)]
    struct Raw {
        price: Box<RawValue>,
        count: u8,
    }
    let raw = collect::<Raw>(&json!({"price": "1.10", "count": "2"}), Reading::Text).unwrap();
    assert_eq!(raw.price.get(), "1.10");
    check::<Raw>(json!({"price": [1, "a"], "count": "x"}), expect!["count: Not a valid integer."]);
}

#[derive(Debug, Deserialize)]
struct Search {
    q: String,
    ids: Vec<u32>,
    page: u32,
    exact: Option<bool>,
    ratio: f32,
    letter: Option<char>,
}

#[test]
fn text_is_read_as_the_type_that_is_wanted() {
    check_as::<Search>(
        Reading::Text,
        json!({"q": ["first", "second"], "ids": ["1", "2"], "page": "+5", "exact": "T", "ratio": "1e3", "letter": "é"}),
        expect!["ok"],
    );
    check_as::<Search>(
        Reading::Text,
        json!({"q": "", "ids": "1", "page": ["1", "x"], "ratio": ".5"}),
        expect!["ok"],
    );
    check_as::<Search>(
        Reading::Text,
        json!({"q": "", "ids": ["1", "x", "1,2"], "page": "1_000", "exact": "yes", "ratio": "nan", "letter": "ab"}),
        expect![[r#"
            exact: Not a valid boolean.
            ids[1]: Not a valid integer.
            ids[2]: Not a valid integer.
            letter: Must be a character.
            page: Not a valid integer.
            ratio: Not a valid number."#]],
    );
    check_as::<Search>(
        Reading::Text,
        json!({"q": "", "ids": " 1", "page": "٣", "exact": "", "ratio": "1e39"}),
        expect![[r#"
            exact: Not a valid boolean.
            ids[0]: Not a valid integer.
            page: Not a valid integer.
            ratio: Not a valid number."#]],
    );
}

#[test]
fn settings_take_text_and_typed_values_lists_with_commas_and_empty_options() {
    let settings = json!({"q": "x", "ids": "1, 2,", "page": 5, "exact": "on", "ratio": "1", "letter": ""});
    let settings = collect::<Search>(&settings, Reading::Settings).unwrap();
    assert_eq!((settings.ids, settings.exact, settings.letter), (vec![1, 2], Some(true), None));
    check_as::<Search>(
        Reading::Settings,
        json!({"q": ["a"], "ids": "1,b", "page": "", "exact": "maybe", "ratio": true}),
        expect![[r#"
            exact: Not a valid boolean.
            ids[1]: Not a valid integer.
            page: Not a valid integer.
            q: Not a valid string.
            ratio: Not a valid number."#]],
    );
}

#[test]
fn the_work_is_bounded_whatever_the_value_is() {
    let started = Instant::now();
    let many: Vec<String> = (0..40_000).map(|number| format!("not-a-date-{number}")).collect();
    let faults = collect::<Vec<chrono::NaiveDate>>(&json!(many), Reading::Typed).unwrap_err();
    assert!((1..=50).contains(&faults.iter().count()));

    let long_key = "k".repeat(100_000);
    let zeros = vec![0; 100_000];
    let value = json!({ long_key: zeros });
    let faults = collect::<HashMap<String, Vec<String>>>(&value, Reading::Typed).unwrap_err();
    assert!(faults.iter().count() <= 50);
    assert!(faults.iter().all(|fault| fault.path.len() < 100), "a key is cut where it is shown");

    let long_text = json!([["a".repeat(2_000_000)], "x", "y", "z"]);
    assert!(collect::<(Vec<String>, bool, chrono::NaiveDate, u8)>(&long_text, Reading::Typed).is_err());
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

/// JSON that hits the types above often: their names, and values that are nearly right.
fn nearly_right() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..400).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "x",
            "5",
            "reader",
            "Ping",
            "Number",
            "2020-12-01",
            "127.0.0.1:80",
            "Rename"
        ])
        .prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "name", "id", "x", "y", "n", "type", "tagged", "untagged", "Move", "Say", "text", "Rename", "1",
        "300", "street", "zip", "geo", "a", "Number",
    ]);
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|object| Value::Object(object.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_value_has_faults_exactly_when_serde_refuses_it(value in nearly_right()) {
        fn agree<T: DeserializeOwned>(value: &Value) -> Result<(), TestCaseError> {
            let by_serde = serde_json::from_value::<T>(value.clone());
            let by_us = collect::<T>(value, Reading::Typed);
            // serde takes the list of its fields for a struct, which nobody means to send.
            let is_list = by_us.as_ref().is_err_and(|faults| faults.iter().any(|fault| fault.problem == Problem::NotAnObject));
            prop_assert!(by_serde.is_ok() == by_us.is_ok() || is_list, "{:?} {:?}", by_serde.err(), by_us.err());
            Ok(())
        }
        agree::<Address>(&value)?;
        agree::<Event>(&value)?;
        agree::<Vec<Event>>(&value)?;
        agree::<Hidden>(&value)?;
        agree::<Place>(&value)?;
        agree::<Tagged>(&value)?;
        agree::<Untagged>(&value)?;
        agree::<HashMap<u8, Option<Untagged>>>(&value)?;
        agree::<HashMap<String, (u8, Role)>>(&value)?;
        agree::<Option<Vec<char>>>(&value)?;
        agree::<Vec<()>>(&value)?;
    }
}
