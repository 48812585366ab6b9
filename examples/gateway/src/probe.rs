//! Asks targets whether they are there, while nobody else asks them.

use buttress_core::Target;
use tower::ServiceExt as _;

use crate::{routes::Routes, stack::HttpClient};

/// Asks targets whether they are there, by requests that cost no token.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    routes: Routes,
    client: HttpClient,
}

// === impl Asker ===

impl Asker {
    pub(crate) const fn new(routes: Routes, client: HttpClient) -> Self {
        Self { routes, client }
    }

    /// Returns whether `target` is there, or `None` if it is not to be asked.
    ///
    /// Whoever answers is there, also if the answer is a no: a key that may not list models may well be served. What tells
    /// of a failure of the server's own is none.
    pub(crate) async fn ask(self, target: Target) -> Option<bool> {
        let request = self.routes.probe(&target)?;
        let answer = self.client.oneshot(request).await;
        // The body is dropped unread: a list of models can be long, and nobody asked for it.
        let there = answer.is_ok_and(|response| !response.status().is_server_error());
        tracing::debug!(upstream = %target.name(), there, "probed");
        Some(there)
    }
}
