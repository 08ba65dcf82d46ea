--- The shortest look at a device: copies both ways, products, then steps of a small model, whose
-- passes are recorded where the device records, against the same steps on the CPU. Raises at the
-- first thing that is wrong.
--
--     fsam-lua bench/gpu/smoke.lua [device=cuda] [check=1] [tiny=1]
--
-- tiny: little work, for a sanitizer, which makes it a hundred times slower.
package.path = (arg[0]:match("^(.*)/[^/]*$") or ".") .. "/?.lua;" .. package.path
local fsam = require("fsam")
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local devices = require("fsam.base.device")
local measure = require("measure")
local ffi, lib, check = C.ffi, C.lib, C.check

local s = measure.settings()
local STEPS, TOLERANCE = 4, { fp32 = 1e-3, bf16 = 3e-2 }

local function copies()
  local count = s.tiny and 1000 or 5 * 2 ^ 20
  local host, arena = ffi.new("int32_t[?]", count), devices.arena(s.device, "smoke")
  for i = 0, count - 1 do
    host[i] = i * 7
  end
  local back = Tensor.new(arena, "i32", { count }, "copy"):write(host):to_host()
  for i = 0, count - 1 do
    assert(back[i] == host[i], "a copy to the device and back differs at element " .. i)
  end
  print(("copied %.1f MB there and back"):format(count * 4 / 1e6))
end

local function products(dtype)
  local arena, n = devices.arena(s.device, "smoke"), 96
  local x = Tensor.new(arena, dtype, { n, n }, "x"):fill(0.5)
  local w = Tensor.new(arena, dtype, { n, n }, "w"):fill(2)
  local y = Tensor.new(arena, dtype, { n, n }, "y")
  check(lib.fsam_linear_forward(y, x, w, nil))
  for _, value in ipairs(y:read()) do
    assert(value == n, ("a %s product gave %g, expected %d"):format(dtype, value, n))
  end
  print(dtype .. " products are right")
end

-- The losses of a few steps of fisher-sam, without dropout's and rounding's freedom to differ much.
local function losses(device, precision)
  local model = measure.model({ check = true, arch = "roberta_large", device = device,
    precision = precision })
  local pass = fsam.pass.new({ model = model, seed = 1 })
  local optimizer = fsam.step.build({ params = model.params, seed = 1, optimizer = "sam",
    sam_type = "sam", options = { rho = 0.05, weight_decay = 0.01 } })
  local list = {}
  for step = 0, (s.tiny and 2 or STEPS) - 1 do
    local batch = measure.pack({ 9, 17, 5, 12 }, 3, model.config.vocab_size)
    list[step + 1] = optimizer:step({ step = step, lr = 1e-4, samples = batch.count,
      evaluate = pass:bind({ step = step, batches = { batch }, training = true }) }).loss
  end
  return list, pass
end

copies()
for _, dtype in ipairs({ "f32", "bf16" }) do
  products(dtype)
end
for _, precision in ipairs({ "fp32", "bf16" }) do
  local got, pass = losses(s.device, precision)
  local expected = losses(devices.open("cpu"), precision)
  for i, loss in ipairs(got) do
    assert(math.abs(loss - expected[i]) < TOLERANCE[precision],
      ("%s, step %d: the loss is %g, on the CPU %g"):format(precision, i - 1, loss, expected[i]))
  end
  local counts = pass.graphs.counts
  print(("%s steps follow the CPU: losses %.4f … %.4f; passes: %d plain, %d recorded, %d replayed")
    :format(precision, got[1], got[#got], counts.plain, counts.recorded, counts.replayed))
  assert(not pass.graphs.refusal, pass.graphs.refusal)
end
