--- `--log-format json` over stand-ins (words.lua): the lines that fairseq writes.

local json = require("fsam.json")
local words = require("spec.lua.train.words")

describe("the JSON log", function()
  it("has fairseq's fields in fairseq's order", function()
    local _, _, _, screen = words.go({ "--no-save", "--log-format", "json", "--log-interval", "4",
      "--max-epoch", "2" })
    local inner = screen:match("| INFO | train_inner | ({[^\n]*})")
    assert.matches('^{"epoch": 1, "update": 0%.5, "loss": "[%d.]+", "nll_loss": "[%d.]+", '
      .. '"accuracy": "[%d.]+", "wps": "[%d.e+]+", "ups": "[%d.e+]+", "wpb": "[%d.]+", '
      .. '"bsz": "8", "num_updates": "4", "lr": "[%d.e-]+", "gnorm": "1", "train_wall": "%d+", '
      .. '"wall": "%d+"}$', inner)
    local valid = {}
    for line in screen:gmatch("| INFO | valid | ({[^\n]*})") do
      valid[#valid + 1] = json.decode(line, "line")
    end
    assert.equal("16", valid[2].valid_num_updates)
    assert.is_nil(valid[1].valid_best_mcc)
    assert.is_string(valid[2].valid_best_mcc)
    assert.matches("^%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d | INFO | ", screen)
  end)

  it("gives losses in bits", function()
    local _, _, _, screen = words.go({ "--no-save", "--log-format", "json", "--log-interval", "1",
      "--max-update", "1" })
    -- At w = 0 each loss is log 2: one bit.
    assert.matches('"loss": "1", ', screen, 1, true)
  end)
end)
