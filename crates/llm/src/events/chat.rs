//! OpenAI's chat completions and completions, and what Azure, Groq, OpenRouter, DeepSeek, Mistral, Cohere, vLLM and others
//! make of them.

use super::{Choices, Found, Tally};
use crate::scan::{Scan, Scanned};

/// Reasons to end that are errors: OpenRouter's and Mistral's, vLLM's and SGLang's, Cohere's, DeepSeek's.
const ERRORS: [&str; 7] =
    ["error", "abort", "ERROR", "TIMEOUT", "ERROR_TOXIC", "ERROR_LIMIT", "insufficient_system_resource"];

pub(super) fn read<'a>(scan: &mut Scan<'a>, tally: &mut Tally) -> Scanned<Found<'a>> {
    let mut found = Found::default();
    let Tally { counts, choices, .. } = tally;
    scan.object(|scan, name| match name {
        b"choices" => scan.array(|scan| choice(scan, &mut found, choices)),
        b"usage" => counts.read_openai(scan),
        b"x_groq" => scan.object(|scan, name| match name {
            b"usage" => counts.read_openai(scan),
            _ => found.read_common(scan, name),
        }),
        _ => found.read_common(scan, name),
    })?;
    Ok(found)
}

/// Reads one of `choices`. Azure sends some without a delta, to tell what its filter thinks; they hold no content.
fn choice<'a>(scan: &mut Scan<'a>, found: &mut Found<'a>, choices: &mut Choices) -> Scanned {
    let (mut index, mut ended) = (0, false);
    scan.object(|scan, name| {
        match name {
            b"delta" | b"message" => return delta(scan, found),
            b"text" => found.content |= scan.value()?.is_something(),
            b"index" => index = scan.value()?.count().unwrap_or_default(),
            b"error" => found.set_error(scan.value()?),
            b"finish_reason" => {
                let reason = scan.value()?.some_text();
                ended = reason.is_some();
                if let Some(error) = ERRORS.iter().find(|error| reason == Some(error.as_bytes())) {
                    found.set_word(error);
                }
            }
            _ => scan.pass()?,
        }
        Ok(())
    })?;
    found.terminal |= choices.see(index, ended);
    Ok(())
}

/// Whatever a delta holds is content, save who speaks: providers invent names for thoughts, pictures and sources, and to hold
/// content back is worse than to let too much through.
fn delta<'a>(scan: &mut Scan<'a>, found: &mut Found<'a>) -> Scanned {
    scan.object(|scan, name| {
        let something = scan.value()?.is_something();
        found.content |= something && !matches!(name, b"role" | b"name");
        Ok(())
    })
}
