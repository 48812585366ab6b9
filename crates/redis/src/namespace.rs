//! Names of keys.

use std::{fmt, fmt::Write as _, sync::Arc};

use crate::{config_error::ConfigError, url};

/// A prefix that keeps the keys of one installation apart from all others in the same Redis.
///
/// A key is `<prefix>:<kind>:{<tag>}:<name>`. The tag is what Redis Cluster chooses the slot by, so all keys of one kind of
/// thing with one tag can be used in one script. Names from outside are escaped: different names never become the same key,
/// and cannot move a key to another slot.
///
/// ```
/// use buttress_redis::Namespace;
///
/// let namespace = Namespace::try_new("shop:prod")?;
/// assert_eq!(namespace.key("tb", "tenant-7", "level"), "shop:prod:tb:{tenant-7}:level");
/// assert_eq!(namespace.key("tb", "a}b:c", ""), "shop:prod:tb:{a%7Db%3Ac}:");
/// # Ok::<(), buttress_redis::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

/// The longest prefix in bytes.
const MAX_PREFIX: usize = 64;

// === impl Namespace ===

impl Namespace {
    /// Creates a namespace from its prefix.
    ///
    /// # Errors
    ///
    /// Fails unless `prefix` is 1 to 64 of `A-Z a-z 0-9 : . _ -`.
    pub fn try_new(prefix: &str) -> Result<Self, ConfigError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":._-".contains(&byte);
        if !(1..=MAX_PREFIX).contains(&prefix.len()) || !prefix.bytes().all(allowed) {
            let allowed = "1 to 64 of letters, digits, `:`, `.`, `_` and `-`";
            return Err(ConfigError::new("namespace", url::shape(prefix), allowed));
        }
        Ok(Self(prefix.into()))
    }

    /// Returns the prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Makes a key. It is as long as its parts, up to three times that for what must be escaped: what comes from callers
    /// should be bounded by the caller.
    #[must_use]
    pub fn key(&self, kind: &str, tag: &str, name: &str) -> String {
        let mut key = String::with_capacity(self.0.len() + kind.len() + tag.len() + name.len() + 5);
        key.push_str(&self.0);
        key.push(':');
        escape(&mut key, kind);
        key.push_str(":{");
        // An empty tag would make Redis hash the whole key. No escaped name is a single `%`.
        if tag.is_empty() {
            key.push('%');
        }
        escape(&mut key, tag);
        key.push_str("}:");
        escape(&mut key, name);
        key
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespace({})", self.0)
    }
}

fn escape(key: &mut String, name: &str) {
    for char in name.chars() {
        match char {
            '%' | ':' | '{' | '}' => write!(key, "%{:02X}", u32::from(char)).expect("a string takes all"),
            _ => key.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_prefix_that_would_break_keys_is_refused_with_its_field() {
        for prefix in ["", "a{b", "a}b", "a b", "ä", &"x".repeat(65)] {
            let error = Namespace::try_new(prefix).expect_err(prefix).to_string();
            assert!(error.starts_with("`namespace`"), "{error}");
        }
    }

    /// The part that Redis Cluster hashes.
    fn hashed(key: &str) -> &str {
        let Some((_, rest)) = key.split_once('{') else { return key };
        rest.split_once('}').map(|(tag, _)| tag).filter(|tag| !tag.is_empty()).unwrap_or(key)
    }

    proptest! {
        #[test]
        fn keys_of_one_tag_share_a_slot_and_different_names_differ(
            tag in "[a{}:%]{0,4}", one in "[a{}:%]{0,4}", other in "[a{}:%]{0,4}", other_tag in "[a{}:%]{0,4}",
        ) {
            let namespace = Namespace::try_new("p").expect("allowed");
            let key = namespace.key("k", &tag, &one);
            let beside = namespace.key("k2", &tag, &other);
            prop_assert_eq!(hashed(&key), hashed(&beside));
            let further = namespace.key("k", &other_tag, &other);
            prop_assert_eq!(key == further, tag == other_tag && one == other);
        }
    }
}
