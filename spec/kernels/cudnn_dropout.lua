--- Is the backward of attention whose dropout cuDNN draws that of its forward? Its bits cannot be
-- known, but where all queries are 0 and the values of a sample are the rows of the unit matrix,
-- they can be read: element (i, j) of forward is then what dropout multiplies by 1/n. From these
-- follow all gradients. For the shim (attention_rng_spec.lua) and for a GPU (gpu_spec.lua).
local assert = require("luassert")
local C = require("fsam.C")
local stage = require("spec.kernels.stage")
local twins = require("spec.kernels.twins")
local check = C.check

local M = {}

local P, HEADS, D, LENGTHS, TAIL = 0.25, 2, 64, { 33, 40, 7 }, 2
local H = HEADS * D

-- Queries 0, keys random, values unit rows.
local function qkv_of(case)
  local values, random, row = {}, stage.random("keys"), 0
  for _, n in ipairs(case.lengths) do
    for i = 0, n - 1 do
      for c = 0, D - 1 do
        for head = 0, HEADS - 1 do
          local at = row * 3 * H + head * D + c + 1
          values[at], values[at + H], values[at + 2 * H] = 0, random(), c == i and 1 or 0
        end
      end
      row = row + 1
    end
  end
  for i = row * 3 * H + 1, (row + TAIL) * 3 * H do
    values[i] = 0
  end
  return values
end

-- What dropout multiplied by, and the gradient with respect to qkv, of one head of a sample.
local function head_of(s, y, want, first, n, head)
  local dropped = 0
  local function at(row, third)
    return (first + row) * 3 * H + third * H + head * D
  end
  local function out(row)
    return (first + row) * H + head * D
  end
  for i = 0, n - 1 do
    local factor, dp, delta = {}, {}, 0
    for j = 0, n - 1 do
      factor[j] = n * y[out(i) + j + 1]
      dropped = dropped + (factor[j] == 0 and 1 or 0)
      assert.is_true(factor[j] == 0 or math.abs(factor[j] * (1 - P) - 1) < 0.02)
      dp[j] = factor[j] * s.v.dy[out(i) + j + 1] -- the values are unit rows
      delta = delta + dp[j] / n
    end
    for j = 0, n - 1 do
      local ds = (dp[j] - delta) / n / math.sqrt(D)
      for c = 1, D do
        want[at(i, 0) + c] = want[at(i, 0) + c] + ds * s.v.qkv[at(j, 1) + c]
        want[at(j, 2) + c] = want[at(j, 2) + c] + factor[j] / n * s.v.dy[out(i) + c]
      end
    end
  end
  return dropped
end

--- Runs forward and backward.
-- @tparam function open opens the device into out[0]
function M.check(open)
  local case = twins.cases_of("attention").make("", HEADS, D, LENGTHS, { p = P, tail = TAIL })
  case.dropout.rng = C.lib.FSAM_RNG_CUDNN
  case.inputs[1][4] = qkv_of(case)
  local s = stage.new(case, "bf16", open)
  s:add_gradients(0)
  check(case.forward(s.t, s.batch, case))
  local y = s.t.y:read()
  check(case.forward(s.t, s.batch, case))
  assert.same(y, s.t.y:read()) -- the second pass of a step
  check(case.backward(s.t, s.batch, case))
  local want, first, dropped, all = {}, 0, 0, 0
  for i = 1, #s.v.qkv do
    want[i] = 0
  end
  for _, n in ipairs(LENGTHS) do
    for head = 0, HEADS - 1 do
      dropped, all = dropped + head_of(s, y, want, first, n, head), all + n * n
    end
    first = first + n
  end
  assert.near(want, s.t.dqkv:read(), 2e-2, "dqkv")
  assert.near(P * all, dropped, 5 * math.sqrt(all * P * (1 - P)))
  assert.is_true((s:guards_hold()))
  s:close()
end

return M
