//! Prompts so long that a target may fail at them without saying so.

use buttress_core::{Class, Outcome, Verdict};

use crate::{Call, Dialect, TokenCounter};

/// Says that a prompt is huge. [`LlmRewrite`](crate::LlmRewrite) leaves it in the extensions of such a request.
///
/// Gemini's 500 and 504 may mean that the prompt is too long, and nothing in them tells so
/// (<https://ai.google.dev/gemini-api/docs/troubleshooting>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HugePrompt;

/// From how many tokens on a prompt is huge. Beyond as many, Google takes the price of long prompts.
const TOKENS: u64 = 200_000;

// === impl HugePrompt ===

impl HugePrompt {
    /// Estimates whether the prompt in `body` is huge, if it goes to Gemini.
    pub(crate) fn of(dialect: Dialect, call: &Call, body: &[u8]) -> Option<Self> {
        // Hardly a token is shorter than a byte.
        if dialect != Dialect::Gemini || (body.len() as u64) < TOKENS || !call.operation().is_conversation() {
            return None;
        }
        let counter = TokenCounter::of_model(call.model().unwrap_or_default()).exact_up_to(0);
        (counter.input(&call.details(body)).tokens >= TOKENS).then_some(Self)
    }

    /// Says what an answer to a huge prompt means, which by itself means `class`.
    pub(crate) fn judge(self, class: Class) -> Class {
        match class.outcome {
            Outcome::Status(status) if class.verdict == Verdict::Transient && matches!(status.as_u16(), 500 | 504) => {
                Class::new(Verdict::ContextTooLong, class.outcome).with_hint(class.hint)
            }
            _ => class,
        }
    }
}
