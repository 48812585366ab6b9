//! What becomes of requests while the configuration is edited. Real sockets on loopback, no clock in the assertions.

mod support;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use buttress_sim::Simulator;
use gateway::{Config, reload::Reload};
use http_body_util::BodyExt as _;
use tokio::{
    task::{JoinSet, yield_now},
    time::{Instant, timeout},
};
use tower::ServiceExt as _;

use support::{CHAT, CHAT_PATH, FAR, Running, STREAM, read};

const SETTINGS: &str = "listen = \"127.0.0.1:0\"\n[failover]\npolicy = \"round-robin\"\n";

/// A running gateway, and the file that it was configured by.
struct Edited {
    running: Running,
    file: PathBuf,
    reload: Option<Reload>,
}

impl Drop for Edited {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.file));
    }
}

impl Edited {
    /// Four regions, of which the first two are targets.
    async fn start(name: &str) -> Self {
        let mut regions = Vec::new();
        for region in ["a", "b", "c", "d"] {
            let region = Simulator::builder().target(region).length(8..=8).gap(Duration::from_millis(5));
            regions.push(region.start().await.expect("a port is free"));
        }
        let file = std::env::temp_dir().join(format!("buttress-{}-{name}.toml", std::process::id()));
        let text = text(&regions, &[0, 1]);
        std::fs::write(&file, &text).expect("a temporary file can be written");
        let config = Config::parse(&text, "test.toml").expect("it is good");
        let running = Running::from_config(&config, regions).await;
        let reload = Reload::new(&file, text, config, running.operator.clone(), |name| Some(name.to_owned()));
        Self { running, file, reload: Some(reload) }
    }

    fn watch(&mut self) {
        let reload = self.reload.take().expect("it is watched once");
        self.running.workers.spawn(reload.watch(Duration::from_millis(10)));
    }

    fn edit(&self, targets: &[usize]) {
        std::fs::write(&self.file, text(&self.running.regions, targets)).expect("the file can be written");
    }

    fn apply(&mut self, text: &str) -> Result<gateway::reload::Applied, String> {
        self.reload.as_mut().expect("it is not watched").apply(text).map_err(|error| error.to_string())
    }

    fn targets(&self) -> Vec<String> {
        let targets = self.running.operator.targets().list(Instant::now());
        targets.iter().map(|report| report.target.name().to_string()).collect()
    }

    async fn until_targets_are(&self, names: &[&str]) {
        let waiting = async {
            while self.targets() != names {
                yield_now().await;
            }
        };
        timeout(FAR, waiting).await.unwrap_or_else(|_| panic!("{names:?} are not there, but {:?}", self.targets()));
    }
}

fn text(regions: &[Simulator], targets: &[usize]) -> String {
    let target = |at: &usize| {
        let (name, url) = (regions[*at].name(), regions[*at].url());
        format!("[[targets]]\nname = \"{name}\"\nurl = \"{url}/v1\"\ndialect = \"openai\"\n")
    };
    SETTINGS.to_owned() + &targets.iter().map(target).collect::<String>()
}

