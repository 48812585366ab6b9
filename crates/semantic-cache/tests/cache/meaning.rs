//! Questions that mean the same, whoever finds that out.

use std::{
    future::{pending, ready},
    sync::{Arc, Mutex},
};

use buttress_semantic_cache::{
    Admit, Ask, Asked, Asking, Bypass, Explanation, Key, Learn, Meaning, Memo, Reason, Seek, Shelf, Sought,
};
use std::hash::Hash as _;

use super::*;

/// The first word is the scope, and all of it the text.
#[derive(Clone, Copy)]
struct Words;

impl Ask<Request<Payload>> for Words {
    fn ask(&self, request: &Request<Payload>, asking: Asking) -> Result<Asked, Bypass> {
        let text = String::from_utf8(request.body().bytes().to_vec()).map_err(|_| Bypass::Kind)?;
        let scope = text.split(' ').next().unwrap_or_default().to_owned();
        Ok(asking.question(|hasher| scope.hash(hasher), |hasher| text.hash(hasher), Some(text.clone().into())))
    }
}

impl Admit for Words {}

#[derive(Default)]
struct Same {
    learned: Mutex<Vec<(Key, Option<u32>)>>,
    slow: Option<Duration>,
    never: bool,
    audit: bool,
}

impl Meaning for Same {
    fn seek(&self, _: &Asked) -> Seek {
        if self.never {
            return Box::pin(pending());
        }
        let like = self.learned.lock().expect("no test panics with it").first().map(|(key, _)| *key);
        let sought = like.map_or_else(Sought::nothing, |key| Sought::nothing().like(key, 0.97)).memo(7_u32);
        let sought = if self.audit { sought.audited() } else { sought };
        match self.slow {
            Some(slow) => Box::pin(async move {
                tokio::time::sleep(slow).await;
                sought
            }),
            None => Box::pin(ready(sought)),
        }
    }

    fn learn(&self, question: &Asked, memo: Option<Memo>, _: Shelf) -> Learn {
        let memo = memo.and_then(|memo| memo.downcast::<u32>().ok()).map(|memo| *memo);
        self.learned.lock().expect("no test panics with it").push((question.key(), memo));
        Box::pin(ready(()))
    }
}

async fn bench(same: Same) -> (Bench<Words>, Arc<Same>) {
    let same = Arc::new(same);
    let bench = Bench::of(&layer(Words).meaning(same.clone()).showing_similarity());
    bench.probe.next(says("an answer"));
    bench.send(request("t", "what is it", "")).await;
    settle(&bench.cache).await;
    (bench, same)
}

