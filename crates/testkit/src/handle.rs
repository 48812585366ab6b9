//! Writes the script of a probe and reads its counts.

use std::{fmt, sync::Arc};

use crate::{Answer, BodyWatch, HttpAnswer, ProbeError, Reply, state::Shared};

/// Writes the script of a probe and reads its counts.
pub struct Handle<T: Answer = HttpAnswer>(pub(crate) Arc<Shared<T>>);

// === impl Handle ===

impl<T: Answer> Handle<T> {
    /// Answers the next call that has no reply yet with `reply`.
    pub fn next(&self, reply: Reply<T>) {
        self.0.state().next.push_back(reply);
    }

    /// Answers every call with `reply`, once those given to [`next`](Self::next) are used up.
    pub fn always(&self, reply: Reply<T>) {
        self.0.state().always = reply;
    }

    /// Lets at most `limit` calls be reserved or under way at a time.
    pub fn limit(&self, limit: usize) {
        self.0.update(|state| state.limit = limit);
    }

    /// Is never ready, until [`be_ready`](Self::be_ready).
    pub fn be_unready(&self) {
        self.0.state().readiness = Ok(false);
    }

    /// Is ready, within the limit.
    pub fn be_ready(&self) {
        self.0.update(|state| state.readiness = Ok(true));
    }

    /// Fails in `poll_ready`.
    pub fn fail_readiness(&self, error: impl Into<ProbeError>) {
        self.0.update(|state| state.readiness = Err(error.into()));
    }

    /// Lets all calls that hang go on.
    pub fn release(&self) {
        self.0.update(|state| state.round += 1);
    }

    /// Returns how often the probe was called.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.0.state().seen.len()
    }

    /// Returns what the probe was called with.
    #[must_use]
    pub fn seen(&self) -> Vec<T::Seen> {
        self.0.state().seen.clone()
    }

    /// Returns how often readiness was asked for.
    #[must_use]
    pub fn ready_polls(&self) -> usize {
        self.0.state().ready_polls
    }

    /// Returns how many places are reserved or under way.
    #[must_use]
    pub fn permits(&self) -> usize {
        self.0.state().permits
    }

    /// Returns how many futures are alive.
    #[must_use]
    pub fn futures(&self) -> usize {
        self.0.state().futures
    }

    /// Returns what counts the bodies of the answers.
    #[must_use]
    pub fn bodies(&self) -> &BodyWatch {
        &self.0.bodies
    }

    /// Asserts that no place is held, and no future and no body alive.
    ///
    /// # Panics
    ///
    /// Panics if something was left behind.
    #[track_caller]
    pub fn assert_idle(&self) {
        assert_eq!(self.permits(), 0, "a place in the inner service is still held");
        assert_eq!(self.futures(), 0, "a future of the inner service is still alive");
        assert_eq!(self.bodies().alive(), 0, "a body of the inner service is still alive");
    }
}

impl<T: Answer> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Answer> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state();
        f.debug_struct("Handle")
            .field("calls", &state.seen.len())
            .field("permits", &state.permits)
            .field("futures", &state.futures)
            .field("bodies", &self.0.bodies.alive())
            .finish_non_exhaustive()
    }
}
