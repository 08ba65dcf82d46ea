--- How a list of named tensors becomes the parameters of one vector: order, offsets, layers. What
-- is done with them: fsam.params.
local C = require("fsam.C")
local errors = require("fsam.errors")
local source_line = require("fsam.base.source_line")

source_line.own()

local ffi, lib, check = C.ffi, C.lib, C.check
local layout_out = ffi.typeof("fsam_layout *[1]")

local M = {}

local ALIGN = 64 -- elements: a cache line of f32 four times, and a word of mask bits
-- In which of the two blocks a kind of parameter lies.
local COMPUTE = { embedding = "act", matrix = "act", bias = "f32", norm = "f32", head = "f32" }

local function product(shape)
  local count = 1
  for _, n in ipairs(shape) do
    count = count * n
  end
  return count
end

local function check_spec(spec, known)
  if not COMPUTE[spec.kind] then
    errors.raise("parameter %s: kind %s is unknown (embedding, matrix, bias, norm, head)",
      tostring(spec.name), tostring(spec.kind))
  elseif type(spec.name) ~= "string" or known[spec.name] then
    errors.raise("parameter %s: a name is needed, and only once", tostring(spec.name))
  elseif type(spec.shape) ~= "table" or #spec.shape < 1 or #spec.shape > 4
      or product(spec.shape) < 1 then
    errors.raise("parameter %s: a shape of 1 to 4 positive dimensions is needed", spec.name)
  end
end

--- Makes self.parameters, by_name, count, trainable, act and total of a list of specs: parameters
-- in the layout's order, those of the compute type first, each list as it was given.
function M.arrange(self, specs)
  for _, spec in ipairs(specs) do
    check_spec(spec, {})
  end
  local offset = 0
  for _, compute in ipairs({ "act", "f32" }) do
    for _, spec in ipairs(specs) do
      if COMPUTE[spec.kind] == compute then
        check_spec(spec, self.by_name)
        local parameter = { index = #self.parameters, name = spec.name, kind = spec.kind,
          layer = spec.layer, shape = spec.shape, offset = offset, count = product(spec.shape),
          decay = spec.decay ~= false, frozen = spec.frozen == true, compute = compute }
        self.parameters[#self.parameters + 1] = parameter
        self.by_name[spec.name] = parameter
        self.count = self.count + parameter.count
        self.trainable = self.trainable + (parameter.frozen and 0 or parameter.count)
        offset = offset + math.ceil(parameter.count / ALIGN) * ALIGN
      end
    end
    self.act = compute == "act" and offset or self.act
  end
  self.total = offset
end

-- A parameter's misspelt field would be nil, and a condition on it false for all of them.
local Parameter = {
  __index = function(parameter, name)
    local fields = {}
    for field in pairs(parameter) do
      fields[#fields + 1] = field
    end
    table.sort(fields)
    source_line.fail("%s", errors.unknown_text("a parameter's field", name, fields))
  end,
}

--- Fills in the layers that specs left out, from what the others say: heads one past the
-- last, else -1. From here on parameters are complete.
function M.number(self)
  local last = -1
  for _, parameter in ipairs(self.parameters) do
    last = math.max(last, parameter.layer or -1)
  end
  for _, parameter in ipairs(self.parameters) do
    parameter.layer = parameter.layer or (parameter.kind == "head" and last + 1 or -1)
    setmetatable(parameter, Parameter)
  end
end

--- The library's layout of the parameters.
function M.new(self)
  local n = #self.parameters
  local offset, count = ffi.new("int64_t[?]", n), ffi.new("int64_t[?]", n)
  local layer, frozen = ffi.new("int32_t[?]", n), ffi.new("uint8_t[?]", n)
  local number, next_number = {}, 0
  for i, parameter in ipairs(self.parameters) do
    if not number[parameter.layer] then
      number[parameter.layer], next_number = next_number, next_number + 1
    end
    offset[i - 1], count[i - 1] = parameter.offset, parameter.count
    layer[i - 1], frozen[i - 1] = number[parameter.layer], parameter.frozen and 1 or 0
  end
  local out = layout_out()
  check(lib.fsam_layout_new(out, self.device, n, offset, count, layer, frozen, self.total,
    self.compute == "bf16" and self.act or 0))
  return ffi.gc(out[0], lib.fsam_layout_free)
end

return M
