//! The binary, as it is run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "support/client.rs"]
mod client;

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use client::{CHAT, ask, get, post, send};
use serde_json::json;

/// Ends the program with the test, passed or not, and holds its output open until then.
struct Running(Child, #[expect(dead_code, reason = "kept open")] Lines<BufReader<ChildStdout>>);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_buttress-sim"));
    command.args(["--port", "0", "--control", "127.0.0.1:0"]).args(args);
    command
}

/// Starts it and reads the addresses of its two targets and its control endpoint.
fn start(args: &[&str]) -> (Running, [SocketAddr; 3]) {
    let mut child = command(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let addr = |line: String| {
        let url = line.split_once("http://").unwrap().1;
        url.split('/').next().unwrap().parse().unwrap()
    };
    let addrs: Vec<_> = lines.by_ref().take(3).map(|line| addr(line.unwrap())).collect();
    (Running(child, lines), addrs.try_into().unwrap())
}

fn output(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

#[tokio::test]
async fn it_starts_targets_and_a_control_endpoint() {
    let (_running, [east, west, control]) = start(&["--target", "east", "--target", "west:1ms"]);
    assert_eq!(post(east, CHAT, &ask()).await.status, 200);
    assert_eq!(post(west, CHAT, &ask()).await.header("openai-processing-ms"), Some("1"));
    let fault = r#"{"kind":"provider","error":"overloaded"}"#;
    assert_eq!(send(control, "PUT", "/control/targets/west/fault", &[], fault).await.status, 200);
    assert_eq!((post(east, CHAT, &ask()).await.status, post(west, CHAT, &ask()).await.status), (200, 503));
    let targets = get(control, "/control/targets").await.json();
    assert_eq!(targets["targets"][1]["stats"]["requests"], 2);
}

#[tokio::test]
async fn it_gives_each_target_its_profile() {
    let (_running, [first, second, _]) = start(&["--target", "a=groq", "--target", "b", "--profile", "mistral"]);
    assert_eq!(post(first, "/openai/v1/chat/completions", &ask()).await.header("x-ms-region"), None);
    assert_eq!(post(second, "/openai/v1/chat/completions", &ask()).await.header("x-ms-region"), Some("b"));
}

#[tokio::test]
async fn it_reads_scripts_in_json_and_toml() {
    let toml = "[[steps]]\nwhen = { nth = [1] }\nfault = { kind = \"status\", status = 500 }\n";
    let json = json!({"steps": [{"when": {"nth": [1]}, "fault": {"kind": "status", "status": 500}}]}).to_string();
    for (name, script) in [("script.toml", toml), ("script.json", &json)] {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::File::create(&path).unwrap().write_all(script.as_bytes()).unwrap();
        let args = ["--target", "a", "--target", "b", "--script", path.to_str().unwrap()];
        let (_running, [first, ..]) = start(&args);
        assert_eq!((post(first, CHAT, &ask()).await.status, post(first, CHAT, &ask()).await.status), (500, 200));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn it_ends_cleanly_when_told_to() {
    let (mut running, _) = start(&["--target", "a", "--target", "b"]);
    assert!(Command::new("kill").arg(running.0.id().to_string()).status().unwrap().success());
    assert!(running.0.wait().unwrap().success());
}

#[test]
fn it_refuses_what_it_should_not_do() {
    for (args, named) in [
        (&["--listen", "0.0.0.0"][..], "not a loopback address"),
        (&["--target", "a:20"], "us, ms or s"),
        (&["--length", "9-5"], "length"),
        (&["--script", "none.yaml"], "none.yaml"),
    ] {
        let output = output(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(named), "{error}");
    }
}
