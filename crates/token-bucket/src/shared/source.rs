//! What is done in Redis.

use crate::Limits;

/// The time of the server, in microseconds. With it, a script of the same effect on a replica gets what was computed here:
/// effects are replicated, not scripts (Redis 5 and later). What else is used is of Redis 6 or earlier.
const SERVER_TIME: &str = "local time = redis.call('TIME')\nlocal now = time[1] * 1000000 + time[2]\n";

/// `KEYS`: the levels; of a settlement, its mark. `ARGV`: what to do; the names of the limits; their numbers and what is needed;
/// what is wanted in addition, if something is. All numbers are packed: as text in what is kept alone, they make a decision a quarter
/// dearer.
///
/// Kept is a string: `unit:name/parts/rate` of each limit, with a space between them and a line's end behind them; the time,
/// until when it is kept, and what is *missing* of each limit, so that nothing is kept of a bucket that is full, and a limit that is
/// changed keeps what was used. What has other names is read one by one, and what is missing there of other limits is kept until
/// it is refilled. Returned is whether it was done, what is missing now and what was taken in addition.
///
/// A line that begins with `each` stands once for each limit, as what is in `@( )` and `@[ ]` does, with and without commas; `$` is
/// the number of the limit. So all is in local variables: loops over tables take a sixth more for one limit, and a
/// quarter more for two.
///
/// The time to live is written only where what is there is too short, since that costs more than the rest of a write. Comparisons are such that what is
/// no number counts as nothing.
const TEMPLATE: &str = r"
local doing, layout = ARGV[1], ARGV[2]
local @(capacity$, most$, rate$, longest$), @(need$) = struct.unpack('<@[dddd]@[d]', ARGV[3])
if doing == 'fill' then redis.call('DEL', KEYS[1]) end
local kept = redis.call('GET', KEYS[1])
local last, ends, @(missing$) = now, 0, @(0)
local names, tail, rest = layout, '', 0
if kept then
  local found
  if #kept == #layout + @[8 + ]16 and string.sub(kept, 1, #layout) == layout then
    last, ends, @(missing$) = struct.unpack('<dd@[d]', kept, #layout + 1)
  elseif #kept <= 8192 then
    local there, at = string.match(kept, '^([^\n]+)\n()')
    found = {}
    for text, name, unit, rate in string.gmatch(there or '', '((%S+)/(%d+)/(%d+))') do
      found[#found + 1] = {text = text, name = name, unit = tonumber(unit), rate = tonumber(rate)}
    end
    local own = {}
    if at and #kept == at + 15 + 8 * #found then
      last, ends = struct.unpack('<dd', kept, at)
      for i = 1, #found do
        found[i].level = struct.unpack('<d', kept, at + 8 + 8 * i)
        found[found[i].name] = found[i]
      end
      for name, unit in string.gmatch(layout, '(%S+)/(%d+)/%d+') do
        local other, level = found[name], 0
        if other then
          local of, unit = other.unit, tonumber(unit)
          level, other.level = other.level, 0
          if of ~= unit and of > 0 then
            local whole = math.floor(level / of)
            level = whole * unit + math.floor((level - whole * of) / of * unit)
          end
        end
        own[#own + 1] = level
      end
      @(missing$) = @(own[$])
    else
      found = {}
    end
  end
  if not (last <= now) then
    if last < 9007199254740992 then now = last else last = -math.huge end
  end
  local passed = now - last
each  if missing$ > most$ then missing$ = most$ end
each  if passed < longest$ then missing$ = missing$ - passed * rate$ else missing$ = 0 end
each  if not (missing$ > 0) then missing$ = 0 end
  if found and #found > 0 then
    local room = @[1 + ]0
    names = string.sub(layout, 1, -2)
    for i = 1, #found do
      local left = found[i].level - passed * found[i].rate
      if room < 16 and left > 0 and left < 9007199254740992 and found[i].rate > 0 then
        room = room + 1
        names, tail = names .. ' ' .. found[i].text, tail .. struct.pack('<d', left)
        rest = math.max(rest, left / found[i].rate)
      end
    end
    names = names .. '\n'
  end
end
local done = 1
if doing == 'take' then
each  if need$ > capacity$ - missing$ then done = 0 end
elseif doing == 'settle' and not redis.call('SET', KEYS[2], 1, 'NX', 'PX', 60000) then
  done = 0
end
local @(extra$) = @(0)
if done == 1 then
  if doing == 'lower' then
each    if need$ > missing$ then missing$ = need$ end
  else
each    missing$ = missing$ + need$ if missing$ > most$ then missing$ = most$ elseif missing$ < 0 then missing$ = 0 end
  end
  if ARGV[4] then
    local @(want$, unit$) = struct.unpack('<@[dd]', ARGV[4])
each    extra$ = math.min(want$, capacity$ - missing$ - math.ceil(capacity$ / 5))
each    if extra$ > 0 then extra$ = math.floor(extra$ / unit$) * unit$ else extra$ = 0 end
each    missing$ = missing$ + extra$
  end
  local lasts = rest
each  if missing$ / rate$ > lasts then lasts = missing$ / rate$ end
  if lasts > 0 then
    local full = now + lasts
    local renews = not (full <= ends)
    if renews then ends = full + SLACK end
    local value = names .. struct.pack('<dd@[d]', now, ends, @(missing$)) .. tail
    if renews then
      redis.call('SET', KEYS[1], value, 'PX', string.format('%d', (ends - now) / 1000 + 100))
    else
      redis.call('SET', KEYS[1], value, 'KEEPTTL')
    end
  elseif kept then
    redis.call('DEL', KEYS[1])
  end
end
if ARGV[4] then return struct.pack('<d@[d]@[d]', done, @(missing$), @(extra$)) end
return struct.pack('<d@[d]', done, @(missing$))
";

/// For how much longer than it must be a level is kept, in microseconds, beside what is added for the server's own clock.
const SLACK: &str = "900000";

/// Returns the script for so many limits, which goes by the server's time.
pub(crate) fn for_limits(count: usize) -> String {
    SERVER_TIME.to_owned() + &unrolled(count).replace("SLACK", SLACK)
}

/// Returns one that goes by a time that is its last argument, in microseconds, and lets nothing expire by the server's.
#[cfg(test)]
pub(crate) fn at_told_times(count: usize) -> String {
    "local now = tonumber(table.remove(ARGV))\n".to_owned() + &unrolled(count).replace("SLACK", "3600000000")
}

/// Writes out what stands for each of `count` limits, which are bounded: there are no more scripts than limits of one key.
fn unrolled(count: usize) -> String {
    debug_assert!((1..=Limits::MOST).contains(&count));
    let mut source = String::with_capacity(TEMPLATE.len() * 2);
    for line in TEMPLATE.lines() {
        match line.strip_prefix("each") {
            Some(line) => (1..=count).for_each(|at| numbered(&mut source, line, at, "\n")),
            None => lists(&mut source, line, count),
        }
        source.push('\n');
    }
    source
}

/// Writes a line in which each `@( )` and `@[ ]` is repeated.
fn lists(source: &mut String, line: &str, count: usize) {
    let mut parts = line.split('@');
    source.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (close, separator) = if part.starts_with('(') { (')', ", ") } else { (']', "") };
        let (item, rest) = part[1..].split_once(close).expect("the template closes what it opens");
        for at in 1..=count {
            numbered(source, item, at, if at < count { separator } else { "" });
        }
        source.push_str(rest);
    }
}

fn numbered(source: &mut String, text: &str, at: usize, end: &str) {
    source.push_str(&text.replace('$', &at.to_string()));
    source.push_str(end);
}
