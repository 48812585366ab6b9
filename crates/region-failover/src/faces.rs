//! A target as it is to be asked with each of its credentials.

use buttress_core::{Label, Target};
use tokio::time::Instant;

use crate::member::Member;

// === impl Member ===

impl Member {
    /// Returns the target as it is to be asked with each of its credentials, or as it is where there is nothing to choose.
    #[inline]
    pub(crate) fn faces(&self) -> &[Target] {
        self.credentials.faces(self.target())
    }

    /// Chooses the credential for a request that may go to the target as `open` says.
    #[inline]
    pub(crate) fn face(&self, now: Instant, open: impl Fn(&Target) -> bool) -> Option<usize> {
        if self.credentials.len() == 0 {
            return open(self.target()).then_some(0);
        }
        let vitals = self.known.vitals();
        let free = |face: &usize| vitals.is_credential_free(*face, now) && open(&self.faces()[*face]);
        self.credentials.order().find(free)
    }

    /// Returns whether there is no choice among credentials.
    #[inline]
    pub(crate) const fn has_one_face(&self) -> bool {
        self.credentials.len() == 0
    }

    /// Returns whether one of its credentials is free for a request that may go to the target as `open` says.
    pub(crate) fn has_face(&self, now: Instant, open: impl Fn(&Target) -> bool) -> bool {
        if self.credentials.len() == 0 {
            return open(self.target());
        }
        let vitals = self.known.vitals();
        let mut faces = self.faces().iter().enumerate();
        faces.any(|(face, target)| vitals.is_credential_free(face, now) && open(target))
    }

    /// Returns until when each of its credentials is left alone.
    pub(crate) fn parked_credentials(&self, now: Instant) -> Vec<Option<Instant>> {
        self.known.vitals().credentials.iter().map(|until| until.filter(|until| now < *until)).collect()
    }

    /// Forgets what is held against one of its credentials. Returns whether it has that.
    pub(crate) fn renew_credential(&self, name: &Label) -> bool {
        let at = self.target().credentials().iter().position(|other| other == name);
        at.is_some_and(|at| self.known.change().renew_credential(at))
    }
}
