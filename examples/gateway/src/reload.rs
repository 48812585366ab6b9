//! Takes over an edited configuration while the gateway runs.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use crate::{Config, ConfigError, operator::Operator, tenants::PriceList};

/// Takes over an edited configuration while the gateway runs: its targets, tenants and prices, and what each tier may take. What
/// else has changed needs a restart, and is told.
/// A configuration that is not good is refused, and the one before stays.
#[derive(Debug)]
pub struct Reload {
    path: PathBuf,
    /// What the gateway was started with, and what it is doing now where that can change.
    running: Config,
    operator: Operator,
    variable: fn(&str) -> Option<String>,
    seen: Seen,
}

/// What was taken over, and what was not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// How many targets there are now.
    pub targets: usize,
    /// The keys whose values count only after a restart.
    pub needs_restart: Vec<&'static str>,
}

/// What was seen of the file. An editor may write it in pieces: it counts when it has not changed from one look to the next.
struct Seen {
    /// What was taken over, or refused.
    done: String,
    /// What it has changed to since, at the last look.
    changed: Option<String>,
    /// Whether it could be read at the last look.
    readable: bool,
}

// === impl Reload ===

impl Reload {
    /// How often the file is looked at: it is small, and links that are turned to another file are seen too, as Kubernetes
    /// turns them.
    pub const EVERY: Duration = Duration::from_secs(1);

    /// Creates what takes over edits of the file at `path`, which held `text` when it was parsed to `running`. Keys are looked
    /// up by `variable`.
    #[must_use]
    pub fn new(
        path: &Path,
        text: String,
        running: Config,
        operator: Operator,
        variable: fn(&str) -> Option<String>,
    ) -> Self {
        let seen = Seen { done: text, changed: None, readable: true };
        Self { path: path.to_owned(), running, operator, variable, seen }
    }

    /// Takes over the configuration in `text`.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, if `text` is no configuration. The error names line, key and what is allowed.
    pub fn apply(&mut self, text: &str) -> Result<Applied, ConfigError> {
        let edited = Config::parse(text, &self.path.display().to_string())?;
        let (upstreams, book) = (edited.upstreams(self.variable)?, edited.book(self.variable)?);
        let (needs_restart, prices) = (self.running.changed_for_good(&edited), PriceList::new(&edited));
        let refused = |(key, says): (String, String)| ConfigError::of(&self.path, &key, says);
        let limits = edited.limits.filter(|_| !needs_restart.contains(&"limits"));
        if let (Some(callers), Some(limits)) = (&self.operator.callers, &limits) {
            callers.check(limits).map_err(refused)?;
        }
        // Its names were checked when it was parsed.
        self.operator.replace(&upstreams).map_err(|error| refused(("targets".to_owned(), error.to_string())))?;
        let replaced = (&self.operator.callers, book, &self.running.limits, limits);
        if let (Some(callers), Some(book), Some(before), Some(limits)) = replaced {
            callers.replace(book, before, &limits);
            self.running.limits = Some(limits);
        }
        self.operator.reprice(prices);
        Ok(Applied { targets: upstreams.len(), needs_restart })
    }

    /// Looks at the file `every` so often, and at each SIGHUP, and takes it over when it has changed. Never completes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but the looks to come.
    pub async fn watch(mut self, every: Duration) {
        let mut hangups = Hangups::new();
        tracing::info!(file = %self.path.display(), "the configuration is watched");
        let mut looks = interval(every.max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                _ = looks.tick() => false,
                () = hangups.next() => true,
            };
            self.look(asked).await;
        }
    }

    async fn look(&mut self, asked: bool) {
        let path = self.path.clone();
        // It fails only where the runtime is about to end.
        let Ok(read) = tokio::task::spawn_blocking(move || Config::text(&path)).await else { return };
        let text = match read {
            Ok(text) => text,
            Err(error) => {
                // Once: it may be gone for as long as it takes to put another one in its place.
                if std::mem::take(&mut self.seen.readable) || asked {
                    tracing::warn!(%error, "the configuration cannot be read, the one before stays");
                }
                return;
            }
        };
        if self.seen.is_due(text, asked) {
            let text = std::mem::take(&mut self.seen.done);
            match self.apply(&text) {
                Ok(applied) => applied.tell(),
                Err(error) => tracing::warn!(%error, "the configuration is refused, the one before stays"),
            }
            self.seen.done = text;
        }
    }
}

// === impl Applied ===

impl Applied {
    fn tell(&self) {
        tracing::info!(targets = self.targets, "the configuration is taken over");
        if !self.needs_restart.is_empty() {
            tracing::warn!(keys = self.needs_restart.join(", "), "needs a restart");
        }
    }
}

// === impl Seen ===

impl Seen {
    /// Returns whether `text`, which is there now, is to be taken over; it is in `done` then.
    fn is_due(&mut self, text: String, asked: bool) -> bool {
        self.readable = true;
        let rests = self.changed.as_ref() == Some(&text);
        if asked || (rests && text != self.done) {
            self.done = text;
            self.changed = None;
            return true;
        }
        self.changed = (text != self.done).then_some(text);
        false
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").field("readable", &self.readable).finish_non_exhaustive()
    }
}

/// The signals that ask for a look, where there are signals.
struct Hangups(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

// === impl Hangups ===

#[cfg(unix)]
impl Hangups {
    fn new() -> Self {
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
        Self(signal.inspect_err(|error| tracing::warn!(%error, "SIGHUP is not heard")).ok())
    }

    async fn next(&mut self) {
        let heard = match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if heard.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
impl Hangups {
    const fn new() -> Self {
        Self()
    }

    async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_counts_when_it_rests_and_at_once_when_asked() {
        let mut seen = Seen { done: "a".to_owned(), changed: None, readable: false };
        let mut due = |text: &str, asked| seen.is_due(text.to_owned(), asked);
        assert!(!due("a", false), "nothing has changed");
        assert!(!due("ab", false) && !due("abc", false), "it is being written");
        assert!(due("abc", false), "it rests");
        assert!(!due("abc", false), "once");
        assert!(!due("d", false) && !due("abc", false) && !due("abc", false), "it was put back");
        assert!(due("e", true) && !due("e", false) && due("e", true), "whoever asks is heard");
    }
}
