//! Figures in the text format of Prometheus.

use std::fmt::{Display, Write as _};

/// A page of figures.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

/// What kind of figure it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// It only grows.
    Counter,
    Gauge,
}

/// The labels of a figure, by name. They come from a set that is bounded.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

// === impl Page ===

impl Page {
    /// The content type of the format.
    pub(crate) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// Adds a figure without labels.
    pub(crate) fn one(&mut self, kind: Kind, name: &str, help: &str, value: impl Display) {
        self.family(kind, name, help);
        self.figure(name, &[], value);
    }

    /// Adds counters that differ in one label.
    pub(crate) fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.family(Kind::Counter, name, help);
        for (value, count) in values {
            self.figure(name, &[(label, value)], count);
        }
    }

    /// Begins a family of figures: each [`figure`](Self::figure) of it follows.
    pub(crate) fn family(&mut self, kind: Kind, name: &str, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(crate) fn figure(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if at == 0 { '{' } else { ',' });
            for char in text.chars() {
                match char {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    char => self.0.push(char),
                }
            }
            self.0.push('"');
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// Writes a number as the format has it, infinite ones too.
pub(crate) fn number(value: f64) -> String {
    if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written_as_the_format_has_it() {
        let mut page = Page::default();
        page.one(Kind::Gauge, "a_bytes", "How many.", 7);
        page.family(Kind::Counter, "b_total", "Others.");
        page.figure("b_total", &[("x", "a\"b\\c\nd"), ("y", "z")], number(f64::INFINITY));
        page.counters("c_total", "More.", "why", [("one", 1), ("two", 2)]);
        assert_eq!(
            page.into_text(),
            "# HELP a_bytes How many.\n# TYPE a_bytes gauge\na_bytes 7\n# HELP b_total Others.\n# TYPE b_total counter\n\
             b_total{x=\"a\\\"b\\\\c\\nd\",y=\"z\"} +Inf\n\
             # HELP c_total More.\n# TYPE c_total counter\nc_total{why=\"one\"} 1\nc_total{why=\"two\"} 2\n"
        );
    }
}
