--- Writes a RoBERTa of Transformers' names as a checkpoint of fairseq.
--
-- Owns: the members that fairseq's loader wants, and what has no place there: fairseq has no token
-- types, so their row is added to the positions. The originals, other tensors and the text of
-- config.json go into a member of our own, `fsam`, which fairseq does not read: with it the way
-- back gives equal bytes. Leaves to others: names on the way in (fairseq.lua), the file
-- (pytorch/writer.lua).
local C = require("fsam.C")
local entries = require("fsam.formats.pytorch.entry")
local errors = require("fsam.errors")
local fairseq = require("fsam.formats.fairseq")
local objects = require("fsam.formats.pytorch.objects")
local writer = require("fsam.formats.pytorch.writer")
local ffi = C.ffi

local M = {}

local BODY = "encoder.sentence_encoder."
local HEAD = "classification_heads.sentence_classification_head."
local WORDS = "roberta.embeddings.word_embeddings.weight"
local POSITIONS = "roberta.embeddings.position_embeddings.weight"
local TYPES = "roberta.embeddings.token_type_embeddings.weight"
local OUTPUT = "encoder.lm_head."
local TIED = "lm_head.decoder.weight"

local function inverse(map)
  local out = {}
  for ours, theirs in pairs(map) do
    out[theirs] = ours
  end
  return out
end

local IN_LAYER, AROUND = inverse(fairseq.IN_LAYER), inverse(fairseq.AROUND)

-- fairseq's name of a tensor, or nil.
local function translated(name)
  local layer, piece, last = name:match("^roberta%.encoder%.layer%.(%d+)%.(.+)%.(%w+)$")
  if layer and IN_LAYER[piece] then
    return ("%slayers.%s.%s.%s"):format(BODY, layer, IN_LAYER[piece], last)
  end
  piece, last = name:match("^roberta%.embeddings%.([%w_]+)%.(%w+)$")
  if piece and AROUND[piece] and name ~= TYPES then
    return BODY .. AROUND[piece] .. "." .. last
  elseif name == "lm_head.bias" or name:find("^lm_head%.dense%.")
      or name:find("^lm_head%.layer_norm%.") then
    return "encoder." .. name
  end
  local rest = name:match("^classifier%.(.+)$")
  return rest and HEAD .. rest
end

-- The positions with the row of the first token type added, as an entry in f32; the entry itself
-- where that row is zero.
local function with_types(tensors, positions)
  local types = tensors:find(TYPES)
  if not types then
    return positions
  end
  local width = types.shape[2]
  local row, zero = ffi.new("float[?]", types.elements), true
  types:read_f32(row, types.elements)
  for i = 0, width - 1 do
    zero = zero and row[i] == 0
  end
  if zero then
    return positions
  elseif types.shape[1] ~= 1 then
    errors.raise("%s has %d token types; fairseq's RoBERTa has none, and one can be added to its "
      .. "positions", tensors.path, types.shape[1])
  end
  local sum = ffi.new("float[?]", positions.elements)
  positions:read_f32(sum, positions.elements)
  for i = 0, positions.elements - 1 do
    sum[i] = sum[i] + row[i % width]
  end
  return entries.computed(positions, sum)
end

-- fairseq's RoBERTa has an output for language modelling even where it classifies, and its loader
-- wants all of it. One that computes nothing stands there; the reader leaves it out again.
local function add_output(model, tensors)
  local words = tensors:get(WORDS)
  local size, width = words.shape[1], words.shape[2]
  local ones = ffi.new("float[?]", width)
  for i = 0, width - 1 do
    ones[i] = 1
  end
  for _, zeros in ipairs({ { "bias", size }, { "dense.weight", width, width },
    { "dense.bias", width }, { "layer_norm.bias", width } }) do
    objects.set(model, OUTPUT .. zeros[1],
      entries.zeros(tensors, zeros[1], { zeros[2], zeros[3] }))
  end
  local norm = entries.zeros(tensors, "layer_norm.weight", { width })
  objects.set(model, OUTPUT .. "layer_norm.weight", entries.computed(norm, ones))
end

-- The members `model` and `fsam.tensors`, and whether the output was made.
local function sort_out(tensors)
  local model, kept, names = objects.dict(), objects.dict(), {}
  for i, name in ipairs(tensors.names) do
    names[i] = name
  end
  model.ordered = true -- fairseq's configuration, though, must be plain dicts
  table.sort(names) -- so that the file depends on the model alone
  for _, name in ipairs(names) do
    local entry, theirs = tensors:get(name), translated(name)
    if name == POSITIONS then
      local sum = with_types(tensors, entry)
      objects.set(model, theirs, sum)
      if sum ~= entry then
        objects.set(kept, name, entry)
      end
    elseif theirs then
      objects.set(model, theirs, entry)
    elseif name ~= TIED then
      objects.set(kept, name, entry)
    end
  end
  objects.set(model, OUTPUT .. "weight", tensors:get(WORDS))
  local made = not tensors:find("lm_head.dense.weight")
  if made then
    add_output(model, tensors)
  end
  return model, kept, made
