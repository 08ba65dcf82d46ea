--- A task at work: a corpus under a tokenizer, as batches that a pass can run.
--
-- Owns: encoding, the limits on length, the frozen batches and their epoch order, the samples that
-- a Fisher policy draws. Leaves to others: what the task is (its row, in tasks.lua), reading
-- samples (corpus.lua), rules of order (order.lua), packing (packing.lua), judging (judging.lua).

local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local fingerprints = require("fsam.base.fingerprint")
local fit = require("fsam.data.fit")
local judging = require("fsam.data.judging")
local order = require("fsam.data.order")
local packing = require("fsam.data.packing")
local problems = require("fsam.data.problems")
local ranks = require("fsam.ranks")
local sampling = require("fsam.data.sampling")
local schema = require("fsam.base.schema")
local values = require("fsam.options.values")

local M = {}

local pack = arguments.within(packing.pack)

local Task = {}
Task.__index = Task

-- Where a sample comes from, for messages.
local function place_of(dataset, split, i)
  return dataset.lines and ("%s, line %d"):format(dataset.path, dataset.lines[i])
    or dataset.path and ("%s, item %d"):format(dataset.path, i)
    or ("%s sample %d"):format(split, i)
end

-- The first `most` elements of a list, or the list itself when it has no more.
local function cut(list, most)
  return list and #list > most and { unpack(list, 1, most) } or list
end

-- A sample's ids and token types: of its text, or those that binarised data has.
local function ids_of(t, raw)
  if raw.text then
    return t.tokenizer:encode(raw.text, raw.pair)
  end
  return raw.ids
end

-- How many texts each of the samples has, 1 or 2; nil where they are binarised, or differ.
local function texts_of(samples)
  local texts
  for _, raw in ipairs(samples) do
    local own = raw.text and (raw.pair and 2 or 1)
    if not own or texts and own ~= texts then
      return nil
    end
    texts = own
  end
  return texts
end

