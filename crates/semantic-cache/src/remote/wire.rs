//! Numbers and bytes, one after the other.

/// Writes what [`Reader`] reads.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

/// Reads what a [`Writer`] wrote. Whatever is wrong is nothing.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

// === impl Writer ===

impl Writer {
    pub(super) fn number(&mut self, number: u64) {
        let mut rest = number;
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            // The last byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.raw(length)
    }

    pub(super) fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    pub(super) const fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(numbers in prop::collection::vec(any::<u64>(), 0..9), bytes: Vec<u8>) {
            let mut writer = Writer::default();
            numbers.iter().for_each(|number| writer.number(*number));
            writer.bytes(&bytes);
            let mut reader = Reader(&writer.0);
            for number in numbers {
                prop_assert_eq!(reader.number(), Some(number));
            }
            prop_assert_eq!(reader.bytes(), Some(&bytes[..]));
            prop_assert!(reader.is_done());
        }

        #[test]
        fn whatever_is_read_ends(garbage: Vec<u8>) {
            let mut reader = Reader(&garbage);
            while reader.number().is_some() {}
            prop_assert!(Reader(&garbage).bytes().is_none_or(|bytes| bytes.len() < garbage.len()));
        }
    }
}
