//! The list of models, and the names a model goes by.

use super::quoted;

/// The models a target lists when it was not told any, with their dated snapshots.
pub(crate) const KNOWN: [(&str, &str); 4] = [
    ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
    ("gpt-4o", "gpt-4o-2024-08-06"),
    ("text-embedding-3-small", "text-embedding-3-small"),
    ("text-embedding-3-large", "text-embedding-3-large"),
];

/// The name an answer shows for the model asked for.
pub(crate) fn snapshot(model: &str) -> &str {
    KNOWN.iter().find(|(name, _)| *name == model).map_or(model, |(_, snapshot)| snapshot)
}

pub(crate) fn model(id: &str) -> String {
    format!(r#"{{"id":{},"object":"model","created":1721172741,"owned_by":"system"}}"#, quoted(id))
}

pub(crate) fn list<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    let models: Vec<_> = ids.into_iter().map(model).collect();
    format!(r#"{{"object":"list","data":[{}]}}"#, models.join(","))
}
