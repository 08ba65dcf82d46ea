--- How a list of named parameters becomes segments of one vector: order, offsets, layers. What is
-- done with them: fsam.params.
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

--- Makes self.segments, by_name, count, trainable, act and total of a list of specs: segments in
-- the layout's order, those of the compute type first, each list as it was given.
function M.arrange(self, specs)
  for _, spec in ipairs(specs) do
    check_spec(spec, {})
  end
  local offset = 0
  for _, compute in ipairs({ "act", "f32" }) do
    for _, spec in ipairs(specs) do
      if COMPUTE[spec.kind] == compute then
        check_spec(spec, self.by_name)
        local segment = { index = #self.segments, name = spec.name, kind = spec.kind,
          layer = spec.layer, shape = spec.shape, offset = offset, count = product(spec.shape),
          decay = spec.decay ~= false, frozen = spec.frozen == true, compute = compute }
        self.segments[#self.segments + 1] = segment
        self.by_name[spec.name] = segment
        self.count = self.count + segment.count
        self.trainable = self.trainable + (segment.frozen and 0 or segment.count)
        offset = offset + math.ceil(segment.count / ALIGN) * ALIGN
      end
    end
    self.act = compute == "act" and offset or self.act
  end
  self.total = offset
end

-- A segment's misspelt field would be nil, and a condition on it false for all of them.
local Segment = {
  __index = function(segment, name)
    local fields = {}
    for field in pairs(segment) do
      fields[#fields + 1] = field
    end
    table.sort(fields)
    source_line.fail("%s", errors.unknown_text("segment", name, fields))
  end,
}

--- Fills in the layers that specs left out, from what the others say: heads one past the
-- last, else -1. From here on segments are complete.
function M.number(self)
  local last = -1
  for _, segment in ipairs(self.segments) do
    last = math.max(last, segment.layer or -1)
  end
  for _, segment in ipairs(self.segments) do
    segment.layer = segment.layer or (segment.kind == "head" and last + 1 or -1)
    setmetatable(segment, Segment)
  end
end

--- The library's layout of the segments.
function M.new(self)
  local n = #self.segments
  local offset, count = ffi.new("int64_t[?]", n), ffi.new("int64_t[?]", n)
  local layer, frozen = ffi.new("int32_t[?]", n), ffi.new("uint8_t[?]", n)
  local number, next_number = {}, 0
  for i, segment in ipairs(self.segments) do
    if not number[segment.layer] then
      number[segment.layer], next_number = next_number, next_number + 1
    end
    offset[i - 1], count[i - 1] = segment.offset, segment.count
    layer[i - 1], frozen[i - 1] = number[segment.layer], segment.frozen and 1 or 0
  end
  local out = layout_out()
  check(lib.fsam_layout_new(out, self.device, n, offset, count, layer, frozen, self.total,
    self.compute == "bf16" and self.act or 0))
  return ffi.gc(out[0], lib.fsam_layout_free)
end

return M
