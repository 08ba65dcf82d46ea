--- recipes/preprocess.lua, and training on what it makes.
local helper = require("spec.helper")
local json = require("fsam.base.json")
local lfs = require("lfs")

local SPACE = "\196\160" -- GPT-2's sign for it
local folder, data, model, out

setup(function()
  folder = helper.memory_dir()
  data, model, out = folder .. "/CoLA", folder .. "/roberta", folder .. "/CoLA-bin"
  lfs.mkdir(data)
  lfs.mkdir(model)
  helper.write_file(model .. "/model.pt", helper.read_file("spec/golden/pytorch/fairseq_old.pt"))
  helper.write_file(model .. "/dict.txt", "2 9\n3 8\n0 7\n1 6\n4 5\n")
  helper.write_file(model .. "/vocab.bpe", "#version: 0.2\n" .. SPACE .. " a\n" .. SPACE .. " b\n")
  helper.write_file(model .. "/encoder.json", json.encode({ a = 0, b = 1, [SPACE .. "a"] = 2,
    [SPACE .. "b"] = 3, [SPACE] = 4 }))
  local rows = {}
  for i = 1, 12 do -- most are "0": then both forms number the classes alike
    rows[i] = ("x\t%d\t\t%s\n"):format(i % 3 == 0 and 1 or 0, "b a" .. (" a b"):rep(i % 4))
  end
  helper.write_file(data .. "/train.tsv", table.concat(rows))
  helper.write_file(data .. "/dev.tsv", table.concat(rows, "", 1, 4))
end)

teardown(function()
  helper.remove_dir(folder)
end)

local function prepare(words)
  return helper.fsam_lua({ "recipes/preprocess.lua", unpack(words) })
end

local function train(path)
  return helper.fsam_lua({ "recipes/cola.lua", path, "--restore-file", model, "--max-update", "3",
    "--no-save", "--batch-size", "4", "--num-samples", "2", "--threads", "1", "--log-format",
    "json", "--log-interval", "1" })
end

-- The losses of a JSON log.
local function losses_of(log)
  local list = {}
  for loss in log:gmatch('"loss": "([^"]+)"') do
    list[#list + 1] = loss
  end
  return list
end

describe("recipes/preprocess.lua", function()
  it("makes a folder on which a recipe trains as on the task's own", function()
    local code, said, err = prepare({ "cola", data, out, "--dict", model .. "/dict.txt" })
    assert.equal("", err)
    assert.equal(0, code)
    assert.equal("train   12 samples\nvalid   4 samples\nwrote " .. out .. "\n", said)
    assert.equal("0 8\n1 4\nmadeupword0000 0\nmadeupword0001 0\n",
      helper.read_file(out .. "/label/dict.txt"))
    local first, log = train(data)
    local second, same, message = train(out)
    assert.equal("", message)
    assert.same({ 0, 0 }, { first, second })
    assert.equal(3, #losses_of(log))
    assert.same(losses_of(log), losses_of(same))
    -- The tokenizer went along: a checkpoint by itself suffices.
    for _, name in ipairs({ "dict.txt", "vocab.bpe", "encoder.json" }) do
      os.rename(model .. "/" .. name, folder .. "/" .. name)
    end
    local third, alone = train(out)
    for _, name in ipairs({ "dict.txt", "vocab.bpe", "encoder.json" }) do
      os.rename(folder .. "/" .. name, model .. "/" .. name)
    end
    assert.equal(0, third)
    assert.same(losses_of(log), losses_of(alone))
  end)

  it("is refused in one line", function()
    local dictionary = model .. "/dict.txt"
    for expected, words in pairs({
      ["preprocess.lua: TASK, FOLDER, OUT and --dict FILE are needed (--help says more)\n"] =
        { "cola", data, out },
      ["the task col is unknown; did you mean cola?"] = { "col", data, out, "--dict", dictionary },
      ["does not exist; expected a folder with train.tsv and dev.tsv\n"] = { "cola",
        folder .. "/none", folder .. "/x-bin", "--dict", dictionary },
      ["exists and is no folder of binarised data; give another place\n"] = { "cola", data, data,
        "--dict", dictionary },
      ["none.txt"] = { "cola", data, out, "--dict", model .. "/none.txt" },
    }) do
      local code, _, err = prepare(words)
      assert.equal(1, code)
      assert.matches(expected, err, 1, true)
      assert.equal(1, select(2, err:gsub("\n", "")))
    end
    local code, _, err = helper.fsam_lua({ "recipes/predict.lua", model, out, "--task", "cola" })
    assert.equal(1, code)
    assert.matches("CoLA-bin has ids and no texts; give the folder that it was made from\n", err, 1,
      true)
  end)
end)
