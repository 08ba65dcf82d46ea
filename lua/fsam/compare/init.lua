--- Comparing optimizers: the same job with several of them and several seeds, at equal epochs, at
-- equal gradient evaluations, or both; then means, deviations, a paired test against a baseline,
-- and the time of an update.
--
--     local options = fsam.compare.parse(arg, { name =, usage =, summary =, recipe = "cola.lua" })
--     local result = fsam.compare.run(options)
--
-- Evaluations are counted by the step: the samples whose gradient it computed, mask policies'
-- included. The budget of evaluations is what sam takes in the epochs, two per sample; how many an
-- optimizer takes is read from its run of equal epochs with the first seed, and its other updates
-- follow from that. An optimizer that takes as many as sam within 2 % has the same runs under both
-- budgets.
--
-- Owns: which runs there are, and their order. Leaves to others: one run (runs.lua), tables and
-- files (report.lua), the command line (flags.lua).
local arguments = require("fsam.base.arguments")
local C = require("fsam.C")
local flags = require("fsam.compare.flags")
local format = require("fsam.base.numbers")
local report = require("fsam.compare.report")
local runs_of = require("fsam.compare.runs")
local schema = require("fsam.base.schema")

local M = { parse = flags.parse }

local SAM, SAME = 2, 0.02 -- evaluations per sample of sam; how near counts as equal

local Comparison = {}
Comparison.__index = Comparison

-- -- running --------------------------------------------------------------------------------------

-- The time left for a list of runs, as text: their number times the mean of those that ran so far.
local function time_left(self, left)
  return self.trained > 0 and left > 0
    and ("   about %s left"):format(format.duration(self.seconds / self.trained * left)) or ""
end

function Comparison:say(text)
  io.stdout:write(self.open_line and "\r\27[K" or "", text, "\n")
  io.stdout:flush()
  self.open_line = false
end

-- Shows what is running, on a line of the terminal that the next line overwrites.
function Comparison:announce(text)
  if self.is_terminal then
    io.stdout:write(text, " …")
    io.stdout:flush()
    self.open_line = true
  end
end

function Comparison:result_line(run)
  local r = run.results
  local metric = r.best_checkpoint_metric
  return ("%s %s   %s   %s"):format(metric, format.metric(metric, r[self.options.score][metric]),
    format.duration(r.seconds.train), format.count(r.updates) .. " updates")
end

