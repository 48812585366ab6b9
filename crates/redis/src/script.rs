//! Lua scripts, called by their hash.

use std::{fmt, sync::Arc};

use redis::{Arg, Cmd, ToRedisArgs};

/// A Lua script. Clones share its source.
///
/// It is called by its SHA-1, which is computed here, so that its source is sent only when the server does not know it: the
/// first time, and after the server forgot its scripts by a restart, a failover or `SCRIPT FLUSH`.
///
/// ```
/// use buttress_redis::Script;
///
/// let script = Script::new("return 1");
/// assert_eq!(script.sha(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
/// ```
#[derive(Clone)]
pub struct Script {
    source: Arc<str>,
    sha: Arc<str>,
}

/// A call of a [`Script`], to be handed to [`Redis::invoke`](crate::Redis::invoke).
#[derive(Clone)]
pub struct Invocation {
    script: Script,
    /// `EVALSHA sha numkeys key… arg…`
    by_sha: Cmd,
}

/// How much room a call has at first: growing step by step costs more than the rest of making it.
const USUAL_ARGS: usize = 8;
const USUAL_BYTES: usize = 384;

// === impl Script ===

impl Script {
    /// Creates a script from its source.
    #[must_use]
    pub fn new(source: impl Into<Arc<str>>) -> Self {
        let source = source.into();
        let sha = sha1_smol::Sha1::from(source.as_bytes()).digest().to_string();
        Self { source, sha: sha.into() }
    }

    /// Returns the SHA-1 of the source in hexadecimal.
    #[must_use]
    pub fn sha(&self) -> &str {
        &self.sha
    }

    /// Begins a call with these `KEYS`. In a cluster all of them must be in one slot, as those of one
    /// [`Namespace`](crate::Namespace) with one tag are.
    #[must_use]
    pub fn call<K: ToRedisArgs>(&self, keys: &[K]) -> Invocation {
        let mut by_sha = Cmd::with_capacity(keys.len() + USUAL_ARGS, USUAL_BYTES);
        by_sha.arg("EVALSHA").arg(&*self.sha).arg(keys.len());
        for key in keys {
            by_sha.arg(key);
        }
        Invocation { script: self.clone(), by_sha }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("sha", &self.sha).finish_non_exhaustive()
    }
}

// === impl Invocation ===

impl Invocation {
    /// Adds to `ARGV`.
    #[must_use]
    pub fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.by_sha.arg(arg);
        self
    }

    pub(crate) fn by_sha(&self) -> &Cmd {
        &self.by_sha
    }

    /// Makes the same call with the source, which also loads it.
    pub(crate) fn in_full(&self) -> Cmd {
        let mut eval = redis::cmd("EVAL");
        eval.arg(&*self.script.source);
        for arg in self.by_sha.args_iter().skip(2) {
            if let Arg::Simple(bytes) = arg {
                eval.arg(bytes);
            }
        }
        eval
    }
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation").field("script", &self.script).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(cmd: &Cmd) -> Vec<Vec<u8>> {
        cmd.args_iter().map(|arg| if let Arg::Simple(bytes) = arg { bytes.to_vec() } else { Vec::new() }).collect()
    }

    #[test]
    fn a_call_in_full_differs_from_one_by_hash_in_its_first_two_words_alone() {
        let call = Script::new("return 1").call(&["k1", "k2"]).arg(7).arg(b"\0binary\xff").arg("");
        let (by_sha, in_full) = (words(call.by_sha()), words(&call.in_full()));
        assert_eq!(in_full[..2], [b"EVAL".to_vec(), b"return 1".to_vec()]);
        assert_eq!(by_sha[2..], in_full[2..]);
        assert_eq!(by_sha[2], b"2", "the number of keys");
    }

    #[test]
    fn neither_source_nor_arguments_are_in_the_debug_form() {
        let call = Script::new("return 'hush'").call(&["hush-key"]).arg("hush-arg");
        assert!(!format!("{call:?} {:?}", call.script).contains("hush"));
    }
}
