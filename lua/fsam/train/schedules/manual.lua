--- Rates from tables: --epoch2lr "{'1-3': 1e-5, '4': 5e-6}" by epoch and --update2lr by update.
-- A key is a number, numbers with commas, or a range; the largest key that is reached counts, and
-- the table by update wins. Source: fairseq's manual_lr_scheduler.py.
local errors = require("fsam.errors")
local schedule = require("fsam.train.schedule")

local MOST = 10000 -- entries of a table

-- An entry with a quoted key: the quote, key, rate, the rest.
local QUOTED = "^%s*(['\"])([%d%s,%-]*)%1%s*:%s*([^,%s]+)%s*,(.*)$"

-- Adds the ranges that a key names to a list.
local function add_key(list, key, rate, flag)
  for part in (key .. ","):gmatch("%s*([^,]*),") do
    local from, to = part:match("^(%d+)%s*%-%s*(%d+)%s*$")
    from = tonumber(from or part:match("^(%d+)%s*$"))
    if not from then
      errors.raise("%s: the key '%s' is not a number, a range (4-8) or a list (1,3)", flag, key)
    end
    list[#list + 1] = { from = from, to = tonumber(to) or from, rate = rate }
  end
  if #list > MOST then
    errors.raise("%s has more than %d keys", flag, MOST)
  end
end

-- The table that Python's notation describes, as a list of { from, to, rate }.
local function parse(text, flag)
  local list = {}
  local inner = text:match("^%s*{(.*)}%s*$")
  local rest = inner and inner:gsub("^%s*$", "") .. ","
  while rest and not rest:find("^[%s,]*$") do
    local quote, key, value, after = rest:match(QUOTED)
    if not quote then
      key, value, after = rest:match("^%s*(%d+)%s*:%s*([^,%s]+)%s*,(.*)$")
    end
    local rate = tonumber(value)
    if not rate or rate ~= rate or rate < 0 or rate == math.huge then
      rest = nil
      break
    end
    add_key(list, key, rate, flag)
    rest = after
  end
  if not rest then
    errors.raise("%s %s is no table of rates; write \"{'1-3': 1e-5, '4': 5e-6}\"", flag, text)
  end
  return list
end

-- The rate of the largest key that is at most n; of equal keys the later entry's. Nil: none is.
local function at(list, n)
  local best, rate = -1, nil
  for _, entry in ipairs(list) do
    local key = math.min(entry.to, n)
    if entry.from <= key and key >= best then
      best, rate = key, entry.rate
    end
  end
  return rate
end

-- The rate of exactly this key.
local function exactly(list, n)
  local rate
  for _, entry in ipairs(list) do
    rate = entry.from <= n and n <= entry.to and entry.rate or rate
  end
  return rate
end

local function by(name, what)
  return { name = name, type = "string", default = "{}", metavar = "TABLE",
    help = ("manual's rates by %s: \"{'1-3': 1e-5, '4': 5e-6}\""):format(what) }
end

schedule.define("manual", {
  options = { by("epoch2lr", "epoch"), by("update2lr", "update") },
  begin = function(p, s)
    p.by_epoch = parse(p.epoch2lr, "--epoch2lr")
    p.by_update = parse(p.update2lr, "--update2lr")
    s.lr = exactly(p.by_epoch, 1) or exactly(p.by_update, 1) or p.lr
  end,
  begin_epoch = function(p, s, epoch)
    s.lr = at(p.by_epoch, epoch) or s.lr
  end,
  rate = function(p, s, n)
    return at(p.by_update, n) or s.lr
  end,
  peak = function(p)
    local peak = 0
    for _, list in ipairs({ p.by_epoch, p.by_update }) do
      for _, entry in ipairs(list) do
        peak = math.max(peak, entry.rate)
      end
    end
    return peak > 0 and peak or p.lr
  end,
})
