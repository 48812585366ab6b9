//! The plan of an answer: all its bytes, when they leave, and how it ends. Faults are changes to a plan.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::wire::stream::{DONE, event};

/// How fast an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) first_token: Duration,
    pub(crate) gap: Duration,
}

/// Bytes that leave together, so long after the part before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) wait: Duration,
    pub(crate) bytes: Bytes,
}

/// What happens after the last part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    Stall,
    Close,
    Reset,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The wait before the headers.
    pub(crate) delay: Duration,
    pub(crate) body: Body,
    pub(crate) ending: Ending,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Events(Vec<Part>),
    /// A body of known length.
    Whole(Bytes),
    /// The beginning of a body that was announced as `length` bytes.
    Short {
        bytes: Bytes,
        length: usize,
    },
}

// === impl Pace ===

impl Pace {
    /// The pace under `fault`.
    pub(crate) fn under(self, fault: Option<&Fault>) -> Self {
        match fault {
            Some(Fault::SlowFirstToken { ms }) => Self { first_token: Duration::from_millis(*ms), ..self },
            _ => self,
        }
    }

    /// How long an answer of `tokens` takes as a whole.
    pub(crate) fn whole(self, tokens: u32) -> Duration {
        self.first_token + self.gap * tokens.saturating_sub(1)
    }
}

// === impl Plan ===

impl Plan {
    /// Changes a successful answer as `fault` says. Faults that leave no answer to change have no effect here.
    pub(crate) fn apply(&mut self, fault: &Fault) {
        match fault {
            Fault::StallAfter { events } => self.cut(*events, Ending::Stall),
            Fault::TruncateAfter { events } => self.cut(*events, Ending::Close),
            Fault::ResetAfter { events } => self.cut(*events, Ending::Reset),
            Fault::EndAfter { events } => self.body.end_after(*events),
            Fault::MalformedEvent { after } => self.body.malform(*after),
            Fault::ErrorEvent { after, error } => self.body.fail(*after, error.as_ref()),
            Fault::Empty => self.body = Body::Whole(Bytes::new()),
            Fault::OnlyDone => {
                self.body = Body::Whole(if self.body.is_stream() { DONE } else { Bytes::new() });
            }
            Fault::Status(_)
            | Fault::Provider { .. }
            | Fault::Refuse
            | Fault::Hang
            | Fault::Reset
            | Fault::SlowFirstToken { .. } => {}
        }
    }

    /// Drops the body where HTTP has none. The server would never ask for it, and the answer would count as cancelled.
    pub(crate) fn fit(&mut self, method: &Method) {
        if method == Method::HEAD || matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            self.body = Body::Whole(Bytes::new());
            self.ending = Ending::Complete;
        }
    }

    fn cut(&mut self, events: usize, ending: Ending) {
        self.ending = ending;
        match &mut self.body {
            Body::Events(parts) => parts.truncate(events),
            Body::Whole(bytes) => {
                let length = bytes.len();
                self.body = Body::Short { bytes: half(bytes, events), length };
            }
            Body::Short { .. } => {}
        }
    }
}

// === impl Body ===

impl Body {
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Events(_))
    }

    fn end_after(&mut self, events: usize) {
        match self {
            Self::Events(parts) => parts.truncate(events),
            Self::Whole(bytes) | Self::Short { bytes, .. } => *self = Self::Whole(half(bytes, events)),
        }
    }

    fn malform(&mut self, after: usize) {
        match self {
            Self::Events(parts) => {
                let last = parts.len().saturating_sub(1);
                if let Some(part) = parts.get_mut(after.min(last)) {
                    part.bytes =
                        event(r#"{"id":"chatcmpl-","object":"chat.completion.chunk","choices":[{"index":0,"del"#);
                }
            }
            Self::Whole(bytes) | Self::Short { bytes, .. } => *self = Self::Whole(half(bytes, 1)),
        }
    }

    fn fail(&mut self, after: usize, error: Option<&Value>) {
        let error = error.cloned().unwrap_or_else(|| {
            json!({
                "message": "The server had an error while processing your request. Sorry about that!",
                "type": "server_error", "param": null, "code": null,
            })
        });
        let body = json!({ "error": error }).to_string();
        match self {
            Self::Events(parts) => {
                parts.truncate(after);
                parts.push(Part { wait: Duration::ZERO, bytes: event(&body) });
            }
            Self::Whole(_) | Self::Short { .. } => *self = Self::Whole(Bytes::from(body)),
        }
    }
}

/// What has been sent of a body that is cut: nothing at once, else a half.
fn half(bytes: &Bytes, events: usize) -> Bytes {
    bytes.slice(..if events == 0 { 0 } else { bytes.len() / 2 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(body: Body) -> Plan {
        Plan {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            delay: Duration::ZERO,
            body,
            ending: Ending::Complete,
        }
    }

    fn stream(events: usize) -> Plan {
        let part = |index| Part { wait: Duration::ZERO, bytes: event(&format!("{index}")) };
        plan(Body::Events((0..events).map(part).chain([Part { wait: Duration::ZERO, bytes: DONE }]).collect()))
    }

    fn texts(plan: &Plan) -> Vec<String> {
        let Body::Events(parts) = &plan.body else { panic!("not a stream: {plan:?}") };
        parts.iter().map(|part| String::from_utf8_lossy(&part.bytes).into_owned()).collect()
    }

    #[test]
    fn a_malformed_event_takes_the_place_of_one() {
        let mut plan = stream(3);
        plan.apply(&Fault::MalformedEvent { after: 1 });
        let texts = texts(&plan);
        assert_eq!(texts.len(), 4);
        assert!(texts[1].ends_with("del\n\n") && texts[2] == "data: 2\n\n");
    }

    #[test]
    fn an_error_event_is_the_last() {
        let mut plan = stream(3);
        plan.apply(&Fault::ErrorEvent { after: 2, error: Some(json!({"code": "x"})) });
        assert_eq!(texts(&plan)[2], "data: {\"error\":{\"code\":\"x\"}}\n\n");
        assert_eq!((texts(&plan).len(), plan.ending), (3, Ending::Complete));
    }

    #[test]
    fn a_cut_body_keeps_its_announced_length() {
        let mut plan = plan(Body::Whole(Bytes::from_static(b"0123456789")));
        plan.apply(&Fault::TruncateAfter { events: 1 });
        assert_eq!(plan.body, Body::Short { bytes: Bytes::from_static(b"01234"), length: 10 });
        assert_eq!(plan.ending, Ending::Close);
    }

    #[test]
    fn only_done_leaves_nothing_of_a_body_that_is_no_stream() {
        let mut plan = plan(Body::Whole(Bytes::from_static(b"{}")));
        plan.apply(&Fault::OnlyDone);
        assert_eq!(plan.body, Body::Whole(Bytes::new()));
    }

    proptest! {
        #[test]
        fn a_cut_sends_a_beginning_of_the_stream_and_no_more(total in 0_usize..20, events in 0_usize..30) {
            for fault in [Fault::StallAfter { events }, Fault::TruncateAfter { events }, Fault::EndAfter { events }] {
                let whole = texts(&stream(total));
                let mut plan = stream(total);
                plan.apply(&fault);
                prop_assert_eq!(texts(&plan), &whole[..events.min(total + 1)]);
            }
        }
    }
}