#[tokio::test]
async fn targets_are_replaced_under_load_and_no_request_fails() {
    const CALLERS: usize = 60;
    const EACH: usize = 10;
    let mut edited = Edited::start("load").await;
    edited.watch();
    let edited = Arc::new(edited);
    let answered = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (edited, answered) = (Arc::clone(&edited), Arc::clone(&answered));
        callers.spawn(async move {
            for turn in 0..EACH {
                let body = if turn % 3 == 0 { CHAT } else { STREAM };
                let request = edited.running.request(CHAT_PATH, body);
                let response = edited.running.client().oneshot(request).await.expect("the gateway answers");
                let answer = read(response).await;
                assert!(answer.status == 200 && !answer.header("x-served-by").is_empty(), "{answer:?}");
                assert!(body == CHAT || answer.text().ends_with("data: [DONE]\n\n"), "{answer:?}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // No target stays from the first list to the second.
    for (share, targets, names) in [(1, [2, 3], ["c", "d"]), (2, [1, 2], ["b", "c"]), (3, [3, 0], ["d", "a"])] {
        let reached = async {
            while answered.load(Ordering::Relaxed) < CALLERS * EACH * share / 5 {
                yield_now().await;
            }
        };
        timeout(FAR * 3, reached).await.expect("requests are answered");
        edited.edit(&targets);
        edited.until_targets_are(&names).await;
    }
    assert!(answered.load(Ordering::Relaxed) < CALLERS * EACH, "there was load to the last edit");
    timeout(FAR * 3, callers.join_all()).await.expect("every request is answered");
    assert_eq!(answered.load(Ordering::Relaxed), CALLERS * EACH);
    assert!(edited.running.seen().iter().all(|seen| *seen > 0), "{:?}", edited.running.seen());

    let before = edited.running.seen();
    for _ in 0..4 {
        edited.running.post(CHAT_PATH, CHAT).await;
    }
    let after = edited.running.seen();
    let served = after.iter().zip(&before).map(|(after, before)| after - before).collect::<Vec<_>>();
    assert_eq!(served, [2, 0, 0, 2], "only those of the last list are asked");
}

#[tokio::test]
async fn a_stream_goes_on_at_a_target_that_is_no_more() {
    let mut edited = Edited::start("stream").await;
    let response = edited.running.send(edited.running.request(CHAT_PATH, STREAM)).await;
    let server = response.headers()["x-served-by"].clone();
    assert!(server == "a" || server == "b");
    let mut body = response.into_body();
    let mut seen = Vec::new();
    let mut applied = false;
    while let Some(frame) = timeout(FAR, body.frame()).await.expect("it goes on") {
        seen.extend_from_slice(&frame.expect("it does not break").into_data().unwrap_or_default());
        if !applied {
            let text = text(&edited.running.regions, &[2]);
            assert_eq!(edited.apply(&text).expect("it is good").targets, 1);
            assert_eq!(edited.targets(), ["c"]);
            applied = true;
        }
    }
    assert!(applied && String::from_utf8_lossy(&seen).ends_with("data: [DONE]\n\n"));
    assert_eq!(edited.running.post(CHAT_PATH, CHAT).await.header("x-served-by"), "c");
}

#[tokio::test]
async fn a_bad_edit_is_refused_with_line_and_reason_and_the_old_one_stays() {
    let mut edited = Edited::start("bad").await;
    let good = text(&edited.running.regions, &[0, 1]);
    for (bad, expected) in [
        ("listen = [".to_owned(), ":1:"),
        (good.replacen("dialect = \"openai\"", "dialect = \"opnai\"", 1), ":7:11: targets[0].dialect: "),
        (format!("{good}weight = 1\n"), "unknown field `weight`, expected one of "),
        (good.replace("\"b\"", "\"a\""), "targets[1].name: `a` is the name of another target"),
        (SETTINGS.to_owned(), "targets: at least one [[targets]] table is needed"),
    ] {
        let error = edited.apply(&bad).expect_err("it is no configuration");
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
        assert_eq!(edited.targets(), ["a", "b"]);
        assert_eq!(edited.running.post(CHAT_PATH, CHAT).await.status, 200);
    }
    edited.watch();
    std::fs::write(&edited.file, "listen = [").expect("the file can be written");
    edited.running.post(CHAT_PATH, CHAT).await;
    std::fs::remove_file(&edited.file).expect("it is there");
    assert_eq!(edited.running.post(CHAT_PATH, CHAT).await.status, 200);
    edited.edit(&[3]);
    edited.until_targets_are(&["d"]).await;
    assert_eq!(edited.running.post(CHAT_PATH, CHAT).await.header("x-served-by"), "d");
}

#[tokio::test]
async fn what_cannot_change_while_it_runs_is_named_and_the_rest_counts() {
    let mut edited = Edited::start("fixed").await;
    let text = text(&edited.running.regions, &[1]);
    let text = text.replace("127.0.0.1:0", "127.0.0.1:1").replace("policy", "attempts = 2\npolicy");
    let applied =
        edited.apply(&format!("deadline = \"5s\"\n{text}[coalesce]\n[cache]\nmode = \"exact\"\n")).expect("it is good");
    assert_eq!(
        (applied.targets, applied.needs_restart),
        (1, vec!["listen", "deadline", "failover", "cache", "coalesce"])
    );
    assert_eq!(edited.targets(), ["b"]);
}

#[tokio::test]
async fn a_target_may_move_and_is_spoken_to_at_its_new_address() {
    let mut edited = Edited::start("move").await;
    let regions = &edited.running.regions;
    let moved = text(regions, &[0]).replace(&regions[0].url(), &regions[3].url());
    edited.apply(&moved).expect("it is good");
    assert_eq!(edited.running.post(CHAT_PATH, CHAT).await.header("x-served-by"), "a", "its name is what it was");
    assert_eq!(edited.running.seen(), [0, 0, 0, 1]);
}
