//! Where the vectors of questions come from.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use buttress_semantic_cache::{EmbedLimits, HttpEmbedderConfig};
use http::{HeaderName, HeaderValue, Uri, header};
use serde::Deserialize;

use super::{endpoint::check_variable, sections::duration};

/// What makes vectors of questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EmbedderKind {
    /// Letters and words alone: near duplicates.
    #[default]
    Lexical,
    /// A model of the MiniLM class, from a directory, in this process.
    Minilm,
    /// A model behind OpenAI's embeddings protocol.
    Http,
}

/// Where the vectors of questions come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct EmbedderConfig {
    /// Where the model is, for `minilm`.
    pub directory: Option<PathBuf>,
    /// Where it is asked, with its path, for `http`.
    pub url: Option<String>,
    /// What the model is called, for `http`.
    pub model: Option<String>,
    /// How many dimensions its vectors have, for `http`.
    pub dimensions: Option<NonZeroUsize>,
    /// Whether the model is asked for so many, for `http`.
    pub name_dimensions: bool,
    /// The environment variable that holds the key, for `http`.
    pub api_key_env: Option<String>,
    /// How the key is shown, for `http`.
    pub auth: EmbedderAuth,
    /// What to change when the model behind the name changes.
    pub version: String,
    /// How long a question waits for its vector.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// How long one call may take, for `http`.
    #[serde(deserialize_with = "duration")]
    pub call_timeout: Duration,
    /// How many texts one call has at most, for `http`.
    pub batch: NonZeroUsize,
}

/// How a key is shown to the embedder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EmbedderAuth {
    /// As `authorization: Bearer`.
    #[default]
    Bearer,
    /// As `api-key`.
    ApiKey,
}

type Wrong = (String, String);

/// More than any model has.
const MOST_DIMENSIONS: usize = 16_384;

// === impl EmbedderConfig ===

impl Default for EmbedderConfig {
    fn default() -> Self {
        Self {
            directory: None,
            url: None,
            model: None,
            dimensions: None,
            name_dimensions: false,
            api_key_env: None,
            auth: EmbedderAuth::Bearer,
            version: "1".to_owned(),
            timeout: Duration::from_millis(50),
            call_timeout: Duration::from_secs(5),
            batch: NonZeroUsize::new(64).expect("64 is not 0"),
        }
    }
}

impl EmbedderConfig {
    /// Returns how long questions wait, and how much is held for them.
    #[must_use]
    pub const fn limits(&self) -> EmbedLimits {
        EmbedLimits::new().timeout(self.timeout)
    }

    /// Returns where the model is, for `minilm`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.as_deref().unwrap_or_else(|| Path::new(""))
    }

    /// Returns how the model behind HTTP is asked, with `key`, or what is wrong.
    pub(crate) fn http(&self, key: Option<&HeaderValue>) -> Result<HttpEmbedderConfig, Wrong> {
        let missing = |key: &str, what: &str| {
            (format!("cache.embedder.{key}"), format!("must be given for embedder = \"http\": {what}"))
        };
        let url = self.url.as_deref().ok_or_else(|| missing("url", "`https://api.openai.com/v1/embeddings`, say"))?;
        let model = self.model.as_deref().ok_or_else(|| missing("model", "what the model is called"))?;
        let dimensions = self.dimensions.ok_or_else(|| missing("dimensions", "how many its vectors have"))?;
        let uri = url.parse::<Uri>().ok().filter(|uri| {
            uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && matches!(uri.scheme_str(), Some("http" | "https"))
        });
        let says = "must be an address with its path and no user, as `https://api.openai.com/v1/embeddings`";
        let uri = uri.ok_or_else(|| ("cache.embedder.url".to_owned(), says.to_owned()))?;
        if dimensions.get() > MOST_DIMENSIONS {
            let says = format!("`{dimensions}` is out of range, allowed is 1 to {MOST_DIMENSIONS}");
            return Err(("cache.embedder.dimensions".to_owned(), says));
        }
        let mut config = HttpEmbedderConfig::new(uri, model, dimensions)
            .version(&self.version)
            .limits(self.limits())
            .call_timeout(self.call_timeout)
            .batch(self.batch);
        if self.name_dimensions {
            config = config.name_dimensions();
        }
        Ok(match key {
            Some(key) => config.header(self.auth.header(), key.clone()),
            None => config,
        })
    }

    /// Looks up the key by `variable`. The error never shows it.
    pub(super) fn key(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Option<HeaderValue>, String> {
        let Some(name) = &self.api_key_env else { return Ok(None) };
        let key = variable(name).ok_or_else(|| format!("the environment variable `{name}` is not set"))?;
        let text = match self.auth {
            EmbedderAuth::Bearer => format!("Bearer {key}"),
            EmbedderAuth::ApiKey => key,
        };
        let mut value =
            HeaderValue::try_from(text).map_err(|_| format!("the variable `{name}` holds what no header can carry"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    pub(super) fn check(&self, kind: EmbedderKind) -> Result<(), Wrong> {
        let wrong = |key: &str, says: &str| Err((format!("cache.embedder{key}"), says.to_owned()));
        if let Some(variable) = &self.api_key_env {
            check_variable("api_key_env", variable).map_err(|says| ("cache.embedder.api_key_env".to_owned(), says))?;
        }
        let of_http =
            self.url.is_some() || self.model.is_some() || self.dimensions.is_some() || self.api_key_env.is_some();
        match kind {
            EmbedderKind::Lexical if *self != Self::default() => {
                wrong("", "means nothing with embedder = \"lexical\" in [cache.semantic], which needs no settings")
            }
            EmbedderKind::Lexical => Ok(()),
            EmbedderKind::Minilm if !cfg!(feature = "minilm") => Err((
                "cache.semantic.embedder".to_owned(),
                "`minilm` is not in this build: build the gateway with `--features minilm`, or take `lexical` or `http`"
                    .to_owned(),
            )),
            EmbedderKind::Minilm if of_http => {
                wrong("", "`url`, `model`, `dimensions` and `api_key_env` mean nothing with embedder = \"minilm\"")
            }
            EmbedderKind::Minilm if self.directory.is_none() => {
                wrong(".directory", "must be given for embedder = \"minilm\": the directory with its model.safetensors")
            }
            EmbedderKind::Minilm => Ok(()),
            EmbedderKind::Http if self.directory.is_some() => {
                wrong(".directory", "means nothing with embedder = \"http\"")
            }
            EmbedderKind::Http => self.http(None).map(drop),
        }
    }
}

// === impl EmbedderAuth ===

impl EmbedderAuth {
    const fn header(self) -> HeaderName {
        match self {
            Self::Bearer => header::AUTHORIZATION,
            Self::ApiKey => HeaderName::from_static("api-key"),
        }
    }
}
