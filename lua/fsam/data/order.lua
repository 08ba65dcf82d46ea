--- The order of batches, exactly as fairseq makes it.
--
-- Owns: one permutation of the samples from the seed, fixed for all epochs; batches cut from it
-- once and frozen; the shuffle of the batch list at each epoch from seed + epoch; groups of
-- micro-batches for accumulation. A batch here is a list of sample indices, from 1. Leaves to
-- others: packing samples into arrays (packing.lua).
--
-- Source: fairseq's data_utils, iterators and sentence_prediction task.

local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local mt19937 = require("fsam.data.mt19937")
local schema = require("fsam.base.schema")

local M = {}

--- The order in which samples are cut into batches. fairseq sorts the rows by the values of a
-- permutation, so this is that permutation's inverse.
-- @tparam integer n number of samples
-- @tparam integer seed
-- @treturn {integer,…} sample indices 1 … n
function M.indices(n, seed)
  local rank = mt19937.new(seed):permutation(n)
  local indices = {}
  for sample = 1, n do
    indices[rank[sample] + 1] = sample
  end
  return indices
end

--- The order of the file, for --no-shuffle.
-- @tparam integer n number of samples
-- @treturn {integer,…} 1 … n
function M.in_order(n)
  local indices = {}
  for sample = 1, n do
    indices[sample] = sample
  end
  return indices
end

local function limit(options, name)
  local value = options[name]
  if value == nil then
    return math.huge
  end
  if type(value) ~= "number" or value < 1 or value % 1 ~= 0 then
    errors.raise("batch_by_size: %s must be a positive integer, got %s", name, tostring(value))
  end
  return value
end

--- Cuts an order into batches, greedily. A batch closes before the sample that would bring it above
-- max_sentences samples, or above max_tokens, counted as samples × longest. With multiple > 1 a
-- batch has a multiple of that many samples, or fewer than that many; the rest opens the next
-- batch. The last batch may have any number.
-- @tparam {integer,…} indices sample indices in order
-- @tparam {integer,…} lengths tokens of every sample, by sample index
-- @tparam table options max_tokens, max_sentences (nil: no limit), multiple (default 1)
-- @treturn {{integer,…},…} batches of sample indices
-- @raise when a sample alone exceeds max_tokens, or a limit is not a positive integer
function M.batch_by_size(indices, lengths, options)
  local max_tokens = limit(options, "max_tokens")
  local max_sentences = limit(options, "max_sentences")
  local multiple = options.multiple or 1
  local n = #indices
  local batches = {}
  local first = 1           -- the open batch is first … ready, its tail ready+1 … i
  local ready = 0
  local longest, tail_longest = 0, 0

  local function close(last)
    local batch = {}
    for i = first, last do
      batch[#batch + 1] = indices[i]
    end
    batches[#batches + 1] = batch
    first = last + 1
  end

  for i = 1, n do
    local length = lengths[indices[i]]
    if length > max_tokens then
      errors.raise("sample %d has %d tokens, more than --max-tokens %d", indices[i], length,
        max_tokens)
    end
    tail_longest = math.max(tail_longest, length)
    local with_tail = math.max(longest, tail_longest)
    local count = i - first + 1
    local overflow = count > max_sentences or count * with_tail > max_tokens
    local fits_multiple = overflow or i == n or count < multiple or count % multiple == 0
    if overflow then
      close(ready)
      -- Where the tail with this sample is too much as well, the tail is a batch of its own.
      if (i - first + 1) * tail_longest > max_tokens then
        close(i - 1)
        tail_longest = length
      end
      with_tail = tail_longest
    end
    if fits_multiple then
      ready = i
      longest = with_tail
      tail_longest = 0
    end
  end
  if first <= n then
    close(n)
  end
  return batches
end

-- Splits an order into the samples that may be used and those that are too long; both keep the
-- order.
local function filter(indices, lengths, options)
  local most = math.min(limit(options, "max_positions"), limit(options, "max_tokens"))
  local kept, skipped = {}, {}
  for _, sample in ipairs(indices) do
    local list = lengths[sample] <= most and kept or skipped
    list[#list + 1] = sample
  end
  return kept, skipped
end

--- The frozen batches of a data set: `indices` without the samples that are too long, cut by
-- `batch_by_size`. fairseq leaves out too long training samples and refuses them in validation.
-- @tparam {integer,…} lengths tokens by sample index
-- @tparam table options seed; max_tokens, max_sentences (one of them at least), max_positions,
--   multiple (default 1); split: "train" (default) leaves out samples that are too long, any other
--   name refuses them
-- @treturn {{integer,…},…} batches
-- @treturn {integer,…} skipped sample indices, empty unless split is "train"
-- @raise when a sample of another split is too long, or when no sample is left
function M.batches(lengths, options)
  local split = options.split or "train"
  if not (options.max_tokens or options.max_sentences) then
    errors.raise("batches need a limit: give --batch-size, --max-tokens or both")
  end
  local indices = options.shuffle == false and M.in_order(#lengths)
    or M.indices(#lengths, options.seed)
  local kept, skipped = filter(indices, lengths, options)
  if #skipped > 0 and split ~= "train" then
    local sample = skipped[1]
    errors.raise("%s sample %d has %d tokens, more than the limit of %d (%d such samples); "
      .. "raise --max-tokens or --max-positions, or shorten them", split, sample, lengths[sample],
      math.min(limit(options, "max_positions"), limit(options, "max_tokens")), #skipped)
  end
  if #kept == 0 then
    errors.raise("no %s sample is left: all %d are longer than --max-tokens or --max-positions",
      split, #lengths)
  end
  return M.batch_by_size(kept, lengths, options), skipped
end

--- The batches in the order of one epoch, as a new list.
-- @tparam {table,…} batches frozen batches
-- @tparam integer seed
-- @tparam integer epoch from 1
-- @treturn {table,…} the same batches in that epoch's order
function M.epoch(batches, seed, epoch)
  local list = {}
  for i, b in ipairs(batches) do
    list[i] = b
  end
  return mt19937.new(seed + epoch):shuffle(list)
end

--- Groups micro-batches into steps; the last group of an epoch may be short.
-- @tparam {table,…} batches one epoch's batches in order
-- @tparam integer update_freq micro-batches per step
-- @treturn {{table,…},…} one list of batches per step
function M.grouped(batches, update_freq)
  local groups = {}
  for i, b in ipairs(batches) do
    if (i - 1) % update_freq == 0 then
      groups[#groups + 1] = {}
    end
    table.insert(groups[#groups], b)
  end
  return groups
end

local optional, whole = arguments.optional, schema.integer(0)
local seed, list = arguments.arg("seed", whole), schema.list(whole)
local limits = { max_tokens = arguments.any, max_sentences = arguments.any, multiple = optional(
  schema.integer(1)), seed = optional(whole), max_positions = arguments.any,
  split = optional(schema.string), shuffle = optional(schema.boolean) }
local BATCHES = arguments.arg("batches", schema.list(arguments.table))
arguments.guard("fsam.data.order", M, {
  indices = { arguments.arg("n", whole), seed }, in_order = { arguments.arg("n", whole) },
  batch_by_size = { arguments.arg("indices", list), arguments.arg("lengths", list),
    arguments.fields(limits) },
  batches = { arguments.arg("lengths", list), arguments.fields(limits) },
  epoch = { BATCHES, seed, arguments.arg("epoch", whole) },
  grouped = { BATCHES, arguments.arg("update_freq", schema.integer(1)) },
})

return M
