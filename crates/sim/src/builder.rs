use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderValue;

use crate::answer::Config;
use crate::limits::Limits;
use crate::plan::Pace;
use crate::port::Port;
use crate::profile::Profile;
use crate::seed::Seeded;
use crate::simulator::Simulator;
use crate::target::Target;

/// The settings of a [`Simulator`].
#[derive(Clone, Debug)]
#[must_use = "a simulator runs once it is started"]
pub struct Builder {
    target: String,
    region: Option<String>,
    listen: SocketAddr,
    allow_remote: bool,
    pace: Pace,
    length: RangeInclusive<u32>,
    seed: u64,
    created: Option<u64>,
    limits: Option<Limits>,
    api_key: Option<String>,
    models: Option<Vec<String>>,
    profile: Profile,
}

// === impl Builder ===

impl Builder {
    /// The longest answer, in tokens.
    pub const MAX_LENGTH: u32 = 16_384;

    pub(crate) fn new() -> Self {
        Self {
            target: "sim".to_owned(),
            region: None,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            allow_remote: false,
            pace: Pace { first_token: Duration::ZERO, gap: Duration::ZERO },
            length: 12..=24,
            seed: 0,
            created: None,
            limits: None,
            api_key: None,
            models: None,
            profile: Profile::Standard,
        }
    }

    /// Names the target.
    pub fn target(mut self, name: impl Into<String>) -> Self {
        self.target = name.into();
        self
    }

    /// Sets the region that Azure answers tell in `x-ms-region`; the target's name if not set.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Listens on this address instead of a free loopback port.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// Permits an address that is not loopback.
    pub fn allow_remote(mut self) -> Self {
        self.allow_remote = true;
        self
    }

    /// Sets the time from the request to the first content. An answer that is not a stream comes when a stream would end.
    pub fn first_token(mut self, wait: Duration) -> Self {
        self.pace.first_token = wait;
        self
    }

    /// Sets the time between two tokens.
    pub fn gap(mut self, gap: Duration) -> Self {
        self.pace.gap = gap;
        self
    }

    /// Sets how many tokens an answer has, drawn evenly from the range; a request may ask for fewer.
    pub fn length(mut self, tokens: RangeInclusive<u32>) -> Self {
        self.length = tokens;
        self
    }

    /// Sets the seed of ids, words, lengths and scripted chances. Equal names, seeds and requests give equal
    /// answers.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the `created` of all answers, in seconds since 1970, instead of the time of day.
    pub fn created(mut self, seconds: u64) -> Self {
        self.created = Some(seconds);
        self
    }

    /// Enforces limits per minute.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Demands this key. Without it, any key will do, and none.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// Serves these models, or Azure deployments, only. Without it, any name will do.
    pub fn models<M: Into<String>>(mut self, models: impl IntoIterator<Item = M>) -> Self {
        self.models = Some(models.into_iter().map(Into::into).collect());
        self
    }

    /// Sets who answers under the paths of OpenAI's API.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Starts the simulator.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound; if it is not loopback and that was not permitted (`PermissionDenied`); if a setting
    /// makes no sense (`InvalidInput`): an empty length or one over [`Builder::MAX_LENGTH`], or a name or region that does
    /// not fit in a header or a URL.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with I/O and time.
    pub async fn start(self) -> io::Result<Simulator> {
        check_listen(self.listen, self.allow_remote)?;
        if self.length.is_empty() || *self.length.end() > Self::MAX_LENGTH {
            return Err(invalid(format!("length {:?}, expected a range up to {}", self.length, Self::MAX_LENGTH)));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.target.is_empty() || !self.target.bytes().all(plain) {
            return Err(invalid(format!("target name {:?}, expected letters, digits and `-_.`", self.target)));
        }
        let region = self.region.unwrap_or_else(|| self.target.clone());
        // The name is part of the seed, so that targets started alike do not give out the same ids.
        let mut named = Seeded::from_bytes(self.target.as_bytes());
        let config = Config {
            region: HeaderValue::from_str(&region).map_err(|_| invalid(format!("region {region:?}")))?,
            pace: self.pace,
            length: self.length,
            seed: self.seed ^ named.next(),
            api_key: self.api_key,
            models: self.models,
            profile: self.profile,
            fingerprint: format!("fp_{}", named.hex(10)),
        };
        let port = Port::listen(self.listen)?;
        Ok(Simulator::serve(Target::new(self.target, config, port, self.limits, self.created)))
    }
}

/// Keeps what has no authentication off the network unless that was asked for.
pub(crate) fn check_listen(addr: SocketAddr, allow_remote: bool) -> io::Result<()> {
    if addr.ip().is_loopback() || allow_remote {
        return Ok(());
    }
    let message = format!("{addr} is not a loopback address, and listening for others was not allowed");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
