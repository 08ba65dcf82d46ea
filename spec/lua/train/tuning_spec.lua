local helper = require("spec.helper")
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
