--- fairseq's dictionary of GPT-2's byte pieces: dict.txt names a piece by its number in
-- encoder.json, and its line gives the id.
--
-- Owns: the ids by piece. Leaves to others: the dictionary (fsam.data.dictionary), merges and
-- special tokens (init.lua).
local dictionaries = require("fsam.data.dictionary")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local schema = require("fsam.base.schema")

local M = {}

local LARGEST = 2 ^ 26 -- no vocabulary has more pieces
local ENCODER = schema.map(schema.integer(0, LARGEST))

-- The pieces of encoder.json by their numbers, as dict.txt writes these.
local function pieces_of(path)
  local encoder = schema.check(json.decode(file.read(path), path), ENCODER, path, "the vocabulary")
  local pieces = {}
  for piece, number in pairs(encoder) do
    local text = ("%d"):format(number)
    local other = pieces[text]
    if other then
      local first, second = piece, other
      if second < first then
        first, second = second, first
      end
      errors.raise("%s: %s and %s have one number, %s", path, schema.show(first),
        schema.show(second), text)
    end
    pieces[text] = piece
  end
  return pieces
end

-- The piece of a symbol. One that is no number stands for itself: "madeupword0000" holds a place.
local function piece_of(pieces, symbol, dictionary, encoder)
  if not symbol:find("^%d+$") then
    return symbol
  end
  return pieces[symbol] or errors.raise("%s names piece %s, which %s does not have",
    dictionary.path, schema.show(symbol), encoder)
end

--- The ids of a dictionary's pieces, <mask> behind the last of them.
-- @tparam table files the paths `dictionary` (dict.txt) and `encoder` (encoder.json)
-- @treturn table map from piece to id
-- @treturn table the dictionary (fsam.data.dictionary)
-- @raise one line that names the file, when one cannot be read, is malformed, or does not fit the
--   other
function M.ids(files)
  local dictionary, pieces = dictionaries.read(files.dictionary), pieces_of(files.encoder)
  local ids = {}
  for i, symbol in ipairs(dictionary.symbols) do
    if dictionary.ids[symbol] == i - 1 then -- else a later line replaces it
      local piece = piece_of(pieces, symbol, dictionary, files.encoder)
      if ids[piece] then
        errors.raise("%s has the piece %s twice, once as its number", dictionary.path,
          schema.show(piece))
      end
      ids[piece] = i - 1
    end
  end
  ids["<mask>"] = ids["<mask>"] or #dictionary.symbols
  return ids, dictionary
end

return M
