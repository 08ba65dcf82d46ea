--- How a list of named tensors becomes the parameters of one vector: order, offsets, layers.
--
-- Owns the checks of what a parameter may be, the one order that every vector shares (those of the
-- compute type first, each aligned) and the library's fsam_layout of it. Leaves vectors to
-- params.lua.
local C = require("fsam.C")
local errors = require("fsam.errors")
local registry = require("fsam.base.registry")
local source_line = require("fsam.base.source_line")

source_line.own()

local ffi, lib, check = C.ffi, C.lib, C.check
local layout_out = ffi.typeof("fsam_layout *[1]")

local M = {}

local ALIGN = 64 -- elements: four cache lines of f32, one word of mask bits
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

-- Fills in the layers that specs left out, from what the others say: heads one past the last, else
-- -1.
local function number_layers(parameters)
  local last = -1
  for _, parameter in ipairs(parameters) do
    last = math.max(last, parameter.layer or -1)
  end
  for _, parameter in ipairs(parameters) do
    parameter.layer = parameter.layer or (parameter.kind == "head" and last + 1 or -1)
  end
end

-- A misspelt field is an error: as nil it would make a condition false for every parameter.
local Parameter = {
  __index = function(parameter, name)
    source_line.fail("%s", errors.unknown_text("a parameter's field", name,
      registry.sorted(parameter)))
  end,
}

--- Arranges a list of specs: parameters in the layout's order, those of the compute type first,
-- each list as it was given.
-- @tparam table specs see params.lua
-- @treturn table { list = parameters in order, by_name; elements: count (real), trainable, total
--   (with padding), act (of the compute type's block) }
-- @raise when a spec has no valid name, kind or shape
function M.arrange(specs)
  for _, spec in ipairs(specs) do
    check_spec(spec, {})
  end
  local all = { list = {}, by_name = {}, count = 0, trainable = 0, act = 0 }
  local offset = 0
  for _, compute in ipairs({ "act", "f32" }) do
    for _, spec in ipairs(specs) do
      if COMPUTE[spec.kind] == compute then
        check_spec(spec, all.by_name)
        local parameter = { index = #all.list, name = spec.name, kind = spec.kind,
          layer = spec.layer, shape = spec.shape, offset = offset, count = product(spec.shape),
          decay = spec.decay ~= false, frozen = spec.frozen == true, compute = compute }
        all.list[#all.list + 1] = parameter
        all.by_name[spec.name] = parameter
        all.count = all.count + parameter.count
        all.trainable = all.trainable + (parameter.frozen and 0 or parameter.count)
        offset = offset + math.ceil(parameter.count / ALIGN) * ALIGN
      end
    end
    all.act = compute == "act" and offset or all.act
  end
  all.total = offset
  number_layers(all.list)
  for _, parameter in ipairs(all.list) do
    setmetatable(parameter, Parameter)
  end
  return all
end

--- The library's layout of arranged parameters.
-- @tparam cdata device fsam_device
-- @tparam table all from `arrange`
-- @tparam boolean two_blocks does the working copy have a bf16 block in front of its f32 block?
-- @treturn cdata fsam_layout, freed when it is collected
function M.layout(device, all, two_blocks)
  local n = #all.list
  local offset, count = ffi.new("int64_t[?]", n), ffi.new("int64_t[?]", n)
  local layer, frozen = ffi.new("int32_t[?]", n), ffi.new("uint8_t[?]", n)
  local number, next_number = {}, 0
  for i, parameter in ipairs(all.list) do
    if not number[parameter.layer] then
      number[parameter.layer], next_number = next_number, next_number + 1
    end
    offset[i - 1], count[i - 1] = parameter.offset, parameter.count
    layer[i - 1], frozen[i - 1] = number[parameter.layer], parameter.frozen and 1 or 0
  end
  local out = layout_out()
  check(lib.fsam_layout_new(out, device, n, offset, count, layer, frozen, all.total,
    two_blocks and all.act or 0))
  return ffi.gc(out[0], lib.fsam_layout_free)
end

return M
