--- Do ids fit a model? Asked before any pass, where a message can still name the text.
--
-- Owns: the questions about token ids and about the dictionary that they come from, and the
-- messages. Leaves to others: lengths, whose limits and remedies differ (task.lua,
-- fsam.models.prediction).
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local schema = require("fsam.base.schema")

local M = {}

--- Refuses a token that the model's table of embeddings has no row for.
-- @tparam {integer,…} ids of a text
-- @tparam table tokenizer fsam.text
-- @tparam integer vocab_size rows of the model's table
-- @tparam[opt] string where the text's place, which begins the message
-- @raise one line that names the token
function M.check_ids(ids, tokenizer, vocab_size, where)
  for _, id in ipairs(ids) do
    if id >= vocab_size then
      errors.raise("%sthe tokenizer's piece %s has the id %d, the model's vocabulary ends at %d; "
        .. "tokenizer and model do not belong together", where and where .. ": " or "",
        tokenizer:token_of(id), id, vocab_size - 1)
    end
  end
end

-- GPT-2's pieces in the order of their numbers, which fairseq's dictionaries name them by: the 256
-- bytes, the merges, and the end of a text.
local function gpt2_pieces(tokenizer)
  local model, pieces = tokenizer.model, {}
  if not (model and model.character and model.merges) then
    return pieces
  end
  local low, high = {}, {} -- bytes that stand for themselves come first
  for byte = 0, 255 do
    local list = #model.character[byte] == 1 and model.character[byte]:byte() == byte and low
      or byte > 160 and byte ~= 173 and low or high
    list[#list + 1] = model.character[byte]
  end
  for _, character in ipairs(high) do
    low[#low + 1] = character
  end
  for i, character in ipairs(low) do
    pieces[("%d"):format(i - 1)] = character
  end
  for i, merge in ipairs(model.merges) do
    pieces[("%d"):format(255 + i)] = merge[1] .. merge[2]
  end
  pieces[("%d"):format(256 + #model.merges)] = "<|endoftext|>"
  return pieces
end

--- Refuses ids that are another vocabulary's: each symbol of their dictionary is the tokenizer's
-- piece of the same id. fairseq's dictionary of GPT-2's pieces has their numbers for symbols.
-- @tparam table dictionary fsam.data.dictionary
-- @tparam table tokenizer fsam.text
-- @tparam string model what the tokenizer belongs to, for the message
-- @raise one line that names both and the first id that differs
function M.check_dictionary(dictionary, tokenizer, model)
  local own = tokenizer.dictionary
  local pieces = not own and gpt2_pieces(tokenizer)
  for i, symbol in ipairs(dictionary.symbols) do
    local expected = own and own.symbols[i] or not own and tokenizer:token_of(i - 1)
    if expected ~= symbol and not (pieces and pieces[symbol] and pieces[symbol] == expected) then
      errors.raise("%s and %s do not belong together: the id %d is %s%s in the first, %s in the "
        .. "second; prepare the data with the model's own dictionary", dictionary.path, model,
        i - 1, schema.show(symbol), pieces and pieces[symbol] and (" (%s)"):format(pieces[symbol])
        or "", schema.show(expected or nil))
    end
  end
end

arguments.guard("fsam.data.fit", M, {
  check_dictionary = { arguments.arg("dictionary", arguments.object("a dictionary, of "
    .. "fsam.data.dictionary.read", { symbols = "table" })), arguments.arg("tokenizer",
    arguments.object("a tokenizer, of fsam.text", { token_of = "function" })),
    arguments.arg("model", schema.string) },
  check_ids = { arguments.arg("ids", arguments.table), arguments.arg("tokenizer",
    arguments.object("a tokenizer, of fsam.text", { token_of = "function" })),
    arguments.arg("vocab_size", schema.integer(1)),
    arguments.arg("where", arguments.optional(schema.string)) },
})

return M
