--- vocab.txt with tokenizer_config.json.
local seeds = require("spec.fuzz.seeds")
local text = require("fsam.text")
local tokens = require("spec.fuzz.tokens")

return {
  parts = { { name = "vocab.txt", kind = "bytes" },
    { name = "tokenizer_config.json", kind = "document" } },
  words = seeds.TOKEN_WORDS,
  seeds = function()
    return {
      { ["vocab.txt"] = seeds.PIECES },
      { ["vocab.txt"] = seeds.PIECES, ["tokenizer_config.json"] = seeds.BERT },
    }
  end,
  run = function(_, folder)
    tokens.check(text.load(folder))
  end,
}
