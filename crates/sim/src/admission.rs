//! What a target refuses by itself: unknown paths, wrong keys, models it does not serve.

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};

use crate::answer::Ask;
use crate::limits::Snapshot;
use crate::provider_error::ProviderError;
use crate::route::{Endpoint, has_api_version};
use crate::wire::error::ApiError;
use crate::wire::{Dialect, KeyHeader, models};

/// A refusal before its headers.
pub(crate) struct Refused {
    pub(crate) error: Box<ApiError>,
    pub(crate) snapshot: Option<Snapshot>,
}

// === impl Ask ===

impl Ask<'_> {
    /// What is refused before the body is looked at.
    pub(crate) fn admissible(&self) -> Result<(), Refused> {
        let Some(method) = self.route.endpoint.method() else {
            return Err(self.unknown().into());
        };
        if self.head.method != method {
            let (used, path) = (&self.head.method, self.head.uri.path());
            let message =
                format!("Not allowed to {used} on {path} (HINT: Perhaps you meant to use a different HTTP method?)");
            let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", message);
            return Err(error.code("method_not_supported").into());
        }
        self.check_key()?;
        if matches!(self.route.endpoint, Endpoint::Messages | Endpoint::CountTokens)
            && !self.head.headers.contains_key("anthropic-version")
        {
            return Err(ApiError::invalid("anthropic-version: header is required").into());
        }
        if let Some(deployment) = self.route.deployment {
            if !has_api_version(self.head.uri.query()) {
                return Err(self.unknown().into());
            }
            self.check_model(deployment)?;
        }
        Ok(())
    }

    fn check_key(&self) -> Result<(), Refused> {
        let Some(expected) = &self.config.api_key else {
            return Ok(());
        };
        let dialect = self.route.dialect;
        let bearer = text(&self.head.headers, AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
        let key = match dialect.habits().key {
            KeyHeader::None => return Ok(()),
            KeyHeader::Bearer => bearer,
            KeyHeader::Named(name) => text(&self.head.headers, name).or(bearer),
        };
        match key {
            Some(key) if key == expected => Ok(()),
            Some(key) => Err(ApiError::wrong_key(dialect, key).into()),
            None => Err(ApiError::no_key(dialect).into()),
        }
    }

    pub(crate) fn check_model(&self, model: &str) -> Result<(), Refused> {
        match &self.config.models {
            Some(models) if !models.iter().any(|served| served == model) => {
                let error = ProviderError::ModelNotFound;
                Err(ApiError::provider(error, self.route.dialect, model, None).into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The model that answers: the one asked for, or the one behind a deployment, which goes by a name of its own.
    pub(crate) fn model<'m>(&self, asked: Option<&'m str>, behind: &'static str) -> Result<&'m str, Refused>
    where
        Self: 'm,
    {
        if let Some(deployment) = self.route.deployment {
            return Ok(models::KNOWN.iter().find(|(name, _)| *name == deployment).map_or(behind, |(name, _)| name));
        }
        let Some(model) = asked.filter(|model| !model.is_empty()) else {
            return Err(ApiError::invalid("you must provide a model parameter").into());
        };
        self.check_model(model)?;
        Ok(model)
    }

    pub(crate) fn unknown(&self) -> ApiError {
        match self.route.dialect {
            Dialect::Azure => ApiError::front_door(StatusCode::NOT_FOUND, "404", "Resource not found"),
            _ => {
                let message = format!("Invalid URL ({} {})", self.head.method, self.head.uri.path());
                ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
            }
        }
    }
}

// === impl Refused ===

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error: Box::new(error), snapshot: None }
    }
}

impl From<Box<ApiError>> for Refused {
    fn from(error: Box<ApiError>) -> Self {
        Self { error, snapshot: None }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
