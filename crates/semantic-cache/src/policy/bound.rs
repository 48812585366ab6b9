//! How low the score may be at which answers are served.

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

/// The least score at which, of `requests`, no more than a share of `target` would have been answered wrongly; infinite if none is
/// high enough. Sorts `scored`, the highest first.
///
/// Audited and compared answers are judged with very different frequency. To weigh each judgement with the inverse of its frequency
/// makes an estimate that hangs on the few rarest. Instead, requests with scores next to each other form strata; a judgement speaks
/// for all in its stratum (post-stratification). A lower score is never less likely to be wrong: strata that say otherwise are made one (pool adjacent violators).
pub(super) fn cut(scored: &mut [Scored], requests: f64, target: f64) -> f64 {
    scored.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    let (mut wrong, mut variance, mut start, mut cut) = (0.0, 0.0, 0, f64::INFINITY);
    for stratum in monotone(strata(scored)) {
        // Half a wrong answer is added, so that a few right ones prove nothing.
        let rate = ((stratum.wrong + 0.5) / (stratum.judged + 1.0)).min(1.0);
        let spread = rate * (1.0 - rate) / (stratum.judged + 1.0);
        let mut part = 0.0;
        for request in &scored[start..stratum.end] {
            part += request.weight;
            let bound = wrong + part * rate + DEVIATIONS * (variance + part * part * spread).sqrt();
            if bound > target * requests {
                return cut;
            }
            cut = request.score;
        }
        wrong += stratum.requests * rate;
        variance += stratum.requests * stratum.requests * spread;
        start = stratum.end;
    }
    cut
}

/// Of `scored`, which are served from the score `cut` on: how many are answered wrongly, by the best guess, and at most, as sure as
/// [`cut`] is. Sorts them, the highest first.
pub(super) fn wrong_from(scored: &mut [Scored], cut: f64) -> (f64, f64) {
    scored.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    let (mut wrong, mut variance, mut start) = (0.0, 0.0, 0);
    for stratum in monotone(strata(scored)) {
        let rate = ((stratum.wrong + 0.5) / (stratum.judged + 1.0)).min(1.0);
        let spread = rate * (1.0 - rate) / (stratum.judged + 1.0);
        let served = scored[start..stratum.end].iter().take_while(|request| request.score >= cut);
        let part: f64 = served.map(|request| request.weight).sum();
        wrong += part * rate;
        variance += part * part * spread;
        start = stratum.end;
    }
    (wrong, wrong + DEVIATIONS * variance.sqrt())
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

    #[test]
    fn the_cut_lies_near_the_border_and_above_it() {
        let cut = cut(&mut requests(0.5, 10), 1000.0, 0.05);
        assert!((0.45..0.6).contains(&cut), "{cut}");
    }

    #[test]
    fn fewer_judgements_are_less_certain() {
        let certain = cut(&mut requests(0.5, 10), 1000.0, 0.05);
        let uncertain = cut(&mut requests(0.5, 2), 1000.0, 0.05);
        assert!(uncertain > certain, "{uncertain} > {certain}");
    }

    #[test]
    fn hardly_anything_is_served_where_nothing_was_judged() {
        // Not more than may all be wrong.
        assert!(cut(&mut requests(0.0, 0), 1000.0, 0.05) > 0.95);
        assert!(cut(&mut [], 0.0, 0.05).is_infinite());
    }

    #[test]
    fn what_is_served_from_the_cut_on_is_wrong_no_more_often_than_is_allowed() {
        let mut scored = requests(0.5, 5);
        let cut = cut(&mut scored, 1000.0, 0.05);
        let (wrong, most) = wrong_from(&mut scored, cut);
        assert!(wrong > 0.0 && wrong < most && most <= 50.0, "{wrong} {most}");
        assert_eq!(wrong_from(&mut scored, f64::INFINITY), (0.0, 0.0), "nothing is served");
    }

    #[test]
    fn always_wrong_is_never_served() {
        assert!(cut(&mut requests(2.0, 10), 1000.0, 0.01) > 0.98);
    }
}
