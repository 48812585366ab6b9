//! What a client asked for, read from its JSON body.

use std::borrow::Cow;

use serde::Deserialize;

use crate::wire::embeddings::Encoding;
use crate::wire::error::ApiError;
use crate::wire::stream::Options;

/// The most inputs in one embeddings request.
const MAX_INPUTS: usize = 2048;
const MAX_DIMENSIONS: usize = 3072;

#[derive(Deserialize)]
pub(crate) struct ChatRequest<'a> {
    #[serde(borrow)]
    pub(crate) model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    messages: Option<Vec<Message<'a>>>,
    #[serde(default)]
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
}

/// What any request may name.
#[derive(Deserialize)]
pub(crate) struct Named<'a> {
    #[serde(borrow)]
    pub(crate) model: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
    #[serde(default)]
    include_obfuscation: Option<bool>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<Content<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Parts(Vec<ContentPart<'a>>),
}

#[derive(Deserialize)]
struct ContentPart<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

/// A request for text that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chat {
    pub(crate) prompt_tokens: u32,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) stream: bool,
    pub(crate) options: Options,
}

#[derive(Deserialize)]
pub(crate) struct EmbeddingsRequest<'a> {
    #[serde(borrow)]
    pub(crate) model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    input: Option<Input<'a>>,
    dimensions: Option<usize>,
    #[serde(borrow)]
    encoding_format: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Texts(Vec<Cow<'a, str>>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

/// An embeddings request that can be answered.
#[derive(Debug)]
pub(crate) struct Embeddings {
    pub(crate) inputs: Vec<Vec<u8>>,
    pub(crate) tokens: u32,
    pub(crate) dimensions: usize,
    pub(crate) encoding: Encoding,
}

// === impl ChatRequest ===

impl ChatRequest<'_> {
    /// # Errors
    ///
    /// The provider's answer to a request that makes no sense.
    pub(crate) fn check(&self) -> Result<Chat, Box<ApiError>> {
        let Some(messages) = &self.messages else {
            return Err(Box::new(missing("messages")));
        };
        if messages.is_empty() {
            let message = "Invalid 'messages': empty array. Expected an array with minimum length 1.";
            return Err(Box::new(ApiError::invalid(message).code("empty_array").param("messages")));
        }
        let stream = self.stream.unwrap_or_default();
        if self.stream_options.is_some() && !stream {
            let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
            return Err(Box::new(ApiError::invalid(message).param("stream_options")));
        }
        let max_tokens = match self.max_completion_tokens {
            Some(max) => Some(positive(max, "max_completion_tokens")?),
            None => self.max_tokens.map(|max| positive(max, "max_tokens")).transpose()?,
        };
        Ok(Chat {
            prompt_tokens: messages.iter().map(Message::tokens).fold(3, u32::saturating_add),
            max_tokens,
            stream,
            options: self.stream_options.as_ref().map_or_else(Options::default, |options| Options {
                include_usage: options.include_usage == Some(true),
                obfuscation: options.include_obfuscation == Some(true),
            }),
        })
    }
}

// === impl Message ===

impl Message<'_> {
    fn tokens(&self) -> u32 {
        let text = match &self.content {
            None => 0,
            Some(Content::Text(text)) => tokens(text),
            Some(Content::Parts(parts)) => {
                let texts = parts.iter().filter_map(|part| part.text.as_deref());
                texts.map(tokens).fold(0, u32::saturating_add)
            }
        };
        text.saturating_add(4)
    }
}

// === impl EmbeddingsRequest ===

impl EmbeddingsRequest<'_> {
    /// # Errors
    ///
    /// The provider's answer to a request that makes no sense.
    pub(crate) fn check(&self, model: &str) -> Result<Embeddings, Box<ApiError>> {
        let Some(input) = &self.input else {
            return Err(Box::new(missing("input")));
        };
        let (inputs, tokens) = input.split();
        if inputs.is_empty() || inputs.len() > MAX_INPUTS || inputs.iter().any(Vec::is_empty) {
            let message = format!("'$.input' is invalid: expected 1 to {MAX_INPUTS} inputs, none of them empty.");
            return Err(Box::new(ApiError::invalid(message).param("input")));
        }
        let default = if model.contains("3-large") { MAX_DIMENSIONS } else { MAX_DIMENSIONS / 2 };
        let dimensions = self.dimensions.unwrap_or(default);
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            let message = format!("Invalid 'dimensions': expected 1 to {MAX_DIMENSIONS}, got {dimensions}.");
            return Err(Box::new(ApiError::invalid(message).code("invalid_value").param("dimensions")));
        }
        let encoding = match self.encoding_format.as_deref() {
            None | Some("float") => Encoding::Float,
            Some("base64") => Encoding::Base64,
            Some(_) => {
                let message = "Invalid 'encoding_format': expected 'float' or 'base64'.";
                return Err(Box::new(ApiError::invalid(message).code("invalid_value").param("encoding_format")));
            }
        };
        Ok(Embeddings { inputs, tokens, dimensions, encoding })
    }
}

