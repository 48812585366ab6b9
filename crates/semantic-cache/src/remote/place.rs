//! Names of keys, and what values are bound to.

use buttress_core::Label;
use buttress_redis::Namespace;

use super::{Want, vectors::Element};
use crate::{Fingerprint, Key, Mark, Scope};

/// Where in Redis things are. The names tell the version of what is there.
#[derive(Debug)]
pub(super) struct Places {
    namespace: Namespace,
    name: Label,
    pub(super) book: String,
    pub(super) log: String,
    /// Where there is nothing: to ask whether there could be vectors.
    pub(super) probe: String,
}

// === impl Places ===

impl Places {
    pub(super) fn new(namespace: Namespace, name: Label) -> Self {
        let key = |kind| namespace.key(kind, name.as_str(), "");
        let (book, log, probe) = (key("cache1-book"), key("cache1-log"), key("cache1-probe"));
        Self { namespace, name, book, log, probe }
    }

    pub(super) fn answer(&self, key: &Key) -> String {
        self.namespace.key("cache1-answer", self.name.as_str(), &key.to_string())
    }

    /// Where it is kept what was learned in a space.
    pub(super) fn policy(&self, space: &Fingerprint) -> String {
        self.namespace.key("cache1-policy", self.name.as_str(), &space.to_string())
    }

    /// Where the vectors of a scope are, of one space.
    pub(super) fn vectors(&self, scope: &Scope, space: &Fingerprint) -> String {
        self.of_scope("cache1-vectors", scope, space)
    }

    /// Where it is kept until when each of them is good.
    pub(super) fn ages(&self, scope: &Scope, space: &Fingerprint) -> String {
        self.of_scope("cache1-ages", scope, space)
    }

    fn of_scope(&self, kind: &str, scope: &Scope, space: &Fingerprint) -> String {
        self.namespace.key(kind, self.name.as_str(), &format!("{scope}/{space}"))
    }

    /// What an answer is bound to: where it is, within what it answers, and whose it is.
    pub(super) fn of_answer(&self, want: &Want, marks: &[u8]) -> Vec<u8> {
        let mut context = context("answer", &self.answer(&want.key));
        context.extend_from_slice(&want.scope.to_bytes());
        context.extend_from_slice(marks);
        context
    }

    /// What a question is bound to: its answer, and its name.
    pub(super) fn of_question(&self, element: &Element) -> Vec<u8> {
        let mut context = context("question", &self.answer(&element.answer));
        context.extend_from_slice(&element.name);
        context
    }

    pub(super) fn of_lesson(&self) -> Vec<u8> {
        context("lesson", &self.log)
    }

    pub(super) fn of_policy(&self, space: &Fingerprint, class: u64) -> Vec<u8> {
        let mut context = context("policy", &self.policy(space));
        context.extend_from_slice(&class.to_le_bytes());
        context
    }
}

fn context(kind: &str, place: &str) -> Vec<u8> {
    let mut context = Vec::with_capacity(kind.len() + place.len() + 2 + 32 * 17);
    for part in [kind, place] {
        context.extend_from_slice(part.as_bytes());
        context.push(0);
    }
    context
}

pub(super) fn marks_bytes(marks: &[Mark]) -> Vec<u8> {
    marks.iter().flat_map(|mark| mark.to_bytes()).collect()
}

pub(super) fn marks_of(bytes: &[u8]) -> Option<Box<[Mark]>> {
    let (marks, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| marks.iter().map(|mark| Mark::from_bytes(*mark)).collect())
}
