//! What a path asks for.

use std::{error::Error, fmt};

use buttress_core::{Refusal, RefusalKind};
use http::Method;

use crate::percent;

/// What can be asked of a model server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// An answer to a conversation.
    ChatCompletions,
    /// The continuation of a text.
    Completions,
    /// Vectors for texts.
    Embeddings,
    /// The list of models.
    Models,
    /// What is known of one model.
    Model,
}

/// What a path asks for: the operation and, where the path names one, the model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The operation.
    pub operation: Operation,
    /// The model that the path names: Azure's deployment, or the model to tell about.
    pub model: Option<Box<str>>,
}

/// Why a path is not a [`Route`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteError(Problem);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Unknown,
    Name,
}

/// The longest name of a model in a path, decoded.
const MAX_NAME: usize = 256;

// === impl Operation ===

impl Operation {
    /// Returns the method that the operation is asked for with.
    #[must_use]
    pub const fn method(self) -> Method {
        if self.has_body() { Method::POST } else { Method::GET }
    }

    /// Returns whether a request for it has a JSON body, in which a model is named.
    #[must_use]
    pub const fn has_body(self) -> bool {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Embeddings => true,
            Self::Models | Self::Model => false,
        }
    }

    /// Returns the name used in events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat",
            Self::Completions => "text_completion",
            Self::Embeddings => "embeddings",
            Self::Models => "models",
            Self::Model => "model",
        }
    }

    /// The end of the path: what follows the version or the deployment.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
            Self::Models | Self::Model => "/models",
        }
    }

    fn of_path(path: &str) -> Option<Self> {
        [Self::ChatCompletions, Self::Completions, Self::Embeddings]
            .into_iter()
            .find(|o| o.path().strip_prefix('/') == Some(path))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Route ===

impl Route {
    /// Reads the path of an inbound request.
    ///
    /// Known are `/v1/…` and `/openai/v1/…` with `chat/completions`, `completions`, `embeddings`, `models` and
    /// `models/{model}`; `/openai/deployments/{deployment}/…` with the first three; `/openai/models` and
    /// `/openai/models/{model}`. The name is percent-decoded; that of a model may hold `/`.
    ///
    /// # Errors
    ///
    /// Fails if the path is none of these, or if the name in it is empty, too long, not UTF-8, holds control characters,
    /// or would climb out of its place (`.`, `..`, a slash in a deployment).
    pub fn parse(path: &str) -> Result<Self, RouteError> {
        let unknown = RouteError(Problem::Unknown);
        if let Some(rest) = path.strip_prefix("/openai/deployments/") {
            let (deployment, rest) = rest.split_once('/').ok_or(unknown)?;
            let operation = Operation::of_path(rest).ok_or(unknown)?;
            return Ok(Self { operation, model: Some(name(deployment, false)?) });
        }
        let versioned = path.strip_prefix("/v1/").or_else(|| path.strip_prefix("/openai/v1/"));
        let rest = versioned.or_else(|| path.strip_prefix("/openai/")).ok_or(unknown)?;
        if rest == "models" {
            return Ok(Self { operation: Operation::Models, model: None });
        }
        if let Some(model) = rest.strip_prefix("models/") {
            return Ok(Self { operation: Operation::Model, model: Some(name(model, true)?) });
        }
        let operation = versioned.and_then(Operation::of_path).ok_or(unknown)?;
        Ok(Self { operation, model: None })
    }
}

fn name(encoded: &str, slashes: bool) -> Result<Box<str>, RouteError> {
    let fault = RouteError(Problem::Name);
    let name = percent::decode(encoded).ok_or(fault)?;
    let plain = |segment: &str| !matches!(segment, "" | "." | "..");
    let fits = name.len() <= MAX_NAME
        && !name.chars().any(|c| c.is_control() || c == '\\' || (c == '/' && !slashes))
        && name.split('/').all(plain);
    if fits { Ok(name.into()) } else { Err(fault) }
}

// === impl RouteError ===

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Problem::Unknown => f.write_str("there is nothing at this path"),
            Problem::Name => write!(f, "the name in the path must be 1 to {MAX_NAME} bytes of plain UTF-8 text"),
        }
    }
}

impl Error for RouteError {}

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        let kind = match error.0 {
            Problem::Unknown => RefusalKind::NotFound,
            Problem::Name => RefusalKind::BadRequest,
        };
        Self::new(kind, error.to_string())
    }
}
