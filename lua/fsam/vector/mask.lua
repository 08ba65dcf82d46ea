--- What only masks can do: choosing the largest of something, exactly, and counting. A mask is one
-- bit per element; as a value it is a condition (mask * x selects).
--
-- Owns the selection (which parameters take part, how many bits each gets) and the counts. Each
-- public function is a method of named things (storage.lua) and raises where its first argument is
-- no mask.
local C = require("fsam.C")
local code = require("fsam.vector.instructions")
local expression = require("fsam.vector.expression")
local leaves = require("fsam.vector.leaf")
local source_line = require("fsam.base.source_line")

source_line.own()

local ffi, lib, check = C.ffi, C.lib, C.check
local fail = source_line.fail
local words = ffi.typeof("uint64_t *")
local bytes, longs = ffi.typeof("uint8_t[?]"), ffi.typeof("int64_t[?]")
local doubles = ffi.typeof("double[?]")

local M = {}

local function only_masks(self, what)
  if self.class ~= code.BITS then
    fail("%s: a mask is needed, %s is none", what, self.name)
  end
end

-- pool[i] = 1 for the parameters that take part, and how many elements they have.
local function pool_of(params, list)
  local pool, size = bytes(#params.parameters), 0
  for _, entry in ipairs(list or params.parameters) do
    local parameter = params:parameter(entry)
    if not parameter.frozen and pool[parameter.index] == 0 then
      pool[parameter.index] = 1
      size = size + parameter.count
    end
  end
  return pool, size
end

-- How many are chosen: k[0] of the pool, or k[parameter] of each.
local function sizes(params, ratio, per, size)
  local k = longs(#params.parameters + 1)
  k[0] = math.floor(ratio * size)
  if per then
    for i, parameter in ipairs(params.parameters) do
      k[i - 1] = math.floor(ratio * parameter.count)
    end
  end
  return k
end

local OPTIONS = { keep_ratio = true, pool = true, per = true, unmasked = true }

local function check_options(options)
  for name in pairs(options) do
    if not OPTIONS[name] then
      fail("top: unknown option %s (keep_ratio, per, pool, unmasked)", tostring(name))
    end
  end
  local ratio, per, unmasked = options.keep_ratio, options.per, options.unmasked or "none"
  if type(ratio) ~= "number" or not (ratio >= 0 and ratio <= 1) then
    fail("top: keep_ratio is %s, expected 0 to 1", tostring(ratio))
  elseif per ~= nil and per ~= "tensor" then
    fail("top: per is %s, expected \"tensor\" or nothing", tostring(per))
  elseif unmasked ~= "none" and unmasked ~= "dense" then
    fail("top: unmasked is %s, expected \"none\" or \"dense\"", tostring(unmasked))
  end
  return ratio, per == "tensor", unmasked == "dense"
end

--- Sets the bits of the largest values of an expression, floor(keep_ratio × pool) of them,
-- exactly; ties go to the lowest element, a 0 is chosen only with keep_ratio 1. Runs now, into a
-- second copy of the mask, which takes the first one's place when the step is committed (outside
-- a step: now).
-- @param values a vector or expression without negative values
-- @tparam table options keep_ratio; pool: list of parameters or names (default all that are not
--   frozen); per = "tensor": of each parameter its own share; unmasked: "none" or "dense", the bits
--   of the parameters outside the pool
-- @treturn table the new mask as an expression
-- @raise when a value is negative or NaN
function M.top(self, values, options)
  only_masks(self, "top")
  local params = self.params
  local ratio, per, dense = check_options(options or {})
  values = expression.operand(values, "top")
  expression.use(values)
  if type(values) == "number" or values.kind % code.BOOL ~= code.VECTOR then
    fail("top: a vector is needed, got %s", expression.describe(values))
  elseif values.params ~= params then
    fail("top: the values belong to another model")
  end
  params.queue:flush()
  local pool, size = pool_of(params, options.pool)
  if not self.spare then
    self.spare = params:new_bits(self.name)
    self.spare_data = self.spare.data
  end
  local program, binding = params.queue:selection(values)
  check(lib.fsam_program_select(ffi.cast(words, self.spare_data), program.handle, params.layout,
    binding, pool, sizes(params, ratio, per, size), per and 1 or 0, dense and 1 or 0))
  local leaf = leaves.new(self, "spare", self.spare_data, source_line.here())
  self.now = leaf
  params.queue:add_spare(leaf)
  return leaf
end

-- The bits that expressions built now would read.
local function present(self, what)
  only_masks(self, what)
  local leaf = self.now
  if leaf.state == "spare" then
    return ffi.cast(words, leaf.value)
  elseif leaf.state == "queued" then
    self.params.queue:look(what .. " of " .. self.name)
  end
  return ffi.cast(words, self.data)
end

local function counts_of(self, other, what)
  local counts = doubles(#self.params.parameters)
  check(lib.fsam_mask_count(counts, self.params.layout, present(self, what),
    other and present(other, what)))
  return counts
end

local function total(self, other, what)
  local counts, sum = counts_of(self, other, what), 0
  for i = 0, #self.params.parameters - 1 do
    sum = sum + counts[i]
  end
  return sum
end

--- How many bits are set.
function M.count(self)
  return total(self, nil, "count")
end

--- The share of set bits: of all trainable parameters, and of each parameter by name.
-- @treturn number of all trainable parameters
-- @treturn table by parameter's name
function M.density(self)
  local counts, by_name, sum = counts_of(self, nil, "density"), {}, 0
  for i, parameter in ipairs(self.params.parameters) do
    by_name[parameter.name] = counts[i - 1] / math.max(parameter.count, 1)
    sum = sum + counts[i - 1]
  end
  return sum / math.max(self.params.trainable, 1), by_name
end

-- |a ∧ b| / max(|a|, |b|, 1) from the counts of both, a and b.
local function agreement(both, a, b)
  return both / math.max(a, b, 1)
end

--- How much two masks agree: |a ∧ b| / max(|a|, |b|, 1).
function M.overlap(self, other)
  only_masks(other, "overlap")
  return agreement(total(self, other, "overlap"), total(self, nil, "overlap"),
    total(other, nil, "overlap"))
end

--- How much the mask that `top` chose in this step agrees with the one that it will replace.
function M.change(self)
  local layout, n = self.params.layout, #self.params.parameters
  local new, old = present(self, "change"), ffi.cast(words, self.data)
  local function count(a, b)
    local counts, sum = doubles(n), 0
    check(lib.fsam_mask_count(counts, layout, a, b))
    for i = 0, n - 1 do
      sum = sum + counts[i]
    end
    return sum
  end
  return agreement(count(new, old), count(new, nil), count(old, nil))
end

return M
