//! What a path asks for.

use std::{error::Error, fmt};

use crate::{Dialect, Format, Operation, percent};
use buttress_core::{Refusal, RefusalKind};

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

// === impl Route ===

impl Route {
    /// Returns how an answer to this is written, and an error.
    #[must_use]
    pub const fn format(&self) -> Format {
        Format::of(Dialect::OpenAi, self.operation)
    }

    /// Reads the path of an inbound request.
    ///
    /// | path | operations |
    /// |---|---|
    /// | `/v1/…`, `/openai/v1/…` | `chat/completions`, `completions`, `embeddings`, `responses`, `models`, `models/{model}` |
    /// | `/openai/deployments/{deployment}/…` | `chat/completions`, `completions`, `embeddings` |
    /// | `/openai/…` | `responses`, `models`, `models/{model}` |
    /// | `/v1/…` | `messages`, `messages/count_tokens` |
    /// | `/v1beta/models/{model}:…`, `/v1/models/{model}:…` | `generateContent`, `streamGenerateContent`, `countTokens`, `embedContent` |
    /// | `/api/…` | `chat`, `generate`, `embed`, `tags`, `version` |
    ///
    /// The name is percent-decoded; that of a model to tell about may hold `/`.
    ///
    /// # Errors
    ///
    /// Fails if the path is none of these, or if the name in it is empty, too long, not UTF-8, holds control characters,
    /// or would climb out of its place (`.`, `..`, a slash in a deployment).
    pub fn parse(path: &str) -> Result<Self, RouteError> {
        let route = if let Some(rest) = path.strip_prefix("/openai/deployments/") {
            Self::of_deployment(rest)?
        } else if let Some(rest) = path.strip_prefix("/openai/v1/") {
            Self::of_openai(rest)?
        } else if let Some(rest) = path.strip_prefix("/openai/") {
            // Without a version, only what belongs to no deployment.
            Self::of_openai(rest)?.filter(|route| !route.operation.wants_deployment())
        } else if let Some(rest) = path.strip_prefix("/v1beta/models/") {
            Self::of_gemini(rest)?
        } else if let Some(rest) = path.strip_prefix("/v1/") {
            match rest.strip_prefix("models/").map(Self::of_gemini).transpose()?.flatten() {
                Some(route) => Some(route),
                None => Operation::of_messages(rest).map(Self::to).or(Self::of_openai(rest)?),
            }
        } else {
            path.strip_prefix("/api/").and_then(Operation::of_ollama).map(Self::to)
        };
        route.ok_or(RouteError(Problem::Unknown))
    }

    const fn to(operation: Operation) -> Self {
        Self { operation, model: None }
    }

    fn of_deployment(rest: &str) -> Result<Option<Self>, RouteError> {
        let Some((deployment, rest)) = rest.split_once('/') else { return Ok(None) };
        let Some(operation) = Operation::of_openai(rest).filter(|operation| operation.wants_deployment()) else {
            return Ok(None);
        };
        Ok(Some(Self { operation, model: Some(name(deployment, false)?) }))
    }

    fn of_openai(rest: &str) -> Result<Option<Self>, RouteError> {
        match rest.strip_prefix("models/") {
            Some(model) => Ok(Some(Self { operation: Operation::Model, model: Some(name(model, true)?) })),
            None => Ok(Operation::of_openai(rest).map(Self::to)),
        }
    }

    /// Reads `{model}:{method}`. A name may hold a colon, a method holds none.
    fn of_gemini(rest: &str) -> Result<Option<Self>, RouteError> {
        let Some((model, method)) = rest.rsplit_once(':') else { return Ok(None) };
        let Some(operation) = Operation::of_gemini(method) else { return Ok(None) };
        Ok(Some(Self { operation, model: Some(name(model, false)?) }))
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
