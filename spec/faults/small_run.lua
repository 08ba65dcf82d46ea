--- A recipe so small that a start takes about a tenth of a second: a model of some 2,000 weights on
-- 24 samples, or as many as SMALL_SAMPLES in the environment says. The specs of faults run it as a
-- program, hundreds of times.
local fsam = require("fsam")
local config = require("fsam.models.config")

local options = fsam.options.parse(arg, fsam.train.flags.spec({
  name = "small_run.lua", usage = "small_run.lua [flags]", task = "cola",
}))

local WORDS = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "e", "f", "g", "h" }

local SAMPLES = tonumber(os.getenv("SMALL_SAMPLES")) or 24

local function samples(count, first)
  local list = {}
  for i = 1, count do
    local words = {}
    for k = 1, 3 + (i + first) % 3 do
      words[k] = WORDS[5 + (i * 5 + k * 3 + first) % 8]
    end
    list[i] = { text = table.concat(words, " "), label = (i * 7 + first) % 3 == 0 and 1 or 0 }
  end
  return { samples = list, labels = { "a", "b" } }
end

local function small_model(t)
  local o, run = t.options, t.run
  local settings = { device = run.device, precision = run.precision, seed = o.seed,
    labels = t.row.labels, share = o.shard_state and t.ranks or nil }
  if run.source then
    settings.path = run.source
    return fsam.models.load(settings)
  end
  settings.config = config.check({ model_type = "bert", vocab_size = #WORDS, hidden_size = 16,
    num_hidden_layers = 1, num_attention_heads = 2, intermediate_size = 16,
    max_position_embeddings = 16, type_vocab_size = 2, hidden_dropout_prob = 0.1,
    attention_probs_dropout_prob = 0.1, initializer_range = 0.2 }, "small_run")
  settings.pad_id = t.tokenizer.pad_id
  return fsam.models.new(settings)
end

local parts, finished = fsam.train.setup(options, {
  corpus = { name = "small", vocab = WORDS, train = samples(SAMPLES, 0), dev = samples(8, 100) },
  model = small_model,
})
if not parts then
  print(finished)
  return
end
local result = fsam.train.run(parts)
os.exit(result.interrupted and 130 or 0)
