--- Does an encoded text fit a model? Asked before any pass, where a message can still name the
-- text.
--
-- Owns: the question about token ids, and its message. Leaves to others: lengths, whose limits and
-- remedies differ (task.lua, fsam.models.prediction).
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

arguments.guard("fsam.data.fit", M, {
  check_ids = { arguments.arg("ids", arguments.table), arguments.arg("tokenizer",
    arguments.object("a tokenizer, of fsam.text", { token_of = "function" })),
    arguments.arg("vocab_size", schema.integer(1)),
    arguments.arg("where", arguments.optional(schema.string)) },
})

return M
