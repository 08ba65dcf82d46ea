--- fairseq's dict.txt with GPT-2's encoder.json and vocab.bpe.
local dictionaries = require("fsam.data.dictionary")
local seeds = require("spec.fuzz.seeds")
local text = require("fsam.text")
local tokens = require("spec.fuzz.tokens")

return {
  parts = { { name = "dict.txt", kind = "bytes" }, { name = "encoder.json", kind = "document" },
    { name = "vocab.bpe", kind = "bytes" } },
  words = { "#fairseq:overwrite", " #fairseq:overwrite\n", "madeupword0000 0\n", "<mask> 1\n",
    "<s> 1\n", "3 1\n", "\r\n", "67108865", "a b\n" },
  seeds = function()
    return { { ["dict.txt"] = "2 9\n3 8\n0 7\n1 6\nmadeupword0000 0\n",
      ["encoder.json"] = '{"a":0,"b":1,"ab":2,"\196\160a":3}', ["vocab.bpe"] = seeds.MERGES } }
  end,
  run = function(bundle, folder)
    if bundle["dict.txt"] then
      local written = dictionaries.read(folder .. "/dict.txt"):text()
      assert(type(written) == "string")
    end
    tokens.check(text.load(folder))
  end,
}
