//! The small data set of the project, sent through the policies as letters see it.

use std::path::Path;

use buttress_semantic_cache::{ErrorBound, Policy};
use eval_cache::{Data, Kind, Noise, Outcome, Run, Scene, Wilson, embed};

/// How people wrap the same question.
const WRAPS: [(&str, &str); 6] =
    [("", ""), ("", "?"), ("please ", ""), ("", " thanks"), ("hi there, ", " please"), ("i would like to know: ", "")];

fn data() -> Data {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/household");
    Data::read(&directory, embed).expect("the data set is part of the project")
}

fn wrapped() -> Data {
    data().wrapped(&WRAPS, embed)
}

fn run(data: &Data, policy: &Policy, noise: f64) -> Vec<Outcome> {
    let scene = Scene::new(data, Kind::Shuffled);
    let judge = Noise { yes: noise, no: noise };
    (1..=3).map(|seed| Run { judge, ..Run::new(policy.clone(), seed) }.over(&scene)).collect()
}

#[test]
fn the_error_bound_holds_for_each_order_of_the_questions() {
    let data = wrapped();
    for (target, noise) in [(0.02, 0.0), (0.05, 0.05)] {
        let policy = Policy::error_bound(ErrorBound::new(target).expect("it is in range"));
        for outcome in run(&data, &policy, noise) {
            let wrong = Wilson::of(outcome.wrong, outcome.requests);
            assert!(wrong.low <= target && outcome.wrong * 100 <= outcome.requests * 5, "{target}: {outcome:?}");
            assert_eq!(outcome.requests, 1632);
            assert!(noise > 0.0 || outcome.hits * 4 > outcome.requests, "{target} serves too little: {outcome:?}");
        }
    }
}

#[test]
fn the_guards_keep_a_low_threshold_from_most_errors() {
    for outcome in run(&wrapped(), &Policy::threshold(0.8).expect("it is in range"), 0.0) {
        assert!(outcome.hits * 10 > outcome.requests, "{outcome:?}");
        assert!(outcome.wrong * 50 <= outcome.requests, "{outcome:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    let data = wrapped();
    let policy = Policy::error_bound(ErrorBound::new(0.05).expect("it is in range"));
    let scene = Scene::new(&data, Kind::Shuffled);
    let judge = Noise { yes: 0.1, no: 0.1 };
    let run = |seed| Run { judge, ..Run::new(policy.clone(), seed) }.over(&scene);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2), "another seed is another stream");
}

#[test]
fn the_set_is_small_and_has_many_classes() {
    let data = data();
    assert_eq!((data.len(), data.classes()), (272, 34));
    assert!(Data::read(Path::new("no such directory"), embed).is_err());
}
