--- The frame around one sequence or a pair: which special ids stand where, and the token types.
--
-- Owns: assembly and truncation. A template is `{ single = items, pair = items }`; an item is
-- `{ id =, token_type = }` or `{ sequence = 1 | 2, token_type = }`.
local errors = require("fsam.errors")
local new_table = require("table.new")

local M = {}

--- BERT's: [CLS] A [SEP], [CLS] A [SEP] B [SEP]; token type 1 from B on, else 0.
-- @tparam int cls id
-- @tparam int sep id
-- @treturn table a template
function M.bert(cls, sep)
  return {
    single = {
      { id = cls, token_type = 0 }, { sequence = 1, token_type = 0 }, { id = sep, token_type = 0 },
    },
    pair = {
      { id = cls, token_type = 0 }, { sequence = 1, token_type = 0 }, { id = sep, token_type = 0 },
      { sequence = 2, token_type = 1 }, { id = sep, token_type = 1 },
    },
  }
end

--- RoBERTa's: <s> A </s>, <s> A </s></s> B </s>; token type 0 throughout.
-- @tparam int cls id
-- @tparam int sep id
-- @treturn table a template
function M.roberta(cls, sep)
  return {
    single = {
      { id = cls, token_type = 0 }, { sequence = 1, token_type = 0 }, { id = sep, token_type = 0 },
    },
    pair = {
      { id = cls, token_type = 0 }, { sequence = 1, token_type = 0 }, { id = sep, token_type = 0 },
      { id = sep, token_type = 0 }, { sequence = 2, token_type = 0 }, { id = sep, token_type = 0 },
    },
  }
end

--- No special ids at all; token type 1 for B.
-- @treturn table a template
function M.bare()
  return {
    single = { { sequence = 1, token_type = 0 } },
    pair = { { sequence = 1, token_type = 0 }, { sequence = 2, token_type = 1 } },
  }
end

--- How many ids of each sequence stay when there is room for so many of both, as with Hugging
-- Face's "longest_first": the longer sequence is cut first; when both must be cut, they share the
-- room.
local function kept(n1, n2, room)
  if n1 + n2 <= room then
    return n1, n2
  end
  local short = math.min(n1, n2)
  local long = math.max(short, room - short)
  if short + long > room then
    short = math.floor(room / 2)
    long = short + room % 2
  end
  if n1 > n2 then
    return long, short
  end
  return short, long
end

--- Puts the frame around ids.
-- @tparam table template
-- @tparam table first ids of the first sequence
-- @tparam ?table second ids of the second sequence
-- @tparam ?int max_tokens cut the sequences so that there are at most so many ids in all
-- @treturn table ids
-- @treturn table token types, one for each id
-- @raise one line when max_tokens is less than the number of special ids
function M.apply(template, first, second, max_tokens)
  local items = second and template.pair or template.single
  local lengths = { #first, second and #second or 0 }
  if max_tokens then
    local room = max_tokens
    for _, item in ipairs(items) do
      room = room - (item.id and 1 or 0)
    end
    if room < 0 then
      errors.raise("text: at most %d tokens leave no room for the special ones; allow %d or more",
        max_tokens, max_tokens - room)
    end
    lengths[1], lengths[2] = kept(lengths[1], lengths[2], room)
  end
  local count = #items + lengths[1] + lengths[2]
  local ids, token_types, n = new_table(count, 0), new_table(count, 0), 0
  for _, item in ipairs(items) do
    local source = item.sequence == 1 and first or second
    for i = 1, item.id and 1 or lengths[item.sequence] do
      n = n + 1
      ids[n] = item.id or source[i]
      token_types[n] = item.token_type
    end
  end
  return ids, token_types
end

return M
