--- model.safetensors.index.json over two shards.
local helper = require("spec.helper")
local mutate = require("spec.fuzz.mutate")
local safetensors = require("fsam.formats.safetensors")
local seeds = require("spec.fuzz.seeds")

local function shard(name)
  return mutate.tensors(('{"%s":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'):format(name),
    "\0\0\128\63")
end

return {
  parts = { { name = "i.json", kind = "document" } },
  words = seeds.TENSOR_WORDS,
  seeds = function()
    return { { ["i.json"] = '{"metadata": {"total_size": 8, "format": "pt"}, "weight_map": '
      .. '{"w": "one.safetensors", "b": "two.safetensors"}}' } }
  end,
  start = function(folder)
    helper.write_file(folder .. "/one.safetensors", shard("w"))
    helper.write_file(folder .. "/two.safetensors", shard("b"))
  end,
  run = function(_, folder)
    safetensors.open_index(folder .. "/i.json"):close()
  end,
}
