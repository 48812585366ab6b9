//! Writing and reading what is shared.

use std::{
    fmt,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
    time::Duration,
};

use buttress_redis::{Error, Script};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, sleep, timeout};

use crate::{Handle, Share, share_message::Seen, share_outbox::LONGEST};

/// Writes and reads what is shared. Made by [`Share::run`].
///
/// It runs until it is dropped, which has no effect but that nothing is shared any more.
#[must_use = "without its worker, nothing is shared"]
pub struct ShareWorker(Pin<Box<dyn Future<Output = ()> + Send>>);

struct Work {
    share: Share,
    handle: Handle,
    script: Script,
    seen: Seen,
    rng: StdRng,
}

/// How many messages one look writes.
const BATCH: usize = 64;
/// How many batches one look writes.
const MAX_BATCHES: usize = 8;
/// How long to wait for more to tell after something opened.
const GATHER: Duration = Duration::from_millis(10);

/// Times are the server's. What would stay longer than anything we write is not ours, and must not crowd ours out.
const SOURCE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most, longest = tonumber(ARGV[1]), tonumber(ARGV[2])
local function ms(n) return string.format('%.0f', n) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms(now))
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. ms(now + longest), '+inf')
for i = 3, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], ms(now + math.min(tonumber(ARGV[i]), longest)), ARGV[i + 1])
end
local surplus = redis.call('ZCARD', KEYS[1]) - most
if surplus > 0 then redis.call('ZREMRANGEBYRANK', KEYS[1], 0, surplus - 1) end
if #ARGV > 2 then redis.call('PEXPIRE', KEYS[1], ms(longest)) end
local found = redis.call('ZRANGE', KEYS[1], 0, most - 1, 'WITHSCORES')
local told = {}
for i = 1, #found, 2 do
  if #found[i] <= 512 then
    told[#told + 1] = found[i]
    told[#told + 1] = ms(tonumber(found[i + 1]) - now)
  end
end
return told
";

// === impl ShareWorker ===

impl ShareWorker {
    pub(crate) fn new(share: Share, handle: Handle) -> Self {
        let rng = share.seed.map_or_else(|| StdRng::from_rng(&mut rand::rng()), StdRng::seed_from_u64);
        let mut work = Work { share, handle, script: Script::new(SOURCE), seen: Seen::default(), rng };
        Self(Box::pin(async move { work.run().await }))
    }
}

impl Future for ShareWorker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ShareWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareWorker").finish_non_exhaustive()
    }
}

// === impl Work ===

impl Work {
    async fn run(&mut self) {
        let mut answers = true;
        loop {
            let pause = self.share.interval.mul_f64(self.rng.random_range(1.0..=1.25));
            // What opened here is told soon; but not to a Redis that is away.
            if !answers {
                sleep(pause).await;
            } else if timeout(pause, self.share.outbox.more.notified()).await.is_ok() {
                sleep(GATHER).await;
            }
            answers = self.look().await;
        }
    }

    /// Writes what waits and reads what is there. Returns whether Redis did its part.
    async fn look(&mut self) -> bool {
        for _ in 0..MAX_BATCHES {
            match self.exchange().await {
                Ok(false) => return true,
                Ok(true) => {}
                Err(_) => {
                    self.share.outbox.failed.fetch_add(1, Ordering::Relaxed);
                    return false;
                }
            }
        }
        true
    }

    /// Writes one batch, and passes on what others wrote. Returns whether there is more to write.
    async fn exchange(&mut self) -> Result<bool, Error> {
        let outbox = &self.share.outbox;
        let now = Instant::now();
        let batch = outbox.first(BATCH, now);
        let mut call = self.script.call(&[&self.share.key]).arg(self.share.max_hints).arg(millis(LONGEST));
        for opened in &batch {
            call = call.arg(millis(opened.until.saturating_duration_since(now))).arg(&*opened.message);
        }
        let found: Vec<(Vec<u8>, u64)> = self.share.redis.invoke(&call).await?;
        let more = outbox.written(&batch);
        let found = found.into_iter().map(|(message, left)| (message, Duration::from_millis(left))).collect();
        let heard = self.seen.pass_on(found, &outbox.replica, &self.handle, Instant::now());
        outbox.heard.fetch_add(heard.passed_on, Ordering::Relaxed);
        outbox.ignored.fetch_add(heard.ignored, Ordering::Relaxed);
        Ok(more)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
