--- vocab.json and merges.txt with tokenizer_config.json.
local seeds = require("spec.fuzz.seeds")
local text = require("fsam.text")
local tokens = require("spec.fuzz.tokens")

return {
  parts = { { name = "vocab.json", kind = "document" }, { name = "merges.txt", kind = "bytes" },
    { name = "tokenizer_config.json", kind = "document" } },
  words = seeds.TOKEN_WORDS,
  seeds = function()
    return {
      { ["vocab.json"] = seeds.PAIRS, ["merges.txt"] = seeds.MERGES,
        ["tokenizer_config.json"] = seeds.ROBERTA },
      { ["vocab.json"] = seeds.PAIRS, ["merges.txt"] = seeds.MERGES },
    }
  end,
  run = function(_, folder)
    tokens.check(text.load(folder))
  end,
}
