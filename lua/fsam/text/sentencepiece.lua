--- SentencePiece's model files (spiece.model, sentencepiece.bpe.model): pieces with scores, and how
-- text is normalised.
--
-- Owns: the meaning of the fields, their defaults, and what makes a model sound. Leaves to others:
-- the wire format (protobuf.lua), rules of normalisation (charsmap.lua), the search (unigram.lua),
-- what ALBERT's and XLM-R's tokenizers make of it (sentencepiece_classes.lua).
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local protobuf = require("fsam.text.protobuf")
local schema = require("fsam.base.schema")
local utf8 = require("fsam.base.utf8")

local M = {}

--- Bytes of the longest piece. Every character of a text may begin one, so it bounds the work.
M.LONGEST = 1024

-- What a piece is, by its number in the file.
local KINDS = { "normal", "unknown", "control", "user", "unused", "byte" }

local MODELS = { "unigram", "bpe", "word", "char" }

local function read_piece(message, where, index)
  local piece = { kind = "normal", score = 0 }
  protobuf.fields(message, { "bytes", "float", "integer" }, function(number, value)
    if number == 1 then
      piece.text = protobuf.text(value)
    elseif number == 2 then
      piece.score = value
    else
      piece.kind = KINDS[value] or errors.raise("%s: piece %d has the type %.0f, expected 1 to %d",
        where, index, value, #KINDS)
    end
  end)
  local text = piece.text
  if not text or text == "" or #text > M.LONGEST then
    errors.raise("%s: piece %d has %d bytes, expected 1 to %d", where, index, text and #text or 0,
      M.LONGEST)
  elseif utf8.fault(text) or text:find("%z") then
    errors.raise("%s: piece %d is not UTF-8 text", where, index)
  elseif piece.score ~= piece.score or math.abs(piece.score) == math.huge then
    errors.raise("%s: piece %d (%s) has no finite score", where, index, schema.show(text))
  end
  return piece
end

local function read_trainer(message, model)
  protobuf.fields(message, { [3] = "integer", [24] = "integer", [35] = "integer" },
    function(number, value)
      if number == 3 then
        model.algorithm = MODELS[value] or ("number %.0f"):format(value)
      else
        model[number == 24 and "suffix_space" or "byte_fallback"] = value ~= 0
      end
    end)
end

local FLAGS = { [3] = "dummy_prefix", [4] = "remove_spaces", [5] = "escape_spaces" }

local function read_normalizer(message, model)
  protobuf.fields(message, { [2] = "bytes", [3] = "integer", [4] = "integer", [5] = "integer" },
    function(number, value)
      if number == 2 then
        model.charsmap = protobuf.text(value)
      else
        model[FLAGS[number]] = value ~= 0
      end
    end)
end

--- The id of a byte's piece, spelled <0x00> to <0xFF>.
local function byte_of(piece, where)
  local digits = piece:match("^<0x(%x%x)>$")
  return digits and tonumber(digits, 16)
    or errors.raise("%s: %s is no piece for a byte", where, schema.show(piece))
end

--- Checks that pieces differ, and finds those with a meaning of their own.
local function check(model, where)
  local seen = { [true] = {}, [false] = {} }
  local bytes = 0
  for i, piece in ipairs(model.pieces) do
    local own = piece.kind == "unknown" or piece.kind == "control" or piece.kind == "byte"
    if seen[own][piece.text] then
      errors.raise("%s: %s is there twice, as pieces %d and %d", where, schema.show(piece.text),
        seen[own][piece.text] - 1, i - 1)
    end
    seen[own][piece.text] = i
    if piece.kind == "byte" then
      model.byte_ids[byte_of(piece.text, where)] = i - 1
      bytes = bytes + 1
    elseif piece.kind == "unknown" then
      if model.unk_id then
        errors.raise("%s: pieces %d and %d are both of type unknown", where, model.unk_id, i - 1)
      end
      model.unk_id = i - 1
    end
  end
  if not model.unk_id then
    errors.raise("%s: none of its %d pieces is of type unknown", where, #model.pieces)
  elseif (bytes > 0) ~= model.byte_fallback or bytes > 0 and bytes ~= 256 then
    errors.raise("%s: has pieces for %d bytes, expected %d", where, bytes,
      model.byte_fallback and 256 or 0)
  end
end

--- Reads a model.
-- @tparam string path
-- @treturn table
--   `pieces`: list of `{ text, score, kind }`, ids from 0; a kind is normal, unknown, control, user
--   (never split), unused or byte; `unk_id`; `byte_ids`: byte → id, with `byte_fallback`;
--   `charsmap`: bytes, or nil; booleans `dummy_prefix`, `remove_spaces`, `escape_spaces`,
--   `suffix_space`
-- @raise one line, when the file is no such model or one of another kind than unigram
function M.read(path)
  local model = { pieces = {}, byte_ids = {}, algorithm = "unigram", dummy_prefix = true,
    remove_spaces = true, escape_spaces = true, suffix_space = false, byte_fallback = false }
  local message = protobuf.open(file.read(path), path)
  protobuf.fields(message, { "bytes", "bytes", "bytes" }, function(number, value)
    if number == 1 then
      local index = #model.pieces
      model.pieces[index + 1] = read_piece(value, path, index)
    else
      (number == 2 and read_trainer or read_normalizer)(value, model)
    end
  end)
  if model.algorithm ~= "unigram" then
    errors.raise("%s: holds a model of the kind %s, expected unigram; save the tokenizer with "
      .. "Transformers as a tokenizer.json", path, model.algorithm)
  end
  check(model, path)
  return model
end

return M