end

local FAIRSEQ_ACTIVATIONS = { gelu = "gelu", gelu_python = "gelu", gelu_new = "gelu_accurate",
  gelu_python_tanh = "gelu_accurate", gelu_pytorch_tanh = "gelu_accurate",
  gelu_accurate = "gelu_accurate", gelu_fast = "gelu_accurate", relu = "relu", tanh = "tanh" }

-- What fairseq builds the model from.
local function cfg_of(config, classes)
  local arch = config.hidden_size == 1024 and "roberta_large" or "roberta_base"
  local model = objects.members("_name", arch, "arch", arch,
    "encoder_layers", config.num_hidden_layers, "encoder_embed_dim", config.hidden_size,
    "encoder_ffn_embed_dim", config.intermediate_size,
    "encoder_attention_heads", config.num_attention_heads,
    "dropout", config.hidden_dropout_prob or 0.1,
    "attention_dropout", config.attention_probs_dropout_prob or 0.1,
    "pooler_dropout", config.classifier_dropout or 0, "activation_dropout", 0,
    "activation_fn", FAIRSEQ_ACTIVATIONS[config.hidden_act or "gelu"],
    "pooler_activation_fn", "tanh", "max_positions", config.max_position_embeddings - 2,
    "untie_weights_roberta", false)
  -- fairseq refuses a field that its task does not have, and its hub sets those alone that are
  -- here: where the data is, and the files of the tokenizer.
  local task = objects.members("_name", classes and "sentence_prediction" or "masked_lm",
    classes and "max_positions" or "tokens_per_sample", config.max_position_embeddings - 2,
    "data", ".")
  local criterion = objects.members("_name", classes and "sentence_prediction" or "masked_lm")
  local regression = config.problem_type == "regression"
  if classes then
    objects.set(task, "num_classes", classes)
    objects.set(task, "regression_target", regression)
    objects.set(criterion, "classification_head_name", "sentence_classification_head")
    objects.set(criterion, "regression_target", regression)
  end
  local bpe = objects.members("_name", "gpt2", "gpt2_encoder_json", "encoder.json",
    "gpt2_vocab_bpe", "vocab.bpe")
  return objects.members("_name", writer.NONE, "common", objects.members("seed", 1),
    "dataset", objects.members("dataset_impl", writer.NONE), "model", model, "task", task,
    "criterion", criterion, "bpe", bpe)
end

--- Writes a checkpoint.
-- @tparam string path
-- @tparam table source of fsam.formats, a RoBERTa
-- @tparam string config_text its config.json
-- @raise one line when it is no RoBERTa, or the disk is full or fails
function M.write(path, source, config_text)
  local config, tensors = source.config, source.tensors
  if type(config) ~= "table" or config.model_type ~= "roberta" then
    errors.raise("%s has model_type %s; a fairseq checkpoint holds a roberta", source.path,
      objects.show(type(config) == "table" and config.model_type))
  elseif not tensors:find(WORDS) or not tensors:find(POSITIONS) then
    errors.raise("%s has no %s and %s: no RoBERTa by Transformers' names", source.path, WORDS,
      POSITIONS)
  end
  if config.hidden_act and not FAIRSEQ_ACTIVATIONS[config.hidden_act] then
    errors.raise("%s: hidden_act is %s; fairseq has gelu, gelu_accurate, relu and tanh",
      source.config_path, objects.show(config.hidden_act))
  end
  for _, field in ipairs({ "num_hidden_layers", "hidden_size", "intermediate_size",
    "num_attention_heads", "max_position_embeddings" }) do
    if type(config[field]) ~= "number" then
      errors.raise("%s has no %s", source.config_path, field)
    end
  end
  local model, kept, made = sort_out(tensors)
  local output = tensors:find("classifier.out_proj.weight")
  local history = objects.members("criterion_name", "SentencePredictionCriterion",
    "optimizer_name", "FairseqAdam", "lr_scheduler_state", objects.dict(), "num_updates", 0)
  local iterator = objects.members("epoch", 1, "iterations_in_epoch", 0)
  writer.write(path, objects.members(
    "args", writer.NONE, "cfg", cfg_of(config, output and output.shape[1]), "model", model,
    "optimizer_history", objects.sequence("list", { history }),
    "extra_state", objects.members("train_iterator", iterator),
    "last_optimizer_state", writer.NONE,
    "fsam", objects.members("config", config_text, "tensors", kept, "no_output", made)))
end

return M