// === impl Input ===

impl Input<'_> {
    fn split(&self) -> (Vec<Vec<u8>>, u32) {
        let bytes = |list: &[u32]| list.iter().flat_map(|token| token.to_le_bytes()).collect::<Vec<_>>();
        let count = |list: &Vec<u32>| u32::try_from(list.len()).unwrap_or(u32::MAX);
        match self {
            Self::Text(text) => (vec![text.as_bytes().to_vec()], tokens(text)),
            Self::Texts(texts) => (
                texts.iter().map(|text| text.as_bytes().to_vec()).collect(),
                texts.iter().map(|text| tokens(text)).fold(0, u32::saturating_add),
            ),
            Self::Tokens(list) => (vec![bytes(list)], count(list)),
            Self::TokenLists(lists) => {
                (lists.iter().map(|list| bytes(list)).collect(), lists.iter().map(count).fold(0, u32::saturating_add))
            }
        }
    }
}

/// Reads a body.
///
/// # Errors
///
/// The provider's answer to a body that is not JSON, or has a value of the wrong type.
pub(crate) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Box<ApiError>> {
    serde_json::from_slice(body).map_err(|error| {
        Box::new(if error.is_data() {
            ApiError::invalid(format!("Invalid type for a parameter of the request: {error}.")).code("invalid_type")
        } else {
            ApiError::invalid(
                "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP \
                 library correctly. The API expects a JSON payload, but what was sent was not valid JSON.)",
            )
        })
    })
}

/// About four bytes of text are a token.
pub(crate) fn tokens(text: &str) -> u32 {
    u32::try_from(text.len().div_ceil(4)).unwrap_or(u32::MAX)
}

pub(crate) fn positive(max: i64, name: &'static str) -> Result<u32, Box<ApiError>> {
    match u32::try_from(max) {
        Ok(max) if max > 0 => Ok(max),
        Ok(_) | Err(_) => {
            let message = format!("Invalid '{name}': expected a value of at least 1, but got {max} instead.");
            Err(Box::new(ApiError::invalid(message).code("invalid_value").param(name)))
        }
    }
}

pub(crate) fn missing(name: &'static str) -> ApiError {
    ApiError::invalid(format!("Missing required parameter: '{name}'.")).code("missing_required_parameter").param(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(body: &str) -> Result<Chat, String> {
        let read = read::<ChatRequest<'_>>(body.as_bytes()).and_then(|request| request.check());
        read.map_err(|error| {
            error.body(crate::wire::Dialect::OpenAi)["error"]["message"].as_str().unwrap_or_default().to_owned()
        })
    }

    #[test]
    fn a_prompt_is_estimated_from_its_text() {
        let parsed =
            chat(r#"{"messages":[{"role":"user","content":"12345678"},{"content":[{"type":"text","text":"1234"}]}]}"#);
        assert_eq!(parsed.unwrap().prompt_tokens, 3 + 4 + 2 + 4 + 1);
    }

    #[test]
    fn null_is_as_good_as_nothing() {
        let parsed = chat(r#"{"messages":[{"content":null}],"stream":null,"stream_options":null,"max_tokens":null}"#);
        assert_eq!(parsed, Ok(Chat { prompt_tokens: 7, max_tokens: None, stream: false, options: Options::default() }));
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_the_words_of_the_provider() {
        for (body, message) in [
            ("{", "could not parse the JSON body"),
            (r#"{"messages":1}"#, "Invalid type"),
            ("{}", "Missing required parameter: 'messages'"),
            (r#"{"messages":[]}"#, "empty array"),
            (r#"{"messages":[{}],"stream_options":{}}"#, "only allowed when 'stream' is enabled"),
            (r#"{"messages":[{}],"max_tokens":0}"#, "Invalid 'max_tokens'"),
        ] {
            let error = chat(body).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
