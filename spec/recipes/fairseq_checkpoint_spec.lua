--- Recipes on a checkpoint of fairseq's: where the tokenizer's files may lie, and what --arch says.
local file = require("fsam.base.file")
local helper = require("spec.helper")
local json = require("fsam.base.json")

local folder -- of this spec's files
local model, data, other -- folders in it: the checkpoint's, CoLA's, one more

local SPACE = "\196\160" -- GPT-2's sign for it
local FILES = {
  ["encoder.json"] = json.encode({ a = 0, b = 1, [SPACE .. "a"] = 2, [SPACE .. "b"] = 3,
    [SPACE] = 4 }),
  ["vocab.bpe"] = "#version: 0.2\n" .. SPACE .. " a\n" .. SPACE .. " b\n",
  ["dict.txt"] = "2 9\n3 8\n0 7\n1 6\n4 5\n",
}

-- Puts the tokenizer's files where a table says: name → folder.
local function place(where)
  for name, bytes in pairs(FILES) do
    for _, from in ipairs({ model, data, data .. "/input0", other }) do
      os.remove(from .. "/" .. name)
    end
    if where[name] then
      helper.write_file(where[name] .. "/" .. name, bytes)
    end
  end
end

local function all_in(where)
  return { ["encoder.json"] = where, ["vocab.bpe"] = where, ["dict.txt"] = where }
end

