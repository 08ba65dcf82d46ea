--- The files that name special and added tokens, over a vocabulary. What was loaded is saved and
-- loaded again.
local helper = require("spec.helper")
local json = require("fsam.base.json")
local lfs = require("lfs")
local seeds = require("spec.fuzz.seeds")
local text = require("fsam.text")
local tokens = require("spec.fuzz.tokens")

return {
  parts = { { name = "special_tokens_map.json", kind = "document" },
    { name = "added_tokens.json", kind = "document" },
    { name = "tokenizer_config.json", kind = "document" }, { name = "config.json",
      kind = "document" } },
  words = seeds.TOKEN_WORDS,
  seeds = function()
    local map = json.encode({ pad_token = "[PAD]", additional_special_tokens = { "<x>", "a b" },
      mask_token = { content = "[MASK]", lstrip = false, special = true } })
    local decoder = json.encode({ tokenizer_class = "BertTokenizer", added_tokens_decoder = {
      ["19"] = { content = "<x>", special = false, lstrip = true, normalized = true },
      ["4"] = { content = "[MASK]", special = true } } })
    local bert = json.encode({ model_type = "bert" })
    return {
      { ["special_tokens_map.json"] = map, ["added_tokens.json"] = '{"<x>": 19, "new": 20}',
        ["tokenizer_config.json"] = seeds.BERT },
      { ["special_tokens_map.json"] = map, ["tokenizer_config.json"] = decoder },
      { ["special_tokens_map.json"] = map, ["config.json"] = bert },
    }
  end,
  start = function(folder)
    helper.write_file(folder .. "/vocab.txt", seeds.PIECES .. "\n")
    lfs.mkdir(folder .. "/again")
    return { count = 0 }
  end,
  run = function(_, folder, state)
    local tokenizer = text.load(folder)
    tokens.check(tokenizer)
    state.count = state.count + 1
    if state.count % 20 == 0 then -- saving waits for the disk
      for name in lfs.dir(folder .. "/again") do
        os.remove(folder .. "/again/" .. name)
      end
      tokenizer:save(folder .. "/again")
      local again = text.load(folder .. "/again")
      for _, one in ipairs(tokens.TEXTS) do
        local before, after = tokenizer:encode(one), again:encode(one)
        assert(table.concat(before, " ") == table.concat(after, " "), "saved, it gives other ids")
      end
    end
  end,
}
