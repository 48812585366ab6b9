//! How a body is compressed.

use http::{HeaderMap, header};

/// How a body is compressed (RFC 9110, section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Plain,
    Gzip,
    Deflate,
    Brotli,
    /// In another way, or in several.
    Unknown,
}

// === impl Coding ===

impl Coding {
    /// Reads how the body of an answer is compressed.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("?"));
        let mut codings = values.flat_map(|value| value.split(',')).map(Self::named).filter(|one| *one != Self::Plain);
        match (codings.next(), codings.next()) {
            (None, _) => Self::Plain,
            (Some(coding), None) => coding,
            (Some(_), Some(_)) => Self::Unknown,
        }
    }

    fn named(name: &str) -> Self {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Self::Plain,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coding(values: &[&'static str]) -> Coding {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
        }
        Coding::of(&headers)
    }

    #[test]
    fn a_coding_is_known_by_its_name() {
        for (values, expected) in [
            (&[][..], Coding::Plain),
            (&[""], Coding::Plain),
            (&["identity"], Coding::Plain),
            (&["gzip"], Coding::Gzip),
            (&["X-Gzip"], Coding::Gzip),
            (&["deflate"], Coding::Deflate),
            (&["identity, br "], Coding::Brotli),
            (&["gzip", "identity"], Coding::Gzip),
            (&["gzip, br"], Coding::Unknown),
            (&["gzip", "br"], Coding::Unknown),
            (&["zstd"], Coding::Unknown),
        ] {
            assert_eq!(coding(values), expected, "{values:?}");
        }
    }
}