-- Trains the missing ones of a list of runs, one after the other. False after Ctrl-C.
function Comparison:train(list, title)
  local missing = {}
  for _, run in ipairs(list) do
    run.results = self.runs:results(run)
    missing[#missing + 1] = not run.results and run or nil
  end
  for i, run in ipairs(missing) do
    local head = ("%s  %s  %-" .. self.width .. "s  seed %-3d"):format(title,
      ("%" .. #tostring(#list) .. "d/%d"):format(#list - #missing + i, #list), run.entry.label,
      run.seed)
    self:announce(head)
    local from = C.lib.fsam_clock()
    local failure = self.runs:train(run)
    if failure == "interrupted" then
      self:say(head .. "  interrupted")
      return false
    end
    self.seconds, self.trained = self.seconds + C.lib.fsam_clock() - from, self.trained + 1
    run.results = not failure and self.runs:results(run) or nil
    if failure then
      self.failures[#self.failures + 1] = ("%s seed %d failed: %s (%s.out)"):format(run.entry.label,
        run.seed, failure, run.folder)
    end
    self:say(head .. "  " .. (run.results and self:result_line(run) or "failed")
      .. time_left(self, #missing - i))
  end
  return true
end

-- -- what there is to run -------------------------------------------------------------------------

-- Runs of every entry with these seeds, seed by seed, so that an unfinished comparison is paired.
function Comparison:plan(seeds, length_of)
  local list = {}
  for _, seed in ipairs(seeds) do
    for _, entry in ipairs(self.options.entries) do
      list[#list + 1] = self.runs:run(entry, seed, length_of and length_of(entry))
    end
  end
  return list
end

-- The finished runs of an entry.
local function finished(list, entry)
  local found = {}
  for _, run in ipairs(list) do
    if run.entry == entry and run.results then
      found[#found + 1] = run
    end
  end
  return found
end

-- How long an entry trains for as many evaluations as sam takes; nil when its own length gives
-- them.
local function length_of(pilot)
  local r = pilot.results
  if r.evaluations == 0 or r.samples == 0 then
    return nil -- every update was skipped
  end
  local factor = SAM / (r.evaluations / r.samples)
  local updates = math.floor(r.updates * factor + 0.5)
  if math.abs(factor - 1) <= SAME or updates == r.updates then
    return nil
  end
  return { updates = updates, epochs = math.max(1, math.ceil(r.last.epoch * factor)) }
end

function Comparison:group(budget, list)
  local group, base = { budget = budget, rows = {} }, finished(list, self.options.baseline)
  for _, entry in ipairs(self.options.entries) do
    local mine = entry == self.options.baseline and base or finished(list, entry)
    group.rows[#group.rows + 1] = { entry = entry, runs = mine,
      summary = report.summary(self.options, mine, base) }
  end
  self.groups[#self.groups + 1] = group
end

-- Equal epochs: all seeds; or the first seed alone, which shows what an update costs.
function Comparison:epochs()
  local o = self.options
  local is_asked = o.budget ~= "evaluations"
  local list = self:plan(is_asked and o.seeds or { o.seeds[1] })
  local whole = self:train(list, "epochs")
  if is_asked then
    self:group("epochs", list)
  end
  return whole, list
end

function Comparison:evaluations(pilots)
  local lengths, skipped = {}, {}
  for _, entry in ipairs(self.options.entries) do
    local pilot = finished(pilots, entry)[1]
    if pilot then
      lengths[entry] = length_of(pilot)
    else
      skipped[entry] = true
      self.failures[#self.failures + 1] = entry.label
        .. " has no run that says how many evaluations an update takes"
    end
  end
  local list = {}
  for _, run in ipairs(self:plan(self.options.seeds, function(entry) return lengths[entry] end)) do
    list[#list + 1] = not skipped[run.entry] and run or nil
  end
  local whole = self:train(list, "evaluations")
  self:group("evaluations", list)
  return whole
end

-- -- the whole ------------------------------------------------------------------------------------

local function head(self)
  local o, labels = self.options, {}
  for i, entry in ipairs(o.entries) do
    labels[i] = entry.label
  end
  self:say(("compare  %s · %d seed%s · %s · against %s"):format(table.concat(labels, ", "),
    #o.seeds, #o.seeds == 1 and "" or "s",
    o.budget == "both" and "equal epochs and equal evaluations" or "equal " .. o.budget,
    o.baseline.label))
  self:say(("runs     %s, each %s %s"):format(o.save_dir, o.recipe, table.concat(o.words, " ")))
end

local function foot(self)
  local o = self.options
  for _, group in ipairs(self.groups) do
    self:say("\nequal " .. group.budget .. "\n" .. report.table(o, group))
  end
  self:say("\n" .. report.legend(o))
  for _, list in ipairs({ self.failures, report.collapsed(self.groups) }) do
    for _, line in ipairs(list) do
      self:say("warning  " .. line)
    end
  end
  report.write(o, self.groups)
  if self.runs.aside then
    self:say(("aside    what was in %s is now in %s"):format(o.save_dir, self.runs.aside))
  end
  self:say(("written  %s/runs.csv, %s/summary.csv"):format(o.save_dir, o.save_dir))
end

--- Runs what is missing of a comparison, and reports.
-- @tparam table o options of `parse`
-- @treturn table interrupted, failures (sentences), groups (budget, rows: entry, runs, summary)
-- @raise one line when a run cannot even begin, or the folder holds another comparison
function M.run(o)
  local width = 0
  for _, entry in ipairs(o.entries) do
    width = math.max(width, #entry.label)
  end
  local self = setmetatable({ options = o, runs = runs_of.open(o), groups = {}, failures = {},
    width = width, seconds = 0, trained = 0, open_line = false,
    is_terminal = C.lib.fsam_terminal_width(1) > 0 }, Comparison)
  head(self)
  local whole, pilots = self:epochs()
  if whole and o.budget ~= "epochs" then
    whole = self:evaluations(pilots)
  end
  foot(self)
  if not whole then
    self:say("interrupted; the same command goes on with what is missing")
  end
  return { interrupted = not whole, failures = self.failures, groups = self.groups }
end

arguments.guard("fsam.compare", M, {
  parse = { arguments.arg("arguments", arguments.table), arguments.fields({ name = schema.string,
    usage = arguments.optional(schema.string), summary = arguments.optional(schema.string),
    recipe = schema.string }) },
  run = { arguments.arg("options", arguments.object("options, of fsam.compare.parse",
    { entries = "table", seeds = "table", words = "table" })) },
})

return M
