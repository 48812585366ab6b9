//! What is done in Redis.
//!
//! The *book* is a hash: its `run`, a random word that is new when Redis has forgotten everything; `clock`, the time of the last
//! forgetting in microseconds, which never goes back; `n`, the number of the last entry of the log; `longest`, the longest time in
//! milliseconds that an answer was to be kept; `all` and one field for each mark, when they were forgotten last. An answer is a hash with the `run` and the clock its call began at; it is there as long as
//! none of its marks was forgotten since. So an answer is judged where it lies, in the same step in which it is read.
//!
//! Where questions are searched for in Redis, they are in the hash of their answer, as `q` and their name, and go with it; so are how
//! often it was judged (`right`, `wrong`) and whether it is `bad`. The vectors of a scope are in a vector set, whose elements are named
//! by the answer's key and the question's name. A sorted set beside it, the *ages*, has the same elements by the time at which they
//! end, in milliseconds: elements of a vector set do not expire. Whoever adds one removes some that have ended, and the oldest beyond
//! the bound; whoever finds one without its question removes it.

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
    /// `KEYS`: a vector set. Returns 1 if vectors can be searched for.
    pub(super) probe: Script,
    /// `KEYS`: book, answer, vectors, ages. `ARGV`: run, the question's name, element, vector, question, the most elements, the
    /// most fields of an answer. Returns 1 if it was added.
    pub(super) learn: Script,
    /// `KEYS`: book, vectors, ages, and of each element the answer. `ARGV`: the most bytes of a question, and the elements. Returns of each
    /// its question, which is empty if it is gone, how often the answer was right and wrong, whether it is bad, and its questions.
    pub(super) know: Script,
    /// `KEYS`: book, answer. `ARGV`: run, 1 if it was right, 1 if it was served. Returns 1 if it was noted.
    pub(super) judge: Script,
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

/// Whether an answer is there. Needs `VALID`.
const THERE: &str = r"
local there = function(run, answer)
    local kept = redis.call('HMGET', answer, 'run', 'born', 'marks')
    if not run or kept[1] ~= run or not kept[2] or not kept[3] then return false end
    local born = tonumber(kept[2])
    return born and #kept[3] % 32 == 0 and #kept[3] <= 512 and valid(born, kept[3])
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
-- An answer that is renewed keeps its questions.
if not there(ARGV[1], KEYS[2]) then redis.call('DEL', KEYS[2]) end
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

/// Whatever goes wrong, there is nothing to search with.
const PROBE: &str = r"
local told = redis.pcall('VCARD', KEYS[1])
if type(told) == 'table' and told.err then return 0 end
return 1
";

const LEARN: &str = r"
local book, answer, vectors, ages = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local field, element = 'q' .. ARGV[2], ARGV[3]
if redis.call('HGET', book, 'run') ~= ARGV[1] or not there(ARGV[1], answer) then return 0 end
if redis.call('HEXISTS', answer, field) == 0 and redis.call('HLEN', answer) >= tonumber(ARGV[7]) then return 0 end
local left = redis.call('PTTL', answer)
if left <= 0 then return 0 end
-- Where one was evicted without the other, nothing would bound it.
if redis.call('EXISTS', vectors, ages) == 1 then redis.call('UNLINK', vectors, ages) end
redis.call('VADD', vectors, 'FP32', ARGV[4], element, 'Q8')
redis.call('HSET', answer, field, ARGV[5])
redis.call('ZADD', ages, whole(now + left), element)
for _, key in ipairs({vectors, ages}) do
    if redis.call('PTTL', key) < left then redis.call('PEXPIRE', key, left) end
end
local gone = redis.call('ZRANGEBYSCORE', ages, '-inf', whole(now), 'LIMIT', 0, 32)
local over = redis.call('ZCARD', ages) - tonumber(ARGV[6])
if #gone < over then gone = redis.call('ZRANGE', ages, 0, math.min(over, 32) - 1) end
for _, other in ipairs(gone) do
    redis.call('VREM', vectors, other)
    redis.call('ZREM', ages, other)
end
return 1
";

const KNOW: &str = r"
local run, asked, known = redis.call('HGET', KEYS[1], 'run'), {}, {}
for at = 2, #ARGV do
    local answer, element = KEYS[at + 2], ARGV[at]
    local field = 'q' .. string.sub(element, 33)
    if asked[answer] == nil then asked[answer] = there(run, answer) or false end
    local length = asked[answer] and redis.call('HSTRLEN', answer, field) or 0
    if length > 0 and length <= tonumber(ARGV[1]) then
        local told = redis.call('HMGET', answer, field, 'right', 'wrong', 'bad')
        local others = 5
        for judged = 2, 4 do if told[judged] then others = others + 1 end end
        known[at - 1] = {told[1], tonumber(told[2] or 0), tonumber(told[3] or 0), tonumber(told[4] or 0),
            redis.call('HLEN', answer) - others}
    else
        redis.call('VREM', KEYS[2], element)
        redis.call('ZREM', KEYS[3], element)
        known[at - 1] = {'', 0, 0, 0, 0}
    end
end
return known
";

const JUDGE: &str = r"
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] or not there(ARGV[1], KEYS[2]) then return 0 end
if ARGV[2] == '1' then
    redis.call('HINCRBY', KEYS[2], 'right', 1)
    redis.call('HDEL', KEYS[2], 'bad')
else
    redis.call('HINCRBY', KEYS[2], 'wrong', 1)
    if ARGV[3] == '1' then redis.call('HSET', KEYS[2], 'bad', 1) end
end
return 1
";

// === impl Scripts ===

impl Scripts {
    pub(super) fn new() -> Self {
        let script = |parts: &[&str]| Script::new(parts.concat());
        Self {
            hello: script(&[NOW, RUN, HELLO]),
            keep: script(&[NOW, VALID, THERE, KEEP]),
            recall: script(&[NOW, VALID, RECALL]),
            forget: script(&[NOW, RUN, LOG, FORGET]),
            trim: script(&[NOW, TRIM]),
            probe: script(&[PROBE]),
            learn: script(&[NOW, VALID, THERE, LEARN]),
            know: script(&[VALID, THERE, KNOW]),
            judge: script(&[VALID, THERE, JUDGE]),
            tell: script(&[TELL, LOG, "log(ARGV[4], ARGV[2], ARGV[3], '0', ARGV[5])\nreturn 1"]),
        }
    }
}
