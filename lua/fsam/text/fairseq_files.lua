--- Writes RoBERTa's tokenizer as fairseq's three files: dict.txt, encoder.json and vocab.bpe.
--
-- A folder of Transformers does not say by which numbers GPT-2 knew the pieces, which dict.txt
-- names them by. They follow from the merges: GPT-2 counted the 256 characters that stand for
-- bytes, in the order of their code points, then what each merge makes, then <|endoftext|>.
-- Owns: the contents. Leaves to others: reading them (fairseq.lua), Transformers' files
-- (files.lua).
local arguments = require("fsam.base.arguments")
local dictionaries = require("fsam.data.dictionary")
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local schema = require("fsam.base.schema")

local M = {}

local END_OF_TEXT, MASK = "<|endoftext|>", "<mask>"

-- GPT-2's numbers of the pieces, and the pieces in their order.
local function numbering(model)
  local order, numbers = {}, {}
  local function add(piece)
    if not numbers[piece] then
      numbers[piece] = #order
      order[#order + 1] = piece
    end
  end
  local bytes = {}
  for byte = 0, 255 do
    bytes[byte + 1] = model.character[byte]
  end
  table.sort(bytes) -- UTF-8 sorts as its code points do
  for _, character in ipairs(bytes) do
    add(character)
  end
  for _, merge in ipairs(model.merges) do
    add(merge[1] .. merge[2])
  end
  add(END_OF_TEXT)
  return numbers, order
end

-- The dictionary, or nil and why there is none. fairseq puts <mask> behind its last symbol itself.
local function dictionary_of(tokenizer, numbers)
  local dictionary = dictionaries.new()
  for i, symbol in ipairs(dictionaries.FIRST) do
    if tokenizer:token_of(i - 1) ~= symbol then
      return nil, ("id %d of the tokenizer is %s, fairseq's is %s"):format(i - 1,
        schema.show(tokenizer:token_of(i - 1)), symbol)
    end
  end
  local last = tokenizer.vocab_size - 1
  if tokenizer:token_of(last) == MASK then
    last = last - 1
  end
  for id = #dictionaries.FIRST, last do
    local piece = tokenizer:token_of(id) or ("madeupid%d"):format(id) -- nothing has this id
    if not numbers[piece] and (piece:find("^%d+$") or piece:find("[\r\n]")) then
      return nil, ("the token %s would be another one there"):format(schema.show(piece))
    end
    dictionary:add(numbers[piece] and ("%d"):format(numbers[piece]) or piece, 0)
  end
  return dictionary
end

--- Writes the files; those that are there already stay.
-- @tparam table tokenizer of fsam.text.load, of kind "bpe"
-- @tparam string folder that exists
-- @treturn integer how many were written
-- @treturn ?string why fairseq cannot have this tokenizer, where none is written
-- @raise one line that names the file, when one cannot be written
local function save(tokenizer, folder)
  if tokenizer.kind ~= "bpe" then
    return 0, ("the tokenizer is of the kind %s, fairseq's RoBERTa has byte-level BPE"):format(
      tokenizer.kind)
  end
  local numbers, order = numbering(tokenizer.model)
  local dictionary, reason = dictionary_of(tokenizer, numbers)
  if not dictionary then
    return 0, reason
  end
  local merges = { "#version: 0.2\n" }
  for i, merge in ipairs(tokenizer.model.merges) do
    merges[i + 1] = merge[1] .. " " .. merge[2] .. "\n"
  end
  local written = 0
  for name, bytes in pairs({
    ["dict.txt"] = dictionary:text(),
    ["encoder.json"] = json.encode(numbers, { order = order }),
    ["vocab.bpe"] = table.concat(merges),
  }) do
    if not file.kind(folder .. "/" .. name) then
      file.write(folder .. "/" .. name, bytes)
      written = written + 1
    end
  end
  return written
end

M.save = arguments.declare("fsam.text.fairseq_files.save", {
  arguments.arg("tokenizer", arguments.object("a tokenizer, of fsam.text.load",
    { model = "table", kind = "string" })), arguments.arg("folder", schema.path) }, save)

return M
