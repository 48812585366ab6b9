//! The circuit before the model that makes vectors: what is down is not waited for, and not asked.

use std::{fmt, num::NonZeroU32};

use buttress_circuit_breaker::{CircuitBreakerLayer, CircuitOpen, Handle, Key, Snapshot, State};
use buttress_core::{Class, Label, Outcome, Payload, Verdict};
use buttress_semantic_cache::{EmbedError, EmbedErrorKind, Embedding, HttpEmbedder, HttpEmbedderConfig, HttpVectors};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::{runtime, time::Instant};
use tower::{Service, ServiceBuilder};

use crate::{config::BreakerConfig, stack::BuildError};

/// The circuit to the embedder. Clones are one.
#[derive(Clone)]
pub(crate) struct Circuit {
    handle: Handle,
    key: Key,
}

/// So many failures in a row open it, or fewer: to go without a vector costs little, to wait for one costs each question.
const ENOUGH: NonZeroU32 = NonZeroU32::new(3).expect("3 is not 0");

/// Makes the embedder that `http` says, behind a circuit that goes by `breaker`.
pub(crate) fn embedder<S, B>(
    client: S,
    http: HttpEmbedderConfig,
    breaker: &BreakerConfig,
) -> Result<(HttpEmbedder, Circuit), BuildError>
where
    S: Service<Request<Payload>, Response = Response<B>, Future: Send> + Clone + Send + Sync + 'static,
    B: Body<Data = Bytes> + Send + 'static,
{
    let name = Label::try_new("embedder")?;
    let settings = breaker.settings().consecutive(breaker.failures.min(ENOUGH)).name(name.clone());
    let refuse = |_: CircuitOpen| Err::<Vec<Embedding>, _>(EmbedError::from(EmbedErrorKind::Refused));
    let layer = CircuitBreakerLayer::try_plain(settings, class, refuse)?;
    let circuit = Circuit { handle: layer.handle(), key: Key::new(name) };
    let asked = circuit.clone();
    let http = http.admitted_by(move || asked.handle.admits(&asked.key, Instant::now()));
    let vectors = ServiceBuilder::new().layer(layer).service(HttpVectors::new(client, http.clone()));
    let (embedder, worker) = HttpEmbedder::pair_over(vectors, http);
    drop(runtime::Handle::try_current()?.spawn(worker));
    Ok((embedder, circuit))
}

/// Returns what a call of the embedder says about it. An answer that is of no use is as bad as none.
fn class(result: Result<&Vec<Embedding>, &EmbedError>) -> Class {
    match result {
        Ok(_) => Class::SUCCESS,
        Err(error) if error.kind() == EmbedErrorKind::Rejected => {
            Class::new(Verdict::CallerFault, Outcome::Word("rejected"))
        }
        Err(_) => Class::new(Verdict::Transient, Outcome::Word("no-vectors")),
    }
}

// === impl Circuit ===

