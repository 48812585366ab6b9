//! What an answer tells of the cache.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use buttress_core::{AnswerReport, Class, Usage};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};

use crate::{Bypass, ResponseBody, replay::Replay, store::Found};

/// What the cache did with a request, in the extensions of its response.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum CacheOutcome {
    /// The answer to this very question.
    Hit,
    /// The answer to a question that means the same, with their similarity.
    SemanticHit(f32),
    /// An answer that is fresh no more, while a new one is fetched.
    Stale,
    /// An answer that is fresh no more, because the inner service failed.
    StaleIfError(Option<StatusCode>),
    /// There was none.
    Miss(Miss),
    /// The cache left the request alone.
    Bypassed(Bypass),
}

/// What an answer from the cache has once cost, where that is known; in the extensions of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing else to it")]
pub struct OnceCost(pub Usage);

/// What was decided of a question by its [`Meaning`](crate::Meaning), and why; in the extensions of its response.
///
/// It holds no text, but numbers that help to find out what others have asked: it is for callers that are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation(pub(crate) Box<str>);

/// Why a question was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Miss {
    /// There is no answer.
    Absent,
    /// There is one, and it is fresh no more.
    Expired,
    /// There is one, and the caller wants another: by `no-cache`, `max-age` or `min-fresh`.
    Unwanted,
    /// There is one, and it cannot be given in the form that is asked for.
    Form,
}

/// The maps of a request that has its answer, emptied: its response has use for them, and need not allocate its own.
#[derive(Default)]
pub(crate) struct Room {
    headers: HeaderMap,
    extensions: Extensions,
}

/// Words of a header, in place until they are all there.
struct Words {
    bytes: [u8; Self::MOST],
    length: usize,
}

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// How many headers are added to those of an answer, at most.
const ADDED: usize = 4;

// === impl Explanation ===

impl Explanation {
    /// Returns it as words and numbers that can stand in a header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl Miss ===

impl Miss {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Absent, Self::Expired, Self::Unwanted, Self::Form];

    /// Returns the word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Expired => "expired",
            Self::Unwanted => "unwanted",
            Self::Form => "form",
        }
    }
}

// === impl CacheOutcome ===

impl CacheOutcome {
    /// Returns the word for events, and for `x-cache`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::SemanticHit(_) => "semantic-hit",
            Self::Stale => "stale",
            Self::StaleIfError(_) => "stale-if-error",
            Self::Miss(_) => "miss",
            Self::Bypassed(_) => "bypass",
        }
    }

    /// Writes it into the headers: `Cache-Status` (RFC 9211) after what others have written, and `x-cache`.
    pub(crate) fn tell(self, headers: &mut HeaderMap, ttl: Option<i64>, shows_similarity: bool) {
        headers.insert(X_CACHE, HeaderValue::from_static(self.as_str()));
        headers.append(CACHE_STATUS, self.status(ttl, shows_similarity));
    }

    fn status(self, ttl: Option<i64>, shows_similarity: bool) -> HeaderValue {
        let fixed = match self {
            Self::Miss(Miss::Absent) => "buttress-cache; fwd=miss",
            Self::Miss(Miss::Expired) => "buttress-cache; fwd=stale",
            Self::Miss(Miss::Unwanted) => "buttress-cache; fwd=request",
            Self::Miss(Miss::Form) => "buttress-cache; fwd=vary-miss",
            _ => "",
        };
        if !fixed.is_empty() {
            return HeaderValue::from_static(fixed);
        }
        let mut words = Words::new();
        self.say(&mut words, ttl, shows_similarity).expect("there is room for the longest of them");
        words.into_value()
    }

    fn say(self, words: &mut Words, ttl: Option<i64>, shows_similarity: bool) -> fmt::Result {
        words.write_str("buttress-cache")?;
        match self {
            Self::Bypassed(why) => {
                words.write_str("; fwd=bypass; detail=")?;
                words.write_str(why.as_str())?;
            }
            Self::StaleIfError(Some(status)) => write!(words, "; hit; fwd=stale; fwd-status={}", status.as_u16())?,
            Self::StaleIfError(None) => words.write_str("; hit; fwd=stale")?,
            _ => words.write_str("; hit")?,
        }
        if let Some(ttl) = ttl {
            words.write_str("; ttl=")?;
            words.number(ttl)?;
        }
        match self {
            Self::Hit => words.write_str("; detail=exact"),
            Self::SemanticHit(similarity) if shows_similarity => {
                write!(words, "; detail=semantic; similarity={similarity:.3}")
            }
            Self::SemanticHit(_) => words.write_str("; detail=semantic"),
            Self::Stale => words.write_str("; detail=stale-while-revalidate"),
            Self::StaleIfError(_) => words.write_str("; detail=stale-if-error"),
            Self::Miss(_) | Self::Bypassed(_) => Ok(()),
        }
    }
}

