//! Event streams.

use std::{mem, time::Duration};

use crate::{
    StreamError, StreamErrorKind, StreamLimits,
    block::{Block, Near},
    field::Field,
    lines::{Line, Lines, Rest},
};

/// Reads an [event stream](https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation) from
/// chunks cut anywhere, as the HTML standard interprets it.
///
/// It looks at bytes on their way and changes none. What it returns depends on the bytes alone, not on how they are cut.
///
/// 1. Lines end in LF, CRLF or CR, and a byte order mark at the very start is passed over. A CR at the end of a chunk may be
///    half of a CRLF, so the next byte is waited for; but not where the line before ended in a CR of its own. If an LF comes
///    there all the same, it counts to what follows.
/// 2. An event whose data is one line is borrowed from its chunk, if it lies in that alone and no comment or `retry` stands
///    within it. Parts of any other are copied to buffers, which are used again.
/// 3. Fields are known by their bytes, and data is bytes: text that is not UTF-8 stops nothing, and is told by
///    [`from_utf8`](std::str::from_utf8) or a reader of JSON where the data is used.
/// 4. Ids are given with the event that sets them. A client would keep the last one for the events to come.
///
/// # Example
///
/// ```
/// use buttress_llm::{SseKind, SseReader, StreamLimits};
///
/// let mut reader = SseReader::new(StreamLimits::DEFAULT);
/// let mut seen = Vec::new();
/// for chunk in [&b": keep-alive\n\nda"[..], b"ta: {}\r\n\r\nevent: message_stop\n"] {
///     let mut rest = chunk;
///     while let Some(item) = reader.read(&mut rest)? {
///         match item.kind {
///             SseKind::Event(event) => seen.push((event.data.to_vec(), item.end)),
///             SseKind::Comment(text) => seen.push((text.to_vec(), item.end)),
///             _ => {}
///         }
///     }
/// }
/// assert_eq!(seen, [(b" keep-alive".to_vec(), 13), (b"{}".to_vec(), 26)]);
///
/// let left = reader.finish()?.expect("the last event is not whole");
/// assert!(matches!(left.kind, SseKind::Unfinished(event) if event.name == Some(b"message_stop")));
/// assert_eq!((left.cut, left.end), (26, 46));
/// # Ok::<(), buttress_llm::StreamError>(())
/// ```
#[derive(Debug)]
pub struct SseReader {
    lines: Lines,
    limit: usize,
    block: Block,
    /// Whether what `block` holds has been given out.
    spent: bool,
    cut: u64,
    stopped: Option<StreamError>,
}

/// What stands in an event stream, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SseItem<'a> {
    /// What it is.
    pub kind: SseKind<'a>,
    /// The place in the stream just past it.
    pub end: u64,
    /// The last place up to `end` where the stream can be cut without an event being torn. It is `end`, except within an
    /// event.
    pub cut: u64,
}

