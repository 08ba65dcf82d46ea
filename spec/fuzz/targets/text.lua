--- Texts through a WordPiece tokenizer, the same with case kept, and a BPE tokenizer.
local json = require("fsam.base.json")
local seeds = require("spec.fuzz.seeds")
local text = require("fsam.text")
local tokens = require("spec.fuzz.tokens")

local SEEDS = { "The cats' caf\195\169 costs 1.50 \226\130\172!",
  "a\204\129\204\163b\204\163\204\129",
  "\234\176\128\225\132\128\225\133\161\225\134\168 \228\184\173\230\150\135 \217\129\217\138",
  "\240\159\145\169\226\128\141\240\159\146\187 \239\188\161\239\183\186 \196\176\199\133",
  "<s> [MASK] </s><mask> [SEP]", "don't we'll\r\n\t  12345 __a__ \194\160\227\128\128x" }

return {
  parts = { { name = "first", kind = "bytes" }, { name = "second", kind = "bytes" } },
  files = false,
  words = { "[MASK]", "<mask>", "<s>", "\204\129", "\204\163", "\226\128\141", "\239\184\143",
  "'ll",
    "\228\184\173", "\234\176\129", "\225\132\128", "\217\139", "\194\173", "  ", "\t",
    "\239\187\191",
    "\240\144\144\128", "\196\177", "\195\159" },
  seeds = function()
    local list = {}
    for i, first in ipairs(SEEDS) do
      list[i] = { first = first, second = i % 2 == 0 and SEEDS[1] or nil }
    end
    return list
  end,
  start = function()
    local pieces = {}
    for piece in (seeds.PIECES .. "\n"):gmatch("([^\n]*)\n") do
      pieces[#pieces + 1] = piece ~= "" and piece or nil
    end
    local merges = {}
    for left, right in seeds.MERGES:gmatch("(%S+) (%S+)\n") do
      merges[#merges + 1] = left ~= "#version:" and { left, right } or nil
    end
    return { text.wordpiece({ vocab = pieces }),
      text.wordpiece({ vocab = pieces, lowercase = false, chinese = false }),
      text.bpe({ ids = json.decode(seeds.PAIRS, "pairs"), merges = merges }) }
  end,
  run = function(bundle, _, tokenizers)
    for _, tokenizer in ipairs(tokenizers) do
      tokens.encode(tokenizer, bundle.first or "", bundle.second)
    end
  end,
}
