--- state.safetensors into a live optimizer, whose next step must still work or be refused.
local C = require("fsam.C")
local checkpoint = require("fsam.train.checkpoint")
local helper = require("spec.helper")
local lfs = require("lfs")
local seeds = require("spec.fuzz.seeds")
local small_bert = require("spec.lua.small_bert")

return {
  parts = { { name = "state.safetensors", kind = "tensors" } },
  words = { "vector.m", "vector.v", "vector.exp_avg", "mask.m", "scalar.step", "F32", "F64", "I32",
    "BF16", unpack(seeds.TENSOR_WORDS) },
  seeds = function()
    local folder = helper.memory_dir()
    local model, step = small_bert.setup({ smaller = true, sam_type = "fisher-sam" })
    step(0)
    lfs.mkdir(folder .. "/c")
    checkpoint.save(folder .. "/c/last", { model = model, params = model.params, trainer = {} })
    local bytes = helper.read_file(folder .. "/c/last/state.safetensors")
    helper.remove_dir(folder)
    return { { ["state.safetensors"] = bytes } }
  end,
  start = function()
    C.lib.fsam_threads_set(1)
    local model, step = small_bert.setup({ smaller = true, sam_type = "fisher-sam" })
    step(0)
    return { model = model, step = step, count = 0 }
  end,
  run = function(_, folder, state)
    checkpoint.restore(folder, state.model.params)
    state.count = state.count + 1
    if state.count % 50 == 0 then
      state.step(state.count)
    end
  end,
}
