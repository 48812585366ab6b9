//! What an answer cost, as its provider counts.

use buttress_core::Usage;

use crate::{
    Format,
    scan::{Scan, Scanned},
};

/// What was told so far, in the provider's own terms. Streams tell running totals, so the greatest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    told: bool,
    input: u64,
    cached: u64,
    written: u64,
    output: u64,
    thoughts: u64,
    /// What was read besides the prompt: results of tools.
    tools: u64,
}

// === impl Counts ===

impl Counts {
    /// Reads the `usage` of OpenAI's APIs, whose names differ between them, and of servers that follow them.
    pub(crate) fn read_openai(&mut self, scan: &mut Scan<'_>) -> Scanned {
        scan.object(|scan, name| match name {
            b"prompt_tokens" | b"input_tokens" => self.set(scan, |counts| &mut counts.input),
            b"completion_tokens" | b"output_tokens" => self.set(scan, |counts| &mut counts.output),
            b"prompt_cache_hit_tokens" => self.set(scan, |counts| &mut counts.cached),
            b"prompt_tokens_details" | b"input_tokens_details" => scan.object(|scan, name| match name {
                b"cached_tokens" => self.set(scan, |counts| &mut counts.cached),
                b"cache_write_tokens" => self.set(scan, |counts| &mut counts.written),
                _ => scan.pass(),
            }),
            b"completion_tokens_details" | b"output_tokens_details" => scan.object(|scan, name| match name {
                b"reasoning_tokens" => self.set(scan, |counts| &mut counts.thoughts),
                _ => scan.pass(),
            }),
            _ => scan.pass(),
        })
    }

    /// Reads the `usage` of Anthropic's messages.
    pub(crate) fn read_messages(&mut self, scan: &mut Scan<'_>) -> Scanned {
        scan.object(|scan, name| match name {
            b"input_tokens" => self.set(scan, |counts| &mut counts.input),
            b"cache_creation_input_tokens" => self.set(scan, |counts| &mut counts.written),
            b"cache_read_input_tokens" => self.set(scan, |counts| &mut counts.cached),
            b"output_tokens" => self.set(scan, |counts| &mut counts.output),
            _ => scan.pass(),
        })
    }

    /// Reads Gemini's `usageMetadata`.
    pub(crate) fn read_gemini(&mut self, scan: &mut Scan<'_>) -> Scanned {
        scan.object(|scan, name| match name {
            b"promptTokenCount" => self.set(scan, |counts| &mut counts.input),
            b"cachedContentTokenCount" => self.set(scan, |counts| &mut counts.cached),
            b"candidatesTokenCount" => self.set(scan, |counts| &mut counts.output),
            b"thoughtsTokenCount" => self.set(scan, |counts| &mut counts.thoughts),
            b"toolUsePromptTokenCount" => self.set(scan, |counts| &mut counts.tools),
            _ => scan.pass(),
        })
    }

    /// Reads one of Ollama's counts, if `name` is one.
    pub(crate) fn read_ollama(&mut self, scan: &mut Scan<'_>, name: &[u8]) -> Scanned {
        match name {
            b"prompt_eval_count" => self.set(scan, |counts| &mut counts.input),
            b"eval_count" => self.set(scan, |counts| &mut counts.output),
            _ => scan.pass(),
        }
    }

    /// Returns the counts as all providers' are counted here.
    pub(crate) fn usage(&self, format: Format) -> Option<Usage> {
        if !self.told {
            return None;
        }
        let (input, output) = match format {
            // Its input leaves out what a cache holds.
            Format::Messages => (self.input + self.written + self.cached, self.output),
            // Its output leaves out the thoughts.
            Format::Gemini => (self.input + self.tools, self.output + self.thoughts),
            _ => (self.input, self.output),
        };
        let mut usage = Usage::new(input, output);
        usage.cached_input = self.cached.min(input);
        usage.cache_write = self.written.min(input);
        usage.reasoning = self.thoughts.min(output);
        Some(usage)
    }

    fn set(&mut self, scan: &mut Scan<'_>, field: impl FnOnce(&mut Self) -> &mut u64) -> Scanned {
        if let Some(count) = scan.value()?.count() {
            self.told = true;
            let field = field(self);
            *field = count.max(*field);
        }
        Ok(())
    }
}
