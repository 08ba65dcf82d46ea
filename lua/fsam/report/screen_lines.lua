--- Reports for people: aligned lines, with a progress bar where there is a terminal.
--
-- Owns: how `--log-format bar` and `simple` look. The two differ only in what they show within an
-- epoch: bar redraws one line, simple writes one every --log-interval updates.

local diagnosed_steps = require("fsam.report.diagnosed_steps")
local format = require("fsam.base.numbers")
local registry = require("fsam.base.registry")

local M = {}

local Screen = {}
Screen.__index = Screen

local REDRAW_SECONDS = 0.1
local BAR_WIDTH = 36

-- The characters of the bar: done, its end, the rest.
local UNICODE = { "━", "╸", "─" }
local ASCII = { "=", ">", "-" }

local function utf8_terminal()
  local locale = os.getenv("LC_ALL") or os.getenv("LC_CTYPE") or os.getenv("LANG") or ""
  return locale:lower():find("utf%-?8") ~= nil
end

--- @tparam table o out (file), width (columns of the terminal, 0: none), interval, metrics (names),
--   clock (function)
function M.new(o)
  local colour = o.width > 0 and not os.getenv("NO_COLOR") and os.getenv("TERM") ~= "dumb"
  return setmetatable({
    out = o.out, width = o.width, interval = o.interval, metrics = o.metrics, clock = o.clock,
    marks = utf8_terminal() and UNICODE or ASCII, colour = colour, drawn = false, last_draw = 0,
  }, Screen)
end

function Screen:erase()
  if self.drawn then
    self.out:write("\r\27[K")
    self.drawn = false
  end
end

--- A line above the bar.
function Screen:line(text)
  self:erase()
  self.out:write(text, "\n")
  self.out:flush()
end

-- [━━━━╸────] of `width` characters.
local function bar(self, share, width)
  local done = math.floor(share * width)
  local done_part = self.marks[1]:rep(done)
  if done < width then
    done_part = done_part .. self.marks[2]
  end
  local rest = self.marks[3]:rep(width - done - 1)
  return done_part .. (self.colour and "\27[2m" .. rest .. "\27[22m" or rest)
end

local function progress(r)
  local steps = format.count(r.steps)
  return ("%" .. #steps .. "s/%s   loss %.3f   %s tok/s   %s left"):format(format.count(r.done),
    steps, r.epoch_averages.loss or 0 / 0, format.count(r.epoch_averages.tokens_per_second or 0),
    format.clock(r.seconds_left))
end

function Screen:draw(r)
  local now = self.clock()
  if now - self.last_draw < REDRAW_SECONDS and r.done < r.steps then
    return
  end
  self.last_draw = now
  local left = ("epoch %d  "):format(r.epoch)
  local right = "  " .. progress(r)
  local room = math.min(BAR_WIDTH, self.width - #left - #right - 1)
  local line = room >= 5 and left .. bar(self, r.done / r.steps, room) .. right
    or (left .. right):sub(1, math.max(self.width - 1, 10))
  self.out:write("\r", line, "\27[K")
  self.out:flush()
  self.drawn = true
end

function Screen:step(r)
  if self.width > 0 then
    self:draw(r)
  elseif (r.step + 1) % self.interval == 0 then
    self:line(("epoch %-3d  %s   lr %.3g"):format(r.epoch, progress(r), r.lr))
  end
end

function Screen:warn(text)
  self:line("warning  " .. text)
end

function Screen:note(text)
  self:line(text)
end

function Screen:values(values)
  local parts = {}
  for i, name in ipairs(self.metrics) do
    parts[i] = name .. " " .. format.metric(name, values[name])
  end
  return table.concat(parts, "   ")
end

-- A line for each further set that was judged.
function Screen:further(also, indent)
  for _, name in ipairs(registry.sorted(also or {})) do
    self:line(("%s%s %s"):format(indent, name, self:values(also[name])))
  end
end

-- These are fairseq's lines alone.
function Screen.begin_epoch() end
function Screen.begin_validation() end

function Screen:validated(r)
  self:line(("epoch %-3d  update %s   dev %s%s"):format(r.epoch, format.count(r.step),
    self:values(r.values), r.is_best and "   best" or ""))
  self:further(r.also, (" "):rep(29))
end

function Screen:epoch(r)
  self:line(("epoch %-3d  train loss %.3f   dev %s   %s%s"):format(r.epoch,
    r.averages.loss or 0 / 0, r.values and self:values(r.values) or "not validated",
    format.duration(r.seconds), r.is_best and "   best" or ""))
  self:further(r.also, (" "):rep(29))
  if r.diagnosed then
    self:line("diagnose   " .. diagnosed_steps.text(r.diagnosed))
  end
end

-- Checkpoints are in the summary.
function Screen.saved() end

local function by_group(groups)
  local names, width = registry.sorted(groups), 0
  for _, name in ipairs(names) do
    width = math.max(width, #name)
  end
  local lines = {}
  for i, name in ipairs(names) do
    lines[i] = ("%s%s  %5.1f %%"):format(i == 1 and "by kind  " or "         ",
      format.pad(name, width), groups[name] * 100)
  end
  return table.concat(lines, "\n")
end

-- "masks    22 in 1.3 s, the last 10.0 % of the weights; each kept 61 to 88 % of the one before".
local function masks(m)
  local kept = m.least and ("; each kept %.0f to %.0f %% of the one before"):format(m.least * 100,
    m.most * 100) or ""
  return ("masks    %s in %s, the last %.1f %% of the weights%s"):format(format.count(m.count),
    format.duration(m.seconds), m.density * 100, kept)
end

--- The table at the end.
-- @tparam table s summary of loop.run
-- @tparam ?table m the masks' counts (report/init.lua), when there were masks
function Screen:finish(s, m)
  local function row(label, at, path)
    self:line(("%-8s epoch %-3d  %s   %s"):format(label, at.epoch, self:values(at.values),
      path or ""):gsub("%s+$", ""))
    self:further(at.also, (" "):rep(9))
  end
  if s.best then
    row("best", s.best, s.best_path)
  end
  if s.last then
    row("last", s.last, s.last_path)
  end
  local groups = s.best and s.best.groups
  if groups then
    self:line(by_group(groups))
  end
  self:line(("trained  %s in %s, %s tok/s; validation %s%s"):format(
    format.quantity(s.updates, "update"), format.duration(s.train_seconds),
    format.count(s.tokens_per_second), format.duration(s.valid_seconds),
    s.skipped > 0 and "; " .. format.quantity(s.skipped, "update") .. " skipped" or ""))
  if m then
    self:line(masks(m))
  end
end

return M
