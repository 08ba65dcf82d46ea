--- A safetensors file: its header, and all readers of each tensor.
local ffi = require("ffi")
local safetensors = require("fsam.formats.safetensors")
local seeds = require("spec.fuzz.seeds")

local MOST = 1e5 -- elements that are read one by one

return {
  parts = { { name = "a.safetensors", kind = "tensors" } },
  words = seeds.TENSOR_WORDS,
  seeds = function()
    return { { ["a.safetensors"] = seeds.tensors() } }
  end,
  run = function(_, folder)
    local source = safetensors.open(folder .. "/a.safetensors")
    for _, name in ipairs(source.names) do
      local entry = source:get(name)
      if entry.elements > 0 and entry.elements < MOST then
        entry:read_bytes(ffi.new("uint8_t[?]", entry.bytes), entry.bytes)
        if entry:is_float() then
          entry:read_f32(ffi.new("float[?]", entry.elements), entry.elements)
          entry:values()
        end
      end
    end
    source:close()
  end,
}