/// What can stand in an event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SseKind<'a> {
    /// An event.
    Event(SseEvent<'a>),
    /// A line that begins with a colon, without the colon. It may stand within an event.
    Comment(&'a [u8]),
    /// How long to wait before a new connection, if this one is lost.
    Retry(Duration),
    /// A blank line without an event: nothing stood before it, or nothing with data, from which no event is made.
    Blank,
    /// A line that the standard passes over, but that begins as an object of JSON does. Some servers write an error so, as if
    /// there were no event stream. It may stand within an event.
    Stray(&'a [u8]),
    /// The stream ended within an event or a line, and this is what there was of it. The standard throws it away. Servers that
    /// leave out the last blank line exist, so the data must tell whether it is whole.
    Unfinished(SseEvent<'a>),
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SseEvent<'a> {
    /// The name, if there is one that is not empty. An event without is a `message`.
    pub name: Option<&'a [u8]>,
    /// The data: the lines of it, joined with LF.
    pub data: &'a [u8],
    /// The id, if it sets one.
    pub id: Option<&'a [u8]>,
}

#[derive(Clone, Copy)]
enum Found<'c> {
    Event(Near<'c>),
    Comment(Line<'c>),
    Retry(Duration),
    Stray(Line<'c>),
    Blank,
    Unfinished,
}

// === impl SseReader ===

impl SseReader {
    /// Creates a reader at the start of a stream.
    #[must_use]
    pub fn new(limits: StreamLimits) -> Self {
        let (lines, limit) = (Lines::of_any_end(limits.max_line()), limits.max_event());
        Self { lines, limit, block: Block::default(), spent: false, cut: 0, stopped: None }
    }

    /// Reads on in `rest`, takes from it what it has read, and returns the next item if it ends there.
    ///
    /// To be called until it returns `None`: then all of `rest` is taken.
    ///
    /// # Errors
    ///
    /// Fails if a line or an event is longer than allowed, with the same error ever after; and after
    /// [`finish`](Self::finish). What was held is then gone.
    pub fn read<'s, 'c: 's>(&'s mut self, rest: &mut &'c [u8]) -> Result<Option<SseItem<'s>>, StreamError> {
        self.stopped.map_or(Ok(()), Err)?;
        let found = self.next(rest).map_err(|error| self.stop(error))?;
        Ok(found.map(|found| self.item(found)))
    }

    /// Ends the stream, and returns what was left without an end. To be called until it returns `None`.
    ///
    /// # Errors
    ///
    /// Fails as [`read`](Self::read) did before, or if what is left makes an event longer than allowed.
    pub fn finish(&mut self) -> Result<Option<SseItem<'_>>, StreamError> {
        if let Some(error) = self.stopped
            && error.kind() != StreamErrorKind::Ended
        {
            return Err(error);
        }
        let found = self.last().map_err(|error| self.stop(error))?;
        if found.is_none() {
            self.stop(StreamError::ENDED);
        }
        self.stopped = Some(StreamError::ENDED);
        Ok(found.map(|found| self.item(found)))
    }

    /// Returns how many bytes of the stream were taken.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.lines.offset()
    }

    /// Returns how many bytes of memory are held.
    ///
    /// They are at most those of a line, twice those of an event, and 8 KiB: a name or an id may have to give way to another
    /// before the data is read. Of the stream, no more is ever kept than a line and an event.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.lines.reserved() + self.block.reserved()
    }

    fn next<'c>(&mut self, rest: &mut &'c [u8]) -> Result<Option<Found<'c>>, StreamError> {
        self.forget_spent();
        let mut near = Near::default();
        while let Some(line) = self.lines.next(rest)? {
            let found = self.add(line, &mut near)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        self.block.keep(near);
        Ok(None)
    }

    fn last(&mut self) -> Result<Option<Found<'static>>, StreamError> {
        self.forget_spent();
        let rest = self.lines.finish()?;
        if rest != Rest::Nothing
            && let Some(found) = self.add(Line::Held, &mut Near::default())?
            && (rest == Rest::Line || matches!(found, Found::Stray(_)))
        {
            return Ok(Some(found));
        }
        Ok((rest == Rest::Torn || self.block.is_open()).then_some(Found::Unfinished))
    }

    /// Adds `line` to the event, and returns what it ends, or what it is by itself.
    fn add<'c>(&mut self, line: Line<'c>, near: &mut Near<'c>) -> Result<Option<Found<'c>>, StreamError> {
        let bytes = match line {
            Line::Chunk(bytes) => bytes,
            Line::Held => self.lines.held(),
        };
        let (field, value) = Field::of(bytes);
        match (field, line) {
            (Field::Other, _) => return Ok(None),
            (Field::End, _) if near.data.is_some() || self.block.has_data() => return Ok(Some(Found::Event(*near))),
            (Field::End, _) => return Ok(Some(Found::Blank)),
            (Field::Comment, _) => {
                self.block.keep(mem::take(near));
                return Ok(Some(Found::Comment(line)));
            }
            (Field::Retry(wait), _) => {
                self.block.keep(mem::take(near));
                return Ok(Some(Found::Retry(wait)));
            }
            (Field::Stray, _) => {
                self.block.keep(mem::take(near));
                return Ok(Some(Found::Stray(line)));
            }
            (Field::Data, Line::Chunk(_)) if near.data.is_some() || self.block.has_data() => {}
            (Field::Name | Field::Data | Field::Id, Line::Chunk(bytes)) => {
                near.set(field, &bytes[value..]);
                self.block.check(*near, 0, self.limit)?;
                return Ok(None);
            }
            (Field::Name | Field::Data | Field::Id, Line::Held) => {}
        }
        self.block.keep(mem::take(near));
        self.block.set(field, &bytes[value..], self.limit)?;
        Ok(None)
    }

    fn item<'s, 'c: 's>(&'s mut self, found: Found<'c>) -> SseItem<'s> {
        let end = self.lines.offset();
        match found {
            Found::Event(_) | Found::Blank => (self.spent, self.cut) = (true, end),
            Found::Comment(_) | Found::Retry(_) | Found::Stray(_) if self.block.is_open() => {}
            Found::Comment(_) | Found::Retry(_) | Found::Stray(_) => self.cut = end,
            Found::Unfinished => self.spent = true,
        }
        let kind = match found {
            Found::Event(near) => SseKind::Event(self.block.event(near)),
            Found::Comment(Line::Chunk(line)) => SseKind::Comment(&line[1..]),
            Found::Comment(Line::Held) => SseKind::Comment(&self.lines.held()[1..]),
            Found::Retry(wait) => SseKind::Retry(wait),
            Found::Stray(Line::Chunk(line)) => SseKind::Stray(line),
            Found::Stray(Line::Held) => SseKind::Stray(self.lines.held()),
            Found::Blank => SseKind::Blank,
            Found::Unfinished => SseKind::Unfinished(self.block.event(Near::default())),
        };
        SseItem { kind, end, cut: self.cut }
    }

    fn forget_spent(&mut self) {
        if mem::take(&mut self.spent) {
            self.block.clear();
        }
    }

    /// Stops for good, and gives back all memory.
    fn stop(&mut self, error: StreamError) -> StreamError {
        self.lines.release();
        self.block = Block::default();
        *self.stopped.insert(error)
    }
}
