//! What language model providers put on the wire: requests read and rewritten, answers judged.
//!
//! This crate knows the APIs of OpenAI, of Azure OpenAI in both its forms (by deployment and `v1`), of Anthropic, Gemini and
//! Ollama. It holds no layer: the layers of Buttress take from it what they need, and stay free of any provider themselves.
//! Nothing is translated between them: a target is asked only for what its dialect has, and the way from one provider to
//! another is the address at which the other follows OpenAI's API.
//!
//! # What it does
//!
//! 1. [`RequestFacts`] reads model and stream flag from a JSON body. The whole body is checked to be JSON, and none of it
//!    is turned into a tree. A body that says `model` or `stream` twice is refused: providers differ in which one counts.
//!    [`RequestDetails`] finds the rest where somebody asks for it: limits, tools, turns, sampling, in every format.
//! 2. [`Route`] reads operation and deployment from a path. A name that would climb out of its place is refused.
//! 3. [`Call`] is both, read once and kept in the request's extensions. Where the path names a model or a deployment, that is
//!    the model. It knows that Gemini says in the path whether to stream, and that Ollama streams unless told not to.
//! 4. [`Endpoint`] says how a target is spoken to: [`Dialect`], address, [`Credential`] (or several, by name), `api-version`,
//!    names of models.
//!    [`Provider`] is a table of what is particular to each provider, from which an endpoint can be begun.
//! 5. [`LlmRewrite`] fits a request to the endpoint of a target, or to the first that serves it, where a target has several
//!    for several dialects. It sets address, credential and model; it removes the
//!    caller's credentials, cookies and hop-by-hop headers, the `x-served-*` headers, and an `api-version` or a key in the
//!    query; it asks for an answer that is not compressed. Where an endpoint is set to it, it asks for usage in a stream:
//!    the caller then gets a chunk without choices that it did not ask for. All else goes on byte for byte.
//! 6. [`classify`](fn@classify) says what an answer means: a verdict, and a hint on when to come back. [`classify_event`]
//!    does so for an error in the midst of an answer that began with 200.
//! 7. [`Inspect`] wraps a client and classifies each failed answer. It reads the body within a bound of bytes and time, leaves
//!    the [`Class`](buttress_core::Class) in the response's extensions, where
//!    [`HttpClassify`](buttress_core::HttpClassify) finds it, and gives the body on unchanged. A body that is compressed is
//!    decoded to be read, and goes on compressed. A wait that only the body tells is told to the caller in `Retry-After`.
//!    Gemini's 500 and 504 to a huge prompt are taken for one that is too long.
//! 8. [`SseReader`] and [`NdjsonReader`] find events and lines in a streamed answer while its bytes pass unchanged, cut
//!    wherever the network cuts them. They tell events from comments and blank lines, which keep a connection alive and are
//!    not content; where the stream can be cut; and whether it ended within an event.
//! 9. [`LlmStreams`] makes a reader for each answer that says what its parts mean: content, the end, or an error under a 200.
//!    It counts the [`Usage`](buttress_core::Usage) alike for every provider, tells a whole answer from one that broke off,
//!    and phrases a failure in the answer's own [`Format`]. An answer that is compressed is decoded to be looked at.
//! 10. [`TokenCounter`] counts the tokens of a text, and of a whole request with its roles, tools and images: by the model's own
//!     encoding where that is one of OpenAI's and the feature `tokens` is on, and by the kinds of characters otherwise.
//!     [`ExpectedOutput`] learns how long the answers of each route are.
//!
//! # When it refuses
//!
//! [`Call::read`] and [`LlmRewrite`] return a [`Refusal`](buttress_core::Refusal): there is nothing at the path, the method
//! is another one, the body is not understood, a deployment is needed and none is named, the target is not known, or its
//! dialect has no such operation.
//! No error shows what a body holds, and none shows a secret.
//!
//! A reader of streams stops with a [`StreamError`] at a line or an event that is longer than its [`StreamLimits`]; to an
//! [`LlmReader`] that is a malformed answer, as is anything that is not JSON where JSON is due.
//!
//! # Cancellation
//!
//! Only [`Inspect`] waits. To drop its future drops the answer that is being read.
//!
//! # Cost
//!
//! Reading the facts is one pass over the body; what is not a fact is passed over, with one allocation of
//! a few bytes for the depth of what is nested. A [`Call`] is one allocation and one more
//! per name. A body is copied only if the target calls the model otherwise, or is asked for usage. An answer that is a
//! success costs [`Inspect`] a look at its status; a failed one costs a box, and a decoder if it is compressed.
//!
//! Details are one more scan of the body when they are asked for, without an allocation; a body of 200 kB or more to Gemini
//! is so scanned, and its tokens are estimated. To count tokens takes the time of the texts; the feature `tokens` puts two dictionaries of 15 and 32 MB into the program, each read when first used.
//!
//! A reader of streams borrows what lies within a chunk: an event with one line of data costs no allocation and no copy. One
//! that is split costs a copy of its parts, into room that is used again; room beyond 4 KiB is given back after each event.
//! What it means is found in one pass over its data, without an allocation. An answer that is not a stream is held until it is
//! whole, up to 256 KiB; only one that lies within a chunk is not copied. One that is compressed costs its decoder, and can be
//! closed nowhere if it fails.
//!
//! # Example
//!
//! ```
//! use buttress_core::{Label, Payload, Rewrite, Target};
//! use buttress_llm::{Credential, Dialect, Endpoint, LlmRewrite};
//! use bytes::Bytes;
//!
//! let endpoint = Endpoint::builder(Dialect::Azure, "https://east.openai.azure.com")
//!     .credential(Credential::api_key("secret")?)
//!     .model("gpt-4o", "gpt-4o-east")
//!     .build()?;
//! let rewrite = LlmRewrite::new([(Label::try_new("east")?, endpoint)]);
//!
//! let request = http::Request::post("/v1/chat/completions")
//!     .header("authorization", "Bearer of-the-caller")
//!     .body(Payload::from(Bytes::from_static(br#"{"model":"gpt-4o","messages":[]}"#)))?;
//! let fitted = rewrite.rewrite(request, &Target::named("east")?)?;
//!
//! assert_eq!(
//!     fitted.request.uri(),
//!     "https://east.openai.azure.com/openai/deployments/gpt-4o-east/chat/completions?api-version=2024-10-21"
//! );
//! assert_eq!(fitted.request.headers()["api-key"], "secret");
//! assert!(!fitted.request.headers().contains_key("authorization"));
//! assert_eq!(fitted.model, Some(Label::try_new("gpt-4o-east")?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod ask_usage;
mod beginning;
mod block;
mod buffer;
mod builder;
mod call;
mod classify;
mod coding;
mod decoded;
mod decoder;
mod details;
mod endpoint;
mod error_body;
mod events;
mod expected_output;
mod facts;
mod field;
mod format;
mod guess;
mod headers;
mod hint;
mod huge_prompt;
mod image_tokens;
mod input_tokens;
mod inspect;
mod json;
mod judge;
mod limits;
mod lines;
mod moment;
mod ndjson;
mod operation;
mod outline;
mod percent;
mod phrase;
mod provider;
mod provider_table;
mod reader;
mod report;
mod rewrite;
mod route;
mod rules;
mod scan;
mod sse;
mod status;
mod streams;
mod tokens;
mod turns;
mod usage;
mod value;
mod wait;
mod whole;

pub use self::{
    ask_usage::UsageAsked,
    builder::{EndpointBuilder, EndpointError},
    call::Call,
    classify::{classify, classify_event},
    details::{RequestDetails, Sampling, Tools},
    endpoint::{Credential, Dialect, Endpoint},
    expected_output::ExpectedOutput,
    facts::{FactsError, RequestFacts},
    format::Format,
    input_tokens::InputTokens,
    inspect::{Inspect, InspectFuture},
    json::{RawElements, RawJson, RawMembers},
    limits::{StreamError, StreamErrorKind, StreamLimits},
    ndjson::{NdjsonItem, NdjsonKind, NdjsonReader},
    operation::Operation,
    outline::{Outline, Spot, Spots},
    provider::{CredentialStyle, Provider, StreamUsage},
    reader::LlmReader,
    rewrite::LlmRewrite,
    route::{Route, RouteError},
    sse::{SseEvent, SseItem, SseKind, SseReader},
    streams::{LlmExpected, LlmStreams},
    tokens::{Encoding, TokenCounter},
    turns::{ImageDetail, Part, Role, Turn, Turns},
};
