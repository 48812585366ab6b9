//! The members of an object in the order of their names.

use std::borrow::Cow;

use buttress_llm::Spot;

/// The members of an object in the order of their names; of those with the same name, in the order in which they are written.
#[derive(Default)]
pub(super) struct Members<'o, 'a> {
    /// In place, since most objects have few, and names without escapes.
    few: [Option<(&'a str, Spot<'o, 'a>)>; FEW],
    count: usize,
    /// All of them, if they are many, or of other names.
    many: Vec<(Cow<'a, str>, Spot<'o, 'a>)>,
}

const FEW: usize = 8;

// === impl Members ===

impl<'o, 'a> Members<'o, 'a> {
    /// Returns those of `object`; of anything else, none.
    pub(super) fn of(object: Spot<'o, 'a>) -> Self {
        Self::few(object).unwrap_or_else(|| {
            let mut many: Vec<_> = object.members().map(|(name, value)| (name_of(name), value)).collect();
            many.sort_by(|(a, _), (b, _)| a.cmp(b));
            Self { many, ..Self::default() }
        })
    }

    fn few(object: Spot<'o, 'a>) -> Option<Self> {
        let mut members = Self::default();
        for (name, value) in object.members() {
            let name = name.plain()?;
            let mut at = members.count;
            *members.few.get_mut(at)? = Some((name, value));
            members.count += 1;
            while at > 0 && members.few[at - 1].is_some_and(|(before, _)| before > name) {
                members.few.swap(at - 1, at);
                at -= 1;
            }
        }
        Some(members)
    }

    /// Returns whether two have the same name.
    pub(super) fn has_twins(&self) -> bool {
        self.iter().zip(self.iter().skip(1)).any(|((a, _), (b, _))| a == b)
    }

    /// Keeps those that `keep` says are to be kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str, Spot<'o, 'a>) -> bool) {
        let mut kept = 0;
        for at in 0..self.count {
            if let Some((name, value)) = self.few[at].filter(|(name, value)| keep(name, *value)) {
                self.few[kept] = Some((name, value));
                kept += 1;
            }
        }
        self.few[kept..].fill(None);
        self.count = kept;
        self.many.retain(|(name, value)| keep(name, *value));
    }

    pub(super) const fn len(&self) -> usize {
        self.count + self.many.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Spot<'o, 'a>)> {
        let few = self.few[..self.count].iter().copied().flatten();
        few.chain(self.many.iter().map(|(name, value)| (&**name, *value)))
    }
}

/// Returns the text that a string stands for, or the string as it is written, if it stands for none.
pub(super) fn name_of<'a>(name: Spot<'_, 'a>) -> Cow<'a, str> {
    name.text().unwrap_or_else(|| Cow::Borrowed(name.raw().as_str()))
}