-- Trains for two updates; returns the exit code, the last lines with losses, and standard error.
local function train(words)
  local list = { "recipes/cola.lua", data, "--restore-file", model, "--max-update", "2",
    "--no-save", "--batch-size", "4", "--num-samples", "2", "--threads", "1", "--log-format",
    "simple", "--log-interval", "1" }
  for _, word in ipairs(words or {}) do
    list[#list + 1] = word
  end
  local code, out, err = helper.fsam_lua(list)
  local losses = {}
  for loss in out:gmatch("loss +([%d.]+)") do
    losses[#losses + 1] = loss
  end
  return code, table.concat(losses, " "), err, out
end

setup(function()
  folder = helper.memory_dir()
  model, data, other = folder .. "/roberta", folder .. "/CoLA", folder .. "/other"
  for _, path in ipairs({ model, data .. "/input0", other }) do
    file.make_folder(path)
  end
  helper.write_file(model .. "/model.pt", helper.read_file("spec/golden/pytorch/fairseq_old.pt"))
  local rows = {}
  for i = 1, 12 do
    rows[i] = ("x\t%d\t\t%s\n"):format(i % 2, i % 2 == 0 and "a b b" or "b a" .. (" a"):rep(i % 3))
  end
  helper.write_file(data .. "/train.tsv", table.concat(rows))
  helper.write_file(data .. "/dev.tsv", table.concat(rows, "", 1, 4))
end)

teardown(function()
  helper.remove_dir(folder)
end)

describe("a recipe on fairseq's checkpoint", function()
  it("finds the tokenizer beside it, in DATA, in both together, and in --tokenizer", function()
    place(all_in(model))
    local code, losses, err = train()
    assert.equal("", err)
    assert.equal(0, code)
    assert.matches("^%d.* %d", losses)
    for _, case in ipairs({
      { all_in(data) },
      { { ["dict.txt"] = data .. "/input0", ["encoder.json"] = model, ["vocab.bpe"] = data } },
      { all_in(other), { "--tokenizer", other } },
    }) do
      place(case[1])
      local again, same, message = train(case[2])
      assert.equal("", message)
      assert.equal(0, again)
      assert.equal(losses, same)
    end
  end)

  it("takes the fork's command on a folder of recipes/preprocess.lua, and logs as fairseq does",
  function()
    place(all_in(model))
    local bin = folder .. "/CoLA-bin"
    local code, _, err = helper.fsam_lua({ "recipes/preprocess.lua", "cola", data, bin, "--dict",
      model .. "/dict.txt" })
    assert.equal("", err)
    assert.equal(0, code)
    local words = { "recipes/cola.lua", bin, "--restore-file", model .. "/model.pt" }
    for word in ("--batch-size 4 --max-tokens 4400 --task sentence_prediction "
      .. "--add-prev-output-tokens --layernorm-embedding --reset-optimizer --reset-dataloader "
      .. "--reset-meters --required-batch-size-multiple 1 --init-token 0 --separator-token 2 "
      .. "--criterion sentence_prediction --num-classes 2 --dropout 0.1 --attention-dropout 0.1 "
      .. "--weight-decay 0.01 --optimizer samsgd --adam-betas (0.9,0.98) --adam-eps 1e-06 "
      .. "--clip-norm 0.0 --rho 0.05 --sam-type fisher-sam --beta 0.5 --gamma 0.5 "
      .. "--mask-iter-e 100 --lr-scheduler polynomial_decay --lr 1e-05 --total-num-update 5336 "
      .. "--warmup-updates 320 --fp16-no-flatten-grads --max-epoch 2 --find-unused-parameters "
      .. "--best-checkpoint-metric accuracy --maximize-best-checkpoint-metric "
      .. "--no-epoch-checkpoints --log-format json --log-interval 1 --num-samples 2 --threads 1 "
      .. "--save-dir " .. folder .. "/out"):gmatch("%S+") do
      words[#words + 1] = word
    end
    local out
    code, out, err = helper.fsam_lua(words)
    assert.equal(0, code, err)
    local updates, kinds = 0, {}
    for kind, line in (out .. "\n" .. err):gmatch("| INFO | ([%w_]+) | ({[^\n]*})\n") do
      kinds[kind] = (kinds[kind] or 0) + 1
      if kind == "train_inner" then
        updates = updates + 1
        local fields = json.decode(line, "a line")
        assert.equal(tostring(updates), fields.num_updates)
        assert.near(1e-5 * updates / 320, tonumber(fields.lr), 1e-12)
      end
    end
    assert.same({ train_inner = 6, train = 2, valid = 2 }, kinds)
    assert.equal("directory", file.kind(folder .. "/out/checkpoint_best"))
  end)

  it("is refused in one line without one", function()
    place({ ["dict.txt"] = model })
    local code, _, err = train()
    assert.equal(1, code)
    assert.equal("cola.lua: " .. model .. ": no tokenizer in this folder (looked for tokenizer.json"
      .. ", vocab.txt, vocab.json with merges.txt, sentencepiece.bpe.model, dict.txt with "
      .. "encoder.json and vocab.bpe); --tokenizer takes one from another folder\n", err)
    code, _, err = train({ "--tokenizer", folder .. "/none" })
    assert.equal(1, code)
    assert.matches("^cola.lua: " .. folder:gsub("%p", "%%%0") .. "/none does not exist; give ", err)
  end)

  it("is refused where --arch contradicts it, in a line that names both", function()
    place(all_in(model))
    for arch, what in pairs({
      roberta_large = "--arch roberta_large has num_hidden_layers 24, but " .. model
        .. "/model.pt has 1; leave --arch out, the checkpoint says what it is\n",
      bert_base = "--arch bert_base is a bert, but " .. model .. "/model.pt is a roberta; leave "
        .. "--arch out, the checkpoint says what it is\n",
    }) do
      local code, losses, err = train({ "--arch", arch })
      assert.equal("", losses)
      assert.equal(1, code)
      assert.equal("cola.lua: " .. what, err)
    end
  end)

  it("predicts with the tokenizer of --tokenizer", function()
    place(all_in(other))
    local code, out, err = helper.fsam_lua({ "recipes/predict.lua", model, "--tokenizer", other,
      "--threads", "1", input = "a b\n" })
    assert.equal("", err)
    assert.equal(0, code)
    assert.matches("\nLABEL_%d\ta b\t", out)
  end)
end)
