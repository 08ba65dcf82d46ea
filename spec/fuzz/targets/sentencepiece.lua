--- spiece.model: SentencePiece's protobuf, with ALBERT's tokenizer around it.
local seeds = require("spec.fuzz.seeds")
local spiece = require("spec.lua.text.spiece")
local text = require("fsam.text")
local tokens = require("spec.fuzz.tokens")

local MODEL = '{ "model_type": "albert" }'

return {
  parts = { { name = "spiece.model", kind = "bytes" }, { name = "config.json", kind = "document" },
    { name = "tokenizer_config.json", kind = "document" } },
  words = { spiece.piece("x", -1), spiece.piece("<0x41>", -1, 6), spiece.piece("user", 0, 4),
    spiece.field(2, spiece.field(35, 1)), spiece.field(3, spiece.field(4, 0)),
    spiece.field(3, spiece.field(2, spiece.one_rule(97, "bc"))), "\255\255\255\255\15" },
  seeds = function()
    local plain = { ["spiece.model"] = spiece.model(), ["config.json"] = MODEL,
      ["tokenizer_config.json"] = seeds.ALBERT }
    local fairseq = { ["spiece.model"] = spiece.PIECES, ["config.json"] = MODEL }
    return { plain, fairseq }
  end,
  run = function(_, folder)
    tokens.check(text.load(folder))
  end,
}
