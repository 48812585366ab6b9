//! A client that shows what was on the wire: bytes, how they ended, and nothing made of them.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// The body without its chunk frames.
    pub(crate) body: Vec<u8>,
    /// Whether the message ended as HTTP wants it.
    pub(crate) whole: bool,
    /// What reading ended with, if not with the end of the stream.
    pub(crate) error: Option<io::ErrorKind>,
}

impl Answer {
    fn parse(bytes: &[u8], error: Option<io::ErrorKind>) -> Option<Self> {
        let split = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = lines.filter_map(header).collect();
        let mut answer = Self { status, headers, body: bytes[split + 4..].to_vec(), whole: false, error };
        if answer.header("transfer-encoding") == Some("chunked") {
            (answer.body, answer.whole) = unchunk(&answer.body);
        } else {
            let length: usize = answer.header("content-length").and_then(|length| length.parse().ok())?;
            answer.whole = answer.body.len() == length;
        }
        Some(answer)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The data of each event.
    pub(crate) fn events(&self) -> Vec<String> {
        let text = self.text();
        let data = |event: &str| event.strip_prefix("data: ").unwrap().to_owned();
        text.split_terminator("\n\n").map(data).collect()
    }

    /// The events that are JSON.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        self.events().iter().filter_map(|event| serde_json::from_str(event).ok()).collect()
    }

    /// The text of a stream.
    pub(crate) fn streamed(&self) -> String {
        let content = |chunk: &Value| chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned();
        self.chunks().iter().map(content).collect()
    }
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..line]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let (Some(size), data) = (size, &rest[line + 2..]) else { break };
        if size == 0 {
            return (body, true);
        }
        if data.len() < size + 2 {
            body.extend_from_slice(&data[..data.len().min(size)]);
            break;
        }
        body.extend_from_slice(&data[..size]);
        rest = &data[size + 2..];
    }
    (body, false)
}

/// Sends one request on a connection of its own.
pub(crate) async fn open(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads until the connection ends. `None`: no answer came.
pub(crate) async fn read(mut stream: TcpStream) -> (Option<Answer>, Option<io::ErrorKind>) {
    let mut bytes = Vec::new();
    let error = loop {
        match stream.read_buf(&mut bytes).await {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) => break Some(error.kind()),
        }
    };
    (Answer::parse(&bytes, error), error)
}

/// Reads until `text` has come, and leaves the connection open.
pub(crate) async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(text) {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "ended before {text:?}");
    }
    String::from_utf8(bytes).unwrap()
}

pub(crate) async fn send(addr: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    read(open(addr, method, path, headers, body).await).await.0.expect("an answer")
}

pub(crate) async fn get(addr: SocketAddr, path: &str) -> Answer {
    send(addr, "GET", path, &[], "").await
}

pub(crate) async fn post(addr: SocketAddr, path: &str, body: &Value) -> Answer {
    send(addr, "POST", path, &[], &body.to_string()).await
}

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const AZURE: &str = "/openai/deployments/chat/chat/completions?api-version=2024-10-21";

pub(crate) fn ask() -> Value {
    json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello there"}]})
}

pub(crate) fn ask_stream() -> Value {
    let mut ask = ask();
    ask["stream"] = true.into();
    ask
}
