//! Values that nobody but the key's owners can read or make.

/// Seals what is written to Redis, and opens it again.
///
/// What is sealed is bound to its `context`: where it is kept, whose it is and what it answers. A value that is opened with another
/// context is no value. A pair of closures `Fn(context, plain) -> Option<sealed>` and `Fn(context, sealed) -> Option<plain>` is
/// one; feature `seal` has [`KeyRing`](crate::KeyRing).
pub trait Seal: Send + Sync {
    /// Seals `plain`. Nothing if it cannot: then it is not written.
    fn seal(&self, context: &[u8], plain: &[u8]) -> Option<Vec<u8>>;

    /// Opens what was sealed with the same `context`. Nothing if it was not, or by nobody who is known: then it is not there.
    fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>>;
}

impl<F, G> Seal for (F, G)
where
    F: Fn(&[u8], &[u8]) -> Option<Vec<u8>> + Send + Sync,
    G: Fn(&[u8], &[u8]) -> Option<Vec<u8>> + Send + Sync,
{
    fn seal(&self, context: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        (self.0)(context, plain)
    }

    fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        (self.1)(context, sealed)
    }
}
