--- Stand-ins for model, pass and optimizer in plain Lua, so that the training loop can be tested by
-- itself: a logistic regression on words, trained by SGD with momentum on texts of numbers.
--
--     words.go(flags, hooks) → summary (nil: finished before), run, model, what the screen showed
--       hooks: fails(step) gives a reason to skip the step; after(step options) is called behind
--       it; samples, size of the training set; pass, in place of the usual one

local Tensor = require("fsam.base.tensor")
local devices = require("fsam.base.device")
local ffi = require("ffi")
local file = require("fsam.base.file")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local options = require("fsam.options")
local mt19937 = require("fsam.data.mt19937")
local safetensors = require("fsam.formats.safetensors")
local tasks = require("fsam.data.task")
local train = require("fsam.train")

local M = {}

local WORDS = 12

M.tokenizer = {
  encode = function(_, text)
    local ids = {}
    for id in text:gmatch("%d+") do
      ids[#ids + 1] = tonumber(id)
    end
    return ids
  end,
  save = function(_, folder)
    file.write(folder .. "/vocab.txt", "0 … 11\n")
  end,
}

--- A vector over the words and the bias, all 0.
function M.zeros()
  return ffi.new("float[?]", WORDS + 1)
end

-- A vector like those of fsam.vector.params: a name and a tensor, whose memory the stand-ins use
-- directly.
local function vector(arena, name)
  local tensor = Tensor.new(arena, "f32", { WORDS + 1 }, name, true)
  return {
    name = name, data = ffi.cast("float *", tensor.data), arena = arena, -- tensors hold no arena
    tensor = function()
      return tensor
    end,
  }
end

local function scalar(name)
  return {
    name = name, value = 0,
    read = function(self)
      return self.value
    end,
    set = function(self, value)
      self.value = value
    end,
  }
end

-- Weights that several ranks find equal: nothing here sums the gradients of ranks.
local LIKE_ALL = { tensor = function()
  return { hash = function() return { 0, 0 } end }
end }

local function new_model(path)
  local arena = devices.arena(devices.open("cpu"), "words")
  local w, momentum, count = vector(arena, "w"), vector(arena, "momentum"), scalar("count")
  if path then
    local source = safetensors.open(path .. "/model.safetensors")
    source:get("w"):read_tensor(w:tensor())
    source:close()
  end
  return {
    arena = arena, w = w.data, momentum = momentum.data, counter = count, count = WORDS + 1,
    announcements = {},
    config = { model_type = "words", num_hidden_layers = 0, hidden_size = 1 },
    max_positions = 9, position_offset = 0, pad_id = 0,
    params = { w = LIKE_ALL, total = WORDS + 1, fill = function(_, thing, fill)
      fill(thing:tensor())
    end, state = function()
      return { vectors = { w, momentum }, masks = {}, scalars = { count } }
    end },
    save = function(_, folder)
      file.write(folder .. "/config.json", "{}\n")
      safetensors.write(folder .. "/model.safetensors",
        { { name = "w", dtype = "F32", shape = { WORDS + 1 }, data = w:tensor() } })
    end,
  }
end

local function score(model, sample)
  local x = model.w[WORDS]
  for _, id in ipairs(sample.ids) do
    x = x + model.w[id]
  end
  return x
end

local function loss_of(x, label)
  return math.log(1 + math.exp(label == 1 and -x or x))
end

local function new_pass(model)
  return {
    bind = function(_, o)
      return function()
        local g, losses, correct = M.zeros(), {}, 0
        for _, host in ipairs(o.batches) do
          for _, sample in ipairs(host.list) do
            local x = score(model, sample)
            local d = 1 / (1 + math.exp(-x)) - sample.label
            losses[#losses + 1] = loss_of(x, sample.label)
            correct = correct + ((x > 0) == (sample.label == 1) and 1 or 0)
            g[WORDS] = g[WORDS] + d
            for _, id in ipairs(sample.ids) do
              g[id] = g[id] + d
            end
          end
        end
        return g, losses, correct
      end
    end,
    predict = function(_, host)
      local logits, losses = {}, {}
      for i, sample in ipairs(host.list) do
        local x = score(model, sample)
        logits[i], losses[i] = { 0, x }, loss_of(x, sample.label)
      end
      return logits, losses
    end,
  }
end

local function new_optimizer(model, hooks)
  local self = { applied = 0 }
  function self.step(_, o)
    local g, losses, correct = o.evaluate()
    local loss = 0
    for _, one in ipairs(losses) do
      loss = loss + one / o.samples
    end
    local reason = hooks.fails and hooks.fails(o.step)
    if not reason then
      for i = 0, WORDS do
        model.momentum[i] = 0.9 * model.momentum[i] + g[i] / o.samples
        model.w[i] = model.w[i] - o.lr * model.momentum[i]
      end
      self.applied = self.applied + 1
      model.counter:set(self.applied / 3)
    end
    if hooks.after then
      hooks.after(o, model)
    end
    return { loss = loss, losses = losses, correct = correct, gnorm = 1, dnorm = 2, enorm = 0,
      skipped = reason }
  end
  function self.state()
    return { applied = self.applied }
  end
  function self.restore(_, state)
    self.applied = state.applied
  end
  self.prepare_evaluation = function() end
  return self
end

-- Texts of numbers; label 1 where small numbers outweigh.
local function dataset(n, seed)
  local random, samples = mt19937.new(seed), {}
  for i = 1, n do
    local words, sum = {}, 0
    for k = 1, 3 + random:interval(4) do
      local id = random:interval(WORDS - 1)
      words[k], sum = id, sum + (id < 6 and 1 or -1)
    end
    samples[i] = { text = table.concat(words, " "), label = sum > 0 and 1 or 0,
      group = i % 2 == 0 and "even" or "odd" }
  end
  return { samples = samples }
end

local ROW = { labels = { "large", "small" }, metrics = { "mcc", "accuracy", "f1", "loss" } }

-- Checkpoints wait for the disk; memory is quicker, where the system has it as a folder.
function M.temp_dir()
  local name = os.tmpname()
  os.remove(name)
  name = file.kind("/dev/shm") == "directory" and "/dev/shm/" .. name:match("[^/]*$") or name
  file.make_folder(name)
  return name
end

local SPEC = train.flags.spec({ name = "numbers.lua", usage = "numbers.lua", task = "cola" })

-- Runs the loop as a recipe would. Returns summary (nil when finished before), run, model, screen.
function M.go(words, hooks)
  hooks = hooks or {}
  local arguments = { "--lr", "0.5", "--batch-size", "8", "--max-epoch", "4", "--log-format",
    "simple", "--optimizer", "sgd" }
  for _, word in ipairs(words) do
    arguments[#arguments + 1] = word
  end
  local o = options.read(arguments, SPEC)
  local run = train.open(o)
  if run.finished then
    return nil, run
  end
  local model = new_model(run.source)
  local task = tasks.new({ row = ROW, tokenizer = M.tokenizer, model = model, options = o,
    ranks = hooks.ranks,
    corpus = { name = "numbers", train = dataset(hooks.samples or 60, 0), dev = dataset(20, 1) } })
  local path = os.tmpname()
  local out = assert(io.open(path, "w"))
  local ok, result = pcall(train.run, {
    options = o, run = run, task = task, model = model, pass = hooks.pass or new_pass(model),
    optimizer = new_optimizer(model, hooks), report = train.report(o, task.metrics, out),
    ranks = hooks.ranks,
  })
  out:close()
  local screen = helper.read_file(path)
  os.remove(path)
  if not ok then
    error(result, 0)
  end
  return result, run, model, screen
end

--- A run that fails at an update, as a killed program would: nothing is saved on the way out.
function M.killed_at(step, flags)
  local ok = pcall(M.go, flags, { after = function(o)
    if o.step == step then
      error("killed")
    end
  end })
  assert(not ok, "the run was not killed")
end

--- The lines of a train.log, decoded.
function M.lines_of(path)
  local lines = {}
  for line in helper.read_file(path):gmatch("[^\n]+") do
    lines[#lines + 1] = json.decode(line, path)
  end
  return lines
end

--- A file of a run's last checkpoint.
function M.bytes_of(folder, name)
  return assert(helper.read_file(folder .. "/checkpoint_last/" .. name))
end

--- Fails unless two runs ended with the same tensors.
function M.same_bytes(a, b)
  for _, name in ipairs({ "model.safetensors", "state.safetensors" }) do
    assert(M.bytes_of(a, name) == M.bytes_of(b, name), name .. " differs")
  end
end

return M