impl Circuit {
    /// Returns what it is, once it was asked.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.handle.snapshot(&self.key)
    }

    pub(crate) fn state(&self) -> State {
        self.snapshot().map_or(State::Closed, |snapshot| snapshot.state)
    }
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Circuit").field(&self.state()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::pending,
        sync::{
            Arc, Mutex,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    };

    use buttress_core::Body as Answer;
    use buttress_semantic_cache::{EmbedLimits, Embedder as _};
    use http::Uri;
    use std::num::NonZeroUsize;
    use tower::service_fn;

    use super::*;

    /// What the model does: nothing at all, or a status and a body.
    type Does = Arc<Mutex<Option<(u16, &'static str)>>>;

    const WELL: (u16, &str) = (200, r#"{"data":[{"index":0,"embedding":[1,0.5]}]}"#);
    const BOUND: Duration = Duration::from_millis(50);

    fn model() -> (HttpEmbedder, Circuit, Does, Arc<AtomicU64>) {
        let (does, calls) = (Does::default(), Arc::new(AtomicU64::new(0)));
        let service = {
            let (does, calls) = (Arc::clone(&does), Arc::clone(&calls));
            service_fn(move |_: Request<Payload>| {
                calls.fetch_add(1, Ordering::Relaxed);
                let does = *does.lock().unwrap();
                async move {
                    let Some((status, body)) = does else { return pending().await };
                    let mut response = Response::new(Answer::from(Bytes::from(body)));
                    *response.status_mut() = status.try_into().unwrap();
                    Ok::<_, Infallible>(response)
                }
            })
        };
        let http = HttpEmbedderConfig::new(Uri::from_static("http://m/"), "m", NonZeroUsize::new(2).unwrap());
        let http = http.limits(EmbedLimits::new().timeout(BOUND));
        let (embedder, circuit) = embedder(service, http, &BreakerConfig::default()).unwrap();
        (embedder, circuit, does, calls)
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_that_is_down_is_waited_for_until_its_circuit_opens_and_comes_back_by_itself() {
        let wrong = r#"{"data":[{"index":0,"embedding":[1]}]}"#;
        for fault in [None, Some((500, "no")), Some((200, "hello")), Some((200, wrong)), Some((401, ""))] {
            let (embedder, circuit, does, calls) = model();
            *does.lock().unwrap() = Some(WELL);
            embedder.embed("known").await.unwrap();
            *does.lock().unwrap() = fault;
            let mut text = 0;
            while circuit.state() != State::Open {
                let begun = Instant::now();
                embedder.embed(&format!("text {text}")).await.unwrap_err();
                assert!(Instant::now() - begun <= BOUND, "{fault:?}");
                text += 1;
                assert!(text < 1_000, "{fault:?}: {:?}", circuit.snapshot());
            }
            let (before, begun) = (calls.load(Ordering::Relaxed), Instant::now());
            for text in 0..100 {
                let error = embedder.embed(&format!("more {text}")).await.unwrap_err();
                assert_eq!(error.kind(), EmbedErrorKind::Refused, "{fault:?}");
            }
            embedder.embed("known").await.unwrap();
            assert_eq!((Instant::now(), calls.load(Ordering::Relaxed)), (begun, before), "{fault:?}: nobody waits");
            // One that had timed out before may still have been on its way.
            assert!(embedder.stats().refused >= 100, "{:?}", embedder.stats());

            *does.lock().unwrap() = Some(WELL);
            tokio::time::sleep(Duration::from_secs(7)).await;
            for text in 0..20 {
                embedder.embed(&format!("again {text}")).await.unwrap();
            }
            assert_eq!(circuit.state(), State::Closed, "{fault:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_finds_out_and_the_others_do_not_wait_for_it() {
        let (embedder, circuit, does, calls) = model();
        *does.lock().unwrap() = Some((500, ""));
        for text in 0..3 {
            embedder.embed(&format!("text {text}")).await.unwrap_err();
        }
        assert_eq!((circuit.state(), calls.load(Ordering::Relaxed)), (State::Open, 3));
        *does.lock().unwrap() = None;
        tokio::time::sleep(Duration::from_secs(7)).await;
        let begun = Instant::now();
        assert_eq!(embedder.embed("probe").await.unwrap_err().kind(), EmbedErrorKind::Timeout);
        assert_eq!(Instant::now() - begun, BOUND);
        let begun = Instant::now();
        assert_eq!(embedder.embed("other").await.unwrap_err().kind(), EmbedErrorKind::Refused);
        assert!(Instant::now() - begun <= Duration::from_millis(3), "the time in which texts are brought together");
        assert_eq!(calls.load(Ordering::Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_text_that_the_model_does_not_take_says_nothing_about_the_model() {
        let (embedder, circuit, does, _) = model();
        *does.lock().unwrap() = Some((422, ""));
        for text in 0..20 {
            let error = embedder.embed(&format!("text {text}")).await.unwrap_err();
            assert_eq!(error.kind(), EmbedErrorKind::Rejected);
        }
        assert_eq!(circuit.state(), State::Closed);
    }
}
