//! Gemini's `generateContent`.

use super::{Choices, Found, Tally};
use crate::scan::{Scan, Scanned};

pub(super) fn read<'a>(scan: &mut Scan<'a>, tally: &mut Tally) -> Scanned<Found<'a>> {
    let mut found = Found::default();
    let Tally { counts, choices, .. } = tally;
    scan.object(|scan, name| match name {
        b"candidates" => scan.array(|scan| candidate(scan, &mut found, choices)),
        b"usageMetadata" => counts.read_gemini(scan),
        // A prompt that is held back has no candidates: there is nothing more to come.
        b"promptFeedback" => scan.object(|scan, name| {
            found.terminal |= scan.value()?.is_something() && name == b"blockReason";
            Ok(())
        }),
        _ => found.read_common(scan, name),
    })?;
    Ok(found)
}

fn candidate<'a>(scan: &mut Scan<'a>, found: &mut Found<'a>, choices: &mut Choices) -> Scanned {
    let (mut index, mut ended) = (0, false);
    scan.object(|scan, name| {
        match name {
            b"content" => {
                return scan.object(|scan, name| match name {
                    b"parts" => scan.array(|scan| part(scan, found)),
                    _ => scan.pass(),
                });
            }
            b"index" => index = scan.value()?.count().unwrap_or_default(),
            b"finishReason" => {
                let reason = scan.value()?.some_text();
                ended = reason.is_some_and(|reason| reason != b"FINISH_REASON_UNSPECIFIED");
            }
            _ => scan.pass()?,
        }
        Ok(())
    })?;
    found.terminal |= choices.see(index, ended);
    Ok(())
}

/// Whatever a part holds is content, save that it is a thought.
fn part<'a>(scan: &mut Scan<'a>, found: &mut Found<'a>) -> Scanned {
    scan.object(|scan, name| {
        found.content |= scan.value()?.is_something() && name != b"thought";
        Ok(())
    })
}
