-- The vectors of kernels/simd/*.h, which no public function shows: a C program of this folder is
-- compiled at each instruction-set level and measures them.
local helper = require("spec.helper")

local BASE = "-std=c11 -O2 -I. -I%s/include -ffp-contract=off -fno-math-errno "
  .. "-fno-trapping-math -Wno-psabi "
local LEVELS = {
  { "generic", "" },
  { "avx2", "-mavx2 -mfma -mf16c" },
  { "avx512", "-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma -mf16c" },
}
-- Units in the last place; what simd_math.h promises.
local ERRORS = { exp = 1, log = 1, tanh = 2, erf = 2, sine = 2, cosine = 2, sqrt = 0.5 }
local PARTS = { "partial_access", "bf16_rounding", "sum_tree", "max_of_nan", "dropout_bits",
  "one_rounding" }

--- What the program prints at one level, or nil where the processor lacks it.
local function measured(folder, name, flags)
  local program = folder .. "/" .. name
  local code, _, err = helper.shell(("cc %s %s -DFSAM_ISA=%s -o %s spec/kernels/simd_check.c -lm")
    :format(BASE:format(helper.quote(helper.build_dir())), flags, name, program))
  assert.equal(0, code, err)
  local status, out = helper.shell(program)
  if status == 77 then
    return nil
  end
  assert.equal(0, status)
  return out
end

describe("simd #slow", function()
  local folder, outputs = nil, {}

  setup(function()
    folder = helper.temp_dir()
    for _, level in ipairs(LEVELS) do
      if level[1] == "generic" or io.popen("uname -m"):read("*l") == "x86_64" then
        outputs[level[1]] = measured(folder, level[1], level[2])
      end
    end
  end)

  teardown(function()
    helper.remove_dir(folder)
  end)

  it("computes functions to the accuracy that simd_math.h states", function()
    for name, allowed in pairs(ERRORS) do
      local worst, wrong = outputs.generic:match("%f[%a]" .. name .. " ([%d.]+) (%d+) %x+\n")
      assert.equal("0", wrong, name)
      assert.is_true(tonumber(worst) <= allowed, name .. " is off by " .. worst)
    end
  end)

  it("loads, rounds, sums and draws bits as simd.h states", function()
    for _, part in ipairs(PARTS) do
      assert.truthy(outputs.generic:find(part .. " 1\n", 1, true), part)
    end
  end)

  it("gives the same bits at every instruction-set level", function()
    for level, output in pairs(outputs) do
      assert.equal(outputs.generic, output, level)
    end
  end)
end)
