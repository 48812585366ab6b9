//! What follows from what a target did.

use super::*;
use buttress_core::{Attend as _, Class, Headroom, Outcome, RetryHint, Room, Verdict};

const RESTS: Rests = Rests::DEFAULT;

fn member() -> Member {
    Member::new(Target::named("east").unwrap(), HealthPolicy::DEFAULT, &Epoch::default())
}

fn ended(class: Class, model: Option<&Label>, ms: u64) -> Ended<'_> {
    Ended { model, elapsed: Duration::from_millis(ms), ..Ended::later(class) }
}

const fn up(score: f64, ease: f64) -> Standing {
    Standing::Up(Share { score, ease, scarce: None, most: u32::MAX })
}

fn cost(member: &Member, factor: f64, now: Instant) -> f64 {
    member.cost(factor, member.pace(now))
}

fn note(member: &Member, verdict: Verdict, hint: Option<u64>, now: Instant) {
    let hint = RetryHint { after: hint.map(Duration::from_secs), should_retry: None };
    let class = Class::new(verdict, Outcome::Word("test")).with_hint(hint);
    let model = Label::try_new("gpt").unwrap();
    let ended = ended(class, Some(&model), 50);
    member.note(&RESTS, &ended, now);
}

#[test]
fn each_verdict_has_its_consequence_for_the_requests_to_come() {
    let now = Instant::now();
    let parked = |secs| Standing::Parked(now + Duration::from_secs(secs));
    for (verdict, hint, expected) in [
        (Verdict::Success, None, up(1.0, 1.0)),
        (Verdict::RateLimited, Some(30), parked(30)),
        (Verdict::RateLimited, None, parked(1)),
        (Verdict::CapacityByDesign, Some(2), parked(2)),
        (Verdict::QuotaExhausted, None, parked(300)),
        (Verdict::CredentialDead, None, parked(1800)),
        (Verdict::QuotaExhausted, Some(999_999), parked(3600)),
        (Verdict::Transient, Some(7), parked(7)),
        (Verdict::Transient, None, up(0.9, 1.0)),
        (Verdict::CallerFault, Some(9), up(1.0, 1.0)),
        (Verdict::ContentFiltered, None, up(1.0, 1.0)),
        (Verdict::ContextTooLong, None, up(1.0, 1.0)),
        (Verdict::Cancelled, None, up(1.0, 1.0)),
        (Verdict::ModelGone, None, up(1.0, 1.0)),
    ] {
        let member = member();
        note(&member, verdict, hint, now);
        assert_eq!(member.standing(now), expected, "{verdict}");
    }
}

#[test]
fn what_serves_is_told_alike_by_the_short_way_and_the_long_one() {
    let now = Instant::now();
    for verdict in [Verdict::Success, Verdict::RateLimited, Verdict::Transient, Verdict::CredentialDead] {
        for stance in [Stance::InService, Stance::Drained] {
            let member = member();
            (0..6).for_each(|_| note(&member, verdict, Some(3), now));
            member.set_stance(stance);
            for secs in 0..200 {
                let (at, vitals) = (now + Duration::from_secs(secs), member.vitals());
                let up = matches!(vitals.standing(&member.policy, at), Standing::Up(_));
                assert_eq!(vitals.is_up(&member.policy, at), up, "{verdict}, {stance:?}, {secs} s");
                let long = (vitals.standing(&member.policy, at), vitals.pace(at));
                drop(vitals);
                let short = (member.standing(at), member.pace(at));
                assert_eq!(short.0, long.0, "{verdict}, {stance:?}, {secs} s");
                let [short, long] = [short, long].map(|(_, pace)| pace.latency.unwrap_or(-1.0));
                assert!((short - long).abs() <= 1e-6 * long.abs(), "{verdict}, {stance:?}, {secs} s: {short} {long}");
            }
        }
    }
}

