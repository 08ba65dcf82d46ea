--- The built-in acceptability corpus: English-like sentences of six phenomena, from a seed.
--
-- Owns: sizes, balance, splitting and order. Leaves to others: the words (lexicon.lua), the grammar
-- (phenomena.lua). Sentences come in pairs, one acceptable and one not, and a pair is never split
-- between the sets. No sentence occurs twice. The development set is drawn first, so that it does
-- not depend on the size of the training set.
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local draw = require("fsam.data.acceptability.draw")
local lexicon = require("fsam.data.acceptability.lexicon")
local phenomena = require("fsam.data.acceptability.phenomena")
local schema = require("fsam.base.schema")

local M = {}

--- Names of the labels 0 and 1.
M.labels = { "unacceptable", "acceptable" }

--- The phenomena, in the order of reports.
M.phenomena = { "agreement", "determiner", "reflexive", "argument", "polarity", "island" }

-- After so many failed draws the grammar counts as exhausted.
local PATIENCE = 1000

local function new_pair(source, phenomenon, seen)
  for _ = 1, PATIENCE do
    source:begin()
    local good, bad = phenomena[phenomenon](source)
    if not (seen[good] or seen[bad]) then
      seen[good], seen[bad] = true, true
      return good, bad
    end
  end
  errors.raise("the acceptability corpus has too few %s sentences for the sizes asked for; ask "
    .. "for fewer", phenomenon)
end

-- One set. Its pairs are shared out evenly among the phenomena. With an odd size, the acceptable
-- half of one more pair is added; the other half is not used anywhere.
local function split(source, size, seen)
  local samples = {}
  local pairs_left = math.floor(size / 2)
  for i, phenomenon in ipairs(M.phenomena) do
    local count = math.ceil(pairs_left / (#M.phenomena - i + 1))
    pairs_left = pairs_left - count
    for _ = 1, count do
      local good, bad = new_pair(source, phenomenon, seen)
      samples[#samples + 1] = { text = good, label = 1, group = phenomenon }
      samples[#samples + 1] = { text = bad, label = 0, group = phenomenon }
    end
  end
  if size % 2 == 1 then
    local phenomenon = M.phenomena[#M.phenomena]
    local good = new_pair(source, phenomenon, seen)
    samples[#samples + 1] = { text = good, label = 1, group = phenomenon }
  end
  return { samples = source.random:shuffle(samples), labels = M.labels }
end

--- Generates the corpus. The same options give the same sentences on every machine.
-- @tparam[opt] table options seed (default 1), train and dev: numbers of samples (defaults 8551
--   and 1043, CoLA's)
-- @treturn table { train = dataset, dev = dataset, vocab = {piece, …} in the order of ids }; a
--   dataset is { samples = { { text, label, group = phenomenon }, … }, labels }
-- @raise one line when the grammar has too few sentences for the sizes
function M.generate(options)
  options = options or {}
  local source = draw.new(options.seed or 1)
  local seen = {}
  local dev = split(source, options.dev or 1043, seen)
  local train = split(source, options.train or 8551, seen)
  return { train = train, dev = dev, vocab = lexicon.pieces() }
end

local size = arguments.optional(schema.integer(0))
arguments.guard("fsam.data.acceptability", M, {
  generate = { arguments.optional_fields({ train = size, dev = size, seed =
    arguments.optional(schema.integer(0)) }) },
})

return M
