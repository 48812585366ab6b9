//! What is wrong with a limit.

use std::{error::Error, fmt};

use buttress_core::LabelError;

use crate::Limits;

/// What is wrong with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitError(pub(crate) Fault);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Name(LabelError),
    Quote,
    Refill,
    Capacity,
    Period,
    None,
    TooMany,
    SameName,
}

// === impl LimitError ===

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Fault::Name(error) => write!(f, "name of the limit: {error}"),
            Fault::Quote => {
                f.write_str("name of the limit: it has a quotation mark or a backslash in it; a header cannot hold it")
            }
            Fault::Refill => f.write_str("amount: it is zero; it must be at least 1 in each period"),
            Fault::Capacity => f.write_str("burst: it is zero; the bucket must hold at least 1"),
            Fault::Period => f.write_str("period: it must be longer than zero, and no longer than 366 days"),
            Fault::None => f.write_str("limits: there are none; leave the layer out instead"),
            Fault::TooMany => write!(f, "limits: there are more than {}", Limits::MOST),
            Fault::SameName => f.write_str("limits: two have the same name"),
        }
    }
}

impl Error for LimitError {}
