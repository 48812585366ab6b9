//! The command as a user runs it.
#![cfg(unix)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

const BINARY: &str = env!("CARGO_BIN_EXE_gateway");

/// A gateway that runs as a process, and is killed at the end of the test if it has not ended by then.
struct Process {
    child: Child,
    printed: String,
}

impl Process {
    /// Starts the demonstration and waits until it says where it listens, and how to heal a region.
    fn demo() -> Self {
        let mut command = Command::new(BINARY);
        command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the gateway starts");
        let mut lines = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let mut printed = String::new();
        while !printed.contains("curl -X DELETE") {
            assert_ne!(lines.read_line(&mut printed).expect("it is text"), 0, "it ended after {printed:?}");
        }
        Self { child, printed }
    }

    fn after(&self, word: &str) -> &str {
        let line = self.printed.lines().find_map(|line| line.strip_prefix(word));
        line.unwrap_or_else(|| panic!("{word:?} is not in {}", self.printed))
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.after("listening on http://")).expect("it listens")
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("kill is there").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn run(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).output().expect("the gateway starts")
}

fn write(stream: &mut TcpStream, body: &str) {
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close";
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).expect("it reads");
}

#[test]
fn with_nothing_configured_it_serves_and_says_how_to_use_it() {
    let process = Process::demo();
    for word in ["eastus         20 ms", "westeurope     60 ms", "swedencentral  80 ms", "curl -i http://127.0.0.1:"] {
        assert!(process.printed.contains(word), "{word:?} is not in {}", process.printed);
    }
    assert!(process.after("control: ").starts_with("http://127.0.0.1:"));

    let mut stream = process.connect();
    write(&mut stream, r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}"#);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers in text");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("x-served-by: eastus"), "{answer}");
}

#[test]
fn sigterm_lets_an_open_stream_finish_and_ends_cleanly() {
    for signal in ["-TERM", "-INT"] {
        let mut process = Process::demo();
        let mut stream = process.connect();
        write(&mut stream, r#"{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#);
        let mut begun = [0; 12];
        stream.read_exact(&mut begun).expect("the stream begins");
        process.signal(signal);
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("the stream ends");
        assert!(rest.contains("data: [DONE]"), "{signal} cut the stream: {rest}");
        assert!(process.child.wait().expect("it ends").success(), "{signal}");
    }
}

#[test]
fn check_tells_a_good_file_from_a_bad_one() {
    let folder = std::env::temp_dir();
    let file = |name: &str, text: &str| {
        let path = folder.join(format!("buttress-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a temporary file can be written");
        path.display().to_string()
    };
    let good = file("good.toml", "[[targets]]\nname = \"a\"\nurl = \"http://127.0.0.1:9/v1\"\ndialect = \"openai\"\n");
    let bad = file("bad.toml", "[[targets]]\nname = \"a\"\nurl = \"http://127.0.0.1:9/v1\"\ndialect = \"opnai\"\n");

    let (yes, no) = (run(&["--check", "--config", &good]), run(&["--check", "--config", &bad]));
    let said = String::from_utf8_lossy(&no.stderr).into_owned();
    [&good, &bad].into_iter().for_each(|path| std::fs::remove_file(path).expect("it is there"));

    assert!(yes.status.success(), "{yes:?}");
    assert!(!no.status.success() && said.contains(&format!("{bad}:4:11: targets[0].dialect: ")), "{said}");
}

#[test]
fn an_address_that_is_taken_is_told() {
    let process = Process::demo();
    let output = run(&["--listen", process.after("listening on http://")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("error: cannot listen on 127.0.0.1:"), "{said}");
}

/// Reads what is said on standard error until a line holds all of `words`.
fn said(lines: &mut BufReader<ChildStderr>, words: &[&str]) {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(lines.read_line(&mut line).expect("it is text"), 0, "{words:?} was not said, but {all}");
        if words.iter().all(|word| line.contains(word)) {
            return;
        }
        all += &line;
    }
}

#[test]
fn sighup_has_the_file_read_again_and_a_bad_edit_is_told_with_its_line() {
    let path = std::env::temp_dir().join(format!("buttress-{}-hangup.toml", std::process::id()));
    let write_file = |listen: &str, dialect: &str| {
        let target = format!("[[targets]]\nname = \"a\"\nurl = \"http://127.0.0.1:9/v1\"\ndialect = \"{dialect}\"\n");
        std::fs::write(&path, format!("listen = \"{listen}\"\n{target}")).expect("a temporary file can be written");
    };
    write_file("127.0.0.1:0", "openai");
    let mut command = Command::new(BINARY);
    command.arg("--config").arg(&path).env("RUST_LOG", "info").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the gateway starts");
    let mut out = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
    let mut err = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
    let mut printed = String::new();
    assert_ne!(out.read_line(&mut printed).expect("it is text"), 0, "it says where it listens");
    let process = Process { child, printed };
    // Until the handler is set, the signal would end the process.
    said(&mut err, &["the configuration is watched"]);

    process.signal("-HUP");
    said(&mut err, &["the configuration is taken over", "targets=1"]);
    write_file("127.0.0.1:0", "opnai");
    process.signal("-HUP");
    said(&mut err, &["the configuration is refused", "hangup.toml:5:11: targets[0].dialect: ", "`azure-v1`"]);
    process.connect();
    write_file("127.0.0.1:1", "openai");
    process.signal("-HUP");
    said(&mut err, &["needs a restart", "listen"]);
    process.connect();
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn what_the_cache_has_learned_is_written_when_it_stops() {
    let path = |name: &str| std::env::temp_dir().join(format!("buttress-{}-{name}", std::process::id()));
    let (file, learned) = (path("cache.toml"), path("learned.bin"));
    let cache =
        format!("[cache]\nmode = \"semantic\"\n[cache.semantic]\nstate_file = {:?}\n", learned.display().to_string());
    let target = "[[targets]]\nname = \"a\"\nurl = \"http://127.0.0.1:9/v1\"\ndialect = \"openai\"\n";
    std::fs::write(&file, format!("{cache}{target}")).expect("a temporary file can be written");
    let mut command = Command::new(BINARY);
    command.args(["--listen", "127.0.0.1:0", "--config"]).arg(&file).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the gateway starts");
    let mut printed = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
    assert_ne!(out.read_line(&mut printed).expect("it is text"), 0, "it says where it listens");
    let mut process = Process { child, printed };

    let mut stream = process.connect();
    let body = r#"{"model":"m","temperature":0,"messages":[{"role":"user","content":"How do I reset the password of my account?"}]}"#;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\nconnection: close";
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers in text");
    assert!(answer.starts_with("HTTP/1.1 50"), "no target is there: {answer}");
    process.signal("-TERM");
    assert!(process.child.wait().expect("it ends").success());
    let written = std::fs::read(&learned).expect("it is written");
    [&file, &learned].into_iter().for_each(|path| std::fs::remove_file(path).expect("it is there"));
    assert!(written.starts_with(b"buttress gateway, learned, 1\nlexical@1/512 same-text\n"), "{written:?}");
    let holds = |text: &str| written.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds("password"), "no text is in it");
}
