--- Converts a checkpoint: a Hugging Face folder, a run, a .safetensors, .pt or .bin file becomes a
-- Hugging Face folder, or fairseq's checkpoint where TO ends in .pt. The tokenizer's files go
-- along.
--
--     fsam-lua recipes/convert.lua roberta.large/model.pt roberta-large
--     fsam-lua recipes/convert.lua runs/cola-1 cola.pt

local fsam = require("fsam")

local from, to = arg[1], arg[2]
if from == "--help" or from == "-h" then
  print("usage: fsam-lua recipes/convert.lua FROM TO\n\n"
    .. "FROM is " .. fsam.formats.KINDS .. ".\n"
    .. "TO is a new folder, or a name that ends in .pt for a fairseq checkpoint.")
  return
elseif #arg ~= 2 then
  fsam.errors.raise("two paths are needed, FROM and TO (--help says more)")
end

-- Weights and configuration.
local source = fsam.convert(from, to)

-- The tokenizer's files: unchanged, and beside a .pt also as fairseq reads them. Into a Hugging
-- Face folder fairseq's go as those that Transformers reads.
local folder = to:find("%.pt/*$") and (to:match("^(.*)/[^/]+/*$") or ".") or to
local files = source.vocabulary.files
local copied = 0
if folder == to and files.encoder and files.dictionary and not (files.tokenizer or files.ids) then
  fsam.text.load(source):save(to)
else
  copied = fsam.formats.copy_vocabulary(source.vocabulary, folder)
end
local has_own = files.tokenizer or files.ids or files.pieces
if folder ~= to and has_own and not (files.encoder and files.dictionary) then
  local loaded, tokenizer = pcall(fsam.text.load, source)
  local written, reason = 0, tokenizer
  if loaded then
    written, reason = fsam.text.save_fairseq(tokenizer, folder)
  end
  copied = copied + written
  if reason then
    print("no dict.txt beside it: " .. tostring(reason))
  end
end
print("wrote " .. to .. (copied > 0 and " and " .. copied .. " files of its tokenizer"
  or ""))
