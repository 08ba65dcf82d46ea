--- The project's aims on one H200, each with the part of bench/gpu/run that decides it. An aim
-- gives its figure and whether it is met, or nil while what it needs was not measured.
local M = {}

local function at_most(figure, limit, text)
  return figure and { text = text:format(figure), met = figure <= limit }
end

local function at_least(figure, limit, text)
  return figure and { text = text:format(figure), met = figure >= limit }
end

local function over(a, b)
  return a and b and a / b
end

-- How many times faster than PyTorch's fastest of a mode our step is.
local function times(results, part, mode)
  local theirs = results:fastest(part, "fisher-sam", mode)
  return over(theirs and theirs.seconds.median, results:ours(part, "fisher-sam"))
end

-- Our peak memory over PyTorch's smallest: the larger of what each side counts itself and of what
-- the device reports.
local function memory(results, part, optimizer)
  local worst
  for _, field in ipairs({ "bytes", "device_bytes" }) do
    local line = results:our_lines(part, optimizer)[1]
    local theirs = results:smallest(part, optimizer, field)
    if line and line[field] and theirs then
      worst = math.max(worst or 0, line[field] / theirs)
    end
  end
  return worst
end

-- The least share of copy bandwidth among the vector programs.
local function vector_share(results)
  local least, name
  local copy = results:ceiling("copy")
  for _, line in ipairs(copy and results:all({ kind = "vector" }) or {}) do
    local share = line.bytes / line.seconds / copy
    if not least or share < least then
      least, name = share, line.kernel
    end
  end
  return least, name
end

local function slowest_select(results)
  local most
  for _, line in ipairs(results:all({ kind = "select" })) do
    most = math.max(most or 0, line.seconds)
  end
  return most
end

local function refresh_share(results)
  local line = results:our_lines("large-cola", "fisher-sam")[1]
  return line and line.refresh / (100 * line.seconds.median)
end

local function long_share(results)
  local line, matmul = results:our_lines("large-32x512", "fisher-sam")[1],
    results:ceiling("matmul")
  return line and matmul
    and 2 * line.pass_flops / results:ours("large-32x512", "fisher-sam") / matmul
end

local function scaled(x, by)
  return x and x * by
end

M.list = {
  { "large-cola", "fisher-sam, RoBERTa-large, CoLA: a step in at most 8 ms", function(r)
    return at_most(scaled(r:ours("large-cola", "fisher-sam"), 1e3), 8, "%.2f ms")
  end },
  { "large-cola", "the same, at least 6 × PyTorch eager", function(r)
    return at_least(times(r, "large-cola", "eager"), 6, "%.2f ×")
  end },
  { "large-cola-compile", "the same, at least 2 × torch.compile", function(r)
    return at_least(times(r, "large-cola-compile", "compile"), 2, "%.2f ×")
  end },
  { "large-32x512", "fisher-sam, 32 × 512: at least 55 % of the matmul ceiling", function(r)
    return at_least(scaled(long_share(r), 100), 55, "%.1f %%")
  end },
  { "large-32x512-compile", "the same, at least 1.3 × torch.compile", function(r)
    return at_least(times(r, "large-32x512-compile", "compile"), 1.3, "%.2f ×")
  end },
  { "vectors", "AdamW and the perturbations: at least 85 % of copy bandwidth", function(r)
    local share, name = vector_share(r)
    return at_least(scaled(share, 100), 85, "%.1f %%" .. (name and ", " .. name or ""))
  end },
  { "vectors", "exact selection in at most 2 ms", function(r)
    return at_most(scaled(slowest_select(r), 1e3), 2, "%.2f ms")
  end },
  { "large-cola", "a mask from 32 samples: at most 10 % of 100 steps", function(r)
    return at_most(scaled(refresh_share(r), 100), 10, "%.1f %%")
  end },
  { "large-32x512", "peak memory, sam, 32 × 512: at most 0.6 of PyTorch's", function(r)
    return at_most(memory(r, "large-32x512", "sam"), 0.6, "%.2f")
  end },
  { "large-cola", "peak memory, sam, CoLA: at most 0.85 of PyTorch's", function(r)
    return at_most(memory(r, "large-cola", "sam"), 0.85, "%.2f")
  end },
}

--- Prints those that a part decides, or all.
function M.print(results, part)
  local first = true
  for _, aim in ipairs(M.list) do
    if not part or part == aim[1] then
      if first then
        print("\n| aim | part | figure | |\n|---|---|---|---|")
        first = false
      end
      local found = aim[3](results)
      print(("| %s | %s | %s | %s |"):format(aim[2], aim[1], found and found.text or "",
        not found and "not measured" or found.met and "met" or "**not met**"))
    end
  end
end

return M
