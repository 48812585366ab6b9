//! Who callers are, and what models cost.

use buttress_core::Label;
use buttress_token_bucket::Prices;
use serde::Deserialize;

use super::endpoint::check_variable;

/// A caller that is known.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawTenant")]
#[non_exhaustive]
pub struct TenantConfig {
    /// Its name, which is also what its header says, where callers are told apart by one.
    pub name: Label,
    /// The name of its tier.
    pub tier: Option<String>,
    /// The environment variable that holds a key of its.
    pub api_key_env: Option<String>,
    /// The SHA-256 of each further key of its.
    pub api_key_sha256: Vec<KeyHash>,
}

/// The SHA-256 of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTenant {
    name: String,
    tier: Option<String>,
    api_key_env: Option<String>,
    #[serde(default)]
    api_key_sha256: Vec<String>,
}

/// What the tokens of a model cost, in dollars for a million.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawPrice")]
pub struct PriceConfig(Prices, [u32; 3]);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrice {
    input: f64,
    cached_input: Option<f64>,
    output: f64,
}

// === impl TenantConfig ===

impl TryFrom<RawTenant> for TenantConfig {
    type Error = String;

    fn try_from(raw: RawTenant) -> Result<Self, String> {
        let name = Label::try_new(&raw.name).map_err(|error| format!("`name`: {error}"))?;
        if let Some(variable) = &raw.api_key_env {
            check_variable("api_key_env", variable)?;
        }
        let hash = |text: &String| {
            let says = "`api_key_sha256`: must be the SHA-256 of a key, 64 digits in hexadecimal each";
            KeyHash::parse(text).ok_or_else(|| says.to_owned())
        };
        let api_key_sha256 = raw.api_key_sha256.iter().map(hash).collect::<Result<_, _>>()?;
        Ok(Self { name, tier: raw.tier, api_key_env: raw.api_key_env, api_key_sha256 })
    }
}

// === impl KeyHash ===

impl KeyHash {
    /// Hashes a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, key);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    pub(crate) const fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// Returns the first 16 of its 32 bytes.
    pub(crate) fn first_half(self) -> [u8; 16] {
        let mut half = [0; 16];
        half.copy_from_slice(&self.0[..16]);
        half
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(at * 2..at * 2 + 2).filter(|digits| !digits.contains('+'))?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A key that is easy to guess could be guessed from it.
        f.write_str("KeyHash")
    }
}

// === impl PriceConfig ===

impl PriceConfig {
    /// Returns what a token costs.
    #[must_use]
    pub const fn prices(self) -> Prices {
        self.0
    }

    /// Returns the dearer of both, of each kind of token.
    #[must_use]
    pub(crate) fn dearer(self, other: Self) -> Self {
        let dearer = |at: usize| self.1[at].max(other.1[at]);
        Self::of([dearer(0), dearer(1), dearer(2)])
    }

    const fn of(nano: [u32; 3]) -> Self {
        Self(Prices::new(nano[0], nano[2]).cached_input(nano[1]), nano)
    }
}

impl TryFrom<RawPrice> for PriceConfig {
    type Error = String;

    fn try_from(raw: RawPrice) -> Result<Self, String> {
        let nano = |field: &str, dollars: f64| {
            const MOST: f64 = 1e6;
            if !(0.0..=MOST).contains(&dollars) {
                return Err(format!("`{field}`: `{dollars}` must be dollars for a million tokens, from 0 to {MOST}"));
            }
            // Rounded up: a price that is a little too high stops a little too early, and never too late.
            Ok((dollars * 1e3).ceil() as u32)
        };
        let input = nano("input", raw.input)?;
        let cached = raw.cached_input.map_or(Ok(input), |dollars| nano("cached_input", dollars))?;
        Ok(Self::of([input, cached, nano("output", raw.output)?]))
    }
}
