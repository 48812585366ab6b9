//! What is particular to each provider, as a table.

use std::fmt;

use crate::{Credential, Dialect, EndpointError};

/// What is particular to a provider: facts from its documentation, in a table.
///
/// [`Endpoint::provider`](crate::Endpoint::provider) begins an endpoint with them. A provider that is not in the table is
/// reached through [`Endpoint::builder`](crate::Endpoint::builder); nothing else depends on being in it.
#[derive(Clone, Copy)]
pub struct Provider(pub(crate) &'static Row);

/// One row of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) dialect: Dialect,
    pub(crate) base: Option<&'static str>,
    pub(crate) style: CredentialStyle,
    pub(crate) needs_credential: bool,
    pub(crate) probe: Probe,
    pub(crate) stream_usage: StreamUsage,
    pub(crate) refuses: &'static [&'static str],
    pub(crate) notes: &'static str,
    pub(crate) source: &'static str,
}

/// How a provider wants to be shown a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialStyle {
    /// `authorization: Bearer …`
    Bearer,
    /// `api-key: …`, as at Azure.
    ApiKey,
    /// `x-api-key: …`, as at Anthropic.
    XApiKey,
    /// `x-goog-api-key: …`, as at Gemini.
    XGoogApiKey,
}

/// Whether a provider tells in a stream what it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamUsage {
    /// It always does; `stream_options.include_usage` changes nothing, or is not there.
    Always,
    /// Only if the request holds `stream_options.include_usage`.
    OnRequest,
    /// It always does, and refuses a request that holds `stream_options.include_usage`.
    AlwaysUnasked,
    /// Its documentation does not say.
    Undocumented,
}

/// Where a provider tells, without a token, that it is there.
#[derive(Clone, Copy)]
pub(crate) enum Probe {
    /// At its list of models.
    Models,
    /// At a path of the server, beside the version.
    Root(&'static str),
}

// === impl Provider ===

impl Provider {
    /// Finds a provider by its [`name`](Self::name).
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }

    /// Returns the name, in lower case, by which settings may call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// Returns what it speaks.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        self.0.dialect
    }

    /// Returns its usual base address, where all its customers have the same one.
    #[must_use]
    pub const fn base(self) -> Option<&'static str> {
        self.0.base
    }

    /// Returns how it wants to be shown a credential.
    #[must_use]
    pub const fn credential_style(self) -> CredentialStyle {
        self.0.style
    }

    /// Returns whether it lets nobody in without a credential.
    #[must_use]
    pub const fn needs_credential(self) -> bool {
        self.0.needs_credential
    }

    /// Creates the credential that holds `secret` as this provider wants it.
    ///
    /// # Errors
    ///
    /// Fails if `secret` is empty or holds anything but visible ASCII.
    pub fn credential(self, secret: &str) -> Result<Credential, EndpointError> {
        match self.credential_style() {
            CredentialStyle::Bearer => Credential::bearer(secret),
            CredentialStyle::ApiKey => Credential::api_key(secret),
            CredentialStyle::XApiKey => Credential::x_api_key(secret),
            CredentialStyle::XGoogApiKey => Credential::x_goog_api_key(secret),
        }
    }

    /// Returns whether it tells in a stream what it used.
    #[must_use]
    pub const fn stream_usage(self) -> StreamUsage {
        self.0.stream_usage
    }

    /// Returns the fields of OpenAI's API that it answers with an error.
    #[must_use]
    pub const fn refuses(self) -> &'static [&'static str] {
        self.0.refuses
    }

    /// Returns what else is to be known of it, in a sentence or two, or nothing.
    #[must_use]
    pub const fn notes(self) -> &'static str {
        self.0.notes
    }

    /// Returns where these facts are from.
    #[must_use]
    pub const fn source(self) -> &'static str {
        self.0.source
    }

    pub(crate) const fn probe_at(self) -> Probe {
        self.0.probe
    }
}

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Provider {}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Provider").field(&self.name()).finish()
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl StreamUsage ===

impl StreamUsage {
    /// Returns whether to ask for usage brings it and does no harm.
    #[must_use]
    pub const fn can_be_asked(self) -> bool {
        matches!(self, Self::OnRequest)
    }
}
