--- The lines of bench/gpu/run's results, and questions to them.
local json = require("fsam.base.json")

local Results = {}
Results.__index = Results

--- Reads a file of JSON lines. A last line that was cut off is left out.
function Results.read(path)
  local self = setmetatable({ lines = {} }, Results)
  for text in io.lines(path) do
    local ok, line = pcall(json.decode, text, path)
    if ok then
      self.lines[#self.lines + 1] = line
    end
  end
  return self
end

--- The lines whose fields have the values wanted.
function Results:all(wanted)
  local list = {}
  for _, line in ipairs(self.lines) do
    local fits = true
    for name, value in pairs(wanted) do
      fits = fits and line[name] == value
    end
    if fits then
      list[#list + 1] = line
    end
  end
  return list
end

-- The mean over lines of what fn gives; nil without lines.
local function mean(list, fn)
  local sum = 0
  for _, line in ipairs(list) do
    sum = sum + fn(line)
  end
  return #list > 0 and sum / #list or nil
end

local function median_of(line)
  return line.seconds.median
end

--- Seconds of our step: the mean of both turns' medians, as without --tune; nil when not measured.
function Results:ours(part, optimizer)
  return mean(self:all({ part = part, kind = "step", mode = "fsam-lua", optimizer = optimizer }),
    median_of)
end

--- Our lines of a step.
function Results:our_lines(part, optimizer)
  return self:all({ part = part, kind = "step", mode = "fsam-lua", optimizer = optimizer })
end

--- PyTorch's fastest line of a step of this mode ("eager", "compile", …), padded; or nil.
function Results:fastest(part, optimizer, mode)
  local best
  for _, line in ipairs(self:all({ part = part, side = "theirs", kind = "step",
    mode = "PyTorch " .. mode, optimizer = optimizer })) do
    if not best or line.seconds.median < best.seconds.median then
      best = line
    end
  end
  return best
end

--- PyTorch's smallest peak of a step in bf16, of lines that have this field; or nil.
function Results:smallest(part, optimizer, field)
  local least
  for _, line in ipairs(self:all({ part = part, side = "theirs", kind = "step",
    optimizer = optimizer })) do
    if type(line[field]) == "number" then
      least = math.min(least or math.huge, line[field])
    end
  end
  return least
end

--- The largest rate measured of "copy" (bytes) or "matmul" (flops), each second; or nil.
function Results:ceiling(what)
  local best
  for _, line in ipairs(self:all({ kind = "ceiling", what = what })) do
    best = math.max(best or 0, line.rate)
  end
  return best
end

return Results
