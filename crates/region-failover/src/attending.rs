//! Who hears of the end of an answer.

use std::sync::Arc;

use buttress_core::{Attend, Class, Verdict};
use tokio::time::Instant;

use crate::{aim::Aim, ended::Ended, member::Member, vitals::Rests};

/// Hears of the end of an answer that was asked for with one of several credentials.
struct Attending {
    member: Arc<Member>,
    /// Which of them.
    face: usize,
}

/// Returns who hears of the end of the answer to an attempt. It costs an allocation only where there is a choice among
/// credentials: otherwise it is the target itself.
pub(crate) fn attending(to: &Aim) -> Arc<dyn Attend> {
    let member = Arc::clone(&to.member);
    if member.has_one_face() { member } else { Arc::new(Attending { member, face: to.face }) }
}

fn concluded(member: &Member, face: Option<usize>, class: Class) {
    let now = Instant::now();
    if class.verdict == Verdict::Success {
        // How long it took to its head is noted already, and nobody waits for the rest.
        member.served(now);
        return;
    }
    let blames_credential = face.is_some_and(|face| member.faces()[face].blames_credential(class.verdict));
    let ended = Ended { credential: face, blames_credential, ..Ended::later(class) };
    member.note(&Rests::DEFAULT, &ended, now);
}

// === impl Attend ===

impl Attend for Attending {
    fn concluded(&self, class: Class) {
        concluded(&self.member, Some(self.face), class);
    }

    fn ended(&self) {
        self.member.left();
    }
}

impl Attend for Member {
    fn concluded(&self, class: Class) {
        concluded(self, None, class);
    }

    fn ended(&self) {
        self.left();
    }
}
