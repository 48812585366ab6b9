//! Probes that cost nothing.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use buttress_core::Label;
use buttress_region_failover::Probing;
use buttress_testkit::send;
use tokio::time::{sleep, timeout};

use super::*;

/// When each target was probed.
type Probes = Arc<Mutex<BTreeMap<String, Vec<Instant>>>>;

async fn for_secs(secs: u64, worker: &mut (impl Future<Output = ()> + Unpin)) {
    assert!(timeout(Duration::from_secs(secs), worker).await.is_err(), "the worker has ended");
}

fn note(probes: &Probes, target: &Target) {
    let mut probes = probes.lock().expect("nothing panics in here");
    probes.entry(target.name().to_string()).or_default().push(Instant::now());
}

#[tokio::test(start_paused = true)]
async fn each_target_is_probed_at_its_own_times_and_new_ones_are_followed() {
    let (layer, probes) = (failover("a b c"), Probes::default());
    let mut worker = layer.handle().prober(Probing::DEFAULT, |target| {
        note(&probes, &target);
        ready(true)
    });
    for_secs(100, &mut worker).await;
    layer.handle().replace(["b", "d"].map(target)).expect("names that differ");
    let begun = Instant::now();
    for_secs(100, &mut worker).await;
    let probes = probes.lock().expect("nothing panics in here");
    for (name, times) in &*probes {
        for pair in times.windows(2) {
            let gap = pair[1] - pair[0];
            assert!(gap >= ms(7_999) && gap <= ms(12_001), "{name}: {gap:?}");
        }
    }
    let counts: Vec<_> = probes.iter().map(|(name, times)| (name.as_str(), times.len())).collect();
    assert_eq!(counts.iter().map(|(name, _)| *name).collect::<String>(), "abcd");
    assert!(counts.iter().all(|(_, count)| *count >= 8), "{counts:?}");
    assert!(probes["a"].iter().all(|at| *at < begun) && probes["d"].iter().all(|at| *at >= begun));
    assert_ne!(probes["a"][0], probes["b"][0], "they do not come at once");
}

#[tokio::test(start_paused = true)]
async fn three_failures_put_a_target_out_and_answers_alone_do_not_bring_it_back() {
    let (layer, up) = (failover("east west"), AtomicBool::new(false));
    let mut worker = layer
        .handle()
        .prober(Probing::DEFAULT, |target| ready(target.name().as_str() == "west" || up.load(Ordering::Relaxed)));
    let health = || layer.handle().list(Instant::now())[0].health;
    for_secs(16, &mut worker).await;
    assert_eq!(health(), 1.0, "one or two failures say nothing");
    for_secs(20, &mut worker).await;
    assert_eq!(health(), 0.0);
    up.store(true, Ordering::Relaxed);
    for_secs(60, &mut worker).await;
    assert_eq!(health(), 0.0, "a list of models is no answer");
    let (mut service, _handle) = over(&layer, []);
    assert_eq!(served_by(&send(&mut service, get()).await.expect("an answer")), Some("east"), "it is looked at");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_serves_though_its_probes_fail_comes_back() {
    let layer = failover("east");
    let mut worker = layer.handle().prober(Probing::DEFAULT, |_| ready(false));
    let (mut service, _handle) = over(&layer, []);
    for _ in 0..150 {
        for_secs(1, &mut worker).await;
        send(&mut service, get()).await.expect("an answer");
    }
    assert!(layer.handle().list(Instant::now())[0].health > 0.5, "requests are right, and not probes");
}

#[tokio::test(start_paused = true)]
async fn probes_that_hang_are_bounded_in_number_and_time() {
    let names = (0..100).map(|i| format!("t{i}")).collect::<Vec<_>>().join(" ");
    let (layer, open, most) = (failover(&names), AtomicU32::new(0), AtomicU32::new(0));
    struct Open<'a>(&'a AtomicU32);
    impl Drop for Open<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let mut worker = layer.handle().prober(Probing::DEFAULT.timeout(ms(500)).at_once(n(4)), |_| {
        most.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let open = Open(&open);
        async move {
            let _open = open;
            std::future::pending::<bool>().await
        }
    });
    for_secs(120, &mut worker).await;
    assert_eq!(most.load(Ordering::Relaxed), 4);
    let out = layer.handle().list(Instant::now()).iter().filter(|report| report.health == 0.0).count();
    assert_eq!(out, 100, "each got its turn, and was late");
    drop(worker);
    assert_eq!(open.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_says_nothing_changes_nothing() {
    let layer = failover("east");
    let (probes, down) = (AtomicU32::new(0), AtomicBool::new(true));
    let mut worker = layer.handle().prober(Probing::DEFAULT, |_| {
        probes.fetch_add(1, Ordering::Relaxed);
        ready(down.load(Ordering::Relaxed).then_some(false))
    });
    for_secs(60, &mut worker).await;
    assert_eq!(layer.handle().list(Instant::now())[0].health, 0.0, "a no is a no");
    let said = probes.load(Ordering::Relaxed);
    down.store(false, Ordering::Relaxed);
    for_secs(60, &mut worker).await;
    assert!(probes.load(Ordering::Relaxed) > said, "it is asked all the same");
    assert_eq!(layer.handle().list(Instant::now())[0].health, 0.0);
}

#[tokio::test(start_paused = true)]
async fn the_worker_ends_when_nobody_has_the_targets() {
    let layer = failover("east");
    let worker = layer.handle().prober(Probing::DEFAULT, |_| ready(true));
    let gone = async {
        sleep(ms(5_000)).await;
        drop(layer);
    };
    let (((), ()), took) = timed(async { tokio::join!(worker, gone) }).await;
    assert!(took <= ms(6_100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn settings_at_their_edges_do_no_harm() {
    let layer = failover("east");
    for every in [Duration::ZERO, Duration::MAX] {
        let probing = Probing::DEFAULT.every(every).timeout(every);
        let mut worker = layer.handle().prober(probing, |_| async {
            sleep(ms(1)).await;
            true
        });
        for_secs(10, &mut worker).await;
    }
    assert!(layer.handle().restore(&Label::try_new("east").expect("a valid name")));
}
