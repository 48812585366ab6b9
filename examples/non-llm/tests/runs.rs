//! The example runs, and says what its text promises.

use std::process::Command;

#[test]
fn the_example_runs_to_its_end() {
    let output = Command::new(env!("CARGO_BIN_EXE_non-llm")).output().expect("the example starts");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}{errors}");
    for line in [
        "colour: Ok(\"green, says c\")",
        "shape: Err(NoSuchKey)",
        "again: the rate limit is reached: reads of 2 requests in 60s, come back in Some(",
    ] {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
}
