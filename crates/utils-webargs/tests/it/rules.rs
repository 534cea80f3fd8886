//! The rules of `garde`, together with the faults of the types.
#![allow(dead_code, reason = "the types are there to be refused")]
use std::collections::HashMap;

use expect_test::{Expect, expect};
use garde::Validate;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use utils_webargs::{Fault, Problem, Reading, between, collect_valid, length_between, one_of};

#[track_caller]
fn check<T: DeserializeOwned + Validate<Context = ()>>(value: Value, expected: Expect) {
    let faults = match collect_valid::<T>(&value, Reading::Typed, &()) {
        Ok(_) => "ok".to_owned(),
        Err(faults) => {
            let lines = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.problem));
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    expected.assert_eq(&faults);
}

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Order {
    #[garde(length(min = 3, max = 5))]
    product_name: String,
    #[garde(custom(between(1, 10)))]
    amount: i32,
    #[garde(dive)]
    deliver_to: Address,
    #[garde(inner(length(chars, min = 2)))]
    tags: Vec<String>,
    #[garde(dive)]
    items: Vec<Item>,
    #[garde(custom(one_of(&["card", "cash"])))]
    paid_by: String,
    #[garde(required)]
    note: Option<String>,
}

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Address {
    #[garde(custom(length_between(5, 5)))]
    zip_code: String,
    #[garde(ascii, prefix("St"))]
    street: String,
}

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[garde(range(max = 9))]
    item_count: u8,
}

#[test]
fn a_good_value_passes() {
    check::<Order>(
        json!({"productName": "lamp", "amount": 2, "deliverTo": {"zipCode": "12345", "street": "Str."}, "tags": [],
            "items": [{"itemCount": 3}], "paidBy": "cash", "note": "x"}),
        expect!["ok"],
    );
}

#[test]
fn broken_rules_have_the_texts_of_webargs_and_the_names_of_the_wire() {
    check::<Order>(
        json!({"productName": "a", "amount": 0, "deliverTo": {"zipCode": "12", "street": "é"}, "tags": ["ok", "x"],
            "items": [{"itemCount": 3}, {"itemCount": 10}], "paidBy": "cheque", "note": null}),
        expect![[r#"
            amount: Must be between 1 and 10.
            deliverTo.street: Must be ASCII characters only.
            deliverTo.street: Must begin with "St".
            deliverTo.zipCode: Length must be 5.
            items[1].itemCount: Must be at most 9.
            note: Missing data for required field.
            paidBy: Not a valid choice.
            productName: Shorter than minimum length 3.
            tags[1]: Shorter than minimum length 2."#]],
    );
}

#[test]
fn rules_and_types_come_in_one_answer_and_what_could_not_be_read_is_not_judged() {
    check::<Order>(
        json!({"productName": 5, "amount": 99, "deliverTo": {"zipCode": "1"}, "tags": [1, "x"],
            "items": [{"itemCount": "x"}, {"itemCount": 10}], "note": "x"}),
        expect![[r#"
            amount: Must be between 1 and 10.
            deliverTo.street: Missing data for required field.
            deliverTo.zipCode: Length must be 5.
            items[0].itemCount: Not a valid integer.
            items[1].itemCount: Must be at most 9.
            paidBy: Missing data for required field.
            productName: Not a valid string.
            tags[0]: Not a valid string.
            tags[1]: Shorter than minimum length 2."#]],
    );
}

#[derive(Deserialize, Validate)]
#[garde(context(u32))]
struct Limited {
    #[garde(custom(|value: &u32, most: &u32| if value > most { Err(garde::Error::new("Too many.")) } else { Ok(()) }))]
    count: u32,
}

#[test]
fn a_context_reaches_the_rules() {
    assert!(collect_valid::<Limited>(&json!({"count": 5}), Reading::Typed, &5).is_ok());
    let faults = collect_valid::<Limited>(&json!({"count": 5}), Reading::Typed, &4).err().unwrap();
    assert_eq!(faults.messages()["count"], ["Too many."]);
}

#[derive(Deserialize, Validate)]
struct Flat {
    #[garde(range(min = 5))]
    count: u32,
    #[serde(flatten)]
    #[garde(skip)]
    rest: Rest,
}

#[derive(Deserialize)]
struct Rest {
    one: u32,
    two: u32,
}

#[test]
fn a_rule_never_judges_what_was_made_up() {
    check::<Flat>(json!({"count": 7, "one": "x", "two": 6}), expect!["one: Not a valid integer."]);
    // Of two faults that serde reports in the same words for the same place, one is found.
    check::<Flat>(json!({"count": 7, "one": "x", "two": "y"}), expect!["one: Not a valid integer."]);
}

#[derive(Debug, Deserialize, Validate)]
struct Lists {
    #[garde(inner(range(min = 5)))]
    #[serde(default)]
    numbers: Vec<u32>,
    #[garde(dive)]
    #[serde(default)]
    pairs: Vec<Pair>,
}

#[derive(Debug, Default, Deserialize, Validate)]
struct Pair {
    #[garde(range(min = 5))]
    one: u32,
    #[garde(range(min = 5))]
    two: u32,
}

#[test]
fn a_rule_that_is_broken_a_hundred_thousand_times_gives_fifty_faults() {
    let faults =
        collect_valid::<Lists>(&json!({"numbers": vec![1; 100_000]}), Reading::Typed, &()).unwrap_err();
    assert_eq!(faults.iter().count(), 50);
    assert_eq!(faults.iter().next().map(|fault| fault.path.as_str()), Some("numbers[0]"));
}

#[test]
fn rules_that_made_up_values_break_take_no_place_in_the_answer() {
    let pairs: Vec<Value> =
        (0..100).map(|index| if index < 30 { json!("x") } else { json!({"one": 1, "two": 1}) }).collect();
    let faults = collect_valid::<Lists>(&json!({"pairs": pairs}), Reading::Typed, &()).unwrap_err();
    let is_rule = |fault: &&Fault| matches!(fault.problem, Problem::Rule(_));
    assert_eq!((faults.iter().count(), faults.iter().filter(is_rule).count()), (50, 20));
}

#[test]
fn a_long_key_is_cut_where_a_rule_is_broken_below_it() {
    #[derive(Debug, Deserialize, Validate)]
    struct ByName {
        #[garde(dive)]
        pairs: HashMap<String, Pair>,
    }
    for key in ["k".repeat(100_000), "k.".repeat(50_000)] {
        let value = json!({"pairs": {key: {"one": 1, "two": 1}}});
        let faults = collect_valid::<ByName>(&value, Reading::Typed, &()).unwrap_err();
        assert_eq!(faults.iter().count(), 2);
        assert!(faults.iter().all(|fault| fault.path.starts_with("pairs.k") && fault.path.len() < 1_000));
    }
}
