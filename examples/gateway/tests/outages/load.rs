//! Callers that ask again as soon as they have their answer, and what they met.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use buttress_core::{Client, Payload};
use http::Request;
use http_body_util::{BodyExt as _, Limited};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{task::JoinSet, time::Instant};
use tower::ServiceExt as _;

/// Asks so many times, by so many callers at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) requests: usize,
    pub(crate) callers: usize,
    pub(crate) body: &'static str,
}

/// What the callers met with.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// Of each answer, to its first byte, in the order of time.
    first_bytes: Vec<Duration>,
    /// How many answers came from whom.
    pub(crate) served_by: BTreeMap<String, usize>,
    pub(crate) failures: Vec<String>,
}

// === impl Load ===

impl Load {
    /// Asks the gateway at `url`. `at` is called before each request with how many were sent before.
    pub(crate) async fn run(self, url: &str, at: impl Fn(usize) + Send + Sync + 'static) -> Met {
        let (at, sent, met) = (Arc::new(at), Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Met::default())));
        let mut callers = JoinSet::new();
        for _ in 0..self.callers {
            let (at, sent, met, url) = (Arc::clone(&at), Arc::clone(&sent), Arc::clone(&met), url.to_owned());
            callers.spawn(async move {
                let client = Client::new(legacy::Client::builder(TokioExecutor::new()).build_http());
                loop {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    if number >= self.requests {
                        break;
                    }
                    at(number);
                    let begun = Instant::now();
                    let asked = ask(client.clone(), &url, self.body).await;
                    met.lock().expect("nothing panics with it").note(asked.map(|(name, first)| (name, first - begun)));
                }
            });
        }
        callers.join_all().await;
        Arc::into_inner(met).expect("all callers are gone").into_inner().expect("nothing panicked with it")
    }
}

/// Returns who answered, and when the first byte of the body came.
async fn ask(client: Client<HttpConnector, Payload>, url: &str, body: &str) -> Result<(String, Instant), String> {
    let request = Request::post(format!("{url}/v1/chat/completions")).header("content-type", "application/json");
    let request = request.body(Payload::new(body.to_owned().into())).expect("a path makes a request");
    let response = client.oneshot(request).await.map_err(|error| error.to_string())?;
    let (head, mut body) = response.into_parts();
    let mut text = Vec::new();
    if let Some(frame) = body.frame().await {
        text.extend(frame.map_err(|error| error.to_string())?.into_data().unwrap_or_default());
    }
    let first = Instant::now();
    #[expect(clippy::disallowed_methods, reason = "bounded by `Limited`")]
    let rest = Limited::new(body, 1 << 20).collect().await.map_err(|error| error.to_string())?;
    text.extend(rest.to_bytes());
    let text = String::from_utf8_lossy(&text);
    // A whole answer has an end, and one that is streamed says so twice.
    let whole = text.contains(r#""finish_reason":"stop""#) && !text.contains(r#""error":{"#);
    if head.status != 200 || !whole {
        return Err(format!("{} {text}", head.status));
    }
    let name = head.headers.get("x-served-by").and_then(|name| name.to_str().ok());
    Ok((name.ok_or("nobody says that it answered")?.to_owned(), first))
}

// === impl Met ===

impl Met {
    fn note(&mut self, asked: Result<(String, Duration), String>) {
        match asked {
            Ok((name, first)) => {
                *self.served_by.entry(name).or_default() += 1;
                self.first_bytes.push(first);
            }
            Err(failure) => self.failures.push(failure),
        }
    }

    /// Returns after which time that part of the answers had begun.
    pub(crate) fn part(&self, part: f64) -> Duration {
        part_of(&self.first_bytes, part)
    }

    /// Returns the median of what [`part`](Self::part) would be of each thousand answers in turn.
    pub(crate) fn usual_part(&self, part: f64) -> Duration {
        let of_each: Vec<_> = self.first_bytes.chunks(1_000).map(|thousand| part_of(thousand, part)).collect();
        part_of(&of_each, 0.5)
    }
}

fn part_of(times: &[Duration], part: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}
