//! The credentials of a target, where it has several.

use std::{
    slice,
    sync::atomic::{AtomicUsize, Ordering},
};

use buttress_core::Target;

/// The credentials of a target, where it has several: what each of them makes of it.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// The target, to be shown each of them in turn. Empty where there is nothing to choose.
    faces: Box<[Target]>,
    /// Whose turn it is, where each has limits of its own.
    turn: AtomicUsize,
}

// === impl Credentials ===

impl Credentials {
    pub(crate) fn of(target: &Target) -> Self {
        let faces = target.credentials().iter().map(|name| target.clone().using(name.clone())).collect();
        Self { faces, turn: AtomicUsize::new(0) }
    }

    pub(crate) const fn len(&self) -> usize {
        self.faces.len()
    }

    /// Returns what there is to choose from: `target` as it is, where it has no credentials of its own to choose from.
    pub(crate) fn faces<'a>(&'a self, target: &'a Target) -> &'a [Target] {
        if self.faces.is_empty() { slice::from_ref(target) } else { &self.faces }
    }

    /// Returns them in the order in which they are to be used: as given, so that the first is used while it is well; or in
    /// turn, where each has limits of its own.
    pub(crate) fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let all = self.faces.len();
        let in_turn = self.faces.first().is_some_and(Target::has_limits_by_credential);
        let first = if in_turn { self.turn.fetch_add(1, Ordering::Relaxed) % all } else { 0 };
        (first..all).chain(0..first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_core::Label;

    #[test]
    fn the_first_is_used_while_it_is_well_and_each_in_turn_where_each_has_limits() {
        let names = ["a", "b", "c"].map(|name| Label::try_new(name).unwrap());
        let target = Target::named("east").unwrap();
        assert_eq!(Credentials::of(&target).faces(&target), slice::from_ref(&target));
        let target = target.with_credentials(names);
        let first = |credentials: &Credentials| credentials.order().collect::<Vec<_>>();
        let credentials = Credentials::of(&target);
        assert_eq!([first(&credentials), first(&credentials)], [[0, 1, 2]; 2]);
        let credentials = Credentials::of(&target.with_limits_by_credential());
        assert_eq!([first(&credentials), first(&credentials), first(&credentials)], [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
    }
}
