--- fairseq's RoBERTa checkpoints: their names, old and new, as those of Transformers, and their
-- arguments as the fields of config.json.
--
-- Owns: both translations. Sizes come from the tensors themselves; the arguments say only what no
-- shape shows. Leaves to others: the file (formats/pytorch), what the fields mean (fsam.models).
--
-- Source: fairseq, models/roberta/model.py, modules/multihead_attention.py (the upgrade rules).
local entries = require("fsam.formats.pytorch.entry")
local errors = require("fsam.errors")
local header = require("fsam.formats.safetensors.header")
local json = require("fsam.base.json")
local objects = require("fsam.formats.pytorch.objects")
local safetensors = require("fsam.formats.safetensors")

local M = {}

local BODY = "encoder.sentence_encoder."
local HEAD = "classification_heads."
local USUAL_HEAD = "sentence_classification_head"
local TOKEN_TYPES = "roberta.embeddings.token_type_embeddings.weight"

--- Are these the names of a fairseq encoder?
-- @tparam table tensors of pytorch.open
-- @treturn boolean
function M.recognises(tensors)
  for _, name in ipairs(tensors.names) do
    if name:find("^%w+%.sentence_encoder%.") then
      return true
    end
  end
  return false
end

-- -- names ----------------------------------------------------------------------------------------

-- An old name as the newest fairseq has it.
local function upgraded(name)
  return (name:gsub("^decoder%.", "encoder."):gsub("%.emb_layer_norm%.", ".layernorm_embedding.")
    :gsub("%.layer_norms%.0%.", ".self_attn_layer_norm.")
    :gsub("%.layer_norms%.1%.", ".final_layer_norm."))
end

-- Pieces of names inside a layer, and of those around the layers: fairseq's, Transformers'.
local IN_LAYER = {
  ["self_attn.q_proj"] = "attention.self.query", ["self_attn.k_proj"] = "attention.self.key",
  ["self_attn.v_proj"] = "attention.self.value",
  ["self_attn.out_proj"] = "attention.output.dense",
  ["self_attn_layer_norm"] = "attention.output.LayerNorm", fc1 = "intermediate.dense",
  fc2 = "output.dense", final_layer_norm = "output.LayerNorm",
}
local AROUND = {
  embed_tokens = "word_embeddings", embed_positions = "position_embeddings",
  layernorm_embedding = "LayerNorm", segment_embeddings = "token_type_embeddings",
}
M.IN_LAYER, M.AROUND = IN_LAYER, AROUND -- for the way back

local LM_HEAD = { weight = "decoder.weight", bias = "bias" }

