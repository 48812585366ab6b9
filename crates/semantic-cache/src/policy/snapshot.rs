//! Keeps experience beyond the end of a process.

use std::collections::VecDeque;
use std::{error, fmt};

use super::ErrorBound;
use super::evidence::{Evidence, Judged, Record};
use super::features::{COUNT, Features};
use super::learner::Learner;
use crate::text::fingerprint;

/// A snapshot of a policy's experience cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotError {
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Foreign,
    OtherVersion,
    Damaged,
}

const MAGIC: [u8; 4] = *b"BSCP";
/// Changes with the layout and with the meaning of the measurements.
const VERSION: u32 = 1;

// === impl SnapshotError ===

impl SnapshotError {
    const DAMAGED: Self = Self { kind: Kind::Damaged };

    /// Returns whether it is one of another version, whose experience means something else.
    #[must_use]
    pub const fn is_other_version(&self) -> bool {
        matches!(self.kind, Kind::OtherVersion)
    }

    /// Returns whether it is damaged, or cut off.
    #[must_use]
    pub const fn is_damaged(&self) -> bool {
        matches!(self.kind, Kind::Damaged)
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.kind {
            Kind::Foreign => "this is no snapshot of a policy",
            Kind::OtherVersion => "the snapshot is of another version",
            Kind::Damaged => "the snapshot is damaged",
        })
    }
}

impl error::Error for SnapshotError {}

// === impl Learner ===

impl Learner {
    /// Its evidence as bytes. What was learned follows from it.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let Evidence { senders, next, records, .. } = &self.evidence;
        let mut bytes = Vec::with_capacity(64 + senders.len() * 8 + records.len() * (32 + 4 * COUNT));
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        for count in [senders.len(), records.len()] {
            bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        }
        senders.iter().for_each(|sender| bytes.extend(sender.to_le_bytes()));
        for record in records {
            bytes.extend(record.number.to_le_bytes());
            bytes.extend(record.sender.to_le_bytes());
            record.features.0.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
            let (said, stands_for) =
                record.judged.map_or((0, 0.0), |judged| (1 + u8::from(judged.right), judged.stands_for));
            bytes.push(said);
            bytes.extend(stands_for.to_le_bytes());
        }
        bytes.extend(fingerprint(&bytes).to_le_bytes());
        bytes
    }

    /// Takes up the evidence of a snapshot, as much of it as the window holds, and learns from it.
    pub(crate) fn restore(settings: ErrorBound, bytes: &[u8]) -> Result<Self, SnapshotError> {
        let (&magic, rest) = bytes.split_first_chunk().ok_or(SnapshotError { kind: Kind::Foreign })?;
        if magic != MAGIC {
            return Err(SnapshotError { kind: Kind::Foreign });
        }
        let (&version, _) = rest.split_first_chunk().ok_or(SnapshotError::DAMAGED)?;
        if u32::from_le_bytes(version) != VERSION {
            return Err(SnapshotError { kind: Kind::OtherVersion });
        }
        let (checked, &checksum) = bytes.split_last_chunk().ok_or(SnapshotError::DAMAGED)?;
        if u64::from_le_bytes(checksum) != fingerprint(checked) {
            return Err(SnapshotError::DAMAGED);
        }
        let mut reader = Reader { rest: &checked[8..] };
        let evidence =
            reader.evidence(settings.window).filter(|_| reader.rest.is_empty()).ok_or(SnapshotError::DAMAGED)?;
        Ok(Self::restored(settings, evidence))
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn evidence(&mut self, window: usize) -> Option<Evidence> {
        let next = self.u64()?;
        let (senders, records) = (self.u32()?, self.u32()?);
        let mut evidence = Evidence::new(window);
        evidence.next = next;
        evidence.senders = (0..senders).map(|_| self.u64()).collect::<Option<VecDeque<_>>>()?;
        if u64::from(senders) > next || records > senders {
            return None;
        }
        for _ in 0..records {
            let record = self.record()?;
            let follows = evidence.records.back().is_none_or(|last| last.number < record.number);
            if !follows || record.number >= next || record.number < evidence.oldest() {
                return None;
            }
            evidence.records.push_back(record);
        }
        let surplus = evidence.senders.len().saturating_sub(window);
        evidence.senders.drain(..surplus);
        let oldest = evidence.oldest();
        evidence.records.retain(|record| record.number >= oldest);
        Some(evidence)
    }

    fn record(&mut self) -> Option<Record> {
        let (number, sender) = (self.u64()?, self.u64()?);
        let mut features = [0.0; COUNT];
        for value in &mut features {
            *value = f32::from_bits(self.u32()?);
        }
        let (&said, rest) = self.rest.split_first()?;
        self.rest = rest;
        let stands_for = f32::from_bits(self.u32()?);
        let judged = match said {
            0 => None,
            1 | 2 if stands_for.is_finite() && stands_for >= 1.0 => Some(Judged { right: said == 2, stands_for }),
            _ => return None,
        };
        let finite = features.iter().all(|value| value.is_finite());
        finite.then_some(Record { number, sender, features: Features(features), judged })
    }

    fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (&chunk, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(chunk)
    }
}
