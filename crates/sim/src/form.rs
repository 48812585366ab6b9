//! The JSON form of a fault. It exists beside [`Fault`] so that every kind, also one without fields, names the fields it does
//! not know, and so that what cannot be sent is told when it is read.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::{Fault, StatusFault};
use crate::hint::Hint;
use crate::moment::{At, Then};
use crate::provider_error::ProviderError;
use crate::transport::{Coding, LineEnd, MAX_SPLITS};

#[derive(Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum FaultForm {
    Status {
        status: u16,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Value>,
    },
    Provider {
        error: ProviderError,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    Refuse {},
    Hang {},
    Reset {},
    SlowFirstToken {
        ms: u64,
    },
    StallAfter {
        events: usize,
    },
    TruncateAfter {
        events: usize,
    },
    EndAfter {
        events: usize,
    },
    ResetAfter {
        events: usize,
    },
    MalformedEvent {
        after: usize,
    },
    ErrorEvent {
        after: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Value>,
    },
    Empty {},
    OnlyDone {},
    Hinted {
        error: ProviderError,
        hint: Hint,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    Stream {
        at: At,
        then: Then,
    },
    Filtered {
        content: usize,
    },
    NoUsage {},
    Encoded {
        coding: Coding,
    },
    LineEnds {
        end: LineEnd,
    },
    ByteOrderMark {},
    Split {
        at: Vec<usize>,
    },
    Drip {
        bytes: usize,
        every_ms: u64,
    },
    AsyncFilter {},
    ToolCall {
        name: String,
        #[serde(default)]
        arguments: Value,
    },
}

impl TryFrom<FaultForm> for Fault {
    type Error = String;

    fn try_from(form: FaultForm) -> Result<Self, String> {
        Ok(match form {
            FaultForm::Status { status, headers, body } => Self::Status(status_fault(status, headers, body)?),
            FaultForm::Provider { error, retry_after_ms } => Self::Provider { error, retry_after_ms },
            FaultForm::Refuse {} => Self::Refuse,
            FaultForm::Hang {} => Self::Hang,
            FaultForm::Reset {} => Self::Reset,
            FaultForm::SlowFirstToken { ms } => Self::SlowFirstToken { ms },
            FaultForm::StallAfter { events } => Self::StallAfter { events },
            FaultForm::TruncateAfter { events } => Self::TruncateAfter { events },
            FaultForm::EndAfter { events } => Self::EndAfter { events },
            FaultForm::ResetAfter { events } => Self::ResetAfter { events },
            FaultForm::MalformedEvent { after } => Self::MalformedEvent { after },
            FaultForm::ErrorEvent { after, error } => Self::ErrorEvent { after, error },
            FaultForm::Empty {} => Self::Empty,
            FaultForm::OnlyDone {} => Self::OnlyDone,
            FaultForm::Hinted { error, hint, retry_after_ms } => Self::Hinted { error, hint, retry_after_ms },
            FaultForm::Stream { at, then } => Self::Stream { at, then },
            FaultForm::Filtered { content } => Self::Filtered { content },
            FaultForm::NoUsage {} => Self::NoUsage,
            FaultForm::Encoded { coding } => Self::Encoded { coding },
            FaultForm::LineEnds { end } => Self::LineEnds { end },
            FaultForm::ByteOrderMark {} => Self::ByteOrderMark,
            FaultForm::Split { at } if at.len() > MAX_SPLITS => {
                return Err(format!("`at` has more than {MAX_SPLITS} offsets"));
            }
            FaultForm::Split { at } => Self::Split { at },
            FaultForm::Drip { bytes: 0, .. } => return Err("`bytes` is 0, expected 1 or more".to_owned()),
            FaultForm::Drip { bytes, every_ms } => Self::Drip { bytes, every_ms },
            FaultForm::AsyncFilter {} => Self::AsyncFilter,
            FaultForm::ToolCall { name, arguments } => Self::ToolCall { name, arguments },
        })
    }
}

impl From<Fault> for FaultForm {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Status(fault) => {
                let (status, headers, body) = fault.parts();
                let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
                Self::Status {
                    status: status.as_u16(),
                    headers: headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
                    body: body.cloned(),
                }
            }
            Fault::Provider { error, retry_after_ms } => Self::Provider { error, retry_after_ms },
            Fault::Refuse => Self::Refuse {},
            Fault::Hang => Self::Hang {},
            Fault::Reset => Self::Reset {},
            Fault::SlowFirstToken { ms } => Self::SlowFirstToken { ms },
            Fault::StallAfter { events } => Self::StallAfter { events },
            Fault::TruncateAfter { events } => Self::TruncateAfter { events },
            Fault::EndAfter { events } => Self::EndAfter { events },
            Fault::ResetAfter { events } => Self::ResetAfter { events },
            Fault::MalformedEvent { after } => Self::MalformedEvent { after },
            Fault::ErrorEvent { after, error } => Self::ErrorEvent { after, error },
            Fault::Empty => Self::Empty {},
            Fault::OnlyDone => Self::OnlyDone {},
            Fault::Hinted { error, hint, retry_after_ms } => Self::Hinted { error, hint, retry_after_ms },
            Fault::Stream { at, then } => Self::Stream { at, then },
            Fault::Filtered { content } => Self::Filtered { content },
            Fault::NoUsage => Self::NoUsage {},
            Fault::Encoded { coding } => Self::Encoded { coding },
            Fault::LineEnds { end } => Self::LineEnds { end },
            Fault::ByteOrderMark => Self::ByteOrderMark {},
            Fault::Split { at } => Self::Split { at },
            Fault::Drip { bytes, every_ms } => Self::Drip { bytes, every_ms },
            Fault::AsyncFilter => Self::AsyncFilter {},
            Fault::ToolCall { name, arguments } => Self::ToolCall { name, arguments },
        }
    }
}

