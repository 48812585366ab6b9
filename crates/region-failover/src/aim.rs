//! Where an attempt goes, and that it is under way.

use std::sync::Arc;

use buttress_core::{Label, ServedBy, Target};
use tokio::time::Instant;

use crate::{epoch::Moment, member::Member};

/// Where an attempt goes, and until when.
#[derive(Clone, Debug)]
pub(crate) struct Aim {
    pub(crate) member: Arc<Member>,
    /// Which of its credentials it is shown.
    pub(crate) face: usize,
    pub(crate) model: Option<Label>,
    pub(crate) begun: Moment,
    pub(crate) until: Instant,
    /// The time is the attempt's own, and not what was left to an impatient caller.
    pub(crate) patient: bool,
}

/// An attempt under way. Dropped unfinished, nobody waited for its end.
#[derive(Debug)]
pub(crate) struct UnderWay {
    pub(crate) to: Aim,
    finished: bool,
    /// Whoever reads the body says when it is over.
    pub(crate) goes_on: bool,
}

// === impl Aim ===

impl Aim {
    /// Returns the target, with the credential that it is shown where it has several.
    pub(crate) fn target(&self) -> &Target {
        &self.member.faces()[self.face]
    }

    /// Says who gave the answer.
    pub(crate) fn served_by(&self) -> ServedBy {
        ServedBy { target: self.target().clone(), model: self.model.clone() }
    }

    #[inline]
    pub(crate) fn under_way(self) -> UnderWay {
        self.member.began();
        UnderWay { to: self, finished: false, goes_on: false }
    }
}

// === impl UnderWay ===

impl UnderWay {
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Aim { member, begun, .. } = &self.to;
        if self.goes_on {
            member.answered();
        } else {
            member.left_unanswered();
        }
        if !self.finished {
            let now = Instant::now();
            member.abandoned(now.saturating_duration_since(begun.at), now);
        }
    }
}