-- Encodes a split. `longest` is what --shorten-method truncate cuts samples to, as fairseq does,
-- at their end.
local function encode(t, dataset, split, longest, most)
  local samples, lengths = {}, {}
  local may_exceed = t.model.vocab_size and t.tokenizer.vocab_size > t.model.vocab_size
  for i = 1, math.min(#dataset.samples, most or math.huge) do
    local raw = dataset.samples[i]
    local ids, token_types = ids_of(t, raw)
    local whole = #ids
    if may_exceed then
      fit.check_ids(ids, t.tokenizer, t.model.vocab_size, place_of(dataset, split, i))
    end
    if longest then
      ids, token_types = cut(ids, longest), cut(token_types, longest)
    end
    if raw.text or #ids < whole then
      raw = { ids = ids, token_types = token_types, label = raw.label, group = raw.group }
    end -- else its ids stay in a mapped file
    samples[i], lengths[i] = raw, #ids
  end
  return samples, lengths
end

-- Refuses development samples that are too long for the model or for --max-positions: without them
-- the score would be another set's.
local function check_lengths(t, dataset, split, lengths, longest)
  local first, count
  for i, length in ipairs(lengths) do
    if length > longest then
      first, count = first or i, (count or 0) + 1
    end
  end
  if first then
    local limit = longest < t.model.max_positions
      and ("--max-positions allows %d, the model %d"):format(longest, t.model.max_positions)
      or ("the model takes %d"):format(longest)
    errors.raise("%s: the text has %d tokens, %s (%s); shorten it, or give --shorten-method "
      .. "truncate", place_of(dataset, split, first), lengths[first], limit,
      count == 1 and "1 such text" or count .. " such texts")
  end
end

-- The samples that no limit on length excludes, their lengths, and how many others there were.
local function fitting(samples, lengths, limits)
  local longest = math.min(limits.max_positions, limits.max_tokens or math.huge)
  local kept, kept_lengths = {}, {}
  for i, sample in ipairs(samples) do
    if lengths[i] <= longest then
      kept[#kept + 1], kept_lengths[#kept + 1] = sample, lengths[i]
    end
  end
  if #kept == 0 then
    errors.raise("no development sample is left: all %d have more than %d tokens", #samples,
      longest)
  end
  return kept, kept_lengths, #samples - #kept
end

-- Over token ids and labels: equal for equal data under an equal vocabulary.
local function fingerprint(...)
  local hash, add = fingerprints.EMPTY, fingerprints.add
  for _, samples in ipairs({ ... }) do
    for _, sample in ipairs(samples) do
      for _, id in ipairs(sample.ids) do
        hash = add(hash, id)
      end
      local label = sample.label or 0
      for _, value in ipairs(type(label) == "table" and { #label, unpack(label) } or { label }) do
        hash = add(hash, math.floor(value * 1000))
      end
    end
  end
  return fingerprints.show(hash)
end

--- Encodes the data and cuts its batches.
-- @tparam table t row (labels, nil: regression; several; metrics), corpus (name, train, dev and
--   also), tokenizer; model (max_positions, position_offset, pad_id, vocab_size); options (seed,
--   batch_size, max_tokens, max_positions, shorten_method, max_train_samples, update_freq (a
--   number, or a list with one for each epoch), no_shuffle, curriculum, batch_size_valid,
--   max_tokens_valid, skip_invalid_size_inputs_valid_test, required_batch_size_multiple); ranks
--   (fsam.ranks, which share the samples; default: this process alone)
-- @treturn table task: name, labels, classes (nil: regression), problem (fsam.data.problems),
--   metrics, tokenizer, seed; train and dev (lists of samples { ids, token_types, label, group });
--   batches and dev_batches (lists of sample indices); also (name → the same of a further set to
--   judge: samples, batches); skipped (indices of training samples that are too long); dev_skipped
--   (how many development samples were left out; nil without that flag); texts (how many a training
--   sample has, 1 or 2; nil: unknown); steps_per_epoch, of the first epoch; fingerprint
-- @raise one line when a development sample is too long, no training sample is left, or a text has
--   a token that the model does not
function M.new(t)
  local o, labels = t.options, t.row.labels
  if t.corpus.dictionary then
    fit.check_dictionary(t.corpus.dictionary, t.tokenizer, o.restore_file or "the tokenizer")
  end
  local self = setmetatable({
    name = t.corpus.name, labels = labels, classes = labels and #labels, metrics = t.row.metrics,
    positive = t.row.positive, tokenizer = t.tokenizer, seed = o.seed,
    ranks = t.ranks or ranks.alone,
  }, Task)
  self.update_freq, self.curriculum = o.update_freq or 1, o.curriculum or 0
  self.problem = problems.of_task(t.row)
  self.packing = self.problem.packing(self.classes)
  self.packing.pad_id, self.packing.position_offset = t.model.pad_id, t.model.position_offset
  local limits = {
    seed = o.seed, max_tokens = o.max_tokens, max_sentences = o.batch_size,
    multiple = o.required_batch_size_multiple,
    max_positions = math.min(o.max_positions or math.huge, t.model.max_positions),
    shuffle = not o.no_shuffle,
  }
  local lengths
  local longest = o.shorten_method == "truncate" and limits.max_positions or nil
  self.train, lengths = encode(t, t.corpus.train, "train", longest, o.max_train_samples)
  self.batches, self.skipped = order.batches(lengths, limits)
  limits.max_tokens = o.max_tokens_valid or o.max_tokens
  limits.max_sentences = o.batch_size_valid or o.batch_size
  local function judged(dataset, split)
    local samples, own_lengths = encode(t, dataset, split, longest)
    local left_out
    if o.skip_invalid_size_inputs_valid_test then
      samples, own_lengths, left_out = fitting(samples, own_lengths, limits)
    else
      check_lengths(t, dataset, split, own_lengths, limits.max_positions)
    end
    limits.split = split
    return samples, order.batches(own_lengths, limits), left_out
  end
  self.dev, self.dev_batches, self.dev_skipped = judged(t.corpus.dev, "dev")
  self.also = {}
  for name, dataset in pairs(t.corpus.also or {}) do
    local samples, batches = judged(dataset, name)
    self.also[name] = { samples = samples, batches = batches }
  end
  self.usable = {}
  for _, batch in ipairs(self.batches) do
    for _, index in ipairs(batch) do
      self.usable[#self.usable + 1] = index
    end
  end
  self.texts = texts_of(t.corpus.train.samples)
  self.steps_per_epoch = self:updates(1)
  self.fingerprint = fingerprint(self.train, self.dev)
  return self
end

-- The samples of a list of indices. Those whose ids lie in a file are read here, once a batch.
local function pick(samples, indices)
  local list = {}
  for i, index in ipairs(indices) do
    local sample = samples[index]
    list[i] = sample.place and { ids = sample.ids, label = sample.label } or sample
  end
  return list
end

--- Packs samples into a host batch (data/packing.lua), in the way that the task's model needs.
-- @tparam {table,…} samples of `train` or `dev`
-- @tparam integer first_ordinal number of the first one within its step
-- @treturn table host batch
function Task:pack(samples, first_ordinal)
  local o = { first_ordinal = first_ordinal }
  for key, value in pairs(self.packing) do
    o[key] = value
  end
  return pack(samples, o)
end

--- Packs the samples of a list of indices.
-- @tparam {table,…} samples `train`, `dev`, or those of a further set
-- @tparam {integer,…} indices
-- @tparam integer first_ordinal as for `pack`
-- @treturn table host batch
function Task:batch(samples, indices, first_ordinal)
  return self:pack(pick(samples, indices), first_ordinal)
end

-- Micro-batches of a step in an epoch, on all ranks.
local function batches_per_step(self, epoch)
  return values.of_epoch(self.update_freq, epoch) * self.ranks.size
end

--- How many steps the first epochs have.
-- @tparam integer epochs may be math.huge
-- @treturn number
function Task:updates(epochs)
  local list = type(self.update_freq) == "table" and self.update_freq or { self.update_freq }
  local count, last = 0, nil
  for epoch = 1, math.min(epochs, #list) do
    last = math.ceil(#self.batches / batches_per_step(self, epoch))
    count = count + last
  end
  return epochs > #list and count + (epochs - #list) * last or count
end

--- The steps of an epoch. Each is a list of batches of sample indices: update_freq micro-batches
-- for each rank, fewer in the last step.
-- @tparam integer epoch from 1
-- @treturn {{{integer,…},…},…}
function Task:steps(epoch)
  local batches = epoch > self.curriculum and order.epoch(self.batches, self.seed, epoch)
    or self.batches
  return order.grouped(batches, batches_per_step(self, epoch))
end

--- This rank's micro-batches of a step. Ordinals number the step's samples over all ranks.
-- @tparam table step one of steps()
-- @treturn {table,…} host batches
-- @treturn integer samples of the step, on all ranks
-- @treturn integer tokens of the step, on all ranks
function Task:micro_batches(step)
  local list, samples, tokens = {}, 0, 0
  for i, indices in ipairs(step) do
    local picked = pick(self.train, indices)
    if self.ranks:owns(i) then
      list[#list + 1] = self:pack(picked, samples)
    end
    samples = samples + #indices
    for _, sample in ipairs(picked) do
      tokens = tokens + #sample.ids
    end
  end
  return list, samples, tokens
end

--- The first samples of a split, in the order of its frozen batches, which the seed decides.
-- @tparam string split "train" or "dev"
-- @tparam integer most
-- @treturn {table,…} host batches; their ordinals number the samples
-- @treturn integer how many samples they have
function Task:first(split, most)
  local list, count = {}, 0
  for _, indices in ipairs(split == "dev" and self.dev_batches or self.batches) do
    local left = { unpack(indices, 1, most - count) }
    if #left > 0 then
      list[#list + 1] = self:batch(self[split], left, count)
      count = count + #left
    end
  end
  return list, count
end

--- What a mask policy draws training samples with: n of them without replacement, keyed by seed and
-- step.
-- @treturn function fn(n, seed, step, first_ordinal = 0) → host batches of one sample each
function Task:sampler()
  return function(n, seed, step, first_ordinal)
    local list = {}
    local key = { seed = seed, step = step, stream = 0x46495348 } -- "FISH"
    for i, place in ipairs(sampling.places(n, #self.usable, key)) do
      list[i] = self:pack({ self.train[self.usable[place]] }, (first_ordinal or 0) + i - 1)
    end
    return list
  end
end

--- Judges a model on the development set, and on further sets where the corpus has them.
-- @tparam function predict, function stop, and what is returned: see judging.lua
function Task:validate(predict, stop)
  return judging.judge(self, predict, stop)
end

--- Checks that a saved run was trained on this very data.
-- @tparam table trainer the content of the checkpoint's trainer.json
-- @tparam string folder of the run, for the message
-- @raise one line with the sizes and fingerprints of both
function Task:check_same(trainer, folder)
  local data = trainer.data
  if data.fingerprint ~= self.fingerprint then
    errors.raise("the run in %s was started on other data (%d training and %d development samples, "
      .. "now %d and %d, fingerprint %s, now %s); give the same data, another --save-dir, or "
      .. "--restart", folder, data.train, data.dev, #self.train, #self.dev, data.fingerprint,
      self.fingerprint)
  end
end

local optional, whole = arguments.optional, schema.integer(0)
local dataset = schema.record({ samples = schema.list(arguments.table, 1) })

arguments.guard("fsam.data.task", M, {
  new = { arguments.fields({
    row = schema.record({ metrics = schema.list(schema.string, 1),
      labels = optional(schema.list(schema.string)) }),
    corpus = schema.record({ name = schema.string, train = dataset, dev = dataset }),
    tokenizer = arguments.object("a tokenizer, of fsam.text", { encode = "function" }),
    model = schema.record({ pad_id = whole, position_offset = whole,
      max_positions = schema.integer(1) }),
    options = schema.record({ seed = whole }), ranks = optional(ranks.shape),
  }) },
})

return M