#[tokio::test(start_paused = true)]
async fn a_question_that_means_the_same_has_the_same_answer() {
    let (bench, same) = bench(Same::default()).await;
    let like = bench.send(request("t", "what is that", "")).await;
    assert_eq!((like.cache(), like.text()), ("semantic-hit", "an answer".into()));
    assert_eq!(like.header("cache-status"), "buttress-cache; hit; ttl=3600; detail=semantic; similarity=0.970");
    assert_eq!((bench.probe.calls(), bench.cache.counts().semantic_hits), (1, 1));
    assert_eq!(
        same.learned.lock().expect("no test panics with it")[0].1,
        Some(7),
        "what was left when it was sought comes back"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_its_patience() {
    let (bench, _) = bench(Same { never: true, ..Same::default() }).await;
    bench.probe.next(says("another"));
    let begun = tokio::time::Instant::now();
    assert_eq!(bench.send(request("t", "what is that", "")).await.text(), "another");
    assert_eq!(tokio::time::Instant::now() - begun, Duration::from_millis(50));
    assert_eq!(bench.cache.counts().late, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_found_while_the_call_is_under_way_is_served_and_the_call_dropped() {
    let (bench, _) = bench(Same { slow: Some(Duration::from_millis(80)), ..Same::default() }).await;
    bench.probe.next(says("another").after(Duration::from_secs(5)));
    let like = bench.send(request("t", "what is that", "")).await;
    assert_eq!((like.cache(), bench.probe.calls()), ("semantic-hit", 2));
    bench.probe.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn an_audit_asks_beside_what_is_served_and_learns_of_it() {
    let (bench, same) = bench(Same { audit: true, ..Same::default() }).await;
    bench.probe.next(says("its own"));
    assert_eq!(bench.send(request("t", "what is that", "")).await.text(), "an answer");
    settle(&bench.cache).await;
    assert_eq!((bench.probe.calls(), same.learned.lock().expect("no test panics with it").len()), (2, 2));
    let own = bench.send(request("t", "what is that", "")).await;
    assert_eq!((own.cache(), own.text()), ("hit", "its own".into()));
}

#[tokio::test(start_paused = true)]
async fn what_is_found_and_is_gone_is_not_served() {
    let (bench, _) = bench(Same::default()).await;
    bench.cache.forget_everything();
    bench.probe.next(says("another"));
    assert_eq!(bench.send(request("t", "what is that", "")).await.cache(), "miss");
}

mod by_vectors {
    use buttress_semantic_cache::{ByMeaning, Lexical, Policy};

    use super::*;

    fn bench() -> (Bench<Words>, ByMeaning<Lexical>) {
        let policy = Policy::threshold(0.9).expect("it is a similarity");
        let meaning = ByMeaning::new(policy, Lexical::new());
        (Bench::of(&layer(Words).meaning(Arc::new(meaning.clone())).showing_similarity()), meaning)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_in_nearly_the_same_words_has_the_same_answer() {
        let (bench, meaning) = bench();
        bench.probe.next(says("by mail"));
        let first = bench.send(request("t", "please how do I reset my account password?", "")).await;
        assert_eq!((first.cache(), first.header("x-cache-decision")), ("miss", "reason=unknown"));
        settle(&bench.cache).await;
        assert_eq!(meaning.with_memory(|memory| memory.len()), 1);
        let like = bench.send(request("t", "please How do i  reset my account password", "")).await;
        assert_eq!((like.cache(), like.text()), ("semantic-hit", "by mail".into()));
        assert!(like.header("x-cache-decision").starts_with("reason=similar; similarity=0.9"));
        let told = like.head.extensions.get::<Explanation>().expect("it is told to layers further out");
        assert_eq!(told.as_str(), like.header("x-cache-decision"));
        assert_eq!(bench.probe.calls(), 1);
        assert_eq!((meaning.decided_for(Reason::Unknown), meaning.decided_for(Reason::Similar)), (1, 1));
        let short = bench.send(request("t", "please yes", "")).await;
        assert_eq!((short.header("x-cache-decision"), meaning.counts().too_short), ("reason=too-short", 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_differs_in_what_matters_or_in_whose_it_is_has_not() {
        let (bench, _) = bench();
        bench.probe.always(says("an answer"));
        let first = "please how do I reset my account password in 2025?";
        bench.send(request("t", first, "")).await;
        settle(&bench.cache).await;
        for (tenant, text) in [
            ("u", "please How do I reset my account password in 2025?"),
            ("t", "kindly how do I reset my account password in 2025?"),
            ("t", "please how do I reset my account password in 2026?"),
            ("t", "please how do I not reset my account password in 2025?"),
            ("t", "please what is the tallest mountain of Europe?"),
            ("t", "please yes"),
        ] {
            assert_eq!(bench.send(request(tenant, text, "")).await.cache(), "miss", "{text}");
            settle(&bench.cache).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_gone_is_forgotten_by_its_meaning_too() {
        let (bench, meaning) = bench();
        bench.probe.always(says("an answer"));
        bench.send(request("t", "please how do I reset my account password?", "")).await;
        settle(&bench.cache).await;
        bench.cache.forget_everything();
        let like = bench.send(request("t", "please How do i reset my account password", "")).await;
        assert_eq!(like.cache(), "miss");
        settle(&bench.cache).await;
        assert_eq!(meaning.with_memory(|memory| memory.len()), 1, "the new one in place of the old one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_that_learns_is_told_by_a_judge_and_serves_what_proved_right() {
        let policy = Policy::error_bound(buttress_semantic_cache::ErrorBound::new(0.05).expect("it makes sense"));
        let meaning = ByMeaning::new(policy.clone(), Lexical::new()).remembering(
            policy,
            buttress_semantic_cache::Bounds::default(),
            7,
            3,
        );
        let bench = Bench::of(&layer(Words).meaning(Arc::new(meaning.clone())));
        bench.probe.always(says("an answer"));
        let mut served = 0;
        assert!(meaning.with_memory(|memory| memory.classes().is_empty()));
        for number in 0..120_u32 {
            let marks = ["", "!", "?", " ?", " !"][number as usize % 5];
            let text =
                format!("please how do I reset my account password today{marks}{}", " ".repeat(number as usize / 5));
            served += u32::from(bench.send(request("t", &text, "")).await.cache() == "semantic-hit");
            settle(&bench.cache).await;
        }
        assert!(served > 50, "{served}");
        let counts = meaning.counts();
        assert!(counts.audits > 5 && counts.audits_right == counts.audits, "{counts:?}");
        assert_eq!((counts.audits_wrong, counts.not_embedded), (0, 0));
        assert_eq!(u64::from(served), meaning.decided_for(Reason::Similar));
        assert_eq!(
            meaning.with_memory(|memory| (memory.classes(), memory.risk(0))),
            (vec![0], None),
            "nothing was wrong yet"
        );
    }
}