--- Transformers' name of a tensor.
-- @tparam string name in its newest form
-- @tparam ?string head which classification head is the classifier
-- @treturn string the name itself where Transformers has no such tensor
function M.translated(name, head)
  local rest = name:sub(1, #BODY) == BODY and name:sub(#BODY + 1)
  if rest then
    local layer, piece, last = rest:match("^layers%.(%d+)%.(.+)%.(%w+)$")
    if layer and IN_LAYER[piece] then
      return ("roberta.encoder.layer.%s.%s.%s"):format(layer, IN_LAYER[piece], last)
    end
    piece, last = rest:match("^([%w_]+)%.(%w+)$")
    return AROUND[piece] and ("roberta.embeddings.%s.%s"):format(AROUND[piece], last) or name
  end
  rest = name:match("^encoder%.lm_head%.(.+)$")
  if rest then
    return "lm_head." .. (LM_HEAD[rest] or rest)
  end
  local own = head and HEAD .. head .. "."
  if own and name:sub(1, #own) == own then
    return "classifier." .. name:sub(#own + 1)
  end
  return name
end

-- The head that a file's classifier is: the usual one, or the only one.
local function head_of(tensors)
  local heads, count = {}, 0
  for _, name in ipairs(tensors.names) do
    local head = name:match("^classification_heads%.(.+)%.out_proj%.weight$")
    if head then
      heads[head], count = true, count + 1
    end
  end
  return heads[USUAL_HEAD] and USUAL_HEAD or count == 1 and next(heads) or nil
end

-- Query, key and value of an old layer lie in one tensor, a third of its rows each.
local function split(entry, name, add)
  local stem, last = name:match("^(.*%.self_attn%.)in_proj_(%w+)$")
  if not stem then
    return add(name, entry)
  end
  local rows = entry.shape[1]
  if not rows or rows == 0 or rows % 3 ~= 0 then
    errors.raise("%s: tensor %s is %s, expected query, key and value below each other",
      entry.source.path, header.printable(entry.name), header.shape_text(entry.shape))
  end
  for i, part in ipairs({ "q_proj.", "k_proj.", "v_proj." }) do
    local new = stem .. part .. last
    add(new, entries.rows(entry, entry.name, (i - 1) * rows / 3, rows / 3))
  end
end

-- The tensors by Transformers' names. fairseq has no token types: zeros stand for them.
local function translate(from)
  local self = setmetatable({ path = from.path, parts = from.parts, metadata = {}, names = {},
    entries = {} }, safetensors.Source)
  local head = head_of(from)
  local function add(name, entry)
    local ours = M.translated(name, head)
    if self.entries[ours] then
      errors.raise("%s holds %s twice, as %s and as %s", from.path, header.printable(ours),
        header.printable(self.entries[ours].name), header.printable(entry.name))
    end
    self.names[#self.names + 1] = ours
    self.entries[ours] = entry
  end
  for _, name in ipairs(from.names) do
    local new = upgraded(name)
    if new ~= BODY .. "version" and not new:find("%.embed_positions%._float_tensor$") then
      split(from.entries[name], new, add)
    end
  end
  local words = self.entries["roberta.embeddings.word_embeddings.weight"]
  if not words or #words.shape ~= 2 then
    errors.raise("%s has no sentence_encoder.embed_tokens.weight with rows and columns", from.path)
  elseif not self.entries[TOKEN_TYPES] then
    add(TOKEN_TYPES, entries.zeros(from, TOKEN_TYPES, { 1, words.shape[2] }))
  end
  return self
end

-- -- configuration --------------------------------------------------------------------------------

-- The heads of fairseq's architectures, for files whose arguments do not give their number.
local HEADS = { roberta = 12, roberta_base = 12, roberta_large = 16, xlm = 16 }

local ACTIVATIONS = { gelu = "gelu", gelu_accurate = "gelu_new", gelu_fast = "gelu_new",
  relu = "relu", tanh = "tanh" }

-- A function (name) → the value of an argument, in the file's args, or its cfg's model or task.
local function arguments_of(object)
  local cfg = objects.field(object, "cfg")
  local places = { objects.field(object, "args"), objects.field(cfg, "model"),
    objects.field(cfg, "task"), objects.field(cfg, "criterion"), cfg }
  return function(name)
    for i = 1, 5 do
      local value = objects.field(places[i], name)
      if value ~= nil then
        return value
      end
    end
  end
end

local function rows(tensors, name)
  local entry = tensors.entries[name]
  return entry and entry.shape[1]
end

-- Raises where an argument contradicts a shape.
local function agree(path, argument, name, found)
  local said = argument(name)
  if type(said) == "number" and found and said ~= found then
    errors.raise("%s: its arguments say %s %g, its tensors %g", path, name, said, found)
  end
end

local function count_layers(tensors)
  local last = -1
  for _, name in ipairs(tensors.names) do
    local layer = name:match("^roberta%.encoder%.layer%.(%d+)%.")
    last = math.max(last, tonumber(layer) or -1)
  end
  return last + 1
end

local function number_or(value, default)
  return type(value) == "number" and value or default
end

local function class_of(tensors)
  return tensors.entries["classifier.out_proj.weight"] and "RobertaForSequenceClassification"
    or tensors.entries["lm_head.dense.weight"] and "RobertaForMaskedLM" or "RobertaModel"
end

-- What shapes do not show, from the arguments.
local function choices(path, argument)
  local arch = argument("arch") or argument("_name")
  local heads = argument("encoder_attention_heads") or HEADS[arch]
  local activation = argument("activation_fn") or "gelu"
  if not heads then
    errors.raise("%s does not say encoder_attention_heads: it has no args, and no cfg with it",
      path)
  elseif not ACTIVATIONS[activation] then
    errors.raise("%s: activation_fn is %s, supported are gelu, gelu_accurate, relu and tanh", path,
      objects.show(activation))
  elseif argument("encoder_normalize_before") == true then
    errors.raise("%s: encoder_normalize_before is not supported", path)
  end
  return heads, ACTIVATIONS[activation]
end

-- The fields of config.json.
local function config_of(tensors, object)
  local path, argument = tensors.path, arguments_of(object)
  local words = tensors.entries["roberta.embeddings.word_embeddings.weight"]
  local layers = count_layers(tensors)
  local inner = rows(tensors, "roberta.encoder.layer.0.intermediate.dense.weight")
  agree(path, argument, "encoder_layers", layers)
  agree(path, argument, "encoder_embed_dim", words.shape[2])
  agree(path, argument, "encoder_ffn_embed_dim", inner)
  local heads, activation = choices(path, argument)
  local classes = rows(tensors, "classifier.out_proj.weight")
  local config = {
    model_type = "roberta", architectures = json.array({ class_of(tensors) }),
    vocab_size = words.shape[1], hidden_size = words.shape[2], num_hidden_layers = layers,
    num_attention_heads = heads, intermediate_size = inner, hidden_act = activation,
    max_position_embeddings = rows(tensors, "roberta.embeddings.position_embeddings.weight"),
    type_vocab_size = rows(tensors, TOKEN_TYPES), layer_norm_eps = 1e-5,
    hidden_dropout_prob = number_or(argument("dropout"), 0.1),
    attention_probs_dropout_prob = number_or(argument("attention_dropout"), 0.1),
    classifier_dropout = number_or(argument("pooler_dropout"), 0), initializer_range = 0.02,
    pad_token_id = 1, bos_token_id = 0, eos_token_id = 2, num_labels = classes,
  }
  if classes == 1 and argument("regression_target") == true then
    config.problem_type = "regression"
  end
  return config
end

-- Leaves out the output that our writer made up for fairseq.
local function drop_output(tensors)
  local names = {}
  for _, name in ipairs(tensors.names) do
    if name:find("^lm_head%.") then
      tensors.entries[name] = nil
    else
      names[#names + 1] = name
    end
  end
  tensors.names = names
end

-- What our own writer keeps for the way back (fairseq_writer.lua): the text of config.json, and the
-- tensors that fairseq has no place for, or another one.
local function restore(tensors, from, kept)
  local text, more = objects.field(kept, "config"), objects.field(kept, "tensors")
  if type(text) ~= "string" or objects.kind(more) ~= "dict" then
    errors.raise("%s: its member fsam is not one of ours", from.path)
  end
  if objects.field(kept, "no_output") == true then
    drop_output(tensors)
  end
  for _, name in ipairs(more.keys) do
    if type(name) == "string" and objects.kind(more.map[name]) == "tensor" then
      if not tensors.entries[name] then
        tensors.names[#tensors.names + 1] = name
      end
      tensors.entries[name] = entries.new(from, name, more.map[name])
    end
  end
  return json.decode(text, from.path .. ": config", false, true), tensors, text
end

--- The configuration and the tensors of a fairseq checkpoint, by Transformers' names.
-- @tparam table tensors of pytorch.open
-- @treturn table the fields of config.json, unchecked
-- @treturn table tensors, as pytorch.open's
-- @treturn ?string the text of config.json, in a file that we wrote
-- @raise one line that names the file, and what is missing, contradicts itself or is not supported
function M.read(tensors)
  local translated = translate(tensors)
  local kept = objects.field(tensors.object, "fsam")
  if kept then
    return restore(translated, tensors, kept)
  end
  return config_of(translated, tensors.object), translated
end

return M
