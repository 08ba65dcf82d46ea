--- What only masks can do: choosing the largest of something, exactly, and counting. A mask is one
-- bit per parameter; as a value it is a condition (mask * x selects).
local C = require("fsam.C")
local code = require("fsam.vector.instructions")
local key = require("fsam.vector.compile.key")
local node = require("fsam.vector.expression")
local source_line = require("fsam.base.source_line")
local queue = require("fsam.vector.queue")
local storage = require("fsam.vector.storage")

source_line.own()

local ffi, lib, check = C.ffi, C.lib, C.check
local fail = source_line.fail
local methods = storage.methods
local words = ffi.typeof("uint64_t *")
local bytes, longs = ffi.typeof("uint8_t[?]"), ffi.typeof("int64_t[?]")
local doubles = ffi.typeof("double[?]")

local function only_masks(self, what)
  if self.class ~= code.BITS then
    fail("%s: a mask is needed, %s is none", what, self.name)
  end
end

-- pool[i] = 1 for the parameters that take part, and how many elements they have.
local function pool_of(model, list)
  local pool, size = bytes(#model.parameters), 0
  for _, entry in ipairs(list or model.parameters) do
    local parameter = model:parameter(entry)
    if not parameter.frozen and pool[parameter.index] == 0 then
      pool[parameter.index] = 1
      size = size + parameter.count
    end
  end
  return pool, size
end

-- How many are chosen: k[0] of the pool, or k[parameter] of each.
local function sizes(model, ratio, per, size)
  local k = longs(#model.parameters + 1)
  k[0] = math.floor(ratio * size)
  if per then
    for i, parameter in ipairs(model.parameters) do
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
function methods.top(self, values, options)
  only_masks(self, "top")
  local model = self.model
  local ratio, per, dense = check_options(options or {})
  values = node.operand(values, "top")
  node.use(values)
  if type(values) == "number" or values.kind % code.BOOL ~= code.VECTOR then
    fail("top: a vector is needed, got %s", node.describe(values))
  elseif values.model ~= model then
    fail("top: the values belong to another model")
  end
  queue.run(model, false)
  local pool, size = pool_of(model, options.pool)
  if not self.spare then
    self.spare = model:new_bits(self.name)
    self.spare_data = self.spare.data
  end
  local program, binding = queue.program_of(model, (key.walk({}, {}, values)))
  check(lib.fsam_program_select(ffi.cast(words, self.spare_data), program.handle, model.layout,
    binding, pool, sizes(model, ratio, per, size), per and 1 or 0, dense and 1 or 0))
  local leaf = storage.new_leaf(self, "spare", self.spare_data, source_line.here())
  for _, older in ipairs(model.spares) do
    if rawequal(older.storage, self) then
      older.state, older.value, older.replaced_by = "gone", false, leaf.line
    end
  end
  self.now = leaf
  model.spares[#model.spares + 1] = leaf
  if not model.in_step then
    queue.commit(model)
  end
  return leaf
end

-- The bits that expressions built now would read.
local function present(self, what)
  only_masks(self, what)
  local leaf = self.now
  if leaf.state == "spare" then
    return ffi.cast(words, leaf.value)
  elseif leaf.state == "queued" then
    queue.look(self.model, what .. " of " .. self.name)
  end
  return ffi.cast(words, self.data)
end

local function counts_of(self, other, what)
  local counts = doubles(#self.model.parameters)
  check(lib.fsam_mask_count(counts, self.model.layout, present(self, what),
    other and present(other, what)))
  return counts
end

local function total(self, other, what)
  local counts, sum = counts_of(self, other, what), 0
  for i = 0, #self.model.parameters - 1 do
    sum = sum + counts[i]
  end
  return sum
end

--- How many bits are set.
function methods.count(self)
  return total(self, nil, "count")
end

--- The share of set bits: of all trainable parameters, and of each parameter by name.
-- @treturn number of the model
-- @treturn table by parameter's name
function methods.density(self)
  local counts, by_name, sum = counts_of(self, nil, "density"), {}, 0
  for i, parameter in ipairs(self.model.parameters) do
    by_name[parameter.name] = counts[i - 1] / math.max(parameter.count, 1)
    sum = sum + counts[i - 1]
  end
  return sum / math.max(self.model.trainable, 1), by_name
end

-- |a ∧ b| / max(|a|, |b|, 1) from the counts of both, a and b.
local function agreement(both, a, b)
  return both / math.max(a, b, 1)
end

--- How much two masks agree: |a ∧ b| / max(|a|, |b|, 1).
function methods.overlap(self, other)
  only_masks(other, "overlap")
  return agreement(total(self, other, "overlap"), total(self, nil, "overlap"),
    total(other, nil, "overlap"))
end

--- How much the mask that `top` chose in this step agrees with the one that it will replace.
function methods.change(self)
  local layout, n = self.model.layout, #self.model.parameters
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

return methods
