--- recipes/cola.lua, run as a user runs it, on small settings: it learns, continues where it was
-- stopped, and answers bad input in one line.

local file = require("fsam.base.file")
local helper = require("spec.helper")
local json = require("fsam.base.json")

local folder -- of this spec's runs

-- 2 epochs of 6 updates; flags that follow win.
local SMALL = { "--max-train-samples", "96", "--batch-size", "16", "--max-epoch", "2",
  "--num-samples", "4", "--mask-iter-e", "3", "--threads", "1", "--log-format", "simple" }

local function command(words)
  local list = { "recipes/cola.lua" }
  for _, part in ipairs({ words.small == false and {} or SMALL, words }) do
    for _, word in ipairs(part) do
      list[#list + 1] = word
    end
  end
  list.env = words.env
  return list
end

local function cola(words)
  return helper.fsam_lua(command(words))
end

-- Exit code 0; returns standard output.
local function runs(words)
  local code, out, err = cola(words)
  assert.equal(0, code, err)
  return out
end

-- One line on standard error, and nothing trained.
local function refuses(message, words)
  words.small = words.small or false
  local code, _, err = cola(words)
  assert.equal("cola.lua: " .. message .. "\n", err)
  assert.equal(1, code)
end

local function read_json(path)
  return json.decode(assert(helper.read_file(path)), path)
end

local function same_tensors(a, b)
  for _, name in ipairs({ "model.safetensors", "state.safetensors" }) do
    local x = assert(helper.read_file(a .. "/checkpoint_last/" .. name))
    assert.is_true(x == helper.read_file(b .. "/checkpoint_last/" .. name), name .. " differs")
  end
end

-- Starts the recipe in the background and sends it a signal once it has done so many updates.
-- Returns its exit code and what it printed.
local function stop_at(update, signal, run, words)
  local list = { helper.quote(helper.build_dir() .. "/fsam-lua") }
  for _, word in ipairs(command(words)) do
    list[#list + 1] = helper.quote(word)
  end
  -- A background job ignores Ctrl-C unless it has its own process group: hence `set -m`.
  local script = ([[
set -m
%s >%s/out 2>&1 &
pid=$!
until [ "$(grep -c '"event": "step"' %s/train.log 2>/dev/null)" -ge %d ] 2>/dev/null; do
  kill -0 $pid 2>/dev/null || break
  sleep 0.01
done
kill -%s $pid
wait $pid
]]):format(table.concat(list, " "), folder, run, update, signal)
  local code = helper.shell(script)
  return code, helper.read_file(folder .. "/out")
end

setup(function()
  folder = helper.memory_dir()
end)

teardown(function()
  helper.remove_dir(folder)
end)

describe("a run", function()
  it("learns, and leaves folders that can be opened", function()
    local run = folder .. "/learns"
    local out = runs({ "--save-dir", run, "--sam-type", "sam", "--max-train-samples", "1600",
      "--max-epoch", "9", "--lr", "1e-3", small = false, "--threads", "1" })
    local results = read_json(run .. "/results.json")
    local log = helper.read_file(run .. "/train.log")
    local losses = {}
    for line in log:gmatch('{"event": "epoch"[^\n]*') do
      losses[#losses + 1] = json.decode(line, "train.log").loss
    end
    assert.equal(9, #losses)
    assert.is_true(losses[9] < 0.9 * losses[1])
    assert.is_true(results.best.mcc > 0)
    assert.is_true(results.finished)
    assert.matches("best     epoch", out, 1, true)
    -- What it saved is a model to start from, or to validate.
    local checked = runs({ "--restore-file", run .. "/checkpoint_best", "--valid-only" })
    assert.matches(("mcc %.4f"):format(results.best.mcc), checked, 1, true)
  end)

  it("prints a calm header and nothing on standard error", function()
    local code, out, err = cola({ "--no-save", "--max-update", "2" })
    assert.equal(0, code)
    assert.equal("", err)
    assert.matches("^fsam%-lua [%d.]+ · cpu, 1 thread, [^\n]*, %l+%d+ · fisher%-sam, rho [%d.]+, "
      .. "keep 10 %%, mask every 3 · seed 1\n", out)
    assert.matches("\ndata     [^\n]*96 train, 1,043 dev\n", out)
    assert.matches("\nmodel    tiny, 2 layers, 128 wide, 0%.%d M parameters\n", out)
  end)

  it("gives the same bytes again for the same seed, others for another", function()
    runs({ "--save-dir", folder .. "/a", "--max-update", "4" })
    runs({ "--save-dir", folder .. "/b", "--max-update", "4", "--log-format", "json" })
    runs({ "--save-dir", folder .. "/c", "--max-update", "4", "--seed", "2" })
    same_tensors(folder .. "/a", folder .. "/b")
    assert.has_error(function()
      same_tensors(folder .. "/a", folder .. "/c")
    end)
  end)
end)

describe("stopping and continuing", function()
  local whole

  setup(function()
    whole = folder .. "/whole"
    runs({ "--save-dir", whole })
  end)

  it("killed anywhere, ends with the same bytes", function()
    for i, update in ipairs({ 1 + os.time() % 10, 3 }) do
      local run = folder .. "/killed" .. i
      local words = { "--save-dir", run, "--save-interval-updates", "2" }
      local code = stop_at(update, "KILL", run, words)
      assert.equal(128 + 9, code)
      local out = runs(words)
      assert.matches("trained  12 updates", out, 1, true)
      same_tensors(whole, run)
    end
  end)

  local function saves_and_continues(signal)
    local run = folder .. "/interrupted" .. signal
    local code, out = stop_at(2, signal, run, { "--save-dir", run })
    assert.equal(130, code, out)
    local at = out:match("interrupted after update (%d+); the same command with %-%-save%-dir "
      .. run .. " continues\n")
    assert.is_string(at, out)
    local trainer = read_json(run .. "/checkpoint_last/trainer.json")
    assert.equal(tonumber(at), trainer.step)
    assert.is_false(read_json(run .. "/results.json").finished)
    out = runs({ "--save-dir", run })
    assert.matches(("run      %s, continued after update %d of 12\n"):format(run, at), out, 1, true)
    same_tensors(whole, run)
  end

  it("on Ctrl-C ends after the update with a checkpoint, and continues", function()
    saves_and_continues("INT")
  end)

  it("does the same when others end it: by kill, Slurm, a lost terminal, a CPU limit", function()
    for _, signal in ipairs({ "TERM", "USR1", "HUP", "XCPU" }) do
      saves_and_continues(signal)
    end
  end)

  it("says that a finished run is finished", function()
    assert.equal(whole .. " is finished (2 epochs); raise --max-epoch or --max-update to go on, "
      .. "or give --restart to begin anew\n", runs({ "--save-dir", whole }))
  end)

  it("refuses other mathematics", function()
    local words = { "--save-dir", whole, "--lr", "0.002", small = true }
    refuses("the run in " .. whole .. " was started with --lr 0.0007 (now 0.002); give the same "
      .. "flags, another --save-dir, or --restart to begin anew", words)
  end)

  it("keeps the old checkpoint when the disk is full", function()
    local run = folder .. "/full"
    runs({ "--save-dir", run, "--max-epoch", "1" })
    local before = helper.read_file(run .. "/checkpoint_last/model.safetensors")
    -- No file may grow beyond 256 blocks, which stands for a full disk.
    local list = {}
    for i, word in ipairs(command({ "--save-dir", run })) do
      list[i] = helper.quote(word)
    end
    local code, _, err = helper.shell(("trap '' XFSZ; ulimit -f 256; exec %s %s"):format(
      helper.quote(helper.build_dir() .. "/fsam-lua"), table.concat(list, " ")))
    assert.equal(1, code)
    assert.matches("^cola%.lua: [^\n]*model%.safetensors[^\n]*; the checkpoint before it is "
      .. "intact: [^\n]*\n$", err)
    assert.equal(before, helper.read_file(run .. "/checkpoint_last/model.safetensors"))
    local out = runs({ "--save-dir", run })
    assert.matches(run .. ", continued after update 6 of 12\n", out, 1, true)
    assert.is_true(read_json(run .. "/results.json").finished)
  end)
end)

describe("bad input", function()
  local model, data

  -- A checkpoint of its own vocabulary, and a CoLA folder in it.
  setup(function()
    model = folder .. "/model"
    runs({ "--save-dir", model, "--max-update", "1" })
    model = model .. "/checkpoint_last"
    data = folder .. "/data"
    file.make_folder(data)
    local rows = {}
    for i = 1, 12 do
      rows[i] = ("gj04\t%d\t%s\tthe key is here ."):format(i % 2, i % 2 == 0 and "*" or "")
    end
    for _, split in ipairs({ "train", "dev" }) do
      helper.write_file(data .. "/" .. split .. ".tsv", table.concat(rows, "\n") .. "\n")
    end
  end)

  -- A copy of the data folder with other training rows.
  local function data_with(train)
    local path = folder .. "/data-" .. #train
    file.make_folder(path)
    helper.write_file(path .. "/train.tsv", train)
    helper.write_file(path .. "/dev.tsv", helper.read_file(data .. "/dev.tsv"))
    return path
  end

  it("good input for comparison: one's own data with a pretrained model", function()
    local out = runs({ data, "--restore-file", model, "--no-save" })
    assert.matches("12 train, 12 dev", out, 1, true)
  end)

  it("a folder that is not there", function()
    refuses("the data folder nowhere does not exist; expected a folder with train.tsv and dev.tsv",
      { "nowhere", "--restore-file", model })
    refuses("--restore-file nowhere does not exist; it is a Hugging Face folder or a .safetensors "
      .. "file or a .pt or .bin file", { "--restore-file", "nowhere" })
  end)

  it("wrong columns", function()
    local path = data_with("gj04\t1\tthe key is here .\n")
    refuses(path .. "/train.tsv, line 1: got 3 tab-separated columns, expected 4",
      { path, "--restore-file", model })
  end)

  it("an empty training file", function()
    local path = data_with("")
    refuses(path .. "/train.tsv has no samples", { path, "--restore-file", model })
  end)

  it("own data without a vocabulary", function()
    refuses(data .. " needs --restore-file, a pretrained model with its vocabulary; --arch has no "
      .. "vocabulary for your texts", { data, "--arch", "bert_base" })
  end)

  it("unknown flags, metrics and sam-types", function()
    refuses("--max-epochs is unknown; did you mean --max-epoch? (--help lists all flags)",
      { "--max-epochs", "2" })
    refuses("--learning_rate is Hugging Face's name; here it is --lr", { "--learning_rate", "1" })
    refuses("--best-checkpoint-metric acuracy is unknown; did you mean accuracy? "
      .. "(mcc, accuracy, f1, loss)", { "--best-checkpoint-metric", "acuracy" })
    refuses("--keep-ratio 2 is out of range; it must be above 0 and at most 1",
      { "--keep-ratio", "2" })
    local code, _, err = cola({ "--sam-type", "fishersam", small = false })
    assert.equal(1, code)
    assert.matches("^cola%.lua: %-%-sam%-type fishersam is unknown; did you mean fisher%-sam%? "
      .. "%([^\n]*fisher%-sam, [^\n]*%)\n$", err)
  end)

  it("a loss that is not finite: ten steps are skipped, then the run ends", function()
    local run = folder .. "/nan"
    local code, out, err = cola({ "--save-dir", run, "--lr", "1e30", "--warmup-updates", "0",
      "--max-epoch", "9" })
    assert.equal(1, code)
    assert.matches("warning  step 1 skipped: the loss is ", out, 1, true)
    assert.matches("^cola%.lua: 10 steps in a row were skipped, the first of them step 1: the "
      .. "loss is %-?nan; lower %-%-lr or %-%-rho %(checkpoints so far stay in [^\n]*%)\n$", err)
  end)

  it("a damaged safetensors header", function()
    local broken = folder .. "/broken"
    file.make_folder(broken)
    for _, name in ipairs({ "config.json", "vocab.txt" }) do
      helper.write_file(broken .. "/" .. name, helper.read_file(model .. "/" .. name))
    end
    local path = broken .. "/model.safetensors"
    local bytes = helper.read_file(model .. "/model.safetensors")
    helper.write_file(path, bytes:sub(1, 100))
    refuses(("%s: the header has %d bytes, the file only 92 more: it is truncated"):format(path,
      bytes:byte(1) + 256 * bytes:byte(2)), { "--restore-file", broken })
    helper.write_file(path, "\255\255\255\255\255\255\255\127" .. bytes:sub(9))
    refuses(path .. ": the header's length is 9223372036854775807, more than 100000000: not a "
      .. "safetensors file", { "--restore-file", broken })
  end)
end)