#[test]
fn a_model_that_is_gone_is_gone_for_that_target_alone_and_for_a_while() {
    let (now, member) = (Instant::now(), member());
    let [gone, other] = ["gpt", "other"].map(|name| Label::try_new(name).unwrap());
    note(&member, Verdict::ModelGone, None, now);
    assert!(member.lacks(&gone, now) && !member.lacks(&other, now));
    assert!(!member.lacks(&gone, now + RESTS.model));
}

#[test]
fn names_that_no_target_has_cannot_grow_memory() {
    let (now, member) = (Instant::now(), member());
    for i in 0..10_000 {
        let model = Label::try_new(&format!("m{i}")).unwrap();
        let class = Class::new(Verdict::ModelGone, Outcome::Word("test"));
        member.note(&RESTS, &ended(class, Some(&model), 0), now);
    }
    assert_eq!(member.vitals().gone.len(), Vitals::MAX_GONE);
}

#[test]
fn a_target_that_fails_fast_does_not_attract_requests_by_it() {
    let (now, fast, slow) = (Instant::now(), member(), member());
    note(&slow, Verdict::Success, None, now);
    note(&fast, Verdict::Success, None, now);
    note(&fast, Verdict::Transient, None, now);
    assert!(cost(&fast, 0.9, now) > 50.0 * cost(&slow, 1.0, now));
}

#[test]
fn a_target_that_was_never_measured_is_measured_once_and_not_flooded() {
    let (now, new, known) = (Instant::now(), member(), member());
    note(&known, Verdict::Success, None, now);
    assert!(cost(&new, 1.0, now) < cost(&known, 1.0, now));
    new.began();
    assert!(cost(&new, 1.0, now) > cost(&known, 1.0, now));
}

#[test]
fn an_operator_takes_a_target_out_and_puts_it_back() {
    let (now, member) = (Instant::now(), member());
    note(&member, Verdict::RateLimited, Some(30), now);
    member.set_stance(Stance::Drained);
    assert_eq!(member.standing(now), Standing::Drained);
    member.restore();
    assert_eq!(member.standing(now), up(1.0, 1.0));
}

#[test]
fn what_a_target_says_that_it_has_left_counts_until_it_returns() {
    let (now, member) = (Instant::now(), member());
    let answered = |headroom: Option<Headroom>| {
        let ended = Ended { headroom, ..ended(Class::SUCCESS, None, 50) };
        member.note(&RESTS, &ended, now);
    };
    let room = |left, secs| Headroom::default().with(Room::new(left, Some(1000), Duration::from_secs(secs)));
    answered(Some(room(19, 30)));
    let scarce =
        Standing::Up(Share { score: 1.0, ease: 0.1, scarce: Some(now + Duration::from_secs(30)), most: u32::MAX });
    assert_eq!(member.standing(now), scarce, "less than 2 % is little");
    assert_eq!(member.standing(now + Duration::from_secs(30)), up(1.0, 1.0));
    answered(None);
    assert_eq!(member.standing(now), scarce, "an answer that says nothing changes nothing");
    answered(Some(room(20, 30)));
    assert_eq!(member.standing(now), up(1.0, 1.0));
    answered(Some(room(0, 7)));
    assert_eq!(member.standing(now), Standing::Parked(now + Duration::from_secs(7)));
    answered(Some(room(0, u64::MAX)));
    assert_eq!(member.standing(now), Standing::Parked(now + RESTS.longest), "no word counts for more than an hour");
}

#[test]
fn an_answer_that_goes_on_is_no_success_before_its_end() {
    let (now, member) = (Instant::now(), member());
    for _ in 0..5 {
        member.note(&RESTS, &Ended { goes_on: true, ..ended(Class::SUCCESS, None, 50) }, now);
        member.concluded(Class::new(Verdict::Truncated, Outcome::Word("test")));
    }
    assert!(matches!(member.standing(now), Standing::Out(_)), "it truncates every answer");
}
