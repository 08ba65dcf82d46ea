--- A finished profile as people read it: a row for each phase, and beneath it one for each kernel,
-- with what it had of the machine.
-- Owns: the phases' names and order, and the table.
local numbers = require("fsam.base.numbers")

local M = {}

--- Phases that do not belong to one pass.
M.DATA, M.UPDATE, M.MASK = "data", "perturb, update", "mask refresh"
M.VALIDATION, M.SAVE, M.REST = "validation", "save", "rest"

local LAST = { M.UPDATE, M.MASK, M.VALIDATION, M.SAVE, M.REST } -- after the passes

local SMALL = 0.001 -- of the time: a kernel that took less has no row of its own

local Report = {}
Report.__index = Report

-- Data, the passes by their names, then the rest.
local function rank(phase)
  for i, name in ipairs(LAST) do
    if phase.name == name then
      return i + 1
    end
  end
  return phase.name == M.DATA and 0 or 1
end

-- "pass 1 forward" before "pass 1 backward".
local function before(a, b)
  local ra, rb = rank(a), rank(b)
  if ra ~= rb then
    return ra < rb
  end
  local one, other = a.name:gsub("backward", "later"), b.name:gsub("backward", "later")
  return one < other
end

--- @tparam table o of Profile:finish
function M.new(o)
  table.sort(o.phases, before)
  for _, phase in ipairs(o.phases) do
    table.sort(phase.order, function(a, b)
      return a.seconds > b.seconds
    end)
    phase.kernels, phase.order = phase.order, nil
  end
  return setmetatable(o, Report)
end

local FORMAT = "%-26s %8s %9s %7s %10s %9s %9s %7s"

local function percent(part, whole)
  return whole > 0 and ("%.1f%%"):format(100 * part / whole) or ""
end

local function row(self, name, calls, seconds, of)
  local limits = self.ceilings
  local flops, bytes = of and of.flops or 0, of and of.bytes or 0
  return (FORMAT:format(name, calls, ("%.3f"):format(seconds), percent(seconds, self.seconds),
    flops > 0 and ("%.2f"):format(flops / 1e9) or "", bytes > 0 and ("%.2f"):format(bytes / 1e9)
    or "", flops > 0 and percent(flops / seconds, limits.flops) or "",
    bytes > 0 and percent(bytes / seconds, limits.bytes) or ""):gsub("%s+$", ""))
end

-- Rows of a phase's kernels; those that hardly matter share one. What no kernel took is Lua, and
-- what the engine does outside kernels.
local function add_kernels(self, lines, phase)
  local left, small = phase.seconds, { count = 0, calls = 0, seconds = 0 }
  for _, kernel in ipairs(phase.kernels) do
    left = left - kernel.seconds
    if kernel.seconds >= SMALL * self.seconds then
      lines[#lines + 1] = row(self, "  " .. kernel.name, kernel.calls, kernel.seconds, kernel)
    else
      small.count, small.calls = small.count + 1, small.calls + kernel.calls
      small.seconds = small.seconds + kernel.seconds
    end
  end
  if small.count > 0 then
    lines[#lines + 1] = row(self, ("  %d small ones"):format(small.count), small.calls,
      small.seconds)
  end
  if #phase.kernels > 0 then
    lines[#lines + 1] = row(self, "  between them", "", left)
  end
end

function Report:__tostring()
  local limits, lines = self.ceilings, {}
  lines[1] = ("profile  %d steps, %.2f s; at best this machine does %.1f GFLOP/s in products of %s "
    .. "and %.1f GB/s"):format(self.steps, self.seconds, limits.flops / 1e9, self.compute,
    limits.bytes / 1e9)
  lines[2] = FORMAT:format("", "calls", "seconds", "of all", "GFLOP", "GB", "products", "memory")
  for _, phase in ipairs(self.phases) do
    lines[#lines + 1] = row(self, phase.name, phase.count, phase.seconds)
    add_kernels(self, lines, phase)
  end
  lines[#lines + 1] = ("the profile itself took %.2f s more"):format(self.own)
  if self.lost > 0 then
    lines[#lines + 1] = ("%s calls of kernels are missing: too many came within one span")
      :format(numbers.count(self.lost))
  end
  if self.trace then
    lines[#lines + 1] = ("trace    %s (open it in ui.perfetto.dev or chrome://tracing)%s")
      :format(self.trace.path, self.trace.left_out > 0 and ("; %s later events are left out")
      :format(numbers.count(self.trace.left_out)) or "")
  end
  return table.concat(lines, "\n")
end

return M
