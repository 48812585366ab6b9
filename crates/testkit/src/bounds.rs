//! Auto traits, asserted.

/// Asserts that `value` could go into an axum router.
pub fn assert_clone_send_sync<T: Clone + Send + Sync + 'static>(_value: &T) {}

/// Asserts that `value` could be awaited on a runtime of many threads.
pub fn assert_send<T: Send>(_value: &T) {}
