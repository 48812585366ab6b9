//! The example runs, and says what its text promises.

use std::process::Command;

#[test]
fn the_example_runs_to_its_end() {
    let output = Command::new(env!("CARGO_BIN_EXE_axum-router")).output().expect("the example starts");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}{errors}");
    for line in [
        "a /time: 200 OK, by Some(\"two\")",
        "a /nothing: 404 Not Found",
        "a /health: 200 OK, by None",
        "a /time: 429 Too Many Requests, by None",
        "b /time: 200 OK, by Some(\"two\")",
    ] {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
}
