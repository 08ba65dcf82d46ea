local C = require("fsam.C")
local helper = require("spec.helper")
local simt = require("spec.simt.device")
local stage = require("spec.kernels.stage")
local twins = require("spec.kernels.twins")
local tuning = require("fsam.train.tuning")

describe("tuning.json", function()
  local TEXT = "cublaslt 130100, NVIDIA H200, 140 GB\n1024 384 1024 = 1f 2 3\n64 40 96 = 7 8 9\n"

  it("keeps the library's text", function()
    local content = tuning.encode(TEXT)
    assert.matches('"made_for": "cublaslt 130100, NVIDIA H200, 140 GB"', content, 1, true)
    assert.equal(TEXT, tuning.decode(content))
  end)

  it("is not read where it is something else", function()
    assert.is_nil(tuning.decode("{}"))
    assert.is_nil(tuning.decode("[1"))
    assert.is_nil(tuning.decode('{"made_for": 3, "algorithms": []}'))
    assert.is_nil(tuning.decode('{"made_for": "x", "algorithms": [["y"]]}'))
    assert.is_nil(tuning.decode("[]"))
  end)

  it("is not written on the CPU, where --tune changes nothing", function()
    if helper.device ~= "cpu" then
      pending("on a GPU there is one")
      return
    end
    local folder = helper.temp_dir()
    local code, _, err = helper.fsam_lua({ "recipes/cola.lua", "--device", "cpu", "--tune",
      "--max-update", "1", "--save-dir", folder, "--log-format", "none" })
    assert.equal(0, code, err)
    assert.truthy(helper.read_file(folder .. "/results.json"))
    assert.is_nil(helper.read_file(folder .. "/tuning.json"))
    helper.remove_dir(folder)
  end)
end)

-- What a run says about its choices, on the shim, whose GPU is "Eager GPU".
describe("a tuned run", function()
  local shim, why = simt.load()
  if not shim then
    pending(why)
    return
  end
  local KEY = "attention forward 2 8 1 32"
  local folder, s, case, warnings, loop

  before_each(function()
    folder = helper.temp_dir()
    case = twins.cases_of("attention").make("", 2, 8, { 3 })
    s = stage.new(case, "bf16", simt.open)
    warnings = {}
    loop = { options = { tune = true }, model = { device = s.device[0] },
      run = { folder = folder, path = function(_, name) return folder .. "/" .. name end },
      report = { warn = function(_, line) warnings[#warnings + 1] = line end } }
  end)

  after_each(function()
    shim.fsam_simt_takes("", 0)
    s:close()
    helper.remove_dir(folder)
  end)

  -- Begins with a file of these choices, made for this GPU or for another; a pass; a save.
  local function go(choices, made_for)
    if choices then
      C.check(C.lib.fsam_tuning_begin(s.device[0], nil))
      local out = C.ffi.new("const char *[1]")
      C.check(C.lib.fsam_tuning_text(s.device[0], out))
      local head = made_for and made_for .. "\n" or C.ffi.string(out[0])
      helper.write_file(folder .. "/tuning.json", tuning.encode(head .. choices))
    end
    tuning.begin(loop)
    shim.fsam_simt_takes("attention_", 5)
    C.check(case.forward(s.t, s.batch, case))
    tuning.keep(loop)
    local made, all = tuning.decode(helper.read_file(folder .. "/tuning.json")):match("(.-)\n(.*)")
    return all, made
  end

  it("keeps the choice between the kernels of attention beside those of products", function()
    assert.equal(KEY .. " = cudnn 91900\n", (go()))
    assert.equal("1 8 8 = 2\n" .. KEY .. " = own\n", (go("1 8 8 = 2\n" .. KEY .. " = own\n")))
    assert.same({}, warnings)
  end)

  it("says that its file was made for another GPU", function()
    local choices, made_for = go(KEY .. " = own\n", "cublaslt 130000, Other GPU")
    assert.equal(KEY .. " = cudnn 91900\n", choices)
    assert.same({ ("tuning.json was made for cublaslt 130000, Other GPU, here is %s: its choices "
      .. "are made anew, and bits differ from there on"):format(made_for) }, warnings)
  end)

  it("says which choices do not hold any more", function()
    assert.equal(("%s = cudnn 91800\n%s = cudnn 91900\n"):format(KEY, KEY),
      (go(KEY .. " = cudnn 91800\n")))
    assert.same({ ("tuning.json: 1 of its choices do not hold here and were made anew (%s: cudnn "
      .. "91900, before cudnn 91800); bits differ from there on"):format(KEY) }, warnings)
    tuning.keep(loop)
    assert.equal(1, #warnings)
  end)

  it("says so where its checkpoint had other choices, more or fewer", function()
    local device = s.device[0]
    local function says(why_not, before)
      assert.equal(("the algorithms of products and attention %s; the run continues, but not bit "
        .. "for bit"):format(why_not), tuning.remark(device, before))
    end
    assert.is_nil(tuning.digest(device))
    assert.is_nil(tuning.remark(device, nil))
    says("were chosen by timing (tuning.json), and are not now", "2 lines, 01234567")
    go("1 8 8 = 2\n")
    local before = tuning.digest(device)
    assert.matches("^3 lines, %x+$", before)
    assert.is_nil(tuning.remark(device, before))
    go(KEY .. " = own\n1 8 8 = 2\n")
    says("were chosen by timing, and the choices that stand in tuning.json are not the same",
      before)
    says("are chosen by timing now, and were not", nil)
    go("1 8 8 = 2\n" .. KEY .. " = cudnn 91900\n9 8 8 = 4\n") -- later choices lie behind
    assert.is_nil(tuning.remark(device, before))
  end)
end)
