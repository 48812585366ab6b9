//! Pages of the log.

use std::time::Duration;

use buttress_redis::{Error, redis};

use super::{Remote, entry::millis};

/// A page of the log: its entries, with their names and fields.
pub(super) type Page = Vec<(String, Vec<Vec<u8>>)>;

/// How long a read waits for something to come.
const BLOCK: Duration = Duration::from_millis(200);
/// How long Redis may take beyond. Nobody waits for it.
pub(super) const BOUND: Duration = Duration::from_secs(1);
/// How many entries a page has at most.
pub(super) const PAGE: usize = 256;

/// Reads the page of the log after `cursor`. Who has read all there was waits for more.
pub(super) async fn read(remote: &Remote, cursor: &str) -> Result<Page, Error> {
    type Streams = Option<Vec<(String, Page)>>;
    let mut read = redis::cmd("XREAD");
    read.arg("COUNT").arg(PAGE);
    if remote.counts().follows {
        read.arg("BLOCK").arg(millis(BLOCK));
    }
    read.arg("STREAMS").arg(&remote.places.log).arg(cursor);
    let streams: Streams = remote.log.query_within(&read, BLOCK + BOUND).await?;
    Ok(streams.into_iter().flatten().flat_map(|(_, page)| page).collect())
}
