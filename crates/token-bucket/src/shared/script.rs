//! How Redis is asked.

use std::{sync::OnceLock, time::Duration};

use buttress_core::Label;
use buttress_redis::{Error, Invocation, Namespace, Redis, Script};

use super::{
    exact::{Exact, NUMBER, Parts, pack, unpack},
    source,
};
use crate::{Fingerprint, Limits};

/// The script, and where levels are kept.
#[derive(Debug)]
pub(crate) struct Levels {
    redis: Redis,
    /// What all keys of levels begin with, up to the fingerprint.
    prefix: String,
    /// For each number of limits, once somebody has so many.
    scripts: [OnceLock<Script>; Limits::MOST],
    /// Makes one of them.
    source: fn(usize) -> String,
    /// Tells the settlements of this process from those of all others.
    origin: u64,
}

/// For how long a settlement may be tried again. Its mark is kept for a minute.
pub(crate) const RETRIED_FOR: Duration = Duration::from_secs(45);

/// What ends the tag in a key: what is before it chooses the slot.
const TAG_END: &str = "}:";
/// What the levels of a key are called. `v1` was a hash, which only builds before this one know.
const LEVELS: &str = "v2";

/// What is to be done with the levels of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Takes the first from all limits, or from none; with it as much of the second as is well left.
    Take(Parts, Parts),
    /// Takes or gives back, whatever is left, unless it has been done under this number.
    Settle(Parts, u64),
    /// Lowers levels such that no less than this is missing.
    Lower(Parts),
    /// Fills all.
    Fill,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// It was done. What had been settled before is not settled again.
    pub(crate) done: bool,
    /// What is missing now.
    pub(crate) missing: Parts,
    /// What was taken in addition.
    pub(crate) extra: Parts,
}

// === impl Levels ===

impl Levels {
    pub(crate) fn new(redis: Redis, namespace: &Namespace, name: &Label, origin: u64) -> Self {
        // A fingerprint is hexadecimal, so that nothing in it is escaped.
        let prefix = namespace.key("tb", &format!("{name}/"), "");
        let prefix = prefix.strip_suffix(TAG_END).unwrap_or(&prefix).to_owned();
        Self { redis, prefix, scripts: Default::default(), source: source::for_limits, origin }
    }

    /// Goes by a time that is told with each call, in microseconds, and lets nothing expire by the server's.
    #[cfg(test)]
    pub(crate) fn at_told_times(mut self) -> Self {
        self.source = source::at_told_times;
        self
    }

    pub(crate) fn is_there(&self) -> bool {
        self.redis.status().is_connected()
    }

    /// Changes the levels of a key.
    pub(crate) async fn apply(&self, key: Fingerprint, exact: &Exact, change: &Change) -> Result<Told, Error> {
        let told: Vec<u8> = self.redis.invoke(&self.call(key, exact, change)).await?;
        Ok(Told::read(&told, exact.rules.len()))
    }

    pub(crate) fn call(&self, key: Fingerprint, exact: &Exact, change: &Change) -> Invocation {
        let (doing, needs, wants) = match change {
            Change::Take(needs, wants) => ("take", *needs, *wants),
            Change::Settle(needs, _) => ("settle", *needs, Parts::default()),
            Change::Lower(missing) => ("lower", *missing, Parts::default()),
            Change::Fill => ("fill", Parts::default(), Parts::default()),
        };
        let count = exact.rules.len();
        let script = self.scripts[count - 1].get_or_init(|| Script::new((self.source)(count)));
        let mut tagged = String::with_capacity(self.prefix.len() + 80);
        tagged.push_str(&self.prefix);
        push_hex(&mut tagged, key);
        tagged.push_str(TAG_END);
        let call = match change {
            Change::Settle(_, number) => {
                let mark = format!("{tagged}s/{:x}/{number:x}", self.origin);
                tagged.push_str(LEVELS);
                script.call(&[tagged, mark])
            }
            _ => {
                tagged.push_str(LEVELS);
                script.call(&[tagged])
            }
        };
        let mut numbers = Vec::with_capacity(exact.numbers.len() + NUMBER * count);
        numbers.extend_from_slice(&exact.numbers);
        pack(&mut numbers, needs[..count].iter().copied());
        let call = call.arg(doing).arg(&exact.layout).arg(numbers);
        if wants.iter().all(|want| *want == 0) {
            return call;
        }
        let mut numbers = Vec::with_capacity(2 * NUMBER * count);
        exact.rules.iter().zip(wants).for_each(|(rule, want)| pack(&mut numbers, [want, rule.unit]));
        call.arg(numbers)
    }
}

// === impl Told ===

impl Told {
    /// Reads what the script returns for so many limits. What is not there is not missing: the script is ours.
    pub(crate) fn read(told: &[u8], count: usize) -> Self {
        let mut numbers = unpack(told);
        let mut told = Self { done: numbers.next() == Some(1), missing: Parts::default(), extra: Parts::default() };
        told.missing.iter_mut().take(count).zip(&mut numbers).for_each(|(missing, number)| *missing = number.max(0));
        told.extra.iter_mut().take(count).zip(&mut numbers).for_each(|(extra, number)| *extra = number.max(0));
        told
    }
}

/// Writes a fingerprint as it is displayed. The formatter takes longer for it than all else that is done to ask takes.
fn push_hex(text: &mut String, key: Fingerprint) {
    for half in [key.upper(), key.lower()] {
        let digits = (0..16).rev().map(|at| (half >> (4 * at) & 15) as usize);
        text.extend(digits.map(|digit| char::from(b"0123456789abcdef"[digit])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_in_a_key_is_as_it_is_displayed() {
        for key in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210, 7 << 120].map(Fingerprint::new) {
            let mut text = String::new();
            push_hex(&mut text, key);
            assert_eq!(text, key.to_string());
        }
    }
}
