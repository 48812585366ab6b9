//! What is done in Redis, and how it is asked for.

use std::time::Duration;

use buttress_core::Label;
use buttress_redis::{Error, Invocation, Namespace, Redis, Script};

use super::exact::{Exact, Parts};
use crate::Fingerprint;

/// The one script, and where levels are kept.
#[derive(Debug)]
pub(crate) struct Levels {
    redis: Redis,
    namespace: Namespace,
    name: Label,
    script: Script,
    /// Tells the settlements of this process from those of all others.
    origin: u64,
}

/// For how long a settlement may be tried again. Its mark is kept for a minute.
pub(crate) const RETRIED_FOR: Duration = Duration::from_secs(45);

/// What is to be done with the levels of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Takes the first from all limits, or from none; with it as much of the second as is well left.
    Take(Parts, Parts),
    /// Takes or gives back, whatever is left, unless it has been done under this number.
    Settle(Parts, u64),
    /// Lowers levels such that no less than this is missing.
    Lower(Parts),
    /// Fills all.
    Fill,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// It was done. What had been settled before is not settled again.
    pub(crate) done: bool,
    /// What is missing now.
    pub(crate) missing: Parts,
    /// What was taken in addition.
    pub(crate) extra: Parts,
}

/// The time of the server, in microseconds. With it, a script of the same effect on a replica gets what was computed here:
/// effects are replicated, not scripts (Redis 5 and later).
const SERVER_TIME: &str = "local time = redis.call('TIME')\nlocal now = time[1] * 1000000 + time[2]\n";

/// `KEYS`: the levels; of a settlement, its mark. `ARGV`: what to do, the number of limits, and for each: field, capacity, most
/// that can be missing, parts of a unit, rate, longest time that counts, what is needed, what is wanted in addition.
///
/// Kept is what is *missing* of each limit, so that nothing is kept of a bucket that is full, and a limit that is changed keeps
/// what was used.
const BODY: &str = r"
local doing, count = ARGV[1], tonumber(ARGV[2])
if doing == 'fill' then redis.call('DEL', KEYS[1]) end
local fields = {'t'}
for i = 1, count do fields[i + 1] = ARGV[8 * i - 5] end
local kept = redis.call('HMGET', KEYS[1], unpack(fields))
local last = tonumber(kept[1]) or now
if last > now then now = last end
local missing, done = {}, 1
for i = 1, count do
  local at = 8 * i - 5
  local most, unit = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local amount = 0
  if kept[i + 1] then
    local was, of = string.match(kept[i + 1], '^(%d+)/(%d+)$')
    amount, of = tonumber(was) or 0, tonumber(of) or unit
    if of ~= unit and of > 0 then
      local whole = math.floor(amount / of)
      local rest = math.floor((amount - whole * of) / of * unit)
      amount = math.min(whole, math.floor(most / unit)) * unit + rest
    end
  end
  local came = math.min(now - last, tonumber(ARGV[at + 5])) * tonumber(ARGV[at + 4])
  missing[i] = math.max(0, math.min(amount, most) - came)
  if doing == 'take' and tonumber(ARGV[at + 6]) > tonumber(ARGV[at + 1]) - missing[i] then done = 0 end
end
if doing == 'settle' and not redis.call('SET', KEYS[2], 1, 'NX', 'PX', 60000) then done = 0 end
local extra = {}
if done == 1 then
  local longest, write = 0, {'t', string.format('%.0f', now)}
  for i = 1, count do
    local at = 8 * i - 5
    local capacity, most, unit = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local need, want = tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7])
    if doing == 'lower' then
      missing[i] = math.max(missing[i], math.min(need, most))
    else
      missing[i] = math.max(0, math.min(missing[i] + need, most))
    end
    extra[i] = 0
    if want > 0 then
      local well = capacity - missing[i] - math.ceil(capacity / 5)
      extra[i] = math.floor(math.max(0, math.min(want, well)) / unit) * unit
      missing[i] = missing[i] + extra[i]
    end
    longest = math.max(longest, math.ceil(missing[i] / tonumber(ARGV[at + 4])))
    write[2 * i + 1] = fields[i + 1]
    write[2 * i + 2] = string.format('%.0f/%.0f', missing[i], unit)
  end
  if longest > 0 then
    redis.call('HSET', KEYS[1], unpack(write))
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil(longest / 1000) + 1000))
  elseif kept[1] then
    redis.call('DEL', KEYS[1])
  end
end
local told = {done}
for i = 1, count do
  told[2 * i] = missing[i]
  told[2 * i + 1] = extra[i] or 0
end
return told
";

// === impl Levels ===

impl Levels {
    pub(crate) fn new(redis: Redis, namespace: Namespace, name: Label, origin: u64) -> Self {
        Self { redis, namespace, name, script: Script::new(SERVER_TIME.to_owned() + BODY), origin }
    }

    /// Goes by a time that is told with each call, in microseconds, and lets nothing expire by the server's.
    #[cfg(test)]
    pub(crate) fn at_told_times(mut self) -> Self {
        let (slack, hour) = ("/ 1000) + 1000)", "/ 1000) + 3600000)");
        assert!(BODY.contains(slack), "the time to live is made elsewhere");
        self.script = Script::new(format!("local now = tonumber(ARGV[#ARGV])\n{}", BODY.replace(slack, hour)));
        self
    }

    pub(crate) fn is_there(&self) -> bool {
        self.redis.status().is_connected()
    }

    /// Changes the levels of a key.
    pub(crate) async fn apply(&self, key: Fingerprint, exact: &Exact, change: &Change) -> Result<Told, Error> {
        let told: Vec<i64> = self.redis.invoke(&self.call(key, exact, change)).await?;
        Ok(Told::read(&told))
    }

    pub(crate) fn call(&self, key: Fingerprint, exact: &Exact, change: &Change) -> Invocation {
        let (doing, needs, wants) = match change {
            Change::Take(needs, wants) => ("take", *needs, *wants),
            Change::Settle(needs, _) => ("settle", *needs, Parts::default()),
            Change::Lower(missing) => ("lower", *missing, Parts::default()),
            Change::Fill => ("fill", Parts::default(), Parts::default()),
        };
        let tag = format!("{}/{key}", self.name);
        let levels = self.namespace.key("tb", &tag, "v1");
        let call = match change {
            Change::Settle(_, number) => {
                let mark = self.namespace.key("tb", &tag, &format!("s/{:x}/{number:x}", self.origin));
                self.script.call(&[levels, mark])
            }
            _ => self.script.call(&[levels]),
        };
        let mut call = call.arg(doing).arg(exact.0.len());
        for ((rule, need), want) in exact.0.iter().zip(needs).zip(wants) {
            call = call.arg(&*rule.field).arg(rule.capacity).arg(rule.most).arg(rule.unit);
            call = call.arg(rule.rate).arg(rule.longest).arg(need).arg(want);
        }
        call
    }
}

// === impl Told ===

impl Told {
    /// Reads what the script returns. What is not there is not missing: the script is ours.
    pub(crate) fn read(told: &[i64]) -> Self {
        let mut read = Self { done: told.first() == Some(&1), missing: Parts::default(), extra: Parts::default() };
        for (at, pair) in told.get(1..).unwrap_or_default().chunks_exact(2).take(Parts::default().len()).enumerate() {
            (read.missing[at], read.extra[at]) = (pair[0].max(0), pair[1].max(0));
        }
        read
    }
}
