//! What a caller wants of the cache.

use std::time::Duration;

use http::{HeaderMap, header};

/// What `Cache-Control` of a request asks for (RFC 9111, section 5.2.1). What is not known, or does not make sense, is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Directives {
    /// The answer must not be kept, and must not come from the cache.
    pub no_store: bool,
    /// The answer must not come from the cache.
    pub no_cache: bool,
    /// The answer must come from the cache.
    pub only_if_cached: bool,
    /// The answer must not be older.
    pub max_age: Option<Duration>,
    /// The answer must be fresh for as long at least.
    pub min_fresh: Option<Duration>,
}

/// More seconds than any answer is old.
const A_LIFETIME: u64 = u32::MAX as u64;

// === impl Directives ===

impl Directives {
    /// Reads them from the headers of a request.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Self {
        let mut all = Self::default();
        for value in headers.get_all(header::CACHE_CONTROL) {
            let Ok(text) = value.to_str() else { continue };
            text.split(',').for_each(|directive| all.add(directive.trim()));
        }
        all
    }

    fn add(&mut self, directive: &str) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        // More than fits is more than any answer's age.
        let value = value.trim().trim_matches('"');
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = digits.then(|| Duration::from_secs(value.parse().unwrap_or(A_LIFETIME)));
        match () {
            () if name.eq_ignore_ascii_case("no-store") => self.no_store = true,
            () if name.eq_ignore_ascii_case("no-cache") => self.no_cache = true,
            () if name.eq_ignore_ascii_case("only-if-cached") => self.only_if_cached = true,
            () if name.eq_ignore_ascii_case("max-age") => self.max_age = seconds.or(self.max_age),
            () if name.eq_ignore_ascii_case("min-fresh") => self.min_fresh = seconds.or(self.min_fresh),
            () => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Directives {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CACHE_CONTROL, value.parse().unwrap());
        }
        Directives::read(&headers)
    }

    #[test]
    fn directives_are_read_from_all_headers_whatever_their_case() {
        let all = read(&["No-Cache, max-age=60", "MIN-FRESH=\"5\", only-if-cached,no-store"]);
        let expected = Directives {
            no_store: true,
            no_cache: true,
            only_if_cached: true,
            max_age: Some(Duration::from_secs(60)),
            min_fresh: Some(Duration::from_secs(5)),
        };
        assert_eq!(all, expected);
    }

    #[test]
    fn what_makes_no_sense_is_ignored() {
        assert_eq!(read(&["max-age=-1, min-fresh=x, max-stale, , =, max-age"]), Directives::default());
        assert_eq!(read(&["max-age=99999999999999999999999"]).max_age, Some(Duration::from_secs(u64::from(u32::MAX))));
    }
}
