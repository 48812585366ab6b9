//! Keeps what was learned beyond the end of the process, in a file. There is no text in it, and no answer.

use std::{
    fmt,
    fs::File,
    hash::{DefaultHasher, Hasher as _},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use buttress_semantic_cache::{Key, Semantic};

use crate::config::ConfigError;

/// A file with what was learned. Clones are one.
#[derive(Clone)]
pub(crate) struct StateFile(Arc<Inner>);

struct Inner {
    path: PathBuf,
    /// What the experience is about: the space of vectors, and the judge.
    space: String,
    /// The hash of what is there, so that the same is not written again.
    written: AtomicU64,
    /// Whether the last attempt failed, which is said once.
    failing: AtomicBool,
}

const MAGIC: &[u8] = b"buttress gateway, learned, 1\n";
/// The classes that are kept have less.
const MOST_BYTES: u64 = 256 << 20;

// === impl StateFile ===

impl StateFile {
    /// Creates one at `path` for experience about `space`.
    ///
    /// # Errors
    ///
    /// Fails if there is no directory for it, or something else is in its place.
    pub(crate) fn new(path: &Path, space: String) -> Result<Self, ConfigError> {
        let fault = |says| ConfigError::of_key("cache.semantic.state_file".to_owned(), says);
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        if !directory.is_dir() {
            return Err(fault(format!("there is no directory `{}`", directory.display())));
        }
        if path.is_dir() {
            return Err(fault(format!("`{}` is a directory", path.display())));
        }
        let (written, failing) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Self(Arc::new(Inner { path: path.to_owned(), space, written, failing })))
    }

    /// Takes up what is there. What cannot be used is said, and `memory` begins anew; that is found out on
    /// `trial`, which has the same policy.
    pub(crate) fn restore(&self, memory: &mut Semantic<Key>, trial: Semantic<Key>) {
        let file = self.0.path.display();
        match self.read(memory, trial) {
            Ok(Some(classes)) => tracing::info!(%file, classes, "what was learned is taken up"),
            Ok(None) => tracing::info!(%file, "nothing was learned yet"),
            Err(error) => tracing::warn!(%file, %error, "what was learned cannot be used, so it begins anew"),
        }
    }

    fn read(&self, memory: &mut Semantic<Key>, mut trial: Semantic<Key>) -> Result<Option<usize>, String> {
        let file = match File::open(&self.0.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(format!("it is longer than {MOST_BYTES} bytes"));
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or("it is not of this version of the gateway")?;
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or("it is damaged")?;
        if &rest[..end] != self.0.space.as_bytes() {
            return Err(format!("it is about another embedder or judge than `{}`", self.0.space));
        }
        let mut rest = &rest[end + 1..];
        let mut found = Vec::new();
        while !rest.is_empty() {
            found.push(next(&mut rest).ok_or("it is damaged")?);
        }
        // All or nothing: each class is looked at before one is taken up.
        for (class, snapshot) in &found {
            trial.restore(*class, snapshot).map_err(|error| error.to_string())?;
        }
        for (class, snapshot) in &found {
            memory.restore(*class, snapshot).map_err(|error| error.to_string())?;
        }
        Ok(Some(found.len()))
    }

    /// Writes the snapshots of classes beside the file and puts them in its place, unless they are the same as the last time.
    pub(crate) async fn save(&self, snapshots: impl Iterator<Item = (u64, Vec<u8>)>) {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(self.0.space.as_bytes());
        bytes.push(b'\n');
        let before = bytes.len();
        for (class, snapshot) in snapshots {
            bytes.extend(class.to_le_bytes());
            bytes.extend(u32::try_from(snapshot.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(snapshot);
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let hash = hasher.finish();
        if bytes.len() == before || self.0.written.load(Ordering::Relaxed) == hash {
            return;
        }
        let path = self.0.path.clone();
        let written = tokio::task::spawn_blocking(move || replace(&path, &bytes)).await;
        let file = self.0.path.display();
        match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => {
                self.0.written.store(hash, Ordering::Relaxed);
                self.0.failing.store(false, Ordering::Relaxed);
                tracing::debug!(%file, "what was learned is written");
            }
            Err(error) if self.0.failing.swap(true, Ordering::Relaxed) => tracing::debug!(%file, %error, "not written"),
            Err(error) => tracing::warn!(%file, %error, "what was learned cannot be written"),
        }
    }
}

/// Takes the next class and its snapshot.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let (class, after) = rest.split_first_chunk()?;
    let (length, after) = after.split_first_chunk()?;
    let (snapshot, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    *rest = after;
    Some((u64::from_le_bytes(*class), snapshot))
}

/// Has `bytes` at `path`, or what was there before, whenever the process ends.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&beside, path)).inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

impl fmt::Debug for StateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateFile").field(&self.0.path).finish()
    }
}
