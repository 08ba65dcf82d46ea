--- Where a run's events go: the screen in the chosen format, and train.log in the run folder.
--
-- Owns: the choice of a screen (screen_lines, screen_json, or none) and train.log: one line of JSON
-- per event, with every update, whatever the screen shows. Numbers that are not finite are left
-- out. A run that was killed and continued repeats the steps after its checkpoint: a "start" line
-- stands between, and the later lines count. Leaves to others: how events look on a screen.

local C = require("fsam.C")
local file = require("fsam.base.file")
local json = require("fsam.base.json")

local M = {}

local Report = {}
Report.__index = Report

local SILENT = setmetatable({}, {
  __index = function()
    return function() end
  end,
})

-- The order of fields in train.log.
local ORDER = { "event", "epoch", "step", "loss", "accuracy", "lr", "samples", "tokens", "gnorm",
  "dnorm", "enorm", "rho" }

--- A copy without what JSON cannot hold: numbers that are not finite, functions, ….
local function finite(fields)
  local clean = {}
  for key, value in pairs(fields) do
    local kind = type(value)
    if kind == "number" then
      clean[key] = value == value and math.abs(value) < math.huge and value or nil
    elseif kind == "table" then
      clean[key] = finite(value)
    elseif kind == "string" or kind == "boolean" then
      clean[key] = value
    end
  end
  return clean
end

M.finite = finite

local function make_screen(o, metrics, out)
  local kind = o.log_format
  local width = kind == "bar" and C.lib.fsam_terminal_width(1) or 0
  local screens = {
    bar = "fsam.report.screen_lines", simple = "fsam.report.screen_lines",
    json = "fsam.report.screen_json",
  }
  if not screens[kind] then
    return SILENT
  end
  return require(screens[kind]).new({
    out = out, width = width, interval = o.log_interval, metrics = metrics,
    clip_norm = o.clip_norm, clock = C.lib.fsam_clock,
  })
end

--- @tparam table o log_format, log_interval, clip_norm
-- @tparam {string,…} metrics names in the order shown
-- @tparam[opt=io.stdout] file out
function M.new(o, metrics, out)
  return setmetatable({ screen = make_screen(o, metrics, out or io.stdout) }, Report)
end

--- Opens train.log; a continued run appends to it, on a line of its own.
-- @tparam string path
function Report:open_log(path)
  local ok, log = pcall(file.appender, path, "log")
  if not ok then
    self:warn(("no train.log: %s"):format(tostring(log)))
    return
  end
  self.log = log
  if log:is_torn() then
    pcall(log.write, log, "\n")
  end
end

local function add(log, line)
  log:write(line)
  log:flush()
end

--- Adds an event to train.log. A full disk costs the log, not the run: checkpoints decide on that.
function Report:record(event, fields)
  if self.log then
    local line = finite(fields)
    line.event = event
    local ok, reason = pcall(add, self.log, json.encode(line, { order = ORDER }) .. "\n")
    if not ok then
      self.log = nil
      self:warn(("train.log ends here: %s"):format(tostring(reason)))
    end
  end
end

function Report:header(lines)
  for _, line in ipairs(lines) do
    self.screen:note(line)
  end
end

function Report:note(text)
  self.screen:note(text)
end

function Report:warn(text)
  self.screen:warn(text)
  self:record("warning", { text = text })
end

-- Counts a mask of this session for the summary: count, seconds, density of the last one; least and
-- most, the extremes of the overlaps with the mask before (nil until there is one).
function Report:count_mask(mask)
  local m = self.masks or { count = 0, seconds = 0 }
  m.count, m.seconds, m.density = m.count + 1, m.seconds + mask.seconds, mask.density
  if mask.overlap then
    m.least = math.min(m.least or 1, mask.overlap)
    m.most = math.max(m.most or 0, mask.overlap)
  end
  self.masks = m
end

--- An update.
-- @tparam table r the fields that Loop:update (train/loop.lua) gives it
function Report:step(r)
  self.screen:step(r)
  self:record(r.skipped and "skip" or "step", {
    epoch = r.epoch, step = r.step, loss = r.loss, lr = r.lr, samples = r.samples,
    tokens = r.tokens, gnorm = r.gnorm, dnorm = r.dnorm, enorm = r.enorm, rho = r.rho,
    reason = r.skipped, accuracy = r.correct and r.correct / r.seen, seconds = r.seconds,
    seen = r.seen ~= r.samples and r.seen or nil,
  })
  if r.mask then
    self:record("mask", { step = r.step, mask = r.mask })
    self:count_mask(r.mask)
  end
  if r.diagnosis then
    r.diagnosis.step = r.step
    self:record("diagnosis", r.diagnosis)
  end
end

function Report:begin_epoch(epoch)
  self.screen:begin_epoch(epoch)
end

function Report:begin_validation()
  self.screen:begin_validation()
end

--- A validation within an epoch.
-- @tparam table r see Loop:standing (train/loop.lua)
function Report:validated(r)
  self.screen:validated(r)
  self:record("validation", {
    epoch = r.epoch, step = r.step, dev = r.values, by_kind = r.groups, is_best = r.is_best,
    valid_seconds = r.valid_seconds,
  })
end

--- The end of an epoch, or of the run within it; without `values` it was not validated.
-- @tparam table r see Loop:standing (train/loop.lua)
function Report:epoch(r)
  self.screen:epoch(r)
  self:record("epoch", {
    epoch = r.epoch, step = r.step, loss = r.averages.loss, accuracy = r.averages.accuracy,
    dev = r.values, also = r.also, by_kind = r.groups, is_best = r.is_best, seconds = r.seconds,
    valid_seconds = r.valid_seconds, tokens_per_second = r.averages.tokens_per_second,
    diagnosed = r.diagnosed,
  })
end

function Report:saved(r)
  self.screen:saved(r)
  self:record("saved", r)
end

function Report:finish(s)
  self.screen:finish(s, self.masks)
  self:record("end", { step = s.updates, train_seconds = s.train_seconds, why = s.why })
  local log = self.log
  self.log = nil
  local ok, reason = pcall(function()
    return log and log:close()
  end)
  if not ok then
    self:warn(("train.log may lack its end: %s"):format(tostring(reason)))
  end
end

return M
