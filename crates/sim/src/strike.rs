//! What a fault does to the plan of a successful answer.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, VARY};
use serde_json::Value;

use crate::fault::Fault;
use crate::moment::{At, Then};
use crate::plan::{Body, Ending, Mark, Part, Plan};
use crate::provider_error::ProviderError;
use crate::transport;
use crate::wire::error::ApiError;
use crate::wire::voice::{Form, Voice};
use crate::wire::{Dialect, stream};

/// A fault about to hit an answer that speaks like this.
#[derive(Debug)]
pub(crate) struct Strike<'a> {
    pub(crate) plan: &'a mut Plan,
    pub(crate) voice: &'a Voice,
}

// === impl Strike ===

impl Strike<'_> {
    /// Changes the answer as `fault` says. Faults that leave no answer to change have no effect here.
    pub(crate) fn apply(&mut self, fault: &Fault) {
        match fault {
            Fault::StallAfter { events } => self.happen(At::Events(*events), Then::Stall),
            Fault::TruncateAfter { events } => self.happen(At::Events(*events), Then::Close),
            Fault::ResetAfter { events } => self.happen(At::Events(*events), Then::Reset),
            Fault::EndAfter { events } => self.happen(At::Events(*events), Then::End),
            Fault::MalformedEvent { after } => self.happen(At::Events(*after), Then::Malformed),
            Fault::ErrorEvent { after, error: None } => {
                self.happen(At::Events(*after), Then::Error(ProviderError::ServerError));
            }
            Fault::ErrorEvent { after, error: Some(value) } => self.custom_error(*after, value),
            Fault::Stream { at, then } => self.happen(*at, *then),
            Fault::Empty => self.plan.body = self.emptied(Bytes::new()),
            Fault::OnlyDone => {
                let done = self.plan.body.is_stream().then(|| self.voice.done()).flatten();
                self.plan.body = self.emptied(done.unwrap_or_default());
            }
            Fault::Encoded { coding } => {
                transport::encode(&mut self.plan.body.parts, *coding);
                self.announce();
                self.plan.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
                self.plan.headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
            }
            Fault::LineEnds { end } => {
                transport::end_lines(&mut self.plan.body.parts, *end);
                self.announce();
            }
            Fault::ByteOrderMark if self.plan.body.is_stream() => {
                let mark = Part::new(Duration::ZERO, Mark::Comment, Bytes::from_static("\u{feff}".as_bytes()));
                self.plan.body.parts.insert(0, mark);
            }
            Fault::AsyncFilter if self.voice.dialect == Dialect::Azure && self.voice.form == Form::Chat => {
                filter(&mut self.plan.body.parts);
            }
            Fault::Split { at } => self.plan.body.parts = transport::split(&self.plan.body.parts, at),
            Fault::Drip { bytes, every_ms } => {
                self.plan.body.parts = transport::drip(&self.plan.body.parts, *bytes, Duration::from_millis(*every_ms));
            }
            _ => {}
        }
    }

    fn happen(&mut self, at: At, then: Then) {
        if self.plan.body.is_stream() {
            self.happen_in_stream(at, then);
        } else {
            self.happen_in_whole(at, then);
        }
    }

    fn happen_in_stream(&mut self, at: At, then: Then) {
        let body = &mut self.plan.body;
        let index = index(&mut body.parts, at);
        let before = body.parts[..index].iter().filter(|part| part.mark != Mark::Comment).count();
        match then {
            Then::Malformed => {
                let last = body.parts.len().saturating_sub(1);
                if let Some(part) = body.parts.get_mut(index.min(last)) {
                    part.bytes = self.voice.malformed(&part.bytes);
                }
            }
            Then::Error(error) => {
                let error = ApiError::provider(error, self.voice.dialect, &self.voice.model, None);
                body.parts.truncate(index);
                body.parts.push(Part::new(Duration::ZERO, Mark::Finish, self.voice.error(&error, before)));
            }
            Then::Done => {
                body.parts.truncate(index);
                let done = self.voice.done().map(|done| Part::new(Duration::ZERO, Mark::Done, done));
                body.parts.extend(done);
            }
            Then::Stall | Then::End | Then::Close | Then::Reset | Then::Comments { .. } => {
                body.parts.truncate(index);
                self.plan.ending = self.ending(then);
            }
        }
    }

    fn happen_in_whole(&mut self, at: At, then: Then) {
        let body = &mut self.plan.body;
        let whole = transport::joined(&body.parts);
        let kept = match at {
            At::Start | At::Opening | At::Content(0) | At::Events(0) => 0,
            At::Bytes(bytes) => bytes.min(whole.len()),
            At::Finish => whole.len(),
            At::Content(_) | At::Events(_) => whole.len() / 2,
        };
        match then {
            Then::Malformed => *body = Body::whole(whole.slice(..whole.len() / 2)),
            Then::Error(error) => {
                let error = ApiError::provider(error, self.voice.dialect, &self.voice.model, None);
                *body = Body::whole(Bytes::from(self.voice.whole_error(&error).to_string()));
            }
            Then::End | Then::Done => *body = Body::whole(whole.slice(..kept)),
            Then::Comments { .. } => {
                *body = Body { announced: None, ..Body::whole(whole.slice(..kept)) };
                self.plan.ending = self.ending(then);
            }
            Then::Stall | Then::Close | Then::Reset => {
                *body = Body { announced: Some(whole.len()), ..Body::whole(whole.slice(..kept)) };
                self.plan.ending = self.ending(then);
            }
        }
    }

    fn ending(&self, then: Then) -> Ending {
        match then {
            Then::Stall => Ending::Stall,
            Then::Close => Ending::Close,
            Then::Reset => Ending::Reset,
            Then::Comments { every_ms } => {
                let bytes = if self.plan.body.is_stream() { self.voice.idle() } else { Bytes::from_static(b"\n") };
                Ending::Repeat { bytes, every: Duration::from_millis(every_ms.max(1)) }
            }
            Then::End | Then::Done | Then::Malformed | Then::Error(_) => Ending::Complete,
        }
    }

    fn custom_error(&mut self, after: usize, value: &Value) {
        let body = &mut self.plan.body;
        if !body.is_stream() {
            *body = Body::whole(Bytes::from(serde_json::json!({ "error": value }).to_string()));
            return;
        }
        let index = index(&mut body.parts, At::Events(after));
        body.parts.truncate(index);
        let bytes = self.voice.custom_error(value, after).unwrap_or_default();
        body.parts.push(Part::new(Duration::ZERO, Mark::Finish, bytes));
    }

    fn emptied(&self, bytes: Bytes) -> Body {
        Body { stream: self.plan.body.stream && !bytes.is_empty(), ..Body::whole(bytes) }
    }

    /// The announced length follows the bytes, where there is one.
    fn announce(&mut self) {
        let body = &mut self.plan.body;
        body.announced = body.announced.map(|_| body.parts.iter().map(|part| part.bytes.len()).sum());
    }
}

