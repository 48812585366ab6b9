//! An upstream whose streams never end: one event at a time, at a steady rate, until whoever listens goes away.
//!
//! `slow-upstream <milliseconds between events>`. `GET /open` says how many streams are open. Each event says when it was sent.

use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// One event after the other.
struct Events {
    ticks: Interval,
    begun: bool,
    open: Arc<AtomicUsize>,
}

const ROLE: &str = "data: {\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\",\"created\":1861920000,\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";

/// What stands before the time at which an event was sent, in nanoseconds since the epoch.
const BEFORE_TIME: &str = "data: {\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\",\"created\":1861920000,\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" wall ";

const AFTER_TIME: &str = "\"},\"finish_reason\":null}]}\n\n";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let millis = std::env::args().nth(1).ok_or("the time between events must be given, in milliseconds")?.parse()?;
    let open = Arc::new(AtomicUsize::new(0));
    bench::serve(move |request| {
        let answer = answer(&request, Duration::from_millis(millis), &open);
        std::future::ready(answer)
    })
    .await?;
    Ok(())
}

fn answer(
    request: &Request<Incoming>,
    between: Duration,
    open: &Arc<AtomicUsize>,
) -> Response<Either<Full<Bytes>, Events>> {
    if request.method() == Method::GET {
        return Response::new(Either::Left(Full::from(open.load(Ordering::Relaxed).to_string())));
    }
    open.fetch_add(1, Ordering::Relaxed);
    let mut ticks = interval(between);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut response = Response::new(Either::Right(Events { ticks, begun: false, open: Arc::clone(open) }));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream"));
    response
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !std::mem::replace(&mut self.begun, true) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(ROLE.as_bytes())))));
        }
        ready!(self.ticks.poll_tick(cx));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        Poll::Ready(Some(Ok(Frame::data(format!("{BEFORE_TIME}{now}{AFTER_TIME}").into()))))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}
