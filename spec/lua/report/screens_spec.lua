--- What a run shows, over stand-ins (words.lua): fairseq's log lines, and the progress bar.

local helper = require("spec.helper")
local json = require("fsam.base.json")
local lines = require("fsam.report.screen_lines")
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

describe("the progress bar", function()
  local function screen(width)
    local path = os.tmpname()
    local out = assert(io.open(path, "w"))
    local now = 0
    local bar = lines.new({ out = out, width = width, interval = 100, metrics = { "mcc" },
      clock = function()
        now = now + 1
        return now
      end })
    return bar, function()
      out:close()
      local text = helper.read_file(path)
      os.remove(path)
      return (text:gsub("\27%[%d*[mK]", ""))
    end
  end

  local function step(done)
    return { epoch = 3, step = done, done = done, steps = 268, lr = 1e-4, seconds_left = 61,
      epoch_averages = { loss = 0.3121, tokens_per_second = 38400.2 } }
  end

  it("redraws one line that fits the terminal", function()
    for _, width in ipairs({ 30, 60, 80, 200 }) do
      local bar, text = screen(width)
      bar:step(step(9))
      bar:step(step(268))
      for line in text():gmatch("[^\r]+") do
        local _, characters = line:gsub("[^\128-\191]", "")
        assert.is_true(characters < width, line)
        assert.matches("^epoch 3  ", line)
      end
    end
  end)

  it("shows how far the epoch is", function()
    local bar, text = screen(100)
    bar:step(step(67))
    assert.matches(" 67/268   loss 0.312   38,400 tok/s   1:01 left", text(), 1, true)
  end)

  it("gives way to lines", function()
    local bar, text = screen(100)
    bar:step(step(67))
    bar:warn("careful")
    assert.matches("left\rwarning  careful\n$", text())
  end)
end)
