//! The published facts that the tests compare with.

use serde_json::Value;

/// Returns one section of the vectors.
pub(crate) fn section(name: &str) -> Value {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/failover.json"));
    let mut all: Value = serde_json::from_str(text).expect("the vectors are valid JSON");
    all[name].take()
}

/// Returns the entries of a list, of which there is at least one.
pub(crate) fn list(value: &Value) -> &[Value] {
    let list = value.as_array().expect("a list");
    assert!(!list.is_empty(), "a table without rows proves nothing");
    list
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number from 0 up")
}
