#![no_main]

#[path = "../../crates/llm/tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::events(data));
