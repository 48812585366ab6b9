//! The part of the contract that is about HTTP.

use std::{error::Error, future::poll_fn, pin::Pin};

use buttress_core::{BoxError, Class, Refusal, RefusalKind};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use tokio_test::{assert_pending, assert_ready, task};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Contract, Handle, HttpFlavour, Probe, ProbeError, Reply, Script, ScriptedBody, read, send};

/// What a probe put into an answer's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marker(u32);

// === impl Contract ===

impl<B, R, Q, F, L, ResBody> Contract<HttpFlavour<B, R>, F>
where
    B: From<ScriptedBody>,
    R: Fn() -> Request<Q>,
    Q: Body<Error: Into<BoxError>>,
    F: Fn() -> L,
    L: Layer<Probe<B>> + Clone + Send + Sync + 'static,
    L::Service: Service<Request<Q>, Response = Response<ResBody>, Error = ProbeError, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    ResBody: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// The request passes: head, extensions and body.
    pub async fn request_passes(&self) {
        let (mut service, handle) = self.service();
        let request = || {
            let mut request = self.request();
            request.headers_mut().insert("x-contract", header::HeaderValue::from_static("kept"));
            request.extensions_mut().insert(Marker(1));
            request
        };
        handle.next(Reply::ok().reading_all());
        let response = send(&mut service, request()).await;
        assert!(response.is_ok(), "the inner service answers: {:?}", response.err());

        let [seen] = &handle.seen()[..] else { panic!("one request makes one call") };
        let (head, body) = request().into_parts();
        assert_eq!((&seen.method, &seen.uri), (&head.method, &head.uri), "the request line must pass");
        assert_eq!(seen.headers.get("x-contract"), head.headers.get("x-contract"), "headers must pass");
        assert_eq!(seen.extensions.get(), Some(&Marker(1)), "extensions must pass");
        let sent = read(body).await;
        assert_eq!(seen.data.concat(), sent.bytes(), "the request's body must pass");
        assert_eq!(seen.trailers, sent.trailers, "the request's trailers must pass");
    }

    /// Status, headers and extensions of an answer pass.
    pub async fn response_head_passes(&self) {
        let reply = Reply::status(201).header("x-contract", "kept").extension(Marker(2));
        let (response, _handle) = self.answer(reply).await;
        assert_eq!(response.status(), 201, "the status must pass");
        assert_eq!(response.headers()["x-contract"], "kept", "headers must pass");
        assert_eq!(response.extensions().get(), Some(&Marker(2)), "extensions must pass");
    }

    /// Item 8. A body comes through frame by frame, with both hints as they were at every stage.
    pub async fn body_passes_with_trailers_and_both_hints(&self) {
        for (name, script) in scripts() {
            let (response, handle) = self.answer(Reply::ok().body(script.clone())).await;
            let (mut body, mut bare) = (Box::pin(response.into_body()), Box::pin(script.body()));
            loop {
                let (hint, expected) = (body.size_hint(), bare.size_hint());
                let (hint, expected) = ((hint.lower(), hint.upper()), (expected.lower(), expected.upper()));
                assert_eq!(hint, expected, "the size hint must be the inner body's: {name}");
                let (ended, expected) = (body.is_end_stream(), bare.is_end_stream());
                assert_eq!(ended, expected, "`is_end_stream` must be the inner body's: {name}");
                let (frame, expected) = (next(body.as_mut()).await, next(bare.as_mut()).await);
                assert_eq!(frame, expected, "frames must pass, trailers too: {name}");
                if frame.is_none() {
                    break;
                }
            }
            assert_eq!(handle.bodies().polls_after_end(), 0, "a body that ended must not be polled again: {name}");
        }
    }

    /// Item 8. An error of the body comes through, after the data before it.
    pub async fn body_error_passes(&self) {
        let (response, _handle) = self.answer(Reply::ok().body(Script::new().data("ab").error("cut off"))).await;
        let received = read(response.into_body()).await;
        assert_eq!(received.bytes(), "ab");
        let error = received.error.expect("the body failed");
        let found = std::iter::successors(Some(&*error as &(dyn Error + 'static)), |&error| error.source())
            .any(|error| error.downcast_ref() == Some(&ProbeError::new("cut off")));
        assert!(found, "the body's error must be in the chain: {error:?}");
    }

    /// Item 8. A body that is dropped half-way, or unread, is dropped at once and leaves nothing behind.
    pub async fn body_dropped_midway_leaves_nothing(&self) {
        let script = Script::new().data("ab").hangs().data("c");
        let (response, handle) = self.answer(Reply::ok().body(script.clone())).await;
        let mut body = Box::pin(response.into_body());
        assert_eq!(next(body.as_mut()).await, Some(Ok(Seen::Data("ab".into()))));
        drop(body);
        handle.assert_idle();
        assert_eq!(handle.bodies().dropped(), 1);

        let (response, handle) = self.answer(Reply::ok().body(script)).await;
        drop(response);
        handle.assert_idle();
    }

    /// Item 8. A body that waits wakes its reader.
    pub async fn body_that_waits_wakes_its_reader(&self) {
        let script = Script::new().data("a").hangs().data("b");
        let (response, handle) = self.answer(Reply::ok().body(script)).await;
        let mut body = Box::pin(response.into_body());
        assert_eq!(next(body.as_mut()).await, Some(Ok(Seen::Data("a".into()))));
        let mut reader = task::spawn(next(body.as_mut()));
        assert_pending!(reader.poll());
        handle.bodies().release();
        assert!(reader.is_woken(), "the body went on and its reader was not told");
        assert_eq!(assert_ready!(reader.poll()), Some(Ok(Seen::Data("b".into()))));
    }

    /// Item 7. The HTTP maker's response says why and for how long, in its head and in its extensions.
    pub async fn refuses_with_a_response<C>(&self, kind: RefusalKind, admission: bool, prepare: C)
    where
        C: AsyncFnOnce(&mut L::Service, &Handle),
    {
        let result = self.refused(admission, prepare).await;
        let response = result.unwrap_or_else(|error| panic!("a refusal is a response, not an error: {error}"));
        assert_eq!(response.status(), kind.status(), "the status says why");
        let refusal = response.extensions().get::<Refusal>().expect("the refusal is in the extensions");
        assert_eq!(refusal.kind(), kind, "the refusal in the extensions says why");
        let class = response.extensions().get::<Class>();
        assert_eq!(class, Some(&refusal.class()), "layers further out find the refusal's class");
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("x-should-retry"), Some(if refusal.should_retry() { "true" } else { "false" }));
        let seconds = header("retry-after").map(|text| text.parse().expect("`Retry-After` is in seconds"));
        let at_least = refusal.retry_after().map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0));
        assert_eq!(seconds, at_least, "`Retry-After` says for how long, rounded up");
        let body = read(response.into_body()).await.bytes();
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains(kind.code()), "the body says why: {text}");
    }

    /// Item 7. A service refuses with its own response, where its maker says so.
    pub async fn refuses_by_its_own_response<C>(&self, admission: bool, prepare: C)
    where
        C: AsyncFnOnce(&mut L::Service, &Handle),
    {
        let result = self.refused(admission, prepare).await;
        let status = result.map(|response| response.status());
        assert_eq!(status, Ok(StatusCode::IM_A_TEAPOT), "the refusal must become the maker's response");
    }

    async fn answer(&self, reply: Reply) -> (Response<ResBody>, Handle) {
        let (mut service, handle) = self.service();
        handle.next(reply);
        let response = send(&mut service, self.request()).await;
        (response.unwrap_or_else(|error| panic!("the inner service answers: {error}")), handle)
    }

    fn request(&self) -> Request<Q> {
        crate::Flavour::request(&self.flavour)
    }
}

