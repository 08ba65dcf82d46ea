--- What a run shows: the progress bar.

local helper = require("spec.helper")
local lines = require("fsam.report.screen_lines")

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