// === impl Room ===

impl Room {
    pub(crate) fn of<B>(request: Request<B>) -> Self {
        let (head, _) = request.into_parts();
        let mut room = Self { headers: head.headers, extensions: head.extensions };
        room.headers.clear();
        room.extensions.clear();
        room
    }
}

// === impl Words ===

impl Words {
    const MOST: usize = 128;

    const fn new() -> Self {
        Self { bytes: [0; Self::MOST], length: 0 }
    }

    /// Writes what `write!` would, at a fraction of its cost.
    fn number(&mut self, number: i64) -> fmt::Result {
        let (mut digits, mut at, mut left) = ([0; 20], 20, number.unsigned_abs());
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if number < 0 {
            at -= 1;
            digits[at] = b'-';
        }
        self.write_bytes(&digits[at..])
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> fmt::Result {
        let room = self.bytes[self.length..].get_mut(..bytes.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(bytes);
        self.length += bytes.len();
        Ok(())
    }

    fn into_value(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.bytes[..self.length]).expect("words and numbers can stand in a header")
    }
}

impl fmt::Write for Words {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_bytes(text.as_bytes())
    }
}

/// Makes the response of an answer that was kept.
pub(crate) fn response<B>(
    found: &Found,
    replay: Replay,
    outcome: CacheOutcome,
    room: Room,
    shows_similarity: bool,
) -> Response<ResponseBody<B>> {
    let Found { answer, age, span, .. } = found;
    let mut response = Response::new(ResponseBody::stored(replay));
    *response.status_mut() = answer.status;
    let Room { mut headers, mut extensions } = room;
    // A clone would have no room for what is added.
    headers.reserve(answer.headers.len() + ADDED);
    for (name, value) in &answer.headers {
        headers.append(name.clone(), value.clone());
    }
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let mut old = Words::new();
    old.number(seconds(*age)).expect("there is room for a number");
    headers.insert(header::AGE, old.into_value());
    outcome.tell(&mut headers, Some(seconds(span.fresh) - seconds(*age)), shows_similarity);
    *response.headers_mut() = headers;
    // Nothing was used for it, whatever it says of what it once cost.
    extensions.insert(AnswerReport::concluded(Class::SUCCESS, Usage::default()));
    extensions.insert(outcome);
    extensions.insert(found.key);
    if let Some(usage) = answer.usage {
        extensions.insert(OnceCost(usage));
    }
    *response.extensions_mut() = extensions;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_told_as_the_rfc_has_it() {
        let status = |outcome: CacheOutcome, ttl| outcome.status(ttl, true);
        for (outcome, ttl, text) in [
            (CacheOutcome::Hit, Some(60), "buttress-cache; hit; ttl=60; detail=exact"),
            (
                CacheOutcome::SemanticHit(0.9731),
                Some(9),
                "buttress-cache; hit; ttl=9; detail=semantic; similarity=0.973",
            ),
            (CacheOutcome::Stale, Some(-3), "buttress-cache; hit; ttl=-3; detail=stale-while-revalidate"),
            (
                CacheOutcome::StaleIfError(Some(StatusCode::SERVICE_UNAVAILABLE)),
                Some(-3),
                "buttress-cache; hit; fwd=stale; fwd-status=503; ttl=-3; detail=stale-if-error",
            ),
            (CacheOutcome::Miss(Miss::Absent), None, "buttress-cache; fwd=miss"),
            (CacheOutcome::Bypassed(Bypass::Tools), None, "buttress-cache; fwd=bypass; detail=tools"),
        ] {
            assert_eq!(status(outcome, ttl), text);
        }
        assert_eq!(CacheOutcome::SemanticHit(0.9).status(None, false), "buttress-cache; hit; detail=semantic");
    }

    #[test]
    fn nothing_of_a_request_is_left_in_what_its_response_is_made_of() {
        let mut request = Request::new("a question");
        request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static("secret"));
        request.extensions_mut().insert("secret");
        let room = Room::of(request);
        assert!(room.headers.is_empty() && room.extensions.is_empty());
    }
}