/// Puts what an asynchronous filter says behind every other word and behind the finish reason.
fn filter(parts: &mut Vec<Part>) {
    let mut filtered = Vec::with_capacity(parts.len() * 2);
    let (mut words, mut offset) = (0_usize, 0_usize);
    for part in parts.drain(..) {
        let mark = part.mark;
        filtered.push(part);
        words += usize::from(mark == Mark::Content);
        if (mark == Mark::Content && words.is_multiple_of(2)) || mark == Mark::Finish {
            let bytes = stream::filtered(offset, offset + 64);
            filtered.push(Part::new(Duration::ZERO, Mark::Closing, bytes));
            offset += 64;
        }
    }
    *parts = filtered;
}

/// How many parts come before `at`. A place inside a part cuts it in two.
fn index(parts: &mut Vec<Part>, at: At) -> usize {
    let content = |nth: usize| {
        let marked = parts.iter().enumerate().filter(|(_, part)| part.mark == Mark::Content);
        let places: Vec<_> = marked.map(|(index, _)| index).collect();
        let first = places.first().copied().unwrap_or(parts.len());
        let before =
            nth.checked_sub(1).map(|last| places.get(last).or_else(|| places.last()).map_or(first, |place| place + 1));
        before.unwrap_or(first)
    };
    match at {
        At::Start => parts.iter().take_while(|part| part.mark == Mark::Comment).count(),
        At::Opening => content(0),
        At::Content(nth) => content(nth),
        At::Finish => parts.iter().position(|part| part.mark == Mark::Finish).map_or(parts.len(), |index| index + 1),
        At::Events(count) => {
            let mut events = parts.iter().enumerate().filter(|(_, part)| part.mark != Mark::Comment);
            events.nth(count).map_or(parts.len(), |(index, _)| index)
        }
        At::Bytes(bytes) => cut(parts, bytes),
    }
}

