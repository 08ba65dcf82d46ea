--- `--log-format json`, read by a parser that knows fairseq's format alone, over stand-ins
-- (words.lua). An epoch is eight updates of 8 samples, 4 in the last one.

local helper = require("spec.helper")
local json = require("fsam.base.json")
local words = require("spec.lua.train.words")

-- A log's lines: DATE TIME | LEVEL | LOGGER | MESSAGE. The messages of these three loggers are
-- objects; `keys` has their names in order.
local STATISTICS = { train_inner = true, train = true, valid = true }

local function parse(log)
  local lines = {}
  for text in log:gmatch("[^\n]+") do
    local date, level, logger, message =
      text:match("^(%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d) | (%u+) | ([%w_.]+) | (.+)$")
    assert(date, "no line of fairseq's: " .. text)
    local line = { level = level, logger = logger, message = message }
    if STATISTICS[logger] then
      line.fields, line.keys = json.decode(message, "line"), {}
      for key in message:gmatch('"([%w_]+)": ') do
        line.keys[#line.keys + 1] = key
      end
    end
    lines[#lines + 1] = line
  end
  return lines
end

local function of(lines, logger)
  local found = {}
  for _, line in ipairs(lines) do
    if line.logger == logger then
      found[#found + 1] = line
    end
  end
  return found
end

local function messages(lines, logger)
  local list = {}
  for i, line in ipairs(of(lines, logger)) do
    list[i] = line.message:gsub("%(writing took [%d.]+ seconds%)$", "(writing took T seconds)")
      :gsub("in [%d.]+ seconds$", "in T seconds")
  end
  return list
end

local function with_prefix(prefix, names)
  local list = {}
  for name in names:gmatch("%S+") do
    list[#list + 1] = (name == "epoch" or name == "update") and name or prefix .. name
  end
  return list
end

-- A number as Python's round and "{:g}" write it.
local function rounded(value, digits)
  return ("%g"):format(tonumber((("%%.%df"):format(digits)):format(value)))
end

describe("the JSON log", function()
  local folder, lines, steps, result

  setup(function()
    folder = words.temp_dir()
    local _, screen
    result, _, _, screen = words.go({ "--save-dir", folder .. "/run", "--log-format", "json",
      "--log-interval", "3", "--max-epoch", "2", "--clip-norm", "1", "--lr", "0.1",
      "--lr-scheduler", "polynomial_decay", "--total-num-update", "40", "--warmup-updates", "4",
      "--best-checkpoint-metric", "accuracy" })
    lines = parse(screen)
    steps = {}
    for _, line in ipairs(words.lines_of(folder .. "/run/train.log")) do
      if line.event == "step" then
        steps[#steps + 1] = line
      end
    end
  end)

  teardown(function()
    helper.remove_dir(folder)
  end)

  it("has fairseq's fields in fairseq's order", function()
    local inner = "epoch update loss nll_loss accuracy wps ups wpb bsz num_updates lr gnorm clip "
      .. "train_wall wall"
    assert.same(with_prefix("", inner), of(lines, "train_inner")[1].keys)
    assert.same(with_prefix("train_", (inner:gsub("update ", ""))), of(lines, "train")[1].keys)
    -- mcc and f1 stand where fairseq's --report-mcc and --report-acc-and-f1 put them.
    local valid = "epoch loss nll_loss accuracy mcc f1 wps wpb bsz num_updates"
    assert.same(with_prefix("valid_", valid), of(lines, "valid")[1].keys)
    assert.same(with_prefix("valid_", valid .. " best_accuracy"), of(lines, "valid")[2].keys)
  end)

  it("has numbers as strings of six digits, but for epoch and update", function()
    for _, line in ipairs(lines) do
      for key, value in pairs(line.fields or {}) do
        if key == "epoch" or key == "update" then
          assert.is_number(value)
        else
          assert.equal("string", type(value), key)
          assert.equal(("%g"):format(tonumber(value)), value)
        end
      end
    end
    -- Python writes a whole float with a zero behind the point.
    local updates = {}
    for i, line in ipairs(of(lines, "train_inner")) do
      updates[i] = line.message:match('^{"epoch": %d+, "update": ([%d.]+), ')
    end
    assert.same({ "0.375", "0.75", "1.125", "1.5", "1.875" }, updates)
    local _, _, _, screen = words.go({ "--no-save", "--log-format", "json", "--log-interval", "8",
      "--max-epoch", "2" })
    assert.matches('"epoch": 1, "update": 1.0, ', screen, 1, true)
    assert.matches('"epoch": 2, "update": 2.0, ', screen, 1, true)
  end)

  it("averages over the updates since the last line, also across epochs", function()
    for i, line in ipairs(of(lines, "train_inner")) do
      local loss, samples, tokens, right = 0, 0, 0, 0
      for k = 3 * i - 2, 3 * i do
        local step = steps[k]
        loss, samples = loss + step.loss * step.samples, samples + step.samples
        tokens, right = tokens + step.tokens, right + step.accuracy * step.samples
      end
      local f = line.fields
      assert.equal(rounded(loss / samples / math.log(2), 3), f.loss)
      assert.equal(rounded(loss / tokens / math.log(2), 3), f.nll_loss)
      assert.equal(rounded(100 * right / samples, 1), f.accuracy)
      assert.equal(rounded(samples / 3, 1), f.bsz)
      assert.equal(rounded(tokens / 3, 1), f.wpb)
      assert.equal("1", f.gnorm) -- the stand-in's
      assert.equal("0", f.clip)
      assert.equal(tostring(3 * i), f.num_updates)
      assert.equal(3 * i > 8 and 2 or 1, f.epoch)
    end
  end)

  it("gives the rate of the update that comes next, as fairseq does", function()
    -- 4 updates of warm-up to 0.1, then down to 0 at update 40.
    local expected = { 0.075, 0.1 * 34 / 36, 0.1 * 31 / 36, 0.1 * 28 / 36, 0.1 * 25 / 36 }
    for i, line in ipairs(of(lines, "train_inner")) do
      assert.equal(("%g"):format(expected[i]), line.fields.lr)
    end
    assert.equal(("%g"):format(0.1 * 32 / 36), of(lines, "train")[1].fields.train_lr)
  end)

  it("gives what validations found, in percent and bits", function()
    local second = of(lines, "valid")[2].fields
    local values = result.last.values
    assert.equal(rounded(values.loss / math.log(2), 3), second.valid_loss)
    assert.equal(rounded(values.accuracy * 100, 1), second.valid_accuracy)
    assert.equal(rounded(values.mcc * 100, 1), second.valid_mcc)
    assert.equal(rounded(result.best.values.accuracy * 100, 1), second.valid_best_accuracy)
    assert.equal("16", second.valid_num_updates)
    assert.equal(rounded(20 / 3, 1), second.valid_bsz)
  end)

  it("has fairseq's other lines, in its order", function()
    assert.same({ "begin training epoch 1", "begin training epoch 2" },
      messages(lines, "fairseq.trainer"))
    local cli = { "Start iterating over samples", 'begin validation on "valid" subset',
      "end of epoch 1 (average epoch stats below)", "Start iterating over samples",
      'begin validation on "valid" subset', "end of epoch 2 (average epoch stats below)",
      "done training in T seconds" }
    assert.same(cli, messages(lines, "fairseq_cli.train"))
    local order = {}
    for _, line in ipairs(lines) do
      if line.fields and line.fields.epoch == 1 and line.logger ~= "train_inner" then
        order[#order + 1] = line.logger
      end
    end
    assert.same({ "valid", "train" }, order)
    local score = of(lines, "valid")[1].fields.valid_accuracy
    assert.equal(("Saved checkpoint %s/run/checkpoint_best (epoch 1 @ 8 updates, score %s) "
      .. "(writing took T seconds)"):format(folder, score),
      messages(lines, "fairseq.checkpoint_utils")[1])
  end)

  it("marks warnings and leaves skipped updates out", function()
    local _, _, _, screen = words.go({ "--no-save", "--log-format", "json", "--log-interval", "2",
      "--max-update", "4" }, { fails = function(step)
      return step == 1 and "the loss is nan" or nil
    end })
    local log = parse(screen)
    assert.equal(1, #of(log, "train_inner"))
    assert.equal("4", of(log, "train_inner")[1].fields.num_updates)
    local warned = false
    for _, line in ipairs(log) do
      warned = warned or line.level == "WARNING"
        and line.message == "step 1 skipped: the loss is nan"
    end
    assert.is_true(warned)
  end)

  it("gives losses in bits", function()
    local _, _, _, screen = words.go({ "--no-save", "--log-format", "json", "--log-interval", "1",
      "--max-update", "1" })
    -- At w = 0 each loss is log 2: one bit.
    assert.matches('"loss": "1", ', screen, 1, true)
  end)
end)
