//! How low the score may be at which answers are served.

use super::ErrorBound;

/// A request of the window, as a model scores it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scored {
    pub(super) score: f64,
    /// What it counts for: 1, or less if its sender sent too many.
    pub(super) weight: f64,
    /// Whether its candidate was wrong, where that was judged.
    pub(super) wrong: Option<bool>,
}

/// Requests with scores next to each other.
#[derive(Clone, Copy, Debug)]
struct Stratum {
    requests: f64,
    judged: f64,
    wrong: f64,
    end: usize,
}

/// How many judgements make a stratum.
const JUDGED_IN_STRATUM: f64 = 40.0;
/// How many standard deviations are added: a one-sided test of 95 %.
const DEVIATIONS: f64 = 1.64;

/// How many wrong answers are allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    pub(super) target: f64,
    /// The requests of which it is a share; if it is none of them, it is a share of what is served.
    pub(super) requests: Option<f64>,
}

/// What is served, and what is expected of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Boundary {
    /// The least score that is served; infinite if none is high enough.
    pub(super) cut: f64,
    /// How many of those served are wrong, by the best guess and at most, as sure as the cut is.
    pub(super) expected: (f64, f64),
    /// Of how many, requests or answers that are served, as the goal has it.
    pub(super) of: f64,
    /// The least score of each stratum, falling, and the share of it that is wrong, rising.
    rates: Vec<(f64, f64)>,
}

// === impl Goal ===

impl Goal {
    pub(super) fn of(settings: &ErrorBound, requests: f64) -> Self {
        Self { target: settings.target, requests: (!settings.per_hit).then_some(requests) }
    }
}

// === impl Boundary ===

impl Boundary {
    /// Finds the least score at which no more answers than allowed would have been wrong. Sorts `scored`, the highest first.
    ///
    /// Audited and compared answers are judged with very different frequency. To weigh each judgement with the inverse of its frequency
    /// makes an estimate that hangs on the few rarest. Instead, requests with scores next to each other form strata; a judgement speaks
    /// for all in its stratum (post-stratification). A lower score is never less likely to be wrong: strata that say otherwise are made
    /// one (pool adjacent violators). What is likelier wrong than right is not served, however much is allowed.
    pub(super) fn of(scored: &mut [Scored], goal: Goal) -> Self {
        scored.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
        let mut boundary =
            Self { cut: f64::INFINITY, expected: (0.0, 0.0), of: goal.requests.unwrap_or(0.0), rates: Vec::new() };
        let (mut served, mut wrong, mut variance, mut start) = (0.0, 0.0, 0.0, 0);
        for stratum in monotone(strata(scored)) {
            // Half a wrong answer is added, so that a few right ones prove nothing.
            let rate = ((stratum.wrong + 0.5) / (stratum.judged + 1.0)).min(1.0);
            let spread = rate * (1.0 - rate) / (stratum.judged + 1.0);
            boundary.rates.push((scored[stratum.end - 1].score, rate));
            let mut part = 0.0;
            for at in start..stratum.end {
                part += scored[at].weight;
                let bound = wrong + part * rate + DEVIATIONS * (variance + part * part * spread).sqrt();
                let of = goal.requests.unwrap_or(served + part);
                let allowed = goal.target * of;
                let twin_follows = scored.get(at + 1).is_some_and(|next| next.score >= scored[at].score);
                if rate <= 0.5 && bound <= allowed && !twin_follows {
                    boundary.cut = scored[at].score;
                    (boundary.expected, boundary.of) = ((wrong + part * rate, bound), of);
                } else if goal.requests.is_some() && bound > allowed {
                    return boundary;
                }
            }
            served += stratum.requests;
            wrong += stratum.requests * rate;
            variance += stratum.requests * stratum.requests * spread;
            start = stratum.end;
        }
        boundary
    }

    /// How likely an answer of this score is wrong.
    pub(super) fn risk(&self, score: f64) -> f64 {
        let at = self.rates.partition_point(|&(least, _)| least > score);
        self.rates.get(at).or_else(|| self.rates.last()).map_or(1.0, |&(_, rate)| rate)
    }
}

