--- Packs samples end to end into the host arrays of one batch.
--
-- Owns: the packed layout. Tokens of sample b lie in rows starts[b] … starts[b+1]−1, and no padding
-- lies between samples. Capacities are rounded up to buckets, because primitives and graphs are
-- cached per capacity. The rows beyond the last sample are the tail: they hold the pad id and
-- belong to no sample. Leaves to others: tokens (fsam.text), which samples share a batch
-- (order.lua), copying to a device (fsam.pass).
--
-- Letters: T tokens (capacity), B samples (capacity). All arrays are int32 and 0-based.

local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local ffi = require("fsam.C").ffi
local schema = require("fsam.base.schema")

local M = {}

local int32_array = ffi.typeof("int32_t[?]")
local float_array = ffi.typeof("float[?]")

local function round_up(n, bucket)
  return math.max(1, math.ceil(n / bucket)) * bucket
end

local function measure(samples)
  local tokens, longest = 0, 0
  for i, sample in ipairs(samples) do
    local length = #sample.ids
    if length == 0 then
      errors.raise("batch: sample %d has no tokens", i)
    end
    tokens = tokens + length
    longest = math.max(longest, length)
  end
  return tokens, longest
end

-- Fills the rows of sample b from row `at` on; returns the row after the last. Where positions
-- begin after the padding's (RoBERTa), a pad id in a text has the padding's position and is not
-- counted.
local function put_sample(batch, b, at, sample, position_offset, pad_id)
  local token_types, position = sample.token_types, position_offset
  local uncounted = position_offset > 0 and pad_id or nil
  for i, id in ipairs(sample.ids) do
    batch.ids[at] = id
    if id == uncounted then
      batch.positions[at] = position_offset - 1
    else
      batch.positions[at] = position
      position = position + 1
    end
    batch.token_types[at] = token_types and token_types[i] or 0
    batch.sample[at] = b
    at = at + 1
  end
  return at
end

-- Labels are class numbers (int32), or targets (float32): for regression one number, and for
-- `several` labels a row with 1 for each that the sample has. A sample without a label has 0. So
-- have absent samples, which losses ignore because they have no tokens.
local function put_label(batch, b, label, several)
  if several then
    for _, class in ipairs(label or {}) do
      batch.targets[b * several + class] = 1
    end
  elseif batch.targets then
    batch.targets[b] = label or 0
  else
    batch.labels[b] = label or 0
  end
end

