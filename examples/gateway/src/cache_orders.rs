//! What an operator tells the cache: to forget, and that an answer is bad.

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use buttress_semantic_cache::{Key, Mark};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    config::KeyHash,
    operator::Operator,
    rules::Holder,
    sharing::Kept,
    tenants::{Tenants, Whose},
};

/// What is to be forgotten: one of them.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Forget {
    key: Option<String>,
    tag: Option<String>,
    model: Option<String>,
    tenant: Option<String>,
    caller_sha256: Option<String>,
    shared: Option<String>,
    everything: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bad {
    key: String,
}

type Refused = (StatusCode, String);

const NO_CACHE: &str = "nothing is cached: `mode` is `off` in [cache] and in all of its rules";
const WHAT: &str = "tell what to forget by one of `key`, `tag`, `model`, `tenant`, `caller_sha256`, `shared` and `everything`, \
                    such as `{\"tag\":\"faq\"}` or `{\"everything\":true}`";

pub(crate) async fn forget(State(operator): State<Operator>, body: Bytes) -> Response {
    let forgotten = kept(&operator).and_then(|kept| {
        let order = serde_json::from_slice(&body).map_err(|error| bad_request(format!("{WHAT}: {error}")))?;
        forget_what(kept, operator.callers.as_ref().map(|callers| &callers.tenants), order)
    });
    answer(forgotten)
}

pub(crate) async fn bad(State(operator): State<Operator>, body: Bytes) -> Response {
    const HOW: &str = "tell which answer by `{\"key\":\"…\"}`, as it is in `x-cache-detail`";
    let marked = kept(&operator).and_then(|kept| {
        let order: Bad = serde_json::from_slice(&body).map_err(|error| bad_request(format!("{HOW}: {error}")))?;
        let key = key(&order.key)?;
        let finder = kept.meanings.as_ref().map(|meanings| &meanings.finder);
        let known = finder.is_some_and(|finder| finder.with_memory(|memory| memory.mark_bad(&key)));
        if known { Ok("bad") } else { Err(not_found("no answer of this key is known by its meaning")) }
    });
    answer(marked)
}

fn kept(operator: &Operator) -> Result<&Kept, Refused> {
    operator.shares.cache.as_ref().ok_or_else(|| (StatusCode::CONFLICT, NO_CACHE.to_owned()))
}

/// Forgets, and says by what.
fn forget_what(kept: &Kept, tenants: Option<&Tenants>, order: Forget) -> Result<&'static str, Refused> {
    let Forget { key: by_key, tag, model, tenant, caller_sha256, shared, everything } = order;
    let of = |holder: &Holder| kept.handle.forget_all_of(Mark::tenant(holder));
    match (by_key, tag, model, tenant, caller_sha256, shared, everything) {
        (Some(text), None, None, None, None, None, None) => {
            let key = key(&text)?;
            if let Some(meanings) = &kept.meanings {
                meanings.finder.with_memory(|memory| memory.remove(&key));
            }
            if kept.handle.forget(key) { Ok("key") } else { Err(not_found("no answer of this key is kept")) }
        }
        (None, Some(tag), None, None, None, None, None) => {
            kept.handle.forget_all_of(Mark::tag(&tag));
            Ok("tag")
        }
        (None, None, Some(model), None, None, None, None) => {
            kept.handle.forget_all_of(Mark::model(&model));
            Ok("model")
        }
        (None, None, None, Some(name), None, None, None) => {
            let known = tenants.and_then(|tenants| tenants.named(&name));
            of(&Holder::One(Whose::Tenant(known.ok_or_else(|| not_found("there is no such tenant"))?)));
            Ok("tenant")
        }
        (None, None, None, None, Some(text), None, None) => {
            let says = "`caller_sha256` must be the SHA-256 of what the caller shows, 64 digits in hexadecimal";
            let hash = KeyHash::parse(&text).ok_or_else(|| bad_request(says.to_owned()))?;
            of(&Holder::One(Whose::Shown(hash)));
            Ok("caller_sha256")
        }
        (None, None, None, None, None, Some(rule), None) => {
            if !kept.rules.shares(&rule) {
                return Err(not_found("there is no such rule that is shared"));
            }
            of(&Holder::AllOf(rule));
            Ok("shared")
        }
        (None, None, None, None, None, None, Some(true)) => {
            kept.handle.forget_everything();
            if let Some(meanings) = &kept.meanings {
                meanings.finder.with_memory(|memory| memory.clear());
            }
            Ok("everything")
        }
        _ => Err(bad_request(WHAT.to_owned())),
    }
}

fn key(text: &str) -> Result<Key, Refused> {
    text.parse().map_err(|error| bad_request(format!("`key`: {error}")))
}

fn answer(done: Result<&'static str, Refused>) -> Response {
    match done {
        Ok(by) => {
            tracing::info!(by, "the cache is told by an operator");
            StatusCode::NO_CONTENT.into_response()
        }
        Err(refused) => refused.into_response(),
    }
}

const fn bad_request(says: String) -> Refused {
    (StatusCode::BAD_REQUEST, says)
}

fn not_found(says: &str) -> Refused {
    (StatusCode::NOT_FOUND, says.to_owned())
}
