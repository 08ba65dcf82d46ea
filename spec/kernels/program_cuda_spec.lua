-- Vector programs' generated CUDA kernels: everything that the specs of the vector language run on
-- the CPU, and the steps of every sam-type and base optimizer, is run again by the kernels on the
-- shim and must leave the same bits; NVRTC takes them without a warning.
local simt = require("spec.simt.device")

local SPECS = { "vector_mask", "vector_operators", "vector_order", "vector_random",
  "vector_reductions", "vector_sequences", "vector_steps" }

describe("vector programs on cuda", function()
  local lib, why = simt.load()
  if not lib then
    pending(why)
    return
  end
  local programs = require("spec.simt.programs")

  it("leave the bits that the CPU leaves", function()
    local first, count = programs.record(function()
      for _, name in ipairs(SPECS) do
        programs.run_spec(("spec/lua/%s_spec.lua"):format(name))
      end
    end)
    print(count)
    local t = os.time()
    programs.build(first, count)
    print("built", os.time() - t)
    local failed = {}
    for i = first, first + count - 1 do
      local ok, err = pcall(programs.replay, i)
      if not ok then failed[#failed + 1] = err end
    end
    print(#failed, failed[1], failed[2])
    assert(#failed == 0)
  end)
end)
