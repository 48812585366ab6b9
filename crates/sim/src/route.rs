//! Which endpoint a request is for.

use http::Method;

use crate::wire::Dialect;

/// A request's path, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route<'a> {
    pub(crate) dialect: Dialect,
    /// The deployment of a deployment path. Elsewhere the body names the model.
    pub(crate) deployment: Option<&'a str>,
    pub(crate) endpoint: Endpoint<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint<'a> {
    Chat,
    Embeddings,
    Models,
    Model(&'a str),
    Unknown,
}

// === impl Route ===

impl<'a> Route<'a> {
    pub(crate) fn of(path: &'a str) -> Self {
        if let Some(rest) = path.strip_prefix("/v1/") {
            return Self { dialect: Dialect::OpenAi, deployment: None, endpoint: Endpoint::of(rest) };
        }
        if let Some(rest) = path.strip_prefix("/openai/v1/") {
            return Self { dialect: Dialect::Azure, deployment: None, endpoint: Endpoint::of(rest) };
        }
        let deployment = path.strip_prefix("/openai/deployments/").and_then(|rest| rest.split_once('/'));
        if let Some((deployment, rest)) = deployment {
            let endpoint = match Endpoint::of(rest) {
                endpoint @ (Endpoint::Chat | Endpoint::Embeddings) => endpoint,
                Endpoint::Models | Endpoint::Model(_) | Endpoint::Unknown => Endpoint::Unknown,
            };
            return Self { dialect: Dialect::Azure, deployment: Some(deployment), endpoint };
        }
        let dialect = if path.starts_with("/openai/") { Dialect::Azure } else { Dialect::OpenAi };
        Self { dialect, deployment: None, endpoint: Endpoint::Unknown }
    }
}

// === impl Endpoint ===

impl<'a> Endpoint<'a> {
    fn of(path: &'a str) -> Self {
        match path {
            "chat/completions" => Self::Chat,
            "embeddings" => Self::Embeddings,
            "models" => Self::Models,
            _ => match path.strip_prefix("models/") {
                Some(id) if !id.is_empty() => Self::Model(id),
                _ => Self::Unknown,
            },
        }
    }

    pub(crate) fn method(self) -> Option<Method> {
        match self {
            Self::Chat | Self::Embeddings => Some(Method::POST),
            Self::Models | Self::Model(_) => Some(Method::GET),
            Self::Unknown => None,
        }
    }
}

/// Whether a query string names an API version.
pub(crate) fn has_api_version(query: Option<&str>) -> bool {
    let named = |pair: &str| pair.strip_prefix("api-version=").is_some_and(|version| !version.is_empty());
    query.is_some_and(|query| query.split('&').any(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_endpoints() {
        for (path, dialect, deployment, endpoint) in [
            ("/v1/chat/completions", Dialect::OpenAi, None, Endpoint::Chat),
            ("/v1/models/gpt-4o", Dialect::OpenAi, None, Endpoint::Model("gpt-4o")),
            ("/v1/models/", Dialect::OpenAi, None, Endpoint::Unknown),
            ("/openai/v1/embeddings", Dialect::Azure, None, Endpoint::Embeddings),
            ("/openai/deployments/d/chat/completions", Dialect::Azure, Some("d"), Endpoint::Chat),
            ("/openai/deployments/d/models", Dialect::Azure, Some("d"), Endpoint::Unknown),
            ("/openai/deployments/d", Dialect::Azure, None, Endpoint::Unknown),
            ("/", Dialect::OpenAi, None, Endpoint::Unknown),
        ] {
            assert_eq!(Route::of(path), Route { dialect, deployment, endpoint }, "{path}");
        }
    }

    #[test]
    fn an_api_version_has_a_name_and_a_value() {
        assert!(has_api_version(Some("a=b&api-version=2024-10-21")));
        assert!(!has_api_version(Some("api-version=")));
        assert!(!has_api_version(Some("xapi-version=1")));
        assert!(!has_api_version(None));
    }
}
