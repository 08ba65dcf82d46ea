-- A profile of a small model's steps: what it counts, what its files hold, and that what it watches
-- computes the same.
local helper = require("spec.helper")
local fsam = require("fsam")
local json = require("fsam.base.json")

local LENGTHS = { 7, 3, 5 }
local LIMITS = { flops = 1e11, bytes = 1e10 }

local function setup(sam_type)
  local device = fsam.device.open("cpu")
  local model = fsam.models.new({ device = device, arch = "tiny", vocab_size = 50, pad_id = 0,
    labels = { "no", "yes" }, seed = 3 })
  local samples = {}
  for i, length in ipairs(LENGTHS) do
    local ids = {}
    for k = 1, length do
      ids[k] = 1 + (7 * i + 3 * k) % 49
    end
    samples[i] = { ids = ids, label = i % 2 }
  end
  local function pack(list, ordinal)
    return fsam.data.packing.pack(list, { pad_id = 0, first_ordinal = ordinal })
  end
  local optimizer = fsam.step.build({ params = model.params, seed = 1, optimizer = "sam",
    sam_type = sam_type, options = { rho = 0.05, num_samples = 2 },
    sampler = function(n, _, _, first)
      local list = {}
      for i = 1, n do
        list[i] = pack({ samples[i] }, first + i - 1)
      end
      return list
    end })
  return { device = device, model = model, batch = pack(samples, 0), optimizer = optimizer,
    pass = fsam.pass.new({ model = model }) }
end

local function steps(t, count)
  for step = 0, count - 1 do
    t.optimizer:step({ step = step, lr = 1e-3, samples = #LENGTHS,
      evaluate = t.pass:bind({ step = step, batches = { t.batch }, training = true }) })
  end
end

-- A profile of two steps; the setup, the report and the profile.
local function profiled(sam_type, file)
  local t = setup(sam_type)
  local profile = fsam.profile.new({ device = t.device, file = file })
  profile:watch({ pass = t.pass, optimizer = t.optimizer })
  steps(t, 2)
  return t, profile:finish(LIMITS)
end

local function phase_of(report, name)
  for _, phase in ipairs(report.phases) do
    if phase.name == name then
      return phase
    end
  end
end

local function kernel_of(report, phase_name, name)
  for _, kernel in ipairs(phase_of(report, phase_name).kernels) do
    if kernel.name == name then
      return kernel
    end
  end
end

-- Multiplications of a forward's linear maps: all rows meet query, key and value; of the last layer
-- only the first row of each sample meets the rest.
local function multiplications(c, tokens, samples)
  local h, layers = c.hidden_size, c.num_hidden_layers
  return layers * tokens * 3 * h * h
    + ((layers - 1) * tokens + samples) * (h * h + 2 * h * c.intermediate_size)
    + samples * (h * h + h * c.num_labels)
end

