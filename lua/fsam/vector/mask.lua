--- The methods of masks: setting the bits of the largest values, exactly, and counting. A mask is
-- one bit per element; as a value it is a condition (mask * x selects).
--
-- Owns: the selection (which parameters take part, how many bits each gets) and the counts. Leaves
-- to others: a mask's memory and its sets (storage.lua). Each public function is a method of named
-- things and raises where its first argument is no mask.
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

-- pool[i] = 1 for the parameters that take part; and how many elements these have.
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

-- How many bits are set: k[0] in the whole pool, or k[index] in each parameter.
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
    self.spare, self.spare_data = params:new_bits(self.name)
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

-- How many bits are set in a, or in both a and b: an array by parameter, and their sum.
local function count_bits(params, a, b)
  local counts, sum = doubles(#params.parameters), 0
  check(lib.fsam_mask_count(counts, params.layout, a, b))
  for i = 0, #params.parameters - 1 do
    sum = sum + counts[i]
  end
  return counts, sum
end

-- |a ∧ b| / max(|a|, |b|, 1).
local function agreement(params, a, b)
  local function count(...)
    return (select(2, count_bits(params, ...)))
  end
  return count(a, b) / math.max(count(a), count(b), 1)
end

--- How many bits are set.
function M.count(self)
  return (select(2, count_bits(self.params, present(self, "count"))))
end

--- The share of set bits.
-- @treturn number of all trainable parameters together
-- @treturn table name → share, of each parameter
function M.density(self)
  local counts, sum = count_bits(self.params, present(self, "density"))
  local by_name = {}
  for i, parameter in ipairs(self.params.parameters) do
    by_name[parameter.name] = counts[i - 1] / math.max(parameter.count, 1)
  end
  return sum / math.max(self.params.trainable, 1), by_name
end

--- How much two masks agree: |a ∧ b| / max(|a|, |b|, 1).
function M.overlap(self, other)
  only_masks(other, "overlap")
  return agreement(self.params, present(self, "overlap"), present(other, "overlap"))
end

--- How much the mask that `top` chose in this step agrees with the one that it will replace.
function M.change(self)
  return agreement(self.params, present(self, "change"), ffi.cast(words, self.data))
end

return M
