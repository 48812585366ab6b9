//! The command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use buttress_sim::{Limits, Profile, Script};
use clap::Parser;

/// Simulates LLM providers, with faults to be switched on while it runs.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
EXAMPLES:
  buttress-sim
  buttress-sim --target eastus:20ms --target westeurope:60ms --gap 5ms
  buttress-sim --target small@7200 --rpm 60 --tpm 40000 --script faults.toml
  buttress-sim --target azure --target fast=groq:5ms --target many=openrouter --profile mistral

DURATIONS are a number with us, ms or s: 500us, 20ms, 2s.

SCRIPTS are JSON or TOML, by the file's ending. They apply to every target:
  [[steps]]
  when = { nth = [2, 5] }       # or \"always\", { first = 3 }, { every = 10 }, { probability = 0.1 }
  fault = { kind = \"status\", status = 503 }

FAULTS have a `kind`: status, provider, hinted, refuse, hang, reset, slow_first_token, stream, stall_after,
truncate_after, end_after, reset_after, malformed_event, error_event, filtered, no_usage, encoded, line_ends,
byte_order_mark, split, drip, async_filter, tool_call, empty, only_done.

PATHS decide the dialect: /v1/chat/completions, /v1/completions, /v1/responses, /v1/embeddings, /v1/models,
/openai/deployments/{deployment}/…, /openai/v1/…, /v1/messages, /v1beta/models/{model}:generateContent,
/v1beta/openai/…, /api/chat, /api/generate, /api/tags, /api/version, /api/ps, /health, /."
)]
pub(crate) struct Args {
    /// A target to simulate; may be repeated [default: eastus]
    #[arg(long = "target", value_name = "NAME[=PROFILE][:FIRST_TOKEN][@PORT]", value_parser = target)]
    targets: Vec<Target>,

    /// Who answers under /v1, where a target has no profile of its own: standard, groq, openrouter, deepseek, mistral,
    /// vllm, ollama
    #[arg(long, value_name = "PROFILE", default_value_t = Profile::Standard)]
    pub(crate) profile: Profile,

    /// Time to first token, where a target has none of its own
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = duration)]
    pub(crate) first_token: Duration,

    /// Time between two tokens
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = duration)]
    pub(crate) gap: Duration,

    /// Tokens in an answer
    #[arg(long, value_name = "N|N-M", default_value = "12-24", value_parser = length)]
    pub(crate) length: RangeInclusive<u32>,

    /// Seed of ids, words, lengths and chances
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Requests per minute that a target admits
    #[arg(long, value_name = "N")]
    rpm: Option<NonZeroU32>,

    /// Tokens per minute that a target admits
    #[arg(long, value_name = "N")]
    tpm: Option<NonZeroU32>,

    /// Key to demand; without it any will do
    #[arg(long, value_name = "KEY")]
    pub(crate) api_key: Option<String>,

    /// A model or deployment to serve, may be repeated; without it any will do
    #[arg(long = "model", value_name = "NAME")]
    pub(crate) models: Vec<String>,

    /// Faults by script
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,

    /// Address of the targets
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) listen: IpAddr,

    /// Port of the first target; the others follow it. 0 takes free ones
    #[arg(long, value_name = "PORT", default_value_t = 7101)]
    port: u16,

    /// Address of the control endpoint, on loopback
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7100")]
    pub(crate) control: SocketAddr,

    /// Permit a --listen address that is not loopback
    #[arg(long)]
    pub(crate) allow_remote: bool,
}

/// One `--target`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) profile: Option<Profile>,
    pub(crate) first_token: Option<Duration>,
    port: Option<u16>,
}

// === impl Args ===

impl Args {
    pub(crate) fn targets(&self) -> Vec<Target> {
        if self.targets.is_empty() {
            return vec![Target { name: "eastus".to_owned(), profile: None, first_token: None, port: None }];
        }
        self.targets.clone()
    }

    pub(crate) fn port_of(&self, target: &Target, index: usize) -> Result<u16, String> {
        let following = || match self.port {
            0 => Some(0),
            first => u16::try_from(index).ok().and_then(|index| first.checked_add(index)),
        };
        target.port.or_else(following).ok_or_else(|| format!("no port left for target {}", target.name))
    }

    /// The limits, if one of them is given; the other is then as good as none.
    pub(crate) fn limits(&self) -> Option<Limits> {
        let or_max = |limit: Option<NonZeroU32>| limit.map_or(u32::MAX, NonZeroU32::get);
        (self.rpm.is_some() || self.tpm.is_some()).then(|| Limits::new(or_max(self.rpm), or_max(self.tpm)))
    }
}

pub(crate) fn read_script(path: &Path) -> Result<Script, String> {
    let named = |error: &dyn std::fmt::Display| format!("script {}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(|error| named(&error)),
        Some("toml") => toml::from_str(&text).map_err(|error| named(&error)),
        _ => Err(named(&"expected a name that ends in .json or .toml")),
    }
}

fn target(text: &str) -> Result<Target, String> {
    let (rest, port) = match text.split_once('@') {
        Some((rest, port)) => {
            let port = port.parse().map_err(|_| format!("`{port}` is not a port"))?;
            (rest, Some(port))
        }
        None => (text, None),
    };
    let (name, first_token) = match rest.split_once(':') {
        Some((name, wait)) => (name, Some(duration(wait)?)),
        None => (rest, None),
    };
    let (name, profile) = match name.split_once('=') {
        Some((name, profile)) => {
            (name, Some(profile.parse().map_err(|error: buttress_sim::UnknownProfile| error.to_string())?))
        }
        None => (name, None),
    };
    Ok(Target { name: name.to_owned(), profile, first_token, port })
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("`{text}` does not begin with a number"))?;
    match unit {
        "us" => Ok(Duration::from_micros(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err(format!("`{text}` does not end in us, ms or s")),
    }
}

fn length(text: &str) -> Result<RangeInclusive<u32>, String> {
    let number = |text: &str| text.parse::<u32>().map_err(|_| format!("`{text}` is not a number"));
    match text.split_once('-') {
        Some((shortest, longest)) => Ok(number(shortest)?..=number(longest)?),
        None => number(text).map(|length| length..=length),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_target_has_a_name_and_perhaps_more() {
        let expected = |first_token, port| Target { name: "a".to_owned(), profile: None, first_token, port };
        assert_eq!(target("a=groq:1ms").unwrap().profile, Some(Profile::Groq));
        assert!(target("a=grok").unwrap_err().contains("expected one of standard, groq"));
        assert_eq!(target("a"), Ok(expected(None, None)));
        assert_eq!(target("a:20ms"), Ok(expected(Some(Duration::from_millis(20)), None)));
        assert_eq!(target("a:1s@80"), Ok(expected(Some(Duration::from_secs(1)), Some(80))));
        assert!(target("a:20").unwrap_err().contains("us, ms or s"));
        assert!(target("a@x").unwrap_err().contains("not a port"));
    }

    #[test]
    fn a_length_is_a_number_or_a_range() {
        assert_eq!((length("5"), length("5-9")), (Ok(5..=5), Ok(5..=9)));
        assert!(length("x").is_err());
    }
}