describe("a profile", function()
  if helper.device ~= "cpu" then
    pending("kernels of the CPU alone are timed")
    return
  end

  it("counts operations exactly", function()
    local t, report = profiled("sam")
    local c = t.model.config
    local h, layers, pairs = c.hidden_size, c.num_hidden_layers, 0
    for _, length in ipairs(LENGTHS) do
      pairs = pairs + length ^ 2
    end
    local maps = 2 * multiplications(c, t.batch.tokens, t.batch.samples)
    for _, pass in ipairs({ "pass 1 ", "pass 2 " }) do
      assert.equal(2 * maps, kernel_of(report, pass .. "forward", "linear_forward").flops)
      assert.equal(2 * maps, kernel_of(report, pass .. "backward", "linear_backward_input").flops)
      assert.equal(2 * maps, kernel_of(report, pass .. "backward", "linear_backward_weight").flops)
      assert.equal(2 * layers * 4 * pairs * h,
        kernel_of(report, pass .. "forward", "attention_forward").flops)
      assert.equal(2 * layers * 10 * pairs * h,
        kernel_of(report, pass .. "backward", "attention_backward").flops)
    end
  end)

  it("shows that a mask takes the squares of all its samples in one pass", function()
    local t, report = profiled("fisher-sam")
    local maps = multiplications(t.model.config, 32, 8) -- 10 tokens and 2: batches are padded
    assert.equal(2 * maps, kernel_of(report, "mask refresh", "linear_backward_squares").flops)
    assert.is_nil(kernel_of(report, "mask refresh", "linear_backward_weight"))
  end)

  it("counts the bytes of tensors and programs", function()
    local device = fsam.device.open("cpu")
    local arena = fsam.device.arena(device, "spec")
    local from = fsam.tensor.new(arena, "f32", { 10, 20 }, "from", true)
    local to = fsam.tensor.new(arena, "bf16", { 10, 20 }, "to", true)
    local P = fsam.params.new(device, { { name = "w", kind = "matrix", shape = { 30, 7 } } }, {})
    P:sync()
    local profile = fsam.profile.new({ device = device })
    to:copy(from)
    P.g:set(P.w * 2 + P.g)
    P:flush()
    local report = profile:finish(LIMITS)
    assert.equal(200 * (4 + 2), kernel_of(report, "rest", "cast").bytes)
    assert.equal(210 * 12, kernel_of(report, "rest", "program_run").bytes)
  end)

  it("spends all of the time in phases, and kernels' time within theirs", function()
    local _, report = profiled("fisher-sam")
    local sum = 0
    for _, phase in ipairs(report.phases) do
      local kernels = 0
      for _, kernel in ipairs(phase.kernels) do
        kernels = kernels + kernel.seconds
      end
      assert.is_true(kernels <= phase.seconds + 1e-9, phase.name)
      sum = sum + phase.seconds
    end
    assert.near(report.seconds, sum, 1e-6)
    assert.equal(2, report.steps)
    assert.equal(1, phase_of(report, "mask refresh").count)
    assert.equal(2, phase_of(report, "pass 2 backward").count)
    assert.equal(2 * (2 * 4 + 2), kernel_of(report, "mask refresh", "linear_forward").calls)
  end)

  it("prints a row for each phase", function()
    local _, report = profiled("fisher-sam")
    local text = tostring(report)
    for _, name in ipairs({ "pass 1 forward", "pass 2 backward", "perturb, update", "mask refresh",
      "  linear_backward_weight", "  between them" }) do
      assert.truthy(text:find("\n" .. name, 1, true), name)
    end
  end)

  it("writes a trace whose events lie within each other", function()
    local folder = helper.temp_dir()
    profiled("sam", folder .. "/trace.json")
    local events = json.decode(helper.read_file(folder .. "/trace.json"))
    helper.remove_dir(folder)
    local spans, kernels = {}, 0
    for _, e in ipairs(events) do
      if e.cat == "span" then
        spans[#spans + 1] = e
      elseif e.cat == "kernel" then
        kernels = kernels + 1
      end
    end
    assert.is_true(kernels > 50)
    local steps_seen = 0
    for _, e in ipairs(spans) do
      steps_seen = steps_seen + (e.name == "step" and 1 or 0)
      for _, other in ipairs(events) do
        local apart = not other.ts or other.ts >= e.ts + e.dur - 0.01
          or other.ts + other.dur <= e.ts + 0.01
        local inside = not apart and (other.ts >= e.ts - 0.01
          and other.ts + other.dur <= e.ts + e.dur + 0.01
          or other.ts <= e.ts + 0.01 and other.ts + other.dur >= e.ts + e.dur - 0.01)
        assert.is_true(apart or inside, e.name .. " and " .. tostring(other.name))
      end
    end
    assert.equal(2, steps_seen)
  end)

  it("changes no bit, and leaves nothing behind", function()
    local plain = setup("fisher-sam")
    steps(plain, 2)
    local t = profiled("fisher-sam")
    assert.same({ plain.model.params.w:tensor():hash() }, { t.model.params.w:tensor():hash() })
    for object, method in pairs({ [t.pass] = "bind", [t.pass.graphs] = "begin",
      [t.optimizer] = "step", [t.optimizer.masking] = "before_gradient" }) do
      assert.is_nil(rawget(object, method), method)
    end
    fsam.profile.new({ device = t.device }):finish(LIMITS) -- the last one has ended
  end)

  it("ends spans that an error leaves", function()
    local device = fsam.device.open("cpu")
    local profile = fsam.profile.new({ device = device })
    local object = { work = function() profile:enter("inner", "inner") error("no", 0) end }
    profile:around(object, "work", "outer")
    assert.has_error(object.work, "no")
    assert.equal(0, #profile.spans)
    assert.has_error(function() fsam.profile.new({ device = device }) end)
    profile:finish(LIMITS)
    local ok, message = pcall(fsam.profile.new, { device = device, file = "/no/such/folder/x" })
    assert.is_false(ok)
    assert.truthy(tostring(message):find("/no/such/folder/x", 1, true))
    fsam.profile.new({ device = device }):finish(LIMITS)
  end)

  it("measures what the machine can do", function()
    local found = require("fsam.profile.ceilings").measure(fsam.device.open("cpu"), "f32")
    assert.is_true(found.flops > 1e8 and found.bytes > 1e8)
  end)
end)