local function new_batch(samples, ordinals, options)
  local real_tokens, longest = measure(samples)
  local tokens = round_up(real_tokens, options.token_bucket or 32)
  local capacity = round_up(#samples, options.sample_bucket or 8)
  local has_targets = options.regression or options.several
  local batch = {
    tokens = tokens, real_tokens = real_tokens, samples = capacity, count = #samples,
    longest = longest, list = samples, options = options,
    ids = int32_array(tokens), positions = int32_array(tokens),
    token_types = int32_array(tokens), sample = int32_array(tokens),
    starts = int32_array(capacity + 1), ordinals = int32_array(capacity),
    labels = not has_targets and int32_array(capacity) or nil,
    targets = has_targets and float_array(capacity * (options.several or 1)) or nil,
  }
  local at = 0
  for b, sample in ipairs(samples) do
    batch.starts[b - 1] = at
    batch.ordinals[b - 1] = ordinals[b]
    put_label(batch, b - 1, sample.label, options.several)
    at = put_sample(batch, b - 1, at, sample, options.position_offset or 0, options.pad_id)
  end
  for b = #samples, capacity do
    batch.starts[b] = at
  end
  for row = at, tokens - 1 do
    batch.ids[row] = options.pad_id
    batch.sample[row] = -1
  end
  return batch
end

--- Packs samples into host arrays.
-- @tparam {table,…} samples each with ids (table), token_types (table of 0/1, or nil for zeros),
--   label (0-based class, a number for regression, a list of classes for several, or nil)
-- @tparam table options pad_id; position_offset, position of a sample's first token (default 0);
--   token_bucket (32) and sample_bucket (8): capacities are rounded up to multiples of these;
--   first_ordinal, number of the first sample within the step (0); regression (false): labels
--   become float targets; several (nil): how many labels there are, of which a sample has any
-- @treturn table host batch: tokens = T, real_tokens (without the tail), samples = B, count (of the
--   samples given), longest (tokens of the longest sample); ids, positions, token_types, sample
--   (its place from 0; −1 in the tail): int32[T]; starts: int32[B+1], the end repeated for absent
--   samples; ordinals: int32[B]; labels: int32[B], or targets: float[B] or [B, several]; list (the
--   samples given) and options, from which `choose` packs again
-- @raise when there are no samples or one has no tokens
function M.pack(samples, options)
  if #samples == 0 then
    errors.raise("batch: there are no samples to pack")
  end
  local first = options.first_ordinal or 0
  local ordinals = {}
  for b = 1, #samples do
    ordinals[b] = first + b - 1
  end
  return new_batch(samples, ordinals, options)
end

--- Packs some samples of a batch again. Each keeps its ordinal, hence its dropout.
-- @tparam table batch a host batch
-- @tparam {integer,…} chosen places in the batch, 1 … count, in the order of the new batch
-- @treturn table a host batch of those samples alone
-- @raise when nothing is chosen or a place is not in the batch
function M.choose(batch, chosen)
  if #chosen == 0 then
    errors.raise("batch: no sample is chosen")
  end
  local samples, ordinals = {}, {}
  for i, place in ipairs(chosen) do
    if not batch.list[place] then
      errors.raise("batch: sample %s is chosen, but the batch has 1 … %d", tostring(place),
        batch.count)
    end
    samples[i] = batch.list[place]
    ordinals[i] = batch.ordinals[place - 1]
  end
  return new_batch(samples, ordinals, batch.options)
end

--- Packs several batches into fewer, in their order. Each sample keeps its ordinal, hence its
-- dropout.
-- @tparam {table,…} list host batches with the same options
-- @tparam integer tokens of a new batch, at most; a single longer sample has a batch of its own
-- @treturn {table,…} host batches
function M.join(list, tokens)
  local joined, samples, ordinals, length = {}, {}, {}, 0
  local function close()
    if #samples > 0 then
      joined[#joined + 1] = new_batch(samples, ordinals, list[1].options)
      samples, ordinals, length = {}, {}, 0
    end
  end
  for _, batch in ipairs(list) do
    for place, sample in ipairs(batch.list) do
      if length + #sample.ids > tokens then
        close()
      end
      samples[#samples + 1], ordinals[#ordinals + 1] = sample, batch.ordinals[place - 1]
      length = length + #sample.ids
    end
  end
  close()
  return joined
end

local optional, whole = arguments.optional, schema.integer(0)
local IDS = schema.list(whole, 1)
local SAMPLE = schema.closed({ ids = IDS, token_types = optional(schema.list(whole)),
  place = optional(schema.integer(1)),
  label = optional(schema.either("a number or a list of classes", schema.number(),
    schema.list(whole))), group = optional(arguments.any) })
local OPTIONS = { pad_id = whole, position_offset = optional(whole),
  token_bucket = optional(schema.integer(1)), sample_bucket = optional(schema.integer(1)),
  first_ordinal = optional(whole), regression = optional(schema.boolean),
  several = optional(schema.integer(1)) }

--- The shape of a host batch (fsam.base.schema).
M.shape = arguments.object("a host batch, of fsam.data.packing.pack",
  { tokens = "number", samples = "number", list = "table", ids = "cdata", starts = "cdata" })

arguments.guard("fsam.data.packing", M, {
  pack = { arguments.arg("samples", schema.list(SAMPLE, 1)), arguments.fields(OPTIONS) },
  join = { arguments.arg("batches", schema.list(M.shape)),
    arguments.arg("tokens", schema.integer(1)) },
  choose = { arguments.arg("batch", M.shape),
    arguments.arg("chosen", schema.list(schema.integer(1), 1)) },
})

return M
