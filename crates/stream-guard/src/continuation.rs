//! What a format must know to go on with an answer elsewhere.

use buttress_core::{Target, Usage};
use bytes::Bytes;
use http::{Request, response};

/// Knows which answers can be gone on with by another target, and keeps what was said so far. See
/// [`ContinueLayer`](crate::ContinueLayer).
pub trait Continue<B> {
    /// Keeps one answer.
    type Thread: Thread<B>;

    /// Begins to keep the answer to `request`, or returns `None` if another target could not go on with it: it may call
    /// tools, or must be of one form.
    fn begin(&self, request: &Request<B>, head: &response::Parts) -> Option<Self::Thread>;
}

/// Keeps one answer, and goes on with it.
pub trait Thread<B> {
    /// Keeps what `data` says: whole events, which go out.
    fn keep(&mut self, data: &[u8]);

    /// Returns how many bytes are kept.
    fn kept(&self) -> usize;

    /// Makes of `request` one for the rest of the answer, or `None` if that cannot be asked for.
    fn follow_up(&self, request: &Request<B>) -> Option<Request<B>>;

    /// Phrases that `target` goes on, as something that clients pass over: a comment.
    fn mark(&self, target: Option<&Target>) -> Bytes;

    /// Makes of `data`, whole events of the second answer, what goes out in its place: with the id and the model of the
    /// first, and without its beginning.
    fn splice(&mut self, data: Bytes) -> Bytes;
}

/// Adds up what two targets counted.
pub(crate) fn sum(first: Option<Usage>, second: Option<Usage>) -> Option<Usage> {
    let (Some(first), Some(mut second)) = (first, second) else { return first.or(second) };
    second.input = second.input.saturating_add(first.input);
    second.cached_input = second.cached_input.saturating_add(first.cached_input);
    second.cache_write = second.cache_write.saturating_add(first.cache_write);
    second.output = second.output.saturating_add(first.output);
    second.reasoning = second.reasoning.saturating_add(first.reasoning);
    Some(second)
}