fn status_fault(status: u16, headers: BTreeMap<String, String>, body: Option<Value>) -> Result<StatusFault, String> {
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| (200..=599).contains(&status.as_u16()))
        .ok_or_else(|| format!("`status` is {status}, expected 200 to 599"))?;
    let mut fault = StatusFault::new(status);
    for (name, value) in headers {
        let parsed = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(value).ok());
        let (name, value) =
            parsed.ok_or_else(|| format!("`headers` has `{name}`, which cannot be sent as a header"))?;
        if name == http::header::CONTENT_LENGTH || name == http::header::TRANSFER_ENCODING {
            return Err(format!("`headers` has `{name}`, which follows from the body"));
        }
        fault = fault.header(name, value);
    }
    Ok(match body {
        Some(body) => fault.body(body),
        None => fault,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Fault, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_survives_the_way_through_json() {
        for json in [
            r#"{"kind":"status","status":429,"headers":{"retry-after":"20"},"body":{"a":1}}"#,
            r#"{"kind":"provider","error":"insufficient_quota"}"#,
            r#"{"kind":"refuse"}"#,
            r#"{"kind":"hang"}"#,
            r#"{"kind":"reset"}"#,
            r#"{"kind":"slow_first_token","ms":5}"#,
            r#"{"kind":"stall_after","events":3}"#,
            r#"{"kind":"truncate_after","events":3}"#,
            r#"{"kind":"end_after","events":3}"#,
            r#"{"kind":"reset_after","events":3}"#,
            r#"{"kind":"malformed_event","after":3}"#,
            r#"{"kind":"error_event","after":3}"#,
            r#"{"kind":"empty"}"#,
            r#"{"kind":"only_done"}"#,
            r#"{"kind":"hinted","error":"rate_limit","hint":"http_date","retry_after_ms":2000}"#,
            r#"{"kind":"stream","at":"start","then":{"error":"overloaded"}}"#,
            r#"{"kind":"stream","at":{"content":2},"then":"stall"}"#,
            r#"{"kind":"stream","at":{"bytes":99},"then":"reset"}"#,
            r#"{"kind":"stream","at":"opening","then":{"comments":{"every_ms":5}}}"#,
            r#"{"kind":"filtered","content":2}"#,
            r#"{"kind":"no_usage"}"#,
            r#"{"kind":"encoded","coding":"br"}"#,
            r#"{"kind":"line_ends","end":"crlf"}"#,
            r#"{"kind":"byte_order_mark"}"#,
            r#"{"kind":"split","at":[1,5]}"#,
            r#"{"kind":"drip","bytes":3,"every_ms":1}"#,
            r#"{"kind":"async_filter"}"#,
            r#"{"kind":"tool_call","name":"weather","arguments":{"city":"Oslo"}}"#,
        ] {
            let fault = read(json).unwrap();
            assert_eq!(serde_json::to_string(&fault).unwrap(), json);
            assert!(json.starts_with(&format!(r#"{{"kind":"{}""#, fault.kind())), "{json}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (json, named) in [
            (r#"{"kind":"hang","ms":1}"#, "unknown field `ms`"),
            (r#"{"kind":"hangs"}"#, "expected one of `status`, `provider`, `refuse`"),
            (r#"{"kind":"stall_after"}"#, "missing field `events`"),
            (r#"{"kind":"status","status":42}"#, "`status` is 42, expected 200 to 599"),
            (r#"{"kind":"status","status":500,"headers":{"a b":"c"}}"#, "`headers` has `a b`"),
            (r#"{"kind":"drip","bytes":0,"every_ms":1}"#, "`bytes` is 0, expected 1 or more"),
            (r#"{"kind":"stream","at":"middle","then":"end"}"#, "expected one of `start`, `opening`"),
            (r#"{"kind":"provider","error":"quota"}"#, "expected one of `invalid_request`"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