fn cut(parts: &mut Vec<Part>, bytes: usize) -> usize {
    let mut left = bytes;
    for index in 0..parts.len() {
        let length = parts[index].bytes.len();
        if left < length {
            if left == 0 {
                return index;
            }
            let rest = parts[index].bytes.split_off(left);
            let rest = Part::new(Duration::ZERO, parts[index].mark, rest);
            parts.insert(index + 1, rest);
            return index + 1;
        }
        left -= length;
    }
    parts.len()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};
    use proptest::prelude::*;

    use super::*;
    use crate::wire::stream::DONE;

    fn plan(body: Body) -> Plan {
        let (headers, ending) = (HeaderMap::new(), Ending::Complete);
        Plan { status: StatusCode::OK, headers, delay: Duration::ZERO, body, ending }
    }

    fn stream(events: usize) -> Plan {
        let part = |index| {
            let bytes = Bytes::from(format!("data: {{\"index\":{index}}}\n\n"));
            Part::new(Duration::ZERO, Mark::Content, bytes)
        };
        let done = Part::new(Duration::ZERO, Mark::Done, DONE);
        plan(Body::events((0..events).map(part).chain([done]).collect()))
    }

    fn apply(plan: &mut Plan, fault: &Fault) {
        let id = "1".to_owned();
        let voice = Voice { dialect: Dialect::OpenAi, form: Form::Chat, id, created: 0, model: "m".to_owned() };
        Strike { plan, voice: &voice }.apply(fault);
    }

    fn texts(plan: &Plan) -> Vec<String> {
        assert!(plan.body.is_stream(), "not a stream: {plan:?}");
        plan.body.parts.iter().map(|part| String::from_utf8_lossy(&part.bytes).into_owned()).collect()
    }

    #[test]
    fn a_malformed_event_takes_the_place_of_one() {
        let mut plan = stream(3);
        apply(&mut plan, &Fault::MalformedEvent { after: 1 });
        let texts = texts(&plan);
        assert_eq!(texts.len(), 4);
        assert_eq!((texts[1].as_str(), texts[2].as_str()), ("data: {\"ind\n\n", "data: {\"index\":2}\n\n"));
    }

    #[test]
    fn an_error_event_is_the_last() {
        let mut plan = stream(3);
        apply(&mut plan, &Fault::ErrorEvent { after: 2, error: Some(serde_json::json!({"code": "x"})) });
        assert_eq!(texts(&plan)[2], "data: {\"error\":{\"code\":\"x\"}}\n\n");
        assert_eq!((texts(&plan).len(), plan.ending), (3, Ending::Complete));
    }

    #[test]
    fn a_cut_body_keeps_its_announced_length() {
        let mut plan = plan(Body::whole(Bytes::from_static(b"0123456789")));
        apply(&mut plan, &Fault::TruncateAfter { events: 1 });
        assert_eq!((&plan.body.parts[0].bytes[..], plan.body.announced), (&b"01234"[..], Some(10)));
        assert_eq!(plan.ending, Ending::Close);
    }

    #[test]
    fn only_done_leaves_nothing_of_a_body_that_is_no_stream() {
        let mut plan = plan(Body::whole(Bytes::from_static(b"{}")));
        apply(&mut plan, &Fault::OnlyDone);
        assert_eq!(plan.body, Body::whole(Bytes::new()));
    }

    proptest! {
        #[test]
        fn a_cut_sends_a_beginning_of_the_stream_and_no_more(total in 0_usize..20, events in 0_usize..30) {
            for fault in [Fault::StallAfter { events }, Fault::TruncateAfter { events }, Fault::EndAfter { events }] {
                let whole = texts(&stream(total));
                let mut plan = stream(total);
                apply(&mut plan, &fault);
                prop_assert_eq!(texts(&plan), &whole[..events.min(total + 1)]);
            }
        }

        #[test]
        fn pieces_are_the_body_whatever_their_ends(total in 0_usize..9, at in prop::collection::vec(0_usize..400, 0..20)) {
            let all = texts(&stream(total)).concat();
            let size = at.first().copied().unwrap_or(0) + 1;
            for fault in [Fault::Split { at }, Fault::Drip { bytes: size, every_ms: 1 }] {
                let mut plan = stream(total);
                apply(&mut plan, &fault);
                prop_assert_eq!(texts(&plan).concat(), all.as_str());
            }
        }

        #[test]
        fn a_place_in_bytes_is_exact(total in 0_usize..9, bytes in 0_usize..400) {
            let all = texts(&stream(total)).concat();
            let mut plan = stream(total);
            apply(&mut plan, &Fault::at(At::Bytes(bytes), Then::End));
            prop_assert_eq!(texts(&plan).concat(), &all[..bytes.min(all.len())]);
        }
    }
}
