--- Machine code of the CUDA kernels, as `nvdisasm -c` prints it: how many instructions a warp
-- executes. Called by bench/gpu/predict.lua. Owns: finding the loops of a kernel and the path
-- through it. Leaves to others: how often a loop runs, which the text does not say.
--
-- The path is the one of a full tile of aligned data: of two ways on, it takes that with more of
-- the instructions that do the work (MARKS), and of equals the shorter one. So it passes by slow
-- paths, tails and masks, and through every product, random octet and access of 16 bytes.
local M = {}

-- What does the work, the name under which `trips` counts it, and how much a path is worth for it:
-- an access of 16 bytes more than the eight of its slow path. Philox is known by a factor.
local MARKS = {
  { "^HMMA", "product", 10 }, { "^LDGSTS", "load", 10 }, { "^LDG.*%.128", "load", 10 },
  { "^STG.*%.128", "store", 10 }, { "2daee0ad", "philox", 10 }, { "0xd2511f53", "philox", 10 },
  { "^LDSM", "matrices", 10 }, { "^LDG%.E%S* R", "word", 1 },
}

local function mark_of(text)
  for _, mark in ipairs(MARKS) do
    if text:find(mark[1]) then
      return mark[2], mark[3]
    end
  end
end

--- Reads kernels.
-- @tparam function lines an iterator over the lines of nvdisasm, but a kernel begins with
--   ".text. NAME :", its name as C++ writes it
-- @treturn table by name: { { text, guard, mark, worth, target (a label) }, …, name,
--   labels = { name = the instruction that follows it } }
function M.read(lines)
  local kernels, kernel = {}, nil
  for line in lines do
    local name = line:match("^%.text%. (.*) :%s*$")
    if name then
      name = name:gsub("^void ", ""):gsub("%(.*%)$", "")
      kernel = { labels = {}, name = name }
      kernels[name] = kernel
    elseif line:find("^%.section") then
      kernel = nil
    elseif kernel then
      local label = line:match("^(%.L[%w_]*):")
      local text = line:match("^%s+/%*%x+%*/%s+(.-)%s*;")
      if label then
        kernel.labels[label] = #kernel + 1
      elseif text then
        local guard, rest = text:match("^(@!?U?P%w+)%s+(.*)$")
        rest = rest or text
        local mark, worth = mark_of(rest)
        table.insert(kernel, { text = rest, guard = guard, mark = mark, worth = worth or 0,
          target = rest:match("^BRA.*`%((%.L[%w_]*)%)") })
      end
    end
  end
  return kernels
end

-- The loops of a kernel, the outer ones first: { first, last (numbers of instructions), marks }.
local function loops_of(kernel)
  local list, by_first = {}, {}
  for i, at in ipairs(kernel) do
    local first = at.target and kernel.labels[at.target]
    if first and first < i then -- a branch to itself ends every kernel and is none
      local loop = by_first[first]
      if not loop then
        loop = { first = first, marks = {} }
        by_first[first] = loop
        table.insert(list, loop)
      end
      loop.last = i
    end
  end
  for _, loop in ipairs(list) do
    for i = loop.first, loop.last do
      local mark = kernel[i].mark
      if mark then
        loop.marks[mark] = (loop.marks[mark] or 0) + 1
      end
    end
  end
  table.sort(list, function(a, b)
    return a.first ~= b.first and a.first < b.first or a.first == b.first and a.last > b.last
  end)
  return list
end

local function depth_first(loops, loop)
  for _, other in ipairs(loops) do
    if other ~= loop and other.first >= loop.first and other.last <= loop.last then
      return false
    end
  end
  return true
end

--- The loops of a kernel, for people: where each begins and ends and what it holds.
function M.loops(kernel)
  local list = loops_of(kernel)
  for _, loop in ipairs(list) do
    loop.inner = depth_first(list, loop)
  end
  return list
end

--- How many instructions a warp executes.
-- @tparam table kernel of `read`
-- @tparam function trips (loop { marks, inner, first, last }) → how often the loop's body runs
-- @treturn number instructions, and a table of those with a mark
function M.executed(kernel, trips)
  local weight = {}
  for i = 1, #kernel do
    weight[i] = 1
  end
  for _, loop in ipairs(M.loops(kernel)) do
    local times = trips(loop)
    for i = loop.first, loop.last do
      weight[i] = weight[i] * times
    end
  end
  -- From the end: what is best from an instruction on, as marks, count and the next instruction.
  local n, marks, count, next_of = #kernel, {}, {}, {}
  marks[n + 1], count[n + 1] = 0, 0
  for i = n, 1, -1 do
    local at = kernel[i]
    local ways = {}
    local target = at.target and kernel.labels[at.target]
    if at.text:find("^EXIT") then
      ways[1] = n + 1
      if at.guard then
        ways[2] = i + 1
      end
    elseif target and target > i and not at.text:find("^BRA%.DIV") then
      ways[1] = target
      if at.guard or at.text:find("^BRA%S*%s+!?U?P") then
        ways[2] = i + 1
      end
    else
      ways[1] = i + 1
    end
    local best
    for _, way in ipairs(ways) do
      if not best or marks[way] > marks[best]
        or marks[way] == marks[best] and count[way] < count[best] then
        best = way
      end
    end
    marks[i] = marks[best] + at.worth * weight[i]
    count[i] = count[best] + (at.text:find("^NOP") and 0 or weight[i])
    next_of[i] = best
  end
  local found, i = {}, 1
  while i <= n do
    local mark = kernel[i].mark
    if mark then
      found[mark] = (found[mark] or 0) + weight[i]
    end
    i = next_of[i]
  end
  return count[1], found
end

return M
