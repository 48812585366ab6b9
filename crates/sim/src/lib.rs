//! Simulates an LLM provider on a real socket, with faults to be switched on, so that clients can be tested against it.
//!
//! # What it does
//!
//! 1. One [`Simulator`] is one target: a port that speaks every dialect below, with the ids, headers, usage, streams and
//!    errors of each. The path decides the dialect, the [`Profile`] decides who answers under the paths of OpenAI's API.
//! 2. The time to first token, the gap between tokens and the length of an answer are set in the [`Builder`]. A stream sends
//!    its headers and its role chunk at once, and its first word at the time to first token.
//! 3. All that is random comes from the seed: equal seeds, names and requests in equal order give equal bytes, on
//!    every platform. Only `created` and the `date` header follow the clock; [`Builder::created`] fixes the former. The vector of
//!    an embedding depends on its input alone.
//! 4. A [`Fault`] means the same in every dialect, in the dialect's own words. It hits every request while it is switched on with [`Simulator::set_fault`], or the requests that a [`Script`]
//!    picks. One that is switched on goes before the script. Faults happen on the socket: a refused connection is refused by
//!    the kernel, a reset is a TCP reset, a truncated message misses its end.
//! 5. [`Limits`] are enforced per minute with an estimate at admission: the prompt, at four bytes a token, and the most
//!    tokens the answer may have. What is over gets 429 with the hints of the dialect.
//! 6. [`Stats`] tell what became of every request, what it asked for, how many streams are open and how many bytes left; a client that goes away is seen at once, also while nothing is sent.
//! 7. [`Control`] and [`ControlServer`] switch faults over HTTP, on a port that no fault touches.
//!
//! The `buttress-sim` binary (feature `cli`) does all this from the command line.
//!
//! # Dialects
//!
//! | Dialect | Paths | A stream |
//! |---|---|---|
//! | OpenAI | `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/models` | role chunk, words, finish reason, usage if asked for, `[DONE]`; padding with `include_obfuscation` |
//! | OpenAI Responses | `/v1/responses` | `response.created` to `response.completed`, numbered, with `event:` names |
//! | Azure OpenAI | `/openai/deployments/{deployment}/…?api-version=…`, `/openai/v1/…` | as OpenAI, after a chunk with `prompt_filter_results` |
//! | Anthropic | `/v1/messages`, `/v1/messages/count_tokens` | `message_start`, `content_block_start`, `ping`, deltas, `content_block_stop`, `message_delta`, `message_stop` |
//! | Gemini | `/v1beta/models/{model}:generateContent`, `:streamGenerateContent`, `:countTokens`, and where Vertex has them | events with `alt=sse`, else one JSON array; usage so far in each |
//! | Gemini as OpenAI | `/v1beta/openai/…` | as OpenAI; errors as Google writes them, in an array |
//! | Ollama | `/api/chat`, `/api/generate`, `/api/tags`, `/api/ps`, `/api/version`, `/` | a JSON object a line, unless `"stream": false` |
//! | vLLM, Ollama, Groq, OpenRouter, DeepSeek, Mistral as OpenAI | `/v1/…` with their [`Profile`], and their own base paths | as OpenAI, with their comments and errors |
//!
//! Keys are looked for where each has them: a bearer token, `api-key`, `x-api-key`, `x-goog-api-key`; Ollama has none.
//!
//! # Faults
//!
//! | Fault | `kind` | What the client meets |
//! |---|---|---|
//! | [`Fault::Status`] | `status` | a status with headers and a body of one's own |
//! | [`Fault::Provider`] | `provider` | one of 30 errors ([`ProviderError`]) with the hints of the dialect |
//! | [`Fault::Hinted`] | `hinted` | the same with the retry hint in one of 20 forms ([`Hint`]) |
//! | [`Fault::Refuse`], [`Fault::Reset`], [`Fault::Hang`] | `refuse`, `reset`, `hang` | no connection, a reset, nothing |
//! | [`Fault::SlowFirstToken`] | `slow_first_token` | the opening at once, content late |
//! | [`Fault::Stream`] | `stream` | one of eight ends ([`Then`]: stall, end, close, reset, `[DONE]`, malformed, comments for ever, error) at one of six places ([`At`]: start, opening, content, finish, events, bytes) |
//! | [`Fault::StallAfter`] and its like | `stall_after`, `truncate_after`, `end_after`, `reset_after`, `malformed_event`, `error_event` | short for the same after so many events |
//! | [`Fault::Filtered`], [`Fault::NoUsage`] | `filtered`, `no_usage` | `content_filter` and its like; usage lost |
//! | [`Fault::Encoded`] | `encoded` | gzip, deflate or br |
//! | [`Fault::LineEnds`], [`Fault::ByteOrderMark`] | `line_ends`, `byte_order_mark` | CRLF or CR; a mark before the first event |
//! | [`Fault::Split`], [`Fault::Drip`] | `split`, `drip` | pieces that end at given offsets; so many bytes at a time |
//! | [`Fault::Empty`], [`Fault::OnlyDone`] | `empty`, `only_done` | status 200 and nothing, or the end alone |
//! | [`Fault::AsyncFilter`] | `async_filter` | chunks of Azure's asynchronous filter between the words and after the finish reason |
//! | [`Fault::ToolCall`] | `tool_call` | no fault: a call of a tool in place of words |
//!
//! # What it does not do
//!
//! It speaks HTTP/1.1 without TLS, gives one choice per answer, and knows no images and no Bedrock. It calls a tool when a fault says so, not when a request offers one. One fault at a time: a compressed stream that
//! also breaks off is two. Token counts are estimates. It listens on loopback unless told otherwise, because nothing in it is
//! hardened. The words of errors are its own where a provider's are not documented.
//!
//! Bounded are the request body (32 MiB, then 413), the connections of a target (4096, more wait to be accepted), the length
//! of an answer ([`Builder::MAX_LENGTH`]) and of a script ([`Script::MAX_LEN`]).
//!
//! # Cancellation
//!
//! A request whose client leaves before the end of its answer counts as `cancelled`, one that the simulator itself cut as
//! `aborted`. Dropping a [`Simulator`] closes its port and ends its connections; [`Simulator::shutdown`] waits for that.
//!
//! # Cost
//!
//! Without waits no timer runs, and all the events of a chat stream share one buffer. The other dialects build each event as
//! JSON.
//!
//! # Example
//!
//! ```
//! use buttress_sim::{Fault, Simulator};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! async fn ask(sim: &Simulator) -> std::io::Result<String> {
//!     let body = r#"{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}"#;
//!     let mut stream = tokio::net::TcpStream::connect(sim.addr()).await?;
//!     let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\nconnection: close";
//!     let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
//!     stream.write_all(request.as_bytes()).await?;
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer).await?;
//!     Ok(answer)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let sim = Simulator::builder().target("eastus").seed(7).start().await?;
//! assert!(ask(&sim).await?.contains(r#""finish_reason":"stop""#));
//!
//! sim.set_fault(Fault::status(http::StatusCode::SERVICE_UNAVAILABLE));
//! assert!(ask(&sim).await?.starts_with("HTTP/1.1 503"));
//!
//! sim.set_fault(Fault::Refuse);
//! assert!(ask(&sim).await.is_err());
//!
//! sim.heal();
//! assert!(ask(&sim).await?.starts_with("HTTP/1.1 200"));
//! assert_eq!(sim.stats().completed, 3);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod seed;
mod stats;

mod fault;
mod form;
mod hint;
mod limits;
mod moment;
mod profile;
mod provider_error;
mod script;
mod transport;

mod admission;
mod answer;
mod asked;
mod generate;
mod plan;
mod request;
mod route;
mod strike;
mod wire;

mod body;
mod builder;
mod control;
mod control_server;
mod port;
mod server;
mod simulator;
mod socket;
mod target;

pub use builder::Builder;
pub use control::Control;
pub use control_server::ControlServer;
pub use fault::{Fault, StatusFault};
pub use hint::Hint;
pub use limits::Limits;
pub use moment::{At, Then};
pub use profile::{Profile, UnknownProfile};
pub use provider_error::ProviderError;
pub use script::{Script, ScriptError, Step, When};
pub use simulator::Simulator;
pub use stats::{Operations, Stats};
pub use transport::{Coding, LineEnd};
