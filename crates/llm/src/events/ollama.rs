//! Ollama's `/api/chat` and `/api/generate`.

use super::{Found, Tally};
use crate::scan::{Scan, Scanned};

pub(super) fn read<'a>(scan: &mut Scan<'a>, tally: &mut Tally) -> Scanned<Found<'a>> {
    let mut found = Found::default();
    scan.object(|scan, name| {
        match name {
            b"message" => {
                return scan.object(|scan, name| {
                    let something = scan.value()?.is_something();
                    found.content |= something && !matches!(name, b"role" | b"name");
                    Ok(())
                });
            }
            b"response" | b"thinking" | b"image" => found.content |= scan.value()?.is_something(),
            b"done" => found.terminal |= scan.value()?.is_something(),
            b"error" => found.set_error(scan.value()?),
            _ => return tally.counts.read_ollama(scan, name),
        }
        Ok(())
    })?;
    Ok(found)
}
