--- Converts checkpoints: `convert(from, to)`. To a name that ends in .pt goes a fairseq checkpoint,
-- to any other a Hugging Face folder.
--
-- Owns: which of the two it is, and that a failure leaves nothing under the new name. Leaves to
-- others: reading (fsam.formats), writing (fairseq_writer.lua, safetensors), the tokenizer's files
-- (recipes/convert.lua).
local arguments = require("fsam.base.arguments")
local errors = require("fsam.errors")
local fairseq_writer = require("fsam.formats.fairseq_writer")
local file = require("fsam.base.file")
local formats = require("fsam.formats")
local json = require("fsam.base.json")
local safetensors = require("fsam.formats.safetensors")
local schema = require("fsam.base.schema")

-- The text of config.json.
local function config_text(source)
  if source.config_text then
    return source.config_text
  elseif source.config_path:find("%.json$") then
    return file.read(source.config_path)
  end
  local config = {}
  for key, value in pairs(source.config) do
    config[key] = value
  end
  local count = config.num_labels
  if count then
    config.num_labels, config.id2label, config.label2id = nil, {}, {}
    for i = 0, count - 1 do
      config.id2label[tostring(i)], config.label2id["LABEL_" .. i] = "LABEL_" .. i, i
    end
  end
  return json.encode(config, { indent = true }) .. "\n"
end

local function write_bytes(entry)
  return function(writer)
    entry:each_block(function(data, bytes)
      writer:write(data, bytes)
    end)
  end
end

-- The tensors to write. A language model's output is its table of words: it is written once.
local function tensors_of(source)
  local list, tensors = {}, source.tensors
  local words = tensors:find("roberta.embeddings.word_embeddings.weight")
  for _, name in ipairs(tensors.names) do
    local entry = tensors:get(name)
    local tied = name == "lm_head.decoder.weight" and words and entry.pointer
      and entry.pointer == words.pointer
    if not tied then
      list[#list + 1] = { name = name, dtype = entry.dtype, shape = entry.shape,
        data = write_bytes(entry) }
    end
  end
  return list
end

-- Calls fn; when it fails, removes what it had begun.
local function or_remove(paths, fn)
  local ok, err = pcall(fn)
  for _, path in ipairs(ok and {} or paths) do
    file.remove(path)
  end
  if not ok then
    error(err, 0)
  end
end

local function write_folder(to, source)
  if file.kind(to) and file.kind(to) ~= "directory" then
    errors.raise("%s is a file; give a folder, or a name that ends in .pt", to)
  end
  file.make_folder(to)
  if #file.entries(to) > 0 then
    errors.raise("%s is not empty; give a new folder", to)
  end
  local weights, config = to .. "/model.safetensors", to .. "/config.json"
  or_remove({ weights, config }, function()
    safetensors.write(weights, tensors_of(source))
    file.write(config, config_text(source))
  end)
  file.sync(to)
end

local function write_checkpoint(to, source)
  if file.kind(to) then
    errors.raise("%s exists; give another name, or move it away", to)
  end
  file.make_folder(file.parent(to))
  or_remove({ to .. ".new" }, function()
    fairseq_writer.write(to .. ".new", source, config_text(source))
  end)
  file.rename(to .. ".new", to)
  file.sync(file.parent(to))
end

--- Converts a checkpoint.
-- @tparam string from what fsam.formats opens
-- @tparam string to a name that ends in .pt and does not exist, or a folder that is new or empty
-- @treturn table the source, closed: its vocabulary says where the tokenizer's files are
-- @raise one line; FROM stays unchanged
local function convert(from, to)
  local source = formats.open(from)
  to = file.bare(to)
  if to:find("%.pt$") then
    write_checkpoint(to, source)
  else
    write_folder(to, source)
  end
  source.tensors:close()
  return source
end

return arguments.declare("fsam.convert", { arguments.arg("from", schema.path),
  arguments.arg("to", schema.path) }, convert)
