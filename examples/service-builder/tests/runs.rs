//! The example runs, and says what its text promises.

use std::process::Command;

#[test]
fn the_example_runs_to_its_end() {
    let output = Command::new(env!("CARGO_BIN_EXE_service-builder")).output().expect("the example starts");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}{errors}");
    for line in [
        "azure None: 200 OK from azure-eastus, model my-deployment",
        "azure Some(Refuse): 200 OK from openai, model gpt-4o-mini",
        "azure Some(ErrorEvent { after: 1, error: None }): 200 OK from openai, model gpt-4o-mini",
    ] {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
}
