//! Streams of JSON, one value a line.

use crate::{
    StreamError, StreamErrorKind, StreamLimits,
    lines::{Line, Lines, Rest},
};

/// Reads a stream of JSON values, one a line ([NDJSON](https://github.com/ndjson/ndjson-spec)), from chunks cut anywhere.
///
/// Lines end in LF or CRLF; a CR elsewhere is white space of the JSON. A byte order mark at the start is passed over. Whether
/// a line is JSON is not looked at. See [`SseReader`](crate::SseReader) for how a stream is read.
///
/// ```
/// use buttress_llm::{NdjsonKind, NdjsonReader, StreamLimits};
///
/// let mut reader = NdjsonReader::new(StreamLimits::DEFAULT);
/// let mut rest: &[u8] = b"{\"done\":false}\n\n{\"done\":tr";
/// let item = reader.read(&mut rest)?.expect("a line");
/// assert_eq!((item.kind, item.end), (NdjsonKind::Line(b"{\"done\":false}"), 15));
/// let item = reader.read(&mut rest)?.expect("a blank line");
/// assert_eq!((item.kind, item.end), (NdjsonKind::Blank, 16));
/// assert_eq!(reader.read(&mut rest)?, None);
///
/// let item = reader.finish()?.expect("what is left");
/// assert_eq!(item.kind, NdjsonKind::Unfinished(b"{\"done\":tr"));
/// # Ok::<(), buttress_llm::StreamError>(())
/// ```
#[derive(Debug)]
pub struct NdjsonReader {
    lines: Lines,
    stopped: Option<StreamError>,
}

/// What stands in a stream of JSON values, and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NdjsonItem<'a> {
    /// What it is.
    pub kind: NdjsonKind<'a>,
    /// The place in the stream just past it.
    pub end: u64,
}

/// What can stand in a stream of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NdjsonKind<'a> {
    /// A line, without its end.
    Line(&'a [u8]),
    /// A line with nothing but white space, as it is sent to keep a connection alive.
    Blank,
    /// The stream ended in a line without an end. Whether it is whole, the JSON must tell: the last LF may be left out.
    Unfinished(&'a [u8]),
}

// === impl NdjsonReader ===

impl NdjsonReader {
    /// Creates a reader at the start of a stream. Of `limits`, that of lines counts.
    #[must_use]
    pub const fn new(limits: StreamLimits) -> Self {
        Self { lines: Lines::of_lf(limits.max_line()), stopped: None }
    }

    /// Reads on in `rest`, takes from it what it has read, and returns the next line if it ends there.
    ///
    /// To be called until it returns `None`: then all of `rest` is taken.
    ///
    /// # Errors
    ///
    /// Fails if a line is longer than allowed, with the same error ever after; and after [`finish`](Self::finish).
    pub fn read<'s, 'c: 's>(&'s mut self, rest: &mut &'c [u8]) -> Result<Option<NdjsonItem<'s>>, StreamError> {
        self.stopped.map_or(Ok(()), Err)?;
        let found = self.lines.next(rest).map_err(|error| stop(&mut self.stopped, &mut self.lines, error))?;
        let line = match found {
            None => return Ok(None),
            Some(Line::Chunk(line)) => line,
            Some(Line::Held) => self.lines.held(),
        };
        let kind = if is_blank(line) { NdjsonKind::Blank } else { NdjsonKind::Line(line) };
        Ok(Some(NdjsonItem { kind, end: self.lines.offset() }))
    }

    /// Ends the stream, and returns what was left without an end. To be called until it returns `None`.
    ///
    /// # Errors
    ///
    /// Fails as [`read`](Self::read) did before.
    pub fn finish(&mut self) -> Result<Option<NdjsonItem<'_>>, StreamError> {
        if let Some(error) = self.stopped
            && error.kind() != StreamErrorKind::Ended
        {
            return Err(error);
        }
        self.stopped = Some(StreamError::ENDED);
        let rest = self.lines.finish().map_err(|error| stop(&mut self.stopped, &mut self.lines, error))?;
        if rest == Rest::Nothing {
            self.lines.release();
            return Ok(None);
        }
        let line = self.lines.held();
        let kind = if is_blank(line) { NdjsonKind::Blank } else { NdjsonKind::Unfinished(line) };
        Ok(Some(NdjsonItem { kind, end: self.lines.offset() }))
    }

    /// Returns how many bytes of the stream were taken.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.lines.offset()
    }

    /// Returns how many bytes of memory are held: never more than a line may have.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.lines.reserved()
    }
}

fn stop(stopped: &mut Option<StreamError>, lines: &mut Lines, error: StreamError) -> StreamError {
    lines.release();
    *stopped.insert(error)
}

/// Whether JSON sees nothing in `line` (RFC 8259, section 2).
fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}
