--- Runs inputs of one target in this process and judges what comes back.
--
-- A target is { parts, words, seeds = function() → bundles, start = function(folder) → state, run =
-- function(bundle, folder, state) }; with build = function(draw) it also draws whole inputs whose
-- parts fit together, to be changed. Parts lie as files in the folder when `run` is called, unless
-- the target has files = false. A reader may accept an input, or refuse it by an error of
-- fsam.errors whose message is one short printable line. All else is a finding: an internal error,
-- another kind of message, more than 2 seconds, more than 500 MB. Signals are found by the parent
-- (main.lua).
--
-- Owns: this judgement, and which inputs the next ones are made of.
local bundles = require("spec.fuzz.bundle")
local draw = require("spec.fuzz.draw")
local errors = require("fsam.errors")
local ffi = require("ffi")
local mutate = require("spec.fuzz.mutate")
local process = require("spec.fuzz.process")

local M = {}

local MOST_SECONDS, MOST_MB, MOST_MESSAGE = 2, 500, 1200
local CORPUS, CORPUS_BYTES = 400, 20000

local Loop = {}
Loop.__index = Loop

--- A loop.
-- @tparam table o name (of the target), seed, folder (for files), shared (process.shared, or nil),
--   found (function(reason, bundle), called for the first finding of each kind)
function M.new(o)
  local target = require("spec.fuzz.targets." .. o.name)
  local self = setmetatable({ name = o.name, target = target, folder = o.folder, found = o.found,
    draw = draw.new(o.seed), shared = o.shared or ffi.new("struct spec_fuzz_shared"), count = 0,
    outcomes = {}, kinds = {}, written = {}, seeds = target.seeds(), good = {}, odd = {} }, Loop)
  self.state = target.start and target.start(o.folder)
  return self
end

-- The parts as files. Those that are there already are not written again. A file that changes is a
-- new one: a reader that refused the one before may still have it mapped, and truncating a mapped
-- file takes longer than most readers.
function Loop:write(bundle)
  for _, part in ipairs(self.target.parts) do
    local name, bytes = part.name, bundle[part.name]
    local path = self.folder .. "/" .. name
    local lies_there = self.was_written and self.written[name] == bytes
      and not self.target.changes_files
    if not lies_there then
      os.remove(path)
    end
    if bytes and not lies_there then
      local file = assert(io.open(path, "wb"))
      file:write(bytes)
      file:close()
    end
    self.written[name] = bytes
  end
  self.was_written = true
end

-- Leaves the input where the parent finds it.
function Loop:publish(bundle)
  local text = bundles.encode(bundle, self.name)
  local shared = self.shared
  shared.length = math.min(#text, ffi.sizeof(shared.input))
  ffi.copy(shared.input, text, shared.length)
  shared.is_running = 1
end

local function on_error(err)
  return errors.is(err) and err or debug.traceback(tostring(err), 2)
end

-- A message without what differs from input to input.
local function kind_of(message)
  return (message:gsub('"[^"\n]*"', '""'):gsub("%d+", "0"):sub(1, 100))
end

-- What is wrong with a message, or nil.
local function unclear(message)
  if message:find("\n", 1, true) then
    return "several lines"
  elseif message:find("[%z\1-\31\127]") then
    return "control characters in the message"
  elseif #message > MOST_MESSAGE then
    return ("a message of %d bytes"):format(#message)
  elseif message:find("^%s*$") then
    return "an empty message"
  end
end

-- The finding of an execution, or nil; and its outcome.
local function judge(ok, err, seconds, mb)
  local outcome = ok and "accepted" or errors.is(err) and "refused" or "failed"
  local message = not ok and tostring(errors.is(err) and err.message or err) or nil
  if seconds > MOST_SECONDS then
    return ("%.1f seconds"):format(seconds), outcome, "slow"
  elseif mb > MOST_MB then
    return ("%.0f MB more"):format(mb), outcome, "memory"
  elseif outcome == "failed" then
    return "internal: " .. message:gsub("%c+", " | "):sub(1, 1000), outcome,
      kind_of(message:match("^[^\n]*"))
  elseif message and unclear(message) then
    return unclear(message) .. ": " .. message:gsub("%c", "?"):sub(1, 300), outcome,
      unclear(message):gsub("%d+", "N") .. kind_of(message):sub(1, 40)
  end
  return nil, outcome, message and kind_of(message) or "accepted"
end

--- Runs one input.
-- @tparam table bundle
-- @treturn ?string what was found
-- @treturn string "accepted", "refused" or "failed"
-- @treturn string the kind of outcome
function Loop:try(bundle)
  if self.target.files ~= false then
    self:write(bundle)
  end
  self:publish(bundle)
  process.wind_up()
  local seconds, mb = process.used()
  local ok, err = xpcall(self.target.run, on_error, bundle, self.folder, self.state)
  local seconds_after, mb_after = process.used()
  process.rest()
  self.shared.is_running = 0
  local shared = self.shared
  shared.executions = shared.executions + 1
  shared.worst = math.max(shared.worst, seconds_after - seconds)
  shared.peak_mb = math.max(shared.peak_mb, mb_after)
  return judge(ok, err, seconds_after - seconds, mb_after - mb)
end

-- An input with a new outcome takes part from now on; of those that are accepted some do.
function Loop:learn(bundle, kind)
  local bytes, is_good = 0, kind == "accepted"
  for _, part in pairs(bundle) do
    bytes = bytes + #part
  end
  local is_new = not self.outcomes[kind] or is_good and self.draw:once_in(20)
  if not is_new or bytes > CORPUS_BYTES then
    return
  end
  self.outcomes[kind] = true
  local list = is_good and self.good or self.odd
  list[#list < CORPUS and #list + 1 or self.draw:upto(CORPUS)] = bundle
end

-- What the next input is made of: a seed, or what was accepted, or less often what was refused for
-- a new reason, which mostly is refused for the same one again; or an input that fits together.
function Loop:parent()
  if self.target.build and self.draw:once_in(3) then
    return self.target.build(self.draw)
  end
  local list = self.draw:from({ self.seeds, self.good, self.seeds, self.good, self.odd })
  return self.draw:from(#list > 0 and list or self.seeds)
end

--- Runs the next input: first the seeds as they are, then mutations.
-- @treturn ?string what was found
function Loop:next()
  local shared = self.shared
  local n = self.count + 1
  self.count = n
  local bundle = self.seeds[n] or mutate.input(self.draw, self.target, self:parent(),
    self:parent())
  local reason, outcome, kind = self:try(bundle)
  if outcome ~= "failed" then
    shared[outcome] = shared[outcome] + 1
  end
  self:learn(bundle, kind)
  if reason then
    shared.findings = shared.findings + 1
    if not self.kinds[kind] then
      self.kinds[kind] = true
      self.found(reason, bundle)
    end
  end
  return reason
end

return M
