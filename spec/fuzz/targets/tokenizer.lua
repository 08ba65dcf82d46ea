--- tokenizer.json, alone and with tokenizer_config.json.
local seeds = require("spec.fuzz.seeds")
local text = require("fsam.text")
local tokens = require("spec.fuzz.tokens")

return {
  parts = { { name = "tokenizer.json", kind = "document" },
    { name = "tokenizer_config.json", kind = "document" } },
  words = seeds.TOKEN_WORDS,
  seeds = function()
    return {
      { ["tokenizer.json"] = seeds.tokenizer_json("wordpiece") },
      { ["tokenizer.json"] = seeds.tokenizer_json("bpe") },
      { ["tokenizer.json"] = seeds.tokenizer_json("wordpiece"),
        ["tokenizer_config.json"] = seeds.BERT },
      { ["tokenizer.json"] = seeds.tokenizer_json("bpe"),
        ["tokenizer_config.json"] = seeds.ROBERTA },
      { ["tokenizer.json"] = seeds.unigram_json() },
      { ["tokenizer.json"] = seeds.unigram_json(), ["tokenizer_config.json"] = seeds.ALBERT },
    }
  end,
  run = function(_, folder)
    tokens.check(text.load(folder))
  end,
}
