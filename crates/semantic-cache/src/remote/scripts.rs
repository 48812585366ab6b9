//! What is done in Redis.
//!
//! The *book* is a hash: its `run`, a random word that is new when Redis has forgotten everything; `clock`, the time of the last
//! forgetting in microseconds, which never goes back; `n`, the number of the last entry of the log; `longest`, the longest time in
//! milliseconds that an answer was to be kept; `all` and one field for each mark, when they were forgotten last. An answer is a hash with the `run` and the clock its call began at; it is there as long as
//! none of its marks was forgotten since. So an answer is judged where it lies, in the same step in which it is read.

use buttress_redis::Script;

/// All scripts.
pub(super) struct Scripts {
    /// `KEYS`: book. `ARGV`: a new run. Returns run, clock, n, and the milliseconds since 1970.
    pub(super) hello: Script,
    /// `KEYS`: book, answer. `ARGV`: run, born, marks, its age and its time to live in milliseconds, value. Returns 1 if it is kept.
    pub(super) keep: Script,
    /// `KEYS`: book, answer. `ARGV`: the most bytes. Returns 0 if there is none, 2 if it is too large, or else 1; its age in
    /// milliseconds, its marks, its value.
    pub(super) recall: Script,
    /// `KEYS`: book, log, and the answer that is forgotten, if it is one. `ARGV`: a new run, origin, kind, key or mark, the most
    /// marks, the most entries of the log, for how many milliseconds a forgotten answer stays so.
    pub(super) forget: Script,
    /// `KEYS`: book, log. `ARGV`: run, origin, kind, the most entries of the log, payload. Returns 1 if it was added.
    pub(super) tell: Script,
    /// `KEYS`: book, log. Removes what is older than any answer from the log, where Redis can (6.2 and later).
    pub(super) trim: Script,
}

const NOW: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local whole = function(number) return string.format('%.0f', number) end
";

const VALID: &str = r"
local valid = function(born, marks)
    local fields = {'all'}
    for at = 1, #marks, 32 do fields[#fields + 1] = 'm' .. string.sub(marks, at, at + 31) end
    for _, forgotten in ipairs(redis.call('HMGET', KEYS[1], unpack(fields))) do
        if forgotten and tonumber(forgotten) > born then return false end
    end
    return true
end
";

const RUN: &str = r"
local run = redis.call('HGET', KEYS[1], 'run')
if not run then
    run = ARGV[1]
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'run', run)
end
";

const LOG: &str = r"
local log = function(most, origin, kind, clock, payload)
    local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', most, '*',
        'r', run, 'n', n, 'o', origin, 't', kind, 'c', clock, 'd', payload)
end
";

const HELLO: &str = r"
local book = redis.call('HMGET', KEYS[1], 'clock', 'n')
return {run, tonumber(book[1] or 0), tonumber(book[2] or 0), now}
";

const KEEP: &str = r"
local born = tonumber(ARGV[2])
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] or not valid(born, ARGV[3]) then return 0 end
local gone = redis.call('HGET', KEYS[2], 'gone')
if gone and tonumber(gone) > born then return 0 end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'run', ARGV[1], 'born', ARGV[2], 'marks', ARGV[3],
    'came', whole(now - tonumber(ARGV[4])), 'value', ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
if tonumber(redis.call('HGET', KEYS[1], 'longest') or 0) < tonumber(ARGV[5]) then
    redis.call('HSET', KEYS[1], 'longest', ARGV[5])
end
return 1
";

const RECALL: &str = r"
local kept = redis.call('HMGET', KEYS[2], 'run', 'born', 'marks', 'came')
if not (kept[1] and kept[2] and kept[3] and kept[4]) then return {0, 0, '', ''} end
local born, came = tonumber(kept[2]), tonumber(kept[4])
if not (born and came) or #kept[3] % 32 ~= 0 or #kept[3] > 512 then return {0, 0, '', ''} end
if kept[1] ~= redis.call('HGET', KEYS[1], 'run') or not valid(born, kept[3]) then return {0, 0, '', ''} end
if redis.call('HSTRLEN', KEYS[2], 'value') > tonumber(ARGV[1]) then return {2, 0, '', ''} end
return {1, now - came, kept[3], redis.call('HGET', KEYS[2], 'value') or ''}
";

const FORGET: &str = r"
local book = redis.call('HMGET', KEYS[1], 'clock', 'n')
local clock = whole(math.max(tonumber(book[1] or 0) + 1, time[1] * 1000000 + time[2]))
local kind = ARGV[3]
if kind == 'key' then
    redis.call('DEL', KEYS[3])
    redis.call('HSET', KEYS[3], 'gone', clock)
    redis.call('PEXPIRE', KEYS[3], ARGV[7])
elseif kind == 'mark' then
    local field = 'm' .. ARGV[4]
    -- Rather forget too much than remember too much.
    if redis.call('HEXISTS', KEYS[1], field) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then
        kind = 'all'
    else
        redis.call('HSET', KEYS[1], field, clock)
    end
end
if kind == 'all' then
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'run', run, 'n', book[2] or 0, 'all', clock)
end
redis.call('HSET', KEYS[1], 'clock', clock)
log(ARGV[6], ARGV[2], kind, clock, ARGV[4])
return 1
";

const TRIM: &str = r"
local longest = tonumber(redis.call('HGET', KEYS[1], 'longest') or 0)
if longest > 0 and longest < now then redis.pcall('XTRIM', KEYS[2], 'MINID', '~', whole(now - longest)) end
return 1
";

const TELL: &str = r"
local run = redis.call('HGET', KEYS[1], 'run')
if run ~= ARGV[1] then return 0 end
";

// === impl Scripts ===

impl Scripts {
    pub(super) fn new() -> Self {
        let script = |parts: &[&str]| Script::new(parts.concat());
        Self {
            hello: script(&[NOW, RUN, HELLO]),
            keep: script(&[NOW, VALID, KEEP]),
            recall: script(&[NOW, VALID, RECALL]),
            forget: script(&[NOW, RUN, LOG, FORGET]),
            trim: script(&[NOW, TRIM]),
            tell: script(&[TELL, LOG, "log(ARGV[4], ARGV[2], ARGV[3], '0', ARGV[5])\nreturn 1"]),
        }
    }
}
