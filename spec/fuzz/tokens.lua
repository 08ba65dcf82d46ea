--- What every tokenizer must hold to, whatever files it came from. Owns: these checks; they fail by
-- assert, an internal error.
local M = {}

M.TEXTS = { "the cats. [MASK] abc <mask>", "", " a\204\129\239\184\143 \228\184\173\0<x> 11",
  "\255\254 x" }

local function check(tokenizer, text, pair)
  local ids, types = tokenizer:encode(text, pair)
  assert(#ids == #types, "as many types as ids")
  for i, id in ipairs(ids) do
    assert(type(id) == "number" and id % 1 == 0 and id >= 0
      and (id < tokenizer.vocab_size or tokenizer:token_of(id)), "an id outside the vocabulary")
    assert(types[i] == 0 or types[i] == 1, "a token type beside 0 and 1")
  end
  local text_again = tokenizer:decode(ids, true)
  assert(type(text_again) == "string")
end

--- Encodes a few texts and a pair.
function M.check(tokenizer)
  assert(tokenizer.vocab_size <= 2 ^ 31, "a vocabulary of more ids than an embedding can have")
  for i, text in ipairs(M.TEXTS) do
    check(tokenizer, text, i % 2 == 0 and M.TEXTS[1] or nil)
  end
end

--- One text in full.
M.encode = check

return M
