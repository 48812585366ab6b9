//! Simulates an LLM provider on a real socket, with faults to be switched on, so that clients can be tested against it.
//!
//! # What it does
//!
//! 1. One [`Simulator`] is one target: a port that answers like OpenAI under `/v1/…` (chat completions as JSON and as
//!    server-sent events, embeddings, models) and like Azure under `/openai/deployments/{deployment}/…?api-version=…` and
//!    `/openai/v1/…`, with the ids, headers, usage and errors of each.
//! 2. The time to first token, the gap between tokens and the length of an answer are set in the [`Builder`]. A stream sends
//!    its headers and its role chunk at once, and its first word at the time to first token.
//! 3. All that is random comes from the seed: equal seeds, names and requests in equal order give equal bytes, on
//!    every platform. Only `created` and the `date` header follow the clock; [`Builder::created`] fixes the former. The vector of
//!    an embedding depends on its input alone.
//! 4. A [`Fault`] hits every request while it is switched on with [`Simulator::set_fault`], or the requests that a [`Script`]
//!    picks. One that is switched on goes before the script. Faults happen on the socket: a refused connection is refused by
//!    the kernel, a reset is a TCP reset, a truncated message misses its end.
//! 5. [`Limits`] are enforced per minute with an estimate at admission: the prompt, at four bytes a token, and the most
//!    tokens the answer may have. What is over gets 429 with the hints of the dialect.
//! 6. [`Stats`] tell what became of every request; a client that goes away is seen at once, also while nothing is sent.
//! 7. [`Control`] and [`ControlServer`] switch faults over HTTP, on a port that no fault touches.
//!
//! The `buttress-sim` binary (feature `cli`) does all this from the command line.
//!
//! # What it does not do
//!
//! It speaks HTTP/1.1 without TLS, gives one choice per answer, and knows no tools, no images and no Responses API. Token
//! counts are estimates. It listens on loopback unless told otherwise, because nothing in it is hardened.
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
//! Without waits no timer runs, and all the events of a stream share one buffer.
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
