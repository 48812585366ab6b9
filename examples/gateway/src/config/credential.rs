//! The keys of a target that has several.

use buttress_core::Label;
use serde::Deserialize;

use super::endpoint::check_variable;

/// A key of a target that has several: what it is called, and where it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawCredential")]
pub(super) struct CredentialConfig {
    pub(super) name: Label,
    pub(super) key_variable: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCredential {
    name: String,
    api_key_env: String,
}

/// Refuses what leaves it open which key is meant.
pub(super) fn check_credentials(one: Option<&str>, several: &[CredentialConfig]) -> Result<(), String> {
    if one.is_some() && !several.is_empty() {
        return Err("either `api_key_env` or `credentials` may be given, not both".to_owned());
    }
    for (i, CredentialConfig { name, key_variable }) in several.iter().enumerate() {
        let earlier = &several[..i];
        if earlier.iter().any(|earlier| earlier.name == *name) {
            return Err(format!("`credentials`: `{name}` is the name of two, each name may be used once"));
        }
        if earlier.iter().any(|earlier| earlier.key_variable == *key_variable) {
            return Err(format!("`credentials`: `{key_variable}` is the variable of two, so drop one"));
        }
    }
    Ok(())
}

/// Refuses addresses of one target between which the name of a key would not say the same: it is the target that chooses.
pub(super) fn check_same<'a>(
    of_target: impl Iterator<Item = &'a Label>,
    of_endpoint: impl Iterator<Item = &'a Label>,
) -> Result<(), String> {
    let sorted = |names: &mut Vec<&'a Label>| names.sort_by_key(|name| name.as_str());
    let (mut there, mut here) = (of_target.collect::<Vec<_>>(), of_endpoint.collect::<Vec<_>>());
    sorted(&mut there);
    sorted(&mut here);
    if there == here {
        return Ok(());
    }
    if there.is_empty() {
        return Err(
            "`endpoints`: `credentials` are only for a target that has some itself, by the same names".to_owned()
        );
    }
    let names = there.into_iter().map(Label::as_str).collect::<Vec<_>>().join("`, `");
    Err(format!("`endpoints`: each must have `credentials` by the names of those of the target: `{names}`"))
}

// === impl CredentialConfig ===

impl TryFrom<RawCredential> for CredentialConfig {
    type Error = String;

    fn try_from(raw: RawCredential) -> Result<Self, String> {
        let name = Label::try_new(&raw.name).map_err(|error| format!("`name`: {error}"))?;
        check_variable("api_key_env", &raw.api_key_env)?;
        Ok(Self { name, key_variable: raw.api_key_env })
    }
}
