-- Who does attention without dropout: by timing once (kernels/vendor/cudnn_choice_cuda.c), or as
-- the environment says. On the shim kernels take as long as a spec says, cuDNN's stand-in 1 ms.
local C = require("fsam.C")
local simt = require("spec.simt.device")
local stage = require("spec.kernels.stage")
local twins = require("spec.kernels.twins")
local ffi, lib, check = C.ffi, C.lib, C.check

describe("the choice of attention's kernels", function()
  local shim, why = simt.load()
  if not shim then
    pending(why)
    return
  end
  local s, case
  local KEY = "attention %s 2 8 2 64" -- heads, columns, samples, longest: of { 3, 40 }

  before_each(function()
    case = twins.cases_of("attention").make("", 2, 8, { 3, 40 }, { tail = 1 })
    s = stage.new(case, "bf16", simt.open)
    s:add_gradients(0)
  end)

  after_each(function()
    twins.attention_by(nil)
    shim.fsam_simt_takes("", 0)
    shim.fsam_simt_cudnn_version(91900)
    shim.fsam_simt_arch(90)
    lib.fsam_graph_end(nil, s.device[0])
    s:close()
  end)

  local function slow(milliseconds)
    shim.fsam_simt_takes("attention_", milliseconds)
  end
  local function tune(known)
    check(lib.fsam_tuning_begin(s.device[0], known))
  end
  local function text()
    local out = ffi.new("const char *[1]")
    check(lib.fsam_tuning_text(s.device[0], out))
    return ffi.string(out[0])
  end
  -- The choices made so far for a direction, in order.
  local function chosen(direction)
    local list = {}
    local pattern = KEY:format(direction):gsub("%d+", "%0") .. " = ([^\n]+)"
    for choice in text():gmatch(pattern) do
      list[#list + 1] = choice
    end
    return list
  end
  -- How often cuDNN runs in some work.
  local function runs(work)
    local before = shim.fsam_simt_cudnn_attentions()
    check(work(s.t, s.batch, case))
    s.t.lse:read() -- so that all that was queued is done
    return shim.fsam_simt_cudnn_attentions() - before
  end
  -- A text that a run had which chose so for both directions.
  local function known(choice)
    tune(nil)
    return text() .. KEY:format("forward") .. " = " .. choice .. "\n" .. KEY:format("backward")
      .. " = " .. choice .. "\n"
  end

  it("is our own where nothing is timed", function()
    slow(5)
    assert.equal(0, runs(case.forward))
    assert.equal("", text())
  end)

  it("is made once for each direction, for the faster one", function()
    slow(0.3) -- forward is one kernel; backward of so long a sample is several
    tune(nil)
    assert.equal(11, runs(case.forward))
    assert.equal(11, runs(case.backward))
    assert.same({ { "own" }, { "own" } }, { chosen("forward"), chosen("backward") })
    assert.equal(0, runs(case.forward))
    slow(0.7)
    tune(nil)
    assert.equal(11, runs(case.forward))
    assert.equal(12, runs(case.backward)) -- and its own run
    assert.same({ { "own" }, { "cudnn 91900" } }, { chosen("forward"), chosen("backward") })
    assert.equal(1, runs(case.backward))
  end)

  it("leaves the results of who was chosen", function()
    check(case.forward(s.t, s.batch, case))
    local y = s.t.y:read()
    for _, milliseconds in ipairs({ 0, 5 }) do
      slow(milliseconds)
      tune(nil)
      check(case.forward(s.t, s.batch, case))
      assert.near(y, s.t.y:read(), 1e-2, "y")
      assert.is_true((s:guards_hold()))
    end
  end)

  it("holds in a run that goes on, whatever is faster there", function()
    tune(known("cudnn 91900"))
    assert.equal(1, runs(case.forward))
    slow(5)
    tune(known("own"))
    assert.equal(0, runs(case.forward))
    assert.same({ "own" }, chosen("forward"))
  end)

  it("is made anew where cuDNN is another one, and the last one counts", function()
    slow(5)
    tune(known("cudnn 91800"))
    assert.equal(12, runs(case.forward))
    assert.same({ "cudnn 91800", "cudnn 91900" }, chosen("forward"))
    tune(text())
    assert.equal(1, runs(case.forward))
    shim.fsam_simt_cudnn_version(0)
    tune(text())
    assert.equal(0, runs(case.forward))
    assert.same({ "cudnn 91800", "cudnn 91900", "own" }, chosen("forward"))
  end)

  it("is none where cuDNN is absent, or the GPU too old for it", function()
    slow(5)
    shim.fsam_simt_cudnn_version(0)
    tune(nil)
    assert.equal(0, runs(case.forward))
    assert.same({}, chosen("forward"))
    shim.fsam_simt_cudnn_version(91900)
    assert.equal(12, runs(case.forward))
    s:close()
    shim.fsam_simt_arch(86)
    s = stage.new(case, "bf16", simt.open)
    tune(nil)
    assert.equal(0, runs(case.forward))
    assert.same({}, chosen("forward"))
  end)

  it("waits until nothing is recorded", function()
    slow(5)
    tune(nil)
    check(lib.fsam__workspace(ffi.new("void *[1]"), s.device[0], 2 ^ 16))
    check(lib.fsam_graph_begin(s.device[0]))
    assert.equal(lib.FSAM_EINVAL, case.forward(s.t, s.batch, case))
    assert.equal("graph: cannot time attention while work is being recorded",
      ffi.string(lib.fsam_error()))
    local graph = ffi.new("fsam_graph *[1]")
    check(lib.fsam_graph_end(graph, s.device[0]))
    lib.fsam_graph_free(graph[0])
    assert.equal(12, runs(case.forward))
    check(lib.fsam_graph_begin(s.device[0]))
    check(case.forward(s.t, s.batch, case))
    check(lib.fsam_graph_end(graph, s.device[0]))
    assert.equal(1, runs(function() return lib.fsam_graph_run(graph[0]) end))
    lib.fsam_graph_free(graph[0])
  end)

  it("is the environment's where that names one", function()
    slow(5)
    tune(known("cudnn 91900"))
    twins.attention_by("own")
    assert.equal(0, runs(case.forward))
    twins.attention_by("cudnn")
    tune(known("own"))
    assert.equal(1, runs(case.forward))
  end)
end)
