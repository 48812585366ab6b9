//! Lines, cut out of a stream that comes in chunks.

use std::mem;

use memchr::{memchr, memchr2};

use crate::{StreamError, buffer::Buffer};

/// Finds lines. One that lies within a chunk is borrowed from it; the parts of any other are held, up to the limit.
#[derive(Debug)]
pub(crate) struct Lines {
    limit: usize,
    ends: Ends,
    held: Buffer,
    /// How many bytes of the byte order mark have been seen; all of them, once the first line has begun.
    mark: usize,
    after: After,
    /// Whether the last line ended with a CR of its own. If so, the next CR is taken for one too, and nothing is waited for.
    bare: bool,
    spent: bool,
    offset: u64,
}

/// A line without its end.
#[derive(Clone, Copy)]
pub(crate) enum Line<'c> {
    /// In the chunk.
    Chunk(&'c [u8]),
    /// In [`Lines::held`], until the next line is asked for.
    Held,
}

/// What the stream ended in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    /// A line that its CR ended.
    Line,
    /// A line without an end.
    Torn,
}

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// LF, CRLF or CR.
    Any,
    /// LF or CRLF.
    Lf,
}

/// What was read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Other,
    /// A CR that may be half of a CRLF; the line has not been given out.
    Cr,
    /// A CR that ended a line which has been given out. An LF would belong to it.
    EndedByCr,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

// === impl Lines ===

impl Lines {
    /// Lines that end in LF, CRLF or CR, as in an event stream.
    pub(crate) const fn of_any_end(limit: usize) -> Self {
        Self::new(limit, Ends::Any)
    }

    /// Lines that end in LF or CRLF. A CR elsewhere is a byte like any other: in JSON it is white space.
    pub(crate) const fn of_lf(limit: usize) -> Self {
        Self::new(limit, Ends::Lf)
    }

    const fn new(limit: usize, ends: Ends) -> Self {
        let held = Buffer::new();
        Self { limit, ends, held, mark: 0, after: After::Other, bare: false, spent: false, offset: 0 }
    }

    /// Takes one line from `rest`, or all of `rest` if no line ends in it.
    ///
    /// What is a line, and where it ends, depends on the bytes alone and not on how they are cut.
    pub(crate) fn next<'c>(&mut self, rest: &mut &'c [u8]) -> Result<Option<Line<'c>>, StreamError> {
        self.forget_spent();
        self.skip_mark(rest)?;
        match (self.after, rest.first()) {
            (_, None) | (After::Other, _) => {}
            (After::Cr, Some(b'\n')) => {
                self.take(rest, 1);
                return Ok(Some(self.end_held(false)));
            }
            (After::Cr, Some(_)) if self.ends == Ends::Any => return Ok(Some(self.end_held(true))),
            (After::Cr, Some(_)) => {
                self.after = After::Other;
                self.hold(b"\r")?;
            }
            (After::EndedByCr, Some(&first)) => {
                self.after = After::Other;
                if first == b'\n' {
                    self.take(rest, 1);
                    self.bare = false;
                }
            }
        }
        self.next_in(rest)
    }

    /// Says what is left at the end of the stream. A line is then in [`held`](Self::held).
    pub(crate) fn finish(&mut self) -> Result<Rest, StreamError> {
        self.forget_spent();
        let mark = mem::replace(&mut self.mark, BYTE_ORDER_MARK.len());
        if mark < BYTE_ORDER_MARK.len() {
            self.hold(&BYTE_ORDER_MARK[..mark])?;
        }
        let cr = mem::replace(&mut self.after, After::Other) == After::Cr;
        self.spent = true;
        Ok(match (cr, self.ends) {
            (true, Ends::Any) => Rest::Line,
            (true, Ends::Lf) => Rest::Torn,
            (false, _) if self.held.is_empty() => Rest::Nothing,
            (false, _) => Rest::Torn,
        })
    }

    /// Gives back all memory.
    pub(crate) fn release(&mut self) {
        self.held = Buffer::default();
    }

    pub(crate) fn held(&self) -> &[u8] {
        self.held.bytes()
    }

    pub(crate) const fn reserved(&self) -> usize {
        self.held.reserved()
    }

    /// The number of bytes taken.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    fn forget_spent(&mut self) {
        if mem::take(&mut self.spent) {
            self.held.clear();
        }
    }

    /// Passes over a byte order mark, which may come in pieces. What only begins like one is content.
    fn skip_mark(&mut self, rest: &mut &[u8]) -> Result<(), StreamError> {
        while self.mark < BYTE_ORDER_MARK.len()
            && let Some(&first) = rest.first()
        {
            if first != BYTE_ORDER_MARK[self.mark] {
                let seen = mem::replace(&mut self.mark, BYTE_ORDER_MARK.len());
                return self.hold(&BYTE_ORDER_MARK[..seen]);
            }
            self.mark += 1;
            self.take(rest, 1);
        }
        Ok(())
    }

    fn next_in<'c>(&mut self, rest: &mut &'c [u8]) -> Result<Option<Line<'c>>, StreamError> {
        let bytes = *rest;
        let found = match self.ends {
            Ends::Any => memchr2(b'\n', b'\r', bytes),
            Ends::Lf => memchr(b'\n', bytes),
        };
        let Some(at) = found else {
            let cr = self.ends == Ends::Lf && bytes.ends_with(b"\r");
            return self.hold_all(rest, bytes.len() - usize::from(cr), cr);
        };
        let (line, end) = bytes.split_at(at);
        match (self.ends, end) {
            (Ends::Lf, _) => {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                self.end(rest, line, at + 1)
            }
            (Ends::Any, [b'\n', ..]) => {
                self.bare = false;
                self.end(rest, line, at + 1)
            }
            (Ends::Any, _) if self.bare => {
                self.after = After::EndedByCr;
                self.end(rest, line, at + 1)
            }
            (Ends::Any, [_, b'\n', ..]) => self.end(rest, line, at + 2),
            (Ends::Any, [_]) => self.hold_all(rest, at, true),
            (Ends::Any, _) => {
                self.bare = true;
                self.end(rest, line, at + 1)
            }
        }
    }

    /// Gives out the line that `line` completes, and takes `length` bytes.
    fn end<'c>(&mut self, rest: &mut &'c [u8], line: &'c [u8], length: usize) -> Result<Option<Line<'c>>, StreamError> {
        if !self.held.is_empty() {
            self.hold(line)?;
            self.spent = true;
            self.take(rest, length);
            return Ok(Some(Line::Held));
        }
        if line.len() > self.limit {
            return Err(StreamError::line(self.limit));
        }
        self.take(rest, length);
        Ok(Some(Line::Chunk(line)))
    }

    fn end_held<'c>(&mut self, bare: bool) -> Line<'c> {
        (self.after, self.bare, self.spent) = (After::Other, bare, true);
        Line::Held
    }

    /// Takes all of `rest`, of which the first `content` bytes are of the line and what follows is a CR or nothing.
    fn hold_all<'c>(&mut self, rest: &mut &[u8], content: usize, cr: bool) -> Result<Option<Line<'c>>, StreamError> {
        self.hold(&rest[..content])?;
        if cr {
            self.after = After::Cr;
        }
        self.take(rest, rest.len());
        Ok(None)
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if bytes.len() > self.limit - self.held.len() {
            return Err(StreamError::line(self.limit));
        }
        self.held.push(bytes, self.limit);
        Ok(())
    }

    const fn take(&mut self, rest: &mut &[u8], length: usize) {
        *rest = rest.split_at(length).1;
        self.offset += length as u64;
    }
}
