//! The embedder behind HTTP, with a scripted model on paused time, and once over a real socket.

use std::{
    convert::Infallible,
    future::Future,
    io,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use buttress_core::{Client, Payload};
use buttress_semantic_cache::{
    EmbedError, EmbedErrorKind, EmbedLimits, Embedder as _, Embedding, HttpEmbedder, HttpEmbedderConfig, HttpVectors,
    Texts,
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::{runtime::Handle, time::Instant};
use tower::{ServiceExt as _, service_fn};

const TWO: NonZeroUsize = NonZeroUsize::new(2).expect("two");
const ONE: NonZeroUsize = NonZeroUsize::MIN;

/// What the model was sent.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Value>>>);

impl Seen {
    fn inputs(&self) -> Vec<Vec<String>> {
        let seen = self.0.lock().expect("no test panics with it");
        let texts = |request: &Value| {
            let input = request["input"].as_array().expect("a list");
            input.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
        };
        seen.iter().map(texts).collect()
    }

    fn last(&self) -> Value {
        self.0.lock().expect("no test panics with it").last().expect("it was asked").clone()
    }
}

fn config() -> HttpEmbedderConfig {
    HttpEmbedderConfig::new(Uri::from_static("http://model.test/v1/embeddings"), "small", TWO)
}

/// Embeds through `answer`, which gets the request as JSON.
fn embedder<F>(
    config: HttpEmbedderConfig,
    answer: impl Fn(Value) -> F + Clone + Send + Sync + 'static,
) -> (HttpEmbedder, Seen)
where
    F: Future<Output = Response<Payload>> + Send + 'static,
{
    let seen = Seen::default();
    let service = {
        let seen = seen.clone();
        service_fn(move |request: Request<Payload>| {
            let asked: Value = serde_json::from_slice(request.body().bytes()).expect("requests are JSON");
            seen.0.lock().expect("no test panics with it").push(asked.clone());
            let answer = answer(asked);
            async move { Ok::<_, Infallible>(answer.await) }
        })
    };
    (HttpEmbedder::spawn_on(&Handle::current(), service, config), seen)
}

/// The vector of a text is its length, and one.
fn vectors(request: &Value) -> Response<Payload> {
    let texts = request["input"].as_array().expect("a list");
    let data: Vec<Value> = (0..texts.len())
        .map(|at| json!({"index": at, "embedding": [texts[at].as_str().expect("a text").len(), 1]}))
        .collect();
    respond(200, &json!({ "data": data }))
}

fn respond(status: u16, body: &Value) -> Response<Payload> {
    let mut response = Response::new(Payload::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

async fn kind(embedder: &HttpEmbedder, text: &str) -> Result<Vec<f32>, EmbedErrorKind> {
    embedder.embed(text).await.map(|vector| vector.to_vec()).map_err(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn texts_that_are_asked_for_within_a_moment_go_out_together() {
    let (embedder, seen) = embedder(config(), |request| async move { vectors(&request) });
    let start = Instant::now();
    let found = join_all(["a", "bb", "ccc"].map(|text| kind(&embedder, text))).await;
    assert_eq!(found, [Ok(vec![1.0, 1.0]), Ok(vec![2.0, 1.0]), Ok(vec![3.0, 1.0])]);
    assert_eq!(Instant::now() - start, Duration::from_millis(2));
    assert_eq!(seen.inputs(), [["a", "bb", "ccc"]]);
    assert_eq!(seen.last()["model"], "small");
    assert_eq!(embedder.stats().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_wait() {
    let (embedder, seen) = embedder(config().batch(TWO), |request| async move { vectors(&request) });
    let start = Instant::now();
    let found = join_all(["a", "b", "c", "d"].map(|text| kind(&embedder, text))).await;
    assert!(found.iter().all(Result::is_ok));
    assert_eq!(Instant::now(), start);
    assert_eq!(seen.inputs(), [["a", "b"], ["c", "d"]]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_the_same_gets_the_same_answer() {
    let (embedder, seen) = embedder(config(), |request| async move { vectors(&request) });
    let found = join_all(["a", "a", "a"].map(|text| kind(&embedder, text))).await;
    assert!(found.iter().all(|found| *found == Ok(vec![1.0, 1.0])));
    assert_eq!(kind(&embedder, "a").await, Ok(vec![1.0, 1.0]));
    assert_eq!(seen.inputs(), [["a"]]);
    let stats = embedder.stats();
    assert_eq!((stats.asked, stats.joined, stats.recent, stats.calls), (4, 2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_limit_and_the_answer_is_not_lost() {
    let (embedder, seen) = embedder(config(), |request| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        vectors(&request)
    });
    let start = Instant::now();
    assert_eq!(kind(&embedder, "a").await, Err(EmbedErrorKind::Timeout));
    assert_eq!(Instant::now() - start, Duration::from_millis(50));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(kind(&embedder, "a").await, Ok(vec![1.0, 1.0]));
    assert_eq!(seen.inputs().len(), 1);
    assert_eq!(embedder.stats().timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_turns_away_at_once() {
    let limits = EmbedLimits::new().queue(TWO);
    let config = config().limits(limits).batch(ONE).calls(ONE);
    let (embedder, _) = embedder(config, |request| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        vectors(&request)
    });
    let asked = join_all((0..8).map(|at| {
        let embedder = embedder.clone();
        async move {
            // One after another: the worker takes what it can before the next.
            tokio::time::sleep(Duration::from_millis(at)).await;
            kind(&embedder, &format!("text {at}")).await
        }
    }));
    let found = asked.await;
    // One is under way, one waits for it, two are queued.
    assert_eq!(found[..4], vec![Err(EmbedErrorKind::Timeout); 4]);
    assert_eq!(found[4..], vec![Err(EmbedErrorKind::Busy); 4]);
    assert_eq!(embedder.stats().busy, 4);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_any_more_is_not_asked() {
    let (embedder, seen) = embedder(config().batch(ONE).calls(ONE), |request| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        vectors(&request)
    });
    let found = join_all(["a", "b"].map(|text| kind(&embedder, text))).await;
    assert_eq!(found, [Err(EmbedErrorKind::Timeout), Err(EmbedErrorKind::Timeout)]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(seen.inputs(), [["a"]]);
    assert_eq!(embedder.stats().abandoned, 1);
    assert_eq!(kind(&embedder, "b").await, Err(EmbedErrorKind::Timeout), "it may be asked for again");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(kind(&embedder, "b").await, Ok(vec![1.0, 1.0]));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_takes_nothing_from_others() {
    let (embedder, seen) = embedder(config(), |request| async move { vectors(&request) });
    let mut first = Box::pin(kind(&embedder, "a"));
    let second = kind(&embedder, "a");
    assert!(futures_util::poll!(&mut first).is_pending());
    let dropped_at_the_first_poll = async {
        drop(first);
        second.await
    };
    assert_eq!(dropped_at_the_first_poll.await, Ok(vec![1.0, 1.0]));
    assert_eq!(seen.inputs(), [["a"]]);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_base64_is_asked_for_numbers() {
    let (embedder, seen) = embedder(config(), |request| async move {
        if request.get("encoding_format").is_some() {
            return respond(400, &json!({"error": {"message": "unknown field"}}));
        }
        vectors(&request)
    });
    assert_eq!(kind(&embedder, "a").await, Ok(vec![1.0, 1.0]));
    assert_eq!(seen.inputs().len(), 2);
    assert_eq!(kind(&embedder, "bb").await, Ok(vec![2.0, 1.0]));
    assert_eq!(seen.inputs().len(), 3, "it remembers");
    assert_eq!(seen.last().get("encoding_format"), None);
}

#[tokio::test(start_paused = true)]
async fn base64_is_read_as_numbers() {
    let (embedder, seen) = embedder(config().name_dimensions(), |_| async {
        respond(200, &json!({"data": [{"index": 0, "embedding": "AACAPwAAAD8="}]}))
    });
    assert_eq!(kind(&embedder, "a").await, Ok(vec![1.0, 0.5]));
    assert_eq!(seen.last(), json!({"model": "small", "input": ["a"], "encoding_format": "base64", "dimensions": 2}));
}

#[tokio::test(start_paused = true)]
async fn one_text_that_the_model_refuses_costs_the_others_nothing() {
    let (embedder, _) = embedder(config(), |request| async move {
        let texts = request["input"].as_array().expect("a list");
        if texts.iter().any(|text| text == "bad") { respond(400, &json!({})) } else { vectors(&request) }
    });
    let texts = ["a", "b", "c", "bad", "d", "e", "f"];
    let found = join_all(texts.map(|text| kind(&embedder, text))).await;
    for (text, found) in texts.iter().zip(found) {
        let expected = if *text == "bad" { Err(EmbedErrorKind::Rejected) } else { Ok(vec![1.0, 1.0]) };
        assert_eq!(found, expected, "{text}");
    }
    assert_eq!(embedder.stats().failed, 1);
    assert!(embedder.stats().calls <= 2 * texts.len() as u64 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_a_miss_and_is_not_repeated() {
    for status in [401, 404, 429, 500, 503] {
        let (embedder, seen) = embedder(config(), move |_| async move { respond(status, &json!({})) });
        assert_eq!(kind(&embedder, "a").await, Err(EmbedErrorKind::Unavailable), "{status}");
        assert_eq!(seen.inputs().len(), 1);
        assert_eq!(kind(&embedder, "a").await, Err(EmbedErrorKind::Unavailable), "{status}");
        assert_eq!(seen.inputs().len(), 2, "it is not remembered either");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_too_long_or_wrong_are_not_used() {
    for wrong in [json!({"data": [], "padding": "x".repeat(100_000)}), json!({"data": []}), json!("hello")] {
        let (embedder, _) = embedder(config(), move |_| {
            let wrong = respond(200, &wrong);
            async move { wrong }
        });
        assert_eq!(kind(&embedder, "a").await, Err(EmbedErrorKind::Malformed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_gives_back_its_place() {
    let config = config().calls(ONE).call_timeout(Duration::from_secs(2));
    let (embedder, _) = embedder(config, |request| async move {
        if request["input"][0] == "hang" {
            std::future::pending::<()>().await;
        }
        vectors(&request)
    });
    assert_eq!(kind(&embedder, "hang").await, Err(EmbedErrorKind::Timeout));
    assert_eq!(kind(&embedder, "a").await, Err(EmbedErrorKind::Timeout), "the one place is taken");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(kind(&embedder, "b").await, Ok(vec![1.0, 1.0]));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_service_is_one_failure() {
    let (embedder, _) = embedder(config(), |request| async move {
        assert!(request["input"][0] != "panic", "as the test wants it");
        vectors(&request)
    });
    assert_eq!(kind(&embedder, "panic").await, Err(EmbedErrorKind::Unavailable));
    assert_eq!(kind(&embedder, "a").await, Ok(vec![1.0, 1.0]));
}

#[tokio::test(start_paused = true)]
async fn without_its_worker_it_fails_at_once() {
    let service =
        service_fn(|_: Request<Payload>| async { Err::<Response<Payload>, _>(io::Error::other("never called")) });
    let (embedder, worker) = HttpEmbedder::pair(service, config());
    let mut waiting = Box::pin(kind(&embedder, "a"));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(worker);
    let start = Instant::now();
    assert_eq!(waiting.await, Err(EmbedErrorKind::Unavailable));
    assert_eq!(kind(&embedder, "b").await, Err(EmbedErrorKind::Unavailable));
    assert_eq!(Instant::now(), start);
}

#[tokio::test(start_paused = true)]
async fn the_worker_ends_after_the_last_handle_and_its_last_answer() {
    let service = service_fn(|request: Request<Payload>| async move {
        let asked: Value = serde_json::from_slice(request.body().bytes()).expect("requests are JSON");
        Ok::<_, Infallible>(vectors(&asked))
    });
    let (embedder, worker) = HttpEmbedder::pair(service, config());
    let asked = async move { kind(&embedder, "a").await };
    let (found, ()) = tokio::join!(asked, worker);
    assert_eq!(found, Ok(vec![1.0, 1.0]));
}

#[tokio::test(start_paused = true)]
async fn long_texts_are_turned_away_uncut() {
    let config = config().limits(EmbedLimits::new().text(5));
    let (embedder, seen) = embedder(config, |request| async move { vectors(&request) });
    assert_eq!(kind(&embedder, "123456").await, Err(EmbedErrorKind::TooLong));
    assert_eq!(kind(&embedder, "12345").await, Ok(vec![5.0, 1.0]));
    assert_eq!((seen.inputs().len(), embedder.stats().too_long), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn more_texts_than_there_is_room_for_make_room() {
    let config = config().limits(EmbedLimits::new().recent(10_000));
    let (embedder, seen) = embedder(config, |request| async move { vectors(&request) });
    for round in 0..40 {
        let found = join_all((0..100).map(|at| {
            let embedder = embedder.clone();
            async move { kind(&embedder, &format!("{round} {at}")).await }
        }));
        assert!(found.await.iter().all(Result::is_ok));
    }
    let before = seen.inputs().len();
    assert!(kind(&embedder, "0 0").await.is_ok());
    assert_eq!(seen.inputs().len(), before + 1, "the first has made room for later ones");
}

#[tokio::test(start_paused = true)]
async fn neither_text_nor_secret_is_shown() {
    let secret = config().header(HeaderName::from_static("api-key"), HeaderValue::from_static("s3cr3t"));
    let shown = format!("{secret:?}");
    let (embedder, _) = embedder(secret, |_| async { respond(500, &json!({})) });
    let error = embedder.embed("private words").await.expect_err("the server fails");
    let shown = format!("{shown} {embedder:?} {error:?} {error}");
    assert!(!shown.contains("s3cr3t") && !shown.contains("private"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_layer_around_the_vectors_sees_what_came_of_a_call() {
    for (answer, expected) in [
        (respond(200, &json!({"data": [{"index": 0, "embedding": [1, 0.5]}]})), Ok(1)),
        (respond(200, &json!({"data": [{"index": 0, "embedding": [1]}]})), Err(EmbedErrorKind::Malformed)),
        (respond(200, &json!("hello")), Err(EmbedErrorKind::Malformed)),
        (respond(500, &json!({})), Err(EmbedErrorKind::Unavailable)),
        (respond(422, &json!({})), Err(EmbedErrorKind::Rejected)),
    ] {
        let service = service_fn(move |_: Request<Payload>| {
            let answer = answer.clone();
            async move { Ok::<_, Infallible>(answer) }
        });
        let texts: Texts = [Arc::from("a")].into_iter().collect();
        let came = HttpVectors::new(service, config()).oneshot(texts).await;
        assert_eq!(came.map(|vectors| vectors.len()).map_err(EmbedError::kind), expected);
    }
    let never = service_fn(|_: Request<Payload>| std::future::pending::<Result<Response<Payload>, Infallible>>());
    let texts: Texts = [Arc::from("private words")].into_iter().collect();
    assert!(!format!("{texts:?}").contains("private"));
    let came = HttpVectors::new(never, config()).oneshot(texts).await;
    assert_eq!(came.expect_err("it hangs").kind(), EmbedErrorKind::Timeout);
}

/// An embedder over any service: the vector of a text is its length, and one.
fn over<F>(config: HttpEmbedderConfig, answer: impl Fn(Texts) -> F + Clone + Send + Sync + 'static) -> HttpEmbedder
where
    F: Future<Output = Result<Vec<Embedding>, EmbedError>> + Send + 'static,
{
    let (embedder, worker) = HttpEmbedder::pair_over(service_fn(answer), config);
    drop(Handle::current().spawn(worker));
    embedder
}

#[tokio::test(start_paused = true)]
async fn any_service_will_do_and_one_that_returns_too_few_has_returned_nothing() {
    let few = over(config(), |texts| async move {
        Ok(texts.iter().take(1).map(|text| Embedding::from([text.len() as f32, 1.0])).collect())
    });
    assert_eq!(kind(&few, "abc").await, Ok(vec![3.0, 1.0]));
    let found = join_all(["a", "b"].map(|text| kind(&few, text))).await;
    assert_eq!(found, vec![Err(EmbedErrorKind::Malformed); 2]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_let_through_is_a_miss_at_once_and_vectors_of_late_are_there() {
    let open = Arc::new(AtomicBool::new(false));
    let (asks, refuses) = (Arc::clone(&open), Arc::clone(&open));
    let embedder = over(config().admitted_by(move || !asks.load(Ordering::Relaxed)), move |texts| {
        let refuses = refuses.load(Ordering::Relaxed) || texts.iter().any(|text| text == "refused");
        async move {
            if refuses {
                return Err(EmbedErrorKind::Refused.into());
            }
            Ok(texts.iter().map(|text| Embedding::from([text.len() as f32, 1.0])).collect())
        }
    });
    assert_eq!(kind(&embedder, "known").await, Ok(vec![5.0, 1.0]));
    assert_eq!(kind(&embedder, "refused").await, Err(EmbedErrorKind::Refused), "by a layer");
    open.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    assert_eq!(kind(&embedder, "known").await, Ok(vec![5.0, 1.0]));
    assert_eq!(kind(&embedder, "new").await, Err(EmbedErrorKind::Refused));
    assert_eq!(Instant::now(), begun, "nobody waits");
    open.store(false, Ordering::Relaxed);
    assert_eq!(kind(&embedder, "new").await, Ok(vec![3.0, 1.0]), "it is not remembered");
    let stats = embedder.stats();
    assert_eq!((stats.refused, stats.failed, stats.calls), (2, 0, 2), "{stats:?}");
}

#[tokio::test]
async fn it_speaks_to_a_real_server() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
    let address = listener.local_addr().expect("it listens");
    let served = async move {
        let (socket, _) = listener.accept().await.expect("somebody connects");
        let answer = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async move {
            assert_eq!(request.method(), http::Method::POST);
            assert_eq!(request.uri(), "/openai/deployments/d/embeddings?api-version=1");
            assert_eq!(request.headers()["api-key"], "key");
            assert_eq!(request.headers()["content-type"], "application/json");
            Ok::<_, Infallible>(respond(200, &json!({"data": [{"index": 0, "embedding": "AACAPwAAAD8="}]})))
        });
        let socket = hyper_util::rt::TokioIo::new(socket);
        drop(hyper::server::conn::http1::Builder::new().serve_connection(socket, answer).await);
    };
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let uri: Uri = format!("http://{address}/openai/deployments/d/embeddings?api-version=1").parse().expect("a URL");
    let config = HttpEmbedderConfig::new(uri, "d", TWO)
        .header(HeaderName::from_static("api-key"), HeaderValue::from_static("key"))
        .limits(EmbedLimits::new().timeout(Duration::from_secs(20)));
    let (embedder, worker) = HttpEmbedder::pair(Client::<_, Payload>::new(client), config);
    tokio::select! {
        found = embedder.embed("hello") => assert_eq!(found.expect("it answers")[..], [1.0, 0.5]),
        () = worker => unreachable!("there is a handle"),
        () = served => unreachable!("the client keeps the connection"),
    }
}