fn strata(scored: &[Scored]) -> Vec<Stratum> {
    let mut strata = Vec::new();
    let empty = Stratum { requests: 0.0, judged: 0.0, wrong: 0.0, end: 0 };
    let mut open = empty;
    for (at, request) in scored.iter().enumerate() {
        open.requests += request.weight;
        open.end = at + 1;
        if let Some(wrong) = request.wrong {
            open.judged += request.weight;
            open.wrong += if wrong { request.weight } else { 0.0 };
        }
        if open.judged >= JUDGED_IN_STRATUM || at + 1 == scored.len() {
            strata.push(open);
            open = empty;
        }
    }
    strata
}

/// Joins strata until none is less often wrong than one with higher scores.
fn monotone(strata: Vec<Stratum>) -> Vec<Stratum> {
    let mut joined: Vec<Stratum> = Vec::with_capacity(strata.len());
    for mut stratum in strata {
        while let Some(before) = joined.pop_if(|before| before.wrong * stratum.judged >= stratum.wrong * before.judged)
        {
            stratum.requests += before.requests;
            stratum.judged += before.judged;
            stratum.wrong += before.wrong;
        }
        joined.push(stratum);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand requests; those below `border` are wrong.
    fn requests(border: f64, judged_of_ten: u32) -> Vec<Scored> {
        (0..1000_u32)
            .map(|at| {
                let score = f64::from(at) / 1000.0;
                Scored { score, weight: 1.0, wrong: (at % 10 < judged_of_ten).then_some(score < border) }
            })
            .collect()
    }

    fn cut(scored: &mut [Scored], target: f64) -> f64 {
        Boundary::of(scored, Goal { target, requests: Some(1000.0) }).cut
    }

    #[test]
    fn the_cut_lies_near_the_border_and_above_it() {
        let cut = cut(&mut requests(0.5, 10), 0.05);
        assert!((0.45..0.6).contains(&cut), "{cut}");
    }

    #[test]
    fn fewer_judgements_are_less_certain() {
        let certain = cut(&mut requests(0.5, 10), 0.05);
        let uncertain = cut(&mut requests(0.5, 2), 0.05);
        assert!(uncertain > certain, "{uncertain} > {certain}");
    }

    #[test]
    fn nothing_is_served_where_nothing_was_judged_or_everything_is_wrong() {
        assert!(cut(&mut requests(2.0, 10), 0.2).is_infinite());
        assert!(cut(&mut requests(2.0, 1), 0.2).is_infinite());
        assert!(cut(&mut [], 0.05).is_infinite());
        // Not more than may all be wrong.
        assert!(cut(&mut requests(0.0, 0), 0.05) > 0.9);
    }

    #[test]
    fn a_share_of_what_is_served_is_less_than_a_share_of_all() {
        let cut = |requests_of| {
            let mut scored = requests(0.8, 10);
            // Below the border, every seventh is wrong.
            for (at, request) in scored.iter_mut().enumerate().filter(|(at, _)| at % 7 > 0) {
                request.wrong = Some(at > 1000);
            }
            Boundary::of(&mut scored, Goal { target: 0.05, requests: requests_of }).cut
        };
        let (per_request, per_hit) = (cut(Some(1000.0)), cut(None));
        assert!(per_request < 0.7 && per_hit > per_request + 0.05 && per_hit < 0.9, "{per_request} {per_hit}");
    }

    #[test]
    fn twins_are_served_both_or_not_at_all() {
        let mut twins: Vec<Scored> = requests(0.5, 10);
        twins.iter_mut().filter(|request| request.score < 0.9).for_each(|request| request.score = 0.3);
        let cut = cut(&mut twins, 0.05);
        assert!((0.9..0.92).contains(&cut), "{cut}");
    }

    #[test]
    fn the_risk_rises_as_the_score_falls() {
        let boundary = Boundary::of(&mut requests(0.5, 10), Goal { target: 0.05, requests: Some(1000.0) });
        assert!(boundary.risk(0.99) < 0.01 && boundary.risk(-1.0) >= boundary.risk(0.6), "{boundary:?}");
        assert!(boundary.risk(boundary.cut) >= boundary.risk(0.99));
    }
}
