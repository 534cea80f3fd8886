//! Decimals on the wire.
use serde::{Deserialize, Serialize};
use utils_restful::Exact;

#[derive(Debug, Serialize, Deserialize)]
struct Price {
    amount: Exact,
}

fn check(sent: &str, echoed: &str) {
    let price: Price = serde_json::from_str(&format!(r#"{{"amount":{sent}}}"#)).unwrap();
    assert_eq!(serde_json::to_string(&price).unwrap(), format!(r#"{{"amount":{echoed}}}"#));
}

#[test]
fn every_digit_comes_back() {
    for digits in
        ["1.10", "0", "-0.10", "100", "0.1234567890123456789012345678", "79228162514264337593543950335"]
    {
        check(digits, digits);
    }
}

#[test]
fn exponents_and_strings_are_read_as_well() {
    check("1e3", "1000");
    check("1.10E-1", "0.110");
    check(r#""1.10""#, "1.10");
}

#[test]
fn what_would_be_rounded_or_is_no_number_is_refused() {
    for sent in [
        "0.12345678901234567890123456789",
        "79228162514264337593543950336",
        "1e99",
        "true",
        "null",
        "[1]",
        r#""x""#,
        r#""""#,
    ] {
        let read = serde_json::from_str::<Price>(&format!(r#"{{"amount":{sent}}}"#));
        assert!(read.is_err(), "{sent} was read as {read:?}");
    }
}

#[test]
fn a_list_of_decimals_keeps_them_too() {
    let list: Vec<Exact> = serde_json::from_str("[1.0,2.00]").unwrap();
    assert_eq!(serde_json::to_string(&list).unwrap(), "[1.0,2.00]");
}
