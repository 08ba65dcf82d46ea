-- Attention whose dropout cuDNN draws, on a stand-in for it (cudnn_attention.cpp): what it is drawn
-- by, that its gradient is that of its forward, and who may not leave it to cuDNN.
local C = require("fsam.C")
local cudnn_dropout = require("spec.kernels.cudnn_dropout")
local helper = require("spec.helper")
local simt = require("spec.simt.device")
local stage = require("spec.kernels.stage")
local twins = require("spec.kernels.twins")
local attention_rng = require("fsam.pass.attention_rng")
local checkpoint = require("fsam.train.checkpoint")
local devices = require("fsam.base.device")
local ffi, lib, check = C.ffi, C.lib, C.check

describe("dropout by cuDNN", function()
  local shim, why = simt.load()
  if not shim then
    pending(why)
    return
  end
  local P, STEP = 0.3, 1e-3
  local open = {}

  -- A case and its stage. Its closed form keeps what the stand-in keeps.
  local function new(lengths, tail, act, columns)
    local case = twins.cases_of("attention").make("", 2, columns or 8, lengths,
      { p = P, tail = tail })
    case.dropout.rng = lib.FSAM_RNG_CUDNN
    local threshold = math.floor(65536 * P + 0.5)
    function case.keep(b, i, j, head)
      local kept = shim.fsam_simt_cudnn_keeps(case.numbers, b, head, i, j, threshold)
      return kept and 65536 / (65536 - threshold) or 0
    end
    local s = stage.new(case, act or "bf16", simt.open)
    s:add_gradients(0)
    open[#open + 1] = s
    return s, case
  end

  after_each(function()
    twins.attention_by(nil)
    shim.fsam_simt_cudnn_version(91900)
    shim.fsam_simt_arch(90)
    for _, s in ipairs(open) do
      s:close()
    end
    open = {}
  end)

  -- Seed and offset of the run before the last `back` ones.
  local function drawn_by(back)
    local numbers = ffi.new("int64_t[2]")
    assert.is_true(shim.fsam_simt_cudnn_drawn_by(numbers, back or 0))
    return numbers
  end
  local function text(numbers)
    return tostring(numbers[0]) .. " " .. tostring(numbers[1])
  end
  -- What a forward with other numbers of its pass is drawn by.
  local function drawn_with(s, case, pass)
    s.t.pass:write(stage.pass_words(pass))
    check(case.forward(s.t, s.batch, case))
    s.t.y:read()
    return text(drawn_by())
  end

  it("drops what it says, and its gradient is that of what it did", function()
    local s, case = new({ 5, 1, 9 }, 2) -- three samples, which it counts as four
    check(case.forward(s.t, s.batch, case))
    check(case.backward(s.t, s.batch, case))
    local y, dqkv = s.t.y:read(), s.t.dqkv:read()
    assert.equal(text(drawn_by(1)), text(drawn_by()))
    case.numbers = drawn_by()
    local v = { qkv = s.v.qkv }
    assert.near(case.expect(v, case).y, y, 1e-2, "y")
    local function loss()
      local total, out = 0, case.expect(v, case).y
      for i = 1, #out do
        total = total + out[i] * s.v.dy[i]
      end
      return total
    end
    local want, got = {}, {}
    for i = 1, 15 * 48, 37 do
      local old = v.qkv[i]
      v.qkv[i] = old + STEP
      local above = loss()
      v.qkv[i] = old - STEP
      want[#want + 1] = (above - loss()) / (2 * STEP)
      got[#got + 1], v.qkv[i] = dqkv[i], old
    end
    assert.near(want, got, 3e-2, "dqkv")
    for i = 15 * 48 + 1, #dqkv do
      assert.equal(0, dqkv[i])
    end
    assert.is_true((s:guards_hold()))
    assert.equal(0, lib.fsam_attention_kept(s.t.qkv, 2, s.batch, case.dropout))
  end)

  it("has bits that can be read, and the gradient that follows from them", function()
    cudnn_dropout.check(simt.open)
  end)

  it("is the same in passes over one batch, and another where seed, step, draw, site or batch is",
    function()
      local s, case = new({ 3, 4 }, 1)
      local seen, passes = {}, { {}, { seed = 8 }, { step = 2 }, { draw = 1 } }
      for i, changes in ipairs(passes) do
        local pass = { seed = changes.seed or 9, step = changes.step or 1, draw = changes.draw }
        local numbers = drawn_with(s, case, pass)
        assert.equal(numbers, drawn_with(s, case, pass))
        assert.is_nil(seen[numbers])
        seen[numbers] = i
      end
      case.dropout.site = 71
      assert.is_nil(seen[drawn_with(s, case, { seed = 9, step = 1 })])
      case.dropout.site = 70
      twins.spoil(s, "ordinals", 1, 40)
      assert.is_nil(seen[drawn_with(s, case, { seed = 9, step = 1 })])
    end)

  it("is drawn anew when a recorded pass runs again", function()
    local s, case = new({ 3, 4 }, 1)
    local plain = drawn_with(s, case, { seed = 9, step = 5 })
    local graph = ffi.new("fsam_graph *[1]")
    check(lib.fsam_graph_begin(s.device[0]))
    check(case.forward(s.t, s.batch, case))
    check(lib.fsam_graph_end(graph, s.device[0]))
    local seen = {}
    for step = 4, 5 do
      s.t.pass:write(stage.pass_words({ seed = 9, step = step }))
      check(lib.fsam_graph_run(graph[0]))
      s.t.y:read()
      seen[step] = text(drawn_by())
    end
    lib.fsam_graph_free(graph[0])
    assert.equal(plain, seen[5])
    assert.is_true(seen[4] ~= seen[5])
  end)

  it("says that empty samples need a row behind the others", function()
    for _, shape in ipairs({ { { 3, 0 } }, { { 3, 0, 2 }, 1 } }) do
      local s, case = new(shape[1], shape[2])
      check(case.forward(s.t, s.batch, case))
      assert.has_error(function() s.t.y:read() end, "attention: dropout by cuDNN needs a row "
        .. "behind the samples where some are empty, and these behind the others")
    end
    local s, case = new({ 3, 0, 0 }, 1)
    check(case.forward(s.t, s.batch, case))
    s.t.y:read()
  end)

  it("is refused in a line where cuDNN cannot", function()
    local function refused(message, ...)
      local s, case = new({ 3 }, 1, ...)
      assert.equal(lib.FSAM_EINVAL, case.forward(s.t, s.batch, case))
      assert.equal(message, ffi.string(lib.fsam_error()))
    end
    refused("attention: cuDNN draws attention's dropout in bf16 alone; give --precision bf16",
      "f32")
    refused("attention: cuDNN draws the dropout of heads of a multiple of 8 and at most 128 "
      .. "columns, here are 12", "bf16", 12)
    twins.attention_by("own")
    refused("attention: FSAM_ATTENTION is own, and cuDNN is to draw attention's dropout; unset "
      .. "FSAM_ATTENTION")
    twins.attention_by(nil)
    shim.fsam_simt_arch(86)
    refused("attention: cuDNN draws the dropout of packed samples on GPUs of compute capability "
      .. "9.0 or newer, this one has 8.6")
    shim.fsam_simt_arch(90)
    shim.fsam_simt_cudnn_version(0)
    local s, case = new({ 3 }, 1)
    assert.equal(lib.FSAM_ENODEV, case.forward(s.t, s.batch, case))
  end)

  it("names the flag, and says in a run whose bits they are", function()
    local cpu = devices.open("cpu")
    assert.has_error(function() attention_rng.number(cpu, "cudnn", "bf16") end,
      "--attention-dropout-rng cudnn: cuDNN draws attention's dropout on a GPU alone, this is the "
      .. "cpu")
    assert.equal("own", attention_rng.library(cpu, "cudnn"))
    local options = { attention_dropout = 0.1, attention_dropout_rng = "cudnn" }
    local s = new({ 3 }, 1)
    assert.equal(lib.FSAM_RNG_CUDNN, attention_rng.number(s.device[0], "cudnn", "bf16"))
    assert.equal("cuDNN 9.19.0 draws attention's dropout (--attention-dropout-rng cudnn): a "
      .. "sample's bits depend on its place in the batch, and another version may draw others",
      attention_rng.remark(s.device[0], options))
    options.attention_dropout = 0
    assert.is_nil(attention_rng.remark(s.device[0], options))
    -- Where a run goes on: which library it was.
    local run = { device = s.device[0], device_name = "Eager GPU", precision = "bf16",
      options = options }
    local trainer = { plan = { total = 1 }, environment = checkpoint.environment(run) }
    assert.equal("cuDNN 9.19.0", trainer.environment.attention)
    shim.fsam_simt_cudnn_version(92001)
    assert.same({ "the run began with attention cuDNN 9.19.0, now cuDNN 9.20.1; it continues, but "
      .. "not bit for bit" }, checkpoint.remarks(trainer, { run = run, plan = { total = 1 } }))
    trainer.environment.attention = nil
    assert.matches("attention own, now cuDNN 9.20.1", checkpoint.remarks(trainer, { run = run,
      plan = { total = 1 } })[1], 1, true)
    if helper.device == "cpu" then
      local code, out, err = helper.fsam_lua({ "recipes/cola.lua", "--device", "cpu", "--no-save",
        "--attention-dropout-rng", "cudnn" })
      assert.equal(1, code)
      assert.equal("", out)
      assert.equal("cola.lua: --attention-dropout-rng cudnn: cuDNN draws attention's dropout on a "
        .. "GPU alone, this is the cpu\n", err)
    end
  end)
end)
