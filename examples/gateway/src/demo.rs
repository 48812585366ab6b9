//! Three simulated regions, for a gateway that is told nothing.

use std::{fmt, io, time::Duration};

use buttress_core::{Label, Target};
use buttress_llm::{Dialect, Endpoint};
use buttress_sim::{Control, ControlServer, Simulator};

use crate::{Config, config::Upstream};

/// Three simulated regions, and an endpoint that breaks and heals them.
#[derive(Debug)]
pub struct Demo {
    regions: Vec<Simulator>,
    control: ControlServer,
}

/// How to use the demonstration, in words.
#[derive(Debug)]
pub struct Guide<'a> {
    demo: &'a Demo,
    gateway: &'a str,
}

/// Name of each region, and its time to first token in milliseconds.
const REGIONS: [(&str, u64); 3] = [("eastus", 20), ("westeurope", 60), ("swedencentral", 80)];

/// What each region speaks, and the path at which its address ends.
const DIALECTS: [(Dialect, &str); 4] =
    [(Dialect::OpenAi, "/v1"), (Dialect::Anthropic, ""), (Dialect::Gemini, "/v1beta"), (Dialect::Ollama, "")];

// === impl Demo ===

impl Demo {
    /// Starts the regions, each on a loopback port of its own.
    ///
    /// # Errors
    ///
    /// Fails if a port cannot be had.
    pub async fn start() -> io::Result<Self> {
        let mut regions = Vec::new();
        for (seed, (name, ms)) in (1..).zip(REGIONS) {
            let region = Simulator::builder()
                .target(name)
                .first_token(Duration::from_millis(ms))
                .gap(Duration::from_millis(5))
                .length(20..=40)
                .seed(seed);
            regions.push(region.start().await?);
        }
        let control = ControlServer::start(([127, 0, 0, 1], 0).into(), Control::new(&regions)).await?;
        Ok(Self { regions, control })
    }

    /// Sets what suits regions that answer within a second: a hung one should not be waited for long.
    pub fn adapt(&self, config: &mut Config) {
        config.failover.stream_timeout = Duration::from_secs(2);
        config.failover.answer_timeout = Duration::from_secs(2);
        config.streams.idle = Duration::from_secs(2);
        // Whoever heals a region wants to see it serve.
        config.failover.probe_every = Duration::from_secs(1);
        config.failover.return_after = Duration::from_secs(2);
        config.failover.slow_start = Duration::from_secs(2);
        config.breaker.open = Duration::from_secs(1);
        config.breaker.max_open = Duration::from_secs(2);
        config.deadline = Duration::from_secs(20);
        // Whoever watches the regions wants to see requests, and nothing else.
        config.probes.every = None;
    }

    /// Returns the regions as targets.
    ///
    /// # Panics
    ///
    /// Never: the names are constants that are known to be right.
    #[must_use]
    pub fn upstreams(&self) -> Vec<Upstream> {
        let upstream = |region: &Simulator| {
            let label = |text| Label::try_new(text).expect("the demo's names are labels");
            let target =
                Target::new(label(region.name())).with_region(label(region.name())).with_provider(label("sim"));
            let endpoint = |(dialect, path)| {
                let endpoint = Endpoint::builder(dialect, format!("{}{path}", region.url()));
                endpoint.build().expect("a simulator's address is an address")
            };
            Upstream::new(target, DIALECTS.map(endpoint))
        };
        self.regions.iter().map(upstream).collect()
    }

    /// Returns the simulated regions.
    #[must_use]
    pub fn regions(&self) -> &[Simulator] {
        &self.regions
    }

    /// Returns the address of the endpoint that breaks and heals regions.
    #[must_use]
    pub fn control_url(&self) -> String {
        self.control.url()
    }

    /// Tells how to use it, for a gateway at `gateway`.
    #[must_use]
    pub const fn guide<'a>(&'a self, gateway: &'a str) -> Guide<'a> {
        Guide { demo: self, gateway }
    }
}

// === impl Guide ===

impl fmt::Display for Guide<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gateway, control) = (self.gateway, self.demo.control_url());
        writeln!(f, "Three simulated regions, tried in this order; nothing leaves this machine:")?;
        for (region, (_, ms)) in self.demo.regions.iter().zip(REGIONS) {
            writeln!(f, "  {:<14} {ms} ms to first token, {}", region.name(), region.url())?;
        }
        writeln!(f, "\nlistening on {gateway}\ncontrol: {control}\n\nAsk:")?;
        writeln!(f, "  curl -i {gateway}/v1/chat/completions -H 'content-type: application/json' \\")?;
        writeln!(
            f,
            "    -d '{{\"model\":\"gpt-4o-mini\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'"
        )?;
        writeln!(
            f,
            "\nOr in another dialect: /v1/responses, /v1/messages (Anthropic), /v1beta/models/gemini:generateContent, /api/chat (Ollama)"
        )?;
        writeln!(f, "\nBreak a region and ask again; `x-served-by` names the region that answered:")?;
        writeln!(f, "  curl -X PUT {control}/control/targets/eastus/fault -d '{{\"kind\":\"refuse\"}}'")?;
        writeln!(f, "\nHeal it:\n  curl -X DELETE {control}/control/targets/eastus/fault")
    }
}
