//! A judge that is asked through a service: bounded, in time, and silent rather than wrong. On paused time.

use std::{
    convert::Infallible,
    future::pending,
    io,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use buttress_core::Usage;
use buttress_semantic_cache::{Comparison, Judge as _, JudgeCounts, JudgeLimits, Opinion, ServiceJudge};
use futures_util::{future::join_all, poll};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};
use tower::service_fn;

const ONE: NonZeroUsize = NonZeroUsize::MIN;
const TWO: NonZeroUsize = NonZeroUsize::new(2).expect("two");

/// Counts what is under way, also when it is dropped.
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A judge that takes `time` and then says whether the texts are the same, and how many of its calls are under way.
fn slow(time: Duration, limits: JudgeLimits) -> (ServiceJudge, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let service = {
        let count = Arc::clone(&count);
        service_fn(move |compared: Comparison| {
            let under_way = UnderWay::new(&count);
            async move {
                sleep(time).await;
                drop(under_way);
                Ok::<_, Infallible>(compared.fresh() == compared.known())
            }
        })
    };
    (ServiceJudge::spawn_on(&Handle::current(), service, limits), count)
}

/// The counts that are told, without the number of comparisons and of calls.
fn told(counts: JudgeCounts) -> [u64; 7] {
    let JudgeCounts { yes, no, unsure, dropped, late, too_long, failed, .. } = counts;
    assert_eq!(yes + no + unsure + dropped + late + too_long + failed, counts.asked, "each has one end: {counts:?}");
    [yes, no, unsure, dropped, late, too_long, failed]
}

#[tokio::test(start_paused = true)]
async fn what_is_more_than_the_queue_holds_is_dropped_at_once_and_is_no_yes() {
    let limits = JudgeLimits::new().at_once(ONE).queue(TWO);
    let (judge, under_way) = slow(Duration::from_secs(1), limits);
    let begun = Instant::now();
    let asked = (0..6).map(|at| {
        let (judge, under_way) = (judge.clone(), Arc::clone(&under_way));
        async move {
            // One after another: the worker takes what it can before the next.
            sleep(Duration::from_millis(at)).await;
            let equal = judge.equal("same", "same").await;
            assert!(under_way.load(Ordering::Relaxed) <= 1);
            (equal, Instant::now() - begun)
        }
    });
    let found = join_all(asked).await;
    let equal: Vec<_> = found.iter().map(|(equal, _)| *equal).collect();
    assert_eq!(equal, [Some(true), Some(true), Some(true), None, None, None]);
    assert!(found[3..].iter().all(|(_, after)| *after < Duration::from_millis(10)), "{found:?}");
    assert_eq!((judge.counts().asked, told(judge.counts())), (6, [3, 0, 0, 3, 0, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_late_is_cancelled_and_gives_its_place_to_the_next() {
    let (judge, under_way) = slow(Duration::from_secs(60), JudgeLimits::new().at_once(ONE));
    let begun = Instant::now();
    assert_eq!(join_all([judge.equal("same", "same"), judge.equal("same", "same")]).await, [None, None]);
    assert_eq!(Instant::now() - begun, Duration::from_secs(10), "the wait counts too");
    tokio::task::yield_now().await;
    assert_eq!(under_way.load(Ordering::Relaxed), 0);
    assert_eq!((judge.counts().calls, told(judge.counts())), (1, [0, 0, 0, 0, 2, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn without_any_time_nothing_is_judged() {
    let (judge, _) = slow(Duration::from_secs(1), JudgeLimits::new().timeout(Duration::ZERO));
    assert_eq!(judge.equal("same", "same").await, None);
    let (judge, _) = slow(Duration::from_secs(1), JudgeLimits::new().timeout(Duration::MAX));
    assert_eq!(judge.equal("same", "same").await, Some(true), "and all the time there is, is no error");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_cancels_the_call_and_what_nobody_waits_for_is_not_asked() {
    let (judge, under_way) = slow(Duration::from_secs(1), JudgeLimits::new().at_once(ONE));
    let (mut first, mut second) = (Box::pin(judge.equal("a", "a")), Box::pin(judge.equal("b", "b")));
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    sleep(Duration::from_millis(1)).await;
    assert_eq!(under_way.load(Ordering::Relaxed), 1);
    drop((first, second));
    sleep(Duration::from_millis(1)).await;
    assert_eq!((under_way.load(Ordering::Relaxed), judge.counts().calls), (0, 1));
    assert_eq!(judge.equal("c", "c").await, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_dropped_cancels_all_and_keeps_nobody_waiting() {
    let under_way = Arc::new(AtomicUsize::new(0));
    let service = {
        let under_way = Arc::clone(&under_way);
        service_fn(move |_: Comparison| {
            let under_way = UnderWay::new(&under_way);
            async move {
                let _under_way = under_way;
                pending::<Result<bool, Infallible>>().await
            }
        })
    };
    let (judge, worker) = ServiceJudge::pair(service, JudgeLimits::new());
    let mut worker = Box::pin(worker);
    let mut asked = Box::pin(judge.equal("same", "same"));
    assert!(poll!(&mut asked).is_pending() && poll!(&mut worker).is_pending());
    assert_eq!(under_way.load(Ordering::Relaxed), 1);
    let begun = Instant::now();
    drop(worker);
    assert_eq!((asked.await, judge.equal("same", "same").await), (None, None));
    assert_eq!((under_way.load(Ordering::Relaxed), Instant::now()), (0, begun));
    assert_eq!(told(judge.counts()), [0, 0, 0, 0, 0, 0, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_worker_ends_after_the_last_handle() {
    let (judge, worker) =
        ServiceJudge::pair(service_fn(async |_: Comparison| Ok::<_, Infallible>(true)), JudgeLimits::new());
    let asked = async move { judge.clone().equal("a", "b").await };
    assert_eq!(tokio::join!(asked, worker).0, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_or_panics_has_no_opinion_and_is_asked_again() {
    let service = service_fn(async |compared: Comparison| match compared.fresh() {
        "panic" => panic!("as the test wants it"),
        "fail" => Err(io::Error::other("as the test wants it")),
        "unsure" => Ok(Opinion::from(None)),
        _ => Ok(Opinion::from(false).costing(Some(Usage::new(30, 2)))),
    });
    let judge = ServiceJudge::spawn_on(&Handle::current(), service, JudgeLimits::new());
    for (text, expected) in
        [("panic", None), ("fail", None), ("unsure", None), ("other", Some(false)), ("more", Some(false))]
    {
        assert_eq!(judge.equal(text, "known").await, expected, "{text}");
    }
    let counts = judge.counts();
    assert_eq!((told(counts), counts.calls), ([0, 2, 1, 0, 0, 0, 2], 5));
    assert_eq!((counts.input_tokens, counts.output_tokens), (60, 4));
}

#[tokio::test(start_paused = true)]
async fn texts_that_are_too_long_are_not_cut_but_left_alone() {
    let (judge, _) = slow(Duration::ZERO, JudgeLimits::new().text(8));
    assert_eq!(judge.equal("1234", "1234").await, Some(true));
    assert_eq!(judge.equal("12345", "1234").await, None);
    assert_eq!((judge.counts().calls, told(judge.counts())), (1, [1, 0, 0, 0, 0, 1, 0]));
}

#[tokio::test(start_paused = true)]
async fn no_text_is_shown() {
    let (judge, _) = slow(Duration::ZERO, JudgeLimits::new());
    judge.equal("private words", "private words").await;
    let shown = format!("{judge:?} {:?}", Comparison::new("private words", "private"));
    assert!(!shown.contains("private"), "{shown}");
}
