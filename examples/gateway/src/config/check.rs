//! What must hold between the parts of a configuration.

use std::collections::HashSet;

use super::{Config, error::Fault};

impl Config {
    /// Returns the keys whose values in `edited` are other ones and cannot count while the gateway runs.
    #[must_use]
    pub fn changed_for_good(&self, edited: &Self) -> Vec<&'static str> {
        let same = [
            ("listen", self.listen == edited.listen),
            ("admin", self.admin == edited.admin),
            ("max_body_bytes", self.max_body_bytes == edited.max_body_bytes),
            ("deadline", self.deadline == edited.deadline),
            ("shutdown_grace", self.shutdown_grace == edited.shutdown_grace),
            ("retry", self.retry == edited.retry),
            ("failover", self.failover == edited.failover),
            ("breaker", self.breaker == edited.breaker),
            ("streams", self.streams == edited.streams),
            ("concurrency", self.concurrency == edited.concurrency),
            ("probes", self.probes == edited.probes),
        ];
        same.into_iter().filter(|(_, same)| !same).map(|(key, _)| key).collect()
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        if let Some(admin) = self.admin.filter(|admin| !admin.ip().is_loopback()) {
            let says = format!(
                "`{admin}` must be an address of loopback, such as 127.0.0.1:9090: nobody is asked who they are"
            );
            return Err((None, "admin".to_owned(), says));
        }
        self.breaker.settings().check().map_err(|error| (None, "breaker".to_owned(), error.to_string()))?;
        if self.targets.is_empty() {
            return Err((None, "targets".to_owned(), "at least one [[targets]] table is needed".to_owned()));
        }
        let mut names = HashSet::new();
        for (i, target) in self.targets.iter().enumerate() {
            let name = target.get_ref().target.name();
            if !names.insert(name) {
                let says = format!("`{name}` is the name of another target, each name may be used once");
                return Err((Some(target.span()), format!("targets[{i}].name"), says));
            }
        }
        Ok(())
    }
}
