use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::seed::Seeded;

/// Faults that come by themselves: for each request, the first step whose time it is.
///
/// As JSON or TOML, a script is `{"steps": [{"when": …, "fault": …}]}`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "ScriptForm")]
pub struct Script {
    steps: Vec<Step>,
}

/// A fault and when it comes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Which requests meet the fault.
    pub when: When,
    /// The fault they meet.
    pub fault: Fault,
}

/// Which requests of a target a [`Step`] is for. They are counted from 1, beginning when the script was set or the target
/// was reset.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum When {
    /// Every request.
    Always,
    /// The first so many.
    First(NonZeroU64),
    /// Those with these numbers.
    Nth(Vec<NonZeroU64>),
    /// Every so many: 3 means the third, the sixth, the ninth.
    Every(NonZeroU64),
    /// Each with this chance, from 0 to 1, drawn from the target's seed and the request's number.
    Probability(f64),
}

/// A script that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptForm {
    steps: Vec<Step>,
}

// === impl Script ===

impl Script {
    /// The most steps in a script, and the most numbers in one [`When::Nth`].
    pub const MAX_LEN: usize = 1024;

    /// Creates a script.
    ///
    /// # Errors
    ///
    /// If it is longer than [`Script::MAX_LEN`], has a chance outside 0 to 1, or has a [`Fault::Refuse`]: a request that is
    /// there to be counted was not refused.
    pub fn try_new(steps: impl IntoIterator<Item = Step>) -> Result<Self, ScriptError> {
        let steps: Vec<_> = steps.into_iter().take(Self::MAX_LEN + 1).collect();
        if steps.len() > Self::MAX_LEN {
            return Err(ScriptError(format!("`steps` has more than {} steps", Self::MAX_LEN)));
        }
        for (index, step) in steps.iter().enumerate() {
            step.check().map_err(|why| ScriptError(format!("`steps[{index}]`: {why}")))?;
        }
        Ok(Self { steps })
    }

    /// The steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The fault of request `number`. Every chance is drawn, met or not, so that steps do not shift each other's draws.
    pub(crate) fn fault(&self, number: u64, seeded: &mut Seeded) -> Option<&Fault> {
        let mut met = None;
        for step in &self.steps {
            if step.when.includes(number, seeded) && met.is_none() {
                met = Some(&step.fault);
            }
        }
        met
    }
}

impl TryFrom<ScriptForm> for Script {
    type Error = ScriptError;

    fn try_from(form: ScriptForm) -> Result<Self, ScriptError> {
        Self::try_new(form.steps)
    }
}

// === impl Step ===

impl Step {
    /// Creates a step.
    #[must_use]
    pub const fn new(when: When, fault: Fault) -> Self {
        Self { when, fault }
    }

    fn check(&self) -> Result<(), String> {
        if self.fault == Fault::Refuse {
            return Err("`refuse` works only while switched on; `reset` ends a single request".to_owned());
        }
        match &self.when {
            When::Probability(chance) if !(0.0..=1.0).contains(chance) => {
                Err(format!("`probability` is {chance}, expected 0 to 1"))
            }
            When::Nth(numbers) if numbers.len() > Script::MAX_LEN => {
                Err(format!("`nth` has more than {} numbers", Script::MAX_LEN))
            }
            When::Always | When::First(_) | When::Nth(_) | When::Every(_) | When::Probability(_) => Ok(()),
        }
    }
}

// === impl When ===

impl When {
    fn includes(&self, number: u64, seeded: &mut Seeded) -> bool {
        match self {
            Self::Always => true,
            Self::First(count) => number <= count.get(),
            Self::Nth(numbers) => numbers.iter().any(|nth| nth.get() == number),
            Self::Every(count) => number.is_multiple_of(count.get()),
            Self::Probability(chance) => seeded.unit() < *chance,
        }
    }
}

// === impl ScriptError ===

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScriptError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn script(json: &str) -> Result<Script, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn hits(when: &str) -> Vec<u64> {
        let script = script(&format!(r#"{{"steps":[{{"when":{when},"fault":{{"kind":"hang"}}}}]}}"#)).unwrap();
        let hit = |number: &u64| script.fault(*number, &mut Seeded::for_request(7, *number)).is_some();
        (1..=10).filter(hit).collect()
    }

    #[test]
    fn each_when_picks_its_requests() {
        assert_eq!(hits(r#""always""#).len(), 10);
        assert_eq!(hits(r#"{"first":2}"#), [1, 2]);
        assert_eq!(hits(r#"{"nth":[1,4]}"#), [1, 4]);
        assert_eq!(hits(r#"{"every":4}"#), [4, 8]);
        assert!(hits(r#"{"probability":0.0}"#).is_empty());
        assert_eq!(hits(r#"{"probability":1.0}"#).len(), 10);
        assert_eq!(hits(r#"{"probability":0.5}"#), hits(r#"{"probability":0.5}"#));
    }

    #[test]
    fn the_first_step_that_fits_wins() {
        let steps = [Step::new(When::Every(NonZeroU64::MIN), Fault::Hang), Step::new(When::Always, Fault::Reset)];
        let script = Script::try_new(steps).unwrap();
        assert_eq!(script.fault(1, &mut Seeded::for_request(1, 1)), Some(&Fault::Hang));
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        for (step, named) in [
            (r#"{"when":"always","fault":{"kind":"refuse"}}"#, "`steps[0]`: `refuse` works only while switched on"),
            (r#"{"when":{"probability":1.5},"fault":{"kind":"hang"}}"#, "`probability` is 1.5, expected 0 to 1"),
            (r#"{"when":{"every":0},"fault":{"kind":"hang"}}"#, "nonzero"),
            (r#"{"when":"often","fault":{"kind":"hang"}}"#, "expected one of `always`, `first`, `nth`"),
            (r#"{"fault":{"kind":"hang"}}"#, "missing field `when`"),
        ] {
            let error = script(&format!(r#"{{"steps":[{step}]}}"#)).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
        let endless = std::iter::repeat(Step::new(When::Always, Fault::Hang));
        assert!(Script::try_new(endless).unwrap_err().to_string().contains("1024"));
    }

    proptest! {
        #[test]
        fn a_chance_is_met_about_that_often(seed: u64, percent in 0_u32..=100) {
            let chance = f64::from(percent) / 100.0;
            let script = Script::try_new([Step::new(When::Probability(chance), Fault::Hang)]).unwrap();
            let hit = |number: &u64| script.fault(*number, &mut Seeded::for_request(seed, *number)).is_some();
            let share = (1..=4000).filter(hit).count() as f64 / 4000.0;
            prop_assert!((share - chance).abs() < 0.06, "{share} for {chance}");
        }
    }
}
