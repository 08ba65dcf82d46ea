--- fairseq's dictionary of GPT-2's byte pieces: dict.txt names each piece by its number in
-- encoder.json, and its line gives the id. Owns: the ids by piece. Leaves to others: merges and
-- special tokens (init.lua).
local errors = require("fsam.errors")

local M = {}

-- The ids before the first line's, in order; <mask> comes after the last line.
local FIRST = { "<s>", "<pad>", "</s>", "<unk>" }

local function pieces_of(encoder, path)
  local pieces = {}
  for piece, number in pairs(encoder) do
    if type(number) ~= "number" or number % 1 ~= 0 or number < 0 then
      errors.raise("%s: a piece has the number %s", path, tostring(number))
    end
    pieces[("%d"):format(number)] = piece
  end
  return pieces
end

--- The ids of a dictionary.
-- @tparam {string,…} lines of dict.txt: a number of encoder.json, or a word for a place that is not
--   used, then its count
-- @tparam table encoder piece → number
-- @tparam table files the paths `dictionary` and `encoder`, for messages
-- @treturn table map from piece to id
-- @raise one line about a line that is none, or names a piece that is not there or is there twice
function M.ids(lines, encoder, files)
  local pieces, ids, count = pieces_of(encoder, files.encoder), {}, #FIRST
  for i, name in ipairs(FIRST) do
    ids[name] = i - 1
  end
  for i, line in ipairs(lines) do
    local symbol = line:match("^(%S+) %d+$") or line:match("^(%S+) %d+ #fairseq:overwrite$")
    if not symbol then
      errors.raise("%s: line %d is not a symbol and its count", files.dictionary, i)
    end
    local piece = symbol:find("^%d+$") and pieces[symbol] or symbol
    if symbol:find("^%d+$") and not pieces[symbol] then
      errors.raise("%s: line %d names piece %s, which %s does not have", files.dictionary, i,
        symbol, files.encoder)
    elseif ids[piece] then
      errors.raise("%s: line %d has %s a second time", files.dictionary, i, symbol)
    end
    ids[piece], count = count, count + 1
  end
  ids["<mask>"] = ids["<mask>"] or count
  return ids
end

return M
