//! What is known of a target, and how it is looked at and changed.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

use buttress_core::Target;

use crate::{glance::Glance, vitals::Vitals};

/// What is known of a target: all of it behind a lock, and at a glance what there is to know of one that simply serves.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) glance: Glance,
    vitals: Mutex<Vitals>,
}

/// A change of what is known, which is shown when it is done.
pub(crate) struct Change<'a> {
    vitals: MutexGuard<'a, Vitals>,
    glance: &'a Glance,
}

// === impl Known ===

impl Known {
    pub(crate) fn new(target: &Target, vitals: Vitals) -> Self {
        Self { glance: Glance::of(target, &vitals), vitals: Mutex::new(vitals) }
    }

    /// Lets what is known be changed.
    #[inline]
    pub(crate) fn change(&self) -> Change<'_> {
        Change { vitals: self.vitals(), glance: &self.glance }
    }

    #[inline]
    pub(crate) fn vitals(&self) -> MutexGuard<'_, Vitals> {
        // Nothing that could panic leaves it half changed.
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Change ===

impl Deref for Change<'_> {
    type Target = Vitals;

    #[inline]
    fn deref(&self) -> &Vitals {
        &self.vitals
    }
}

impl DerefMut for Change<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vitals {
        &mut self.vitals
    }
}

impl Drop for Change<'_> {
    #[inline]
    fn drop(&mut self) {
        self.glance.show(&self.vitals);
    }
}
