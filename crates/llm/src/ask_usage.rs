//! Asks for usage in a stream, where the caller has not.

use std::ops::Range;

use bytes::Bytes;

use crate::RawJson;

/// Says that a stream was asked to tell what it used, and that the caller has not asked for that.
///
/// [`LlmRewrite`](crate::LlmRewrite) leaves it in the request's extensions. The stream then holds a chunk without choices
/// that the caller does not expect, and which nothing in this crate takes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsageAsked;

/// Returns `body` with `stream_options.include_usage` set and every other byte as it was.
///
/// `None` if it is set already, or if what stands there is of a wrong kind or stands there twice: that is for the target to
/// judge.
pub(crate) fn ask_for_usage(body: &[u8]) -> Option<Bytes> {
    let text = std::str::from_utf8(body).ok()?;
    let object = RawJson::new(text);
    let Some(options) = only(object, "stream_options")? else {
        return Some(first(text, object, r#""stream_options":{"include_usage":true}"#));
    };
    if options.is_null() {
        return Some(splice(text, range(text, options), r#"{"include_usage":true}"#, ""));
    }
    if !options.is_object() {
        return None;
    }
    let Some(usage) = only(options, "include_usage")? else {
        return Some(first(text, options, r#""include_usage":true"#));
    };
    let unset = usage.is_null() || usage.as_bool() == Some(false);
    unset.then(|| splice(text, range(text, usage), "true", ""))
}

/// Finds the one member called `name`; `None` if there are several.
fn only<'a>(object: RawJson<'a>, name: &str) -> Option<Option<RawJson<'a>>> {
    let mut found = object.members().filter(|(key, _)| key.is(name)).map(|(_, value)| value);
    let first = found.next();
    found.next().is_none().then_some(first)
}

/// Puts `member` before the members of `object`.
fn first(text: &str, object: RawJson<'_>, member: &str) -> Bytes {
    let at = range(text, object).start + 1;
    let comma = if object.members().next().is_some() { "," } else { "" };
    splice(text, at..at, member, comma)
}

fn range(text: &str, part: RawJson<'_>) -> Range<usize> {
    let start = part.as_str().as_ptr().addr() - text.as_ptr().addr();
    start..start + part.as_str().len()
}

fn splice(text: &str, range: Range<usize>, put: &str, comma: &str) -> Bytes {
    let before = text.get(..range.start).unwrap_or(text);
    let after = text.get(range.end..).unwrap_or_default();
    [before, put, comma, after].concat().into()
}