/// A frame, told apart.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

async fn next<T>(mut body: Pin<&mut T>) -> Option<Result<Seen, String>>
where
    T: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let frame = poll_fn(|cx| body.as_mut().poll_frame(cx)).await?;
    Some(match frame.map(Frame::into_data) {
        Ok(Ok(data)) => Ok(Seen::Data(data)),
        Ok(Err(frame)) => frame.into_trailers().map(Seen::Trailers).map_err(|_| "an unknown frame".to_owned()),
        Err(error) => Err(error.into().to_string()),
    })
}

fn scripts() -> [(&'static str, Script); 9] {
    let three = Script::new().data("ab").data("c").data("def");
    [
        ("empty", Script::new().sized()),
        ("empty, of unknown length", Script::new().late()),
        ("one frame of known length", Script::new().data("hello").sized()),
        ("one frame of known length, end seen late", Script::new().data("hello").sized().late()),
        ("three frames of unknown length", three.clone()),
        ("three frames, length within bounds", three.clone().bounded(3, Some(100))),
        ("three frames and trailers", three.clone().trailer("x-check", "1")),
        ("known length and trailers, end seen late", three.sized().trailer("x-check", "1").late()),
        ("pauses", Script::new().yields().data("a").yields().data("b").yields().trailer("x-check", "1")),
    ]
}
