--- Checkpoints: a Hugging Face folder with two files more (DESIGN.md D12).
--
--   config.json, model.safetensors, tokenizer files     the model as others read it; w in f32
--   state.safetensors                                   every vector, mask and scalar of the optimizer
--   trainer.json                                        where the run stands; written last
--
-- Owns that pairing, and writing it whole or not at all (formats/folder.lua). Bytes of the two
-- safetensors files depend on the run alone: no dates, no paths.

local errors = require("fsam.errors")
local ffi = require("fsam.C").ffi
local file = require("fsam.formats.file")
local folder = require("fsam.formats.folder")
local json = require("fsam.json")
local safetensors = require("fsam.formats.safetensors")

local M = {}

local FORMAT = 1

-- The master weights are model.safetensors; saving them twice would double the file.
local function kept_vectors(state)
  local names = {}
  for name in pairs(state.vectors) do
    if name ~= "w" then
      names[#names + 1] = name
    end
  end
  return names
end

-- Everything persistent but w, as safetensors writes it: vectors are F32 over the whole layout,
-- masks U64 words of 64 bits, scalars one F64 each.
local function state_tensors(state)
  local tensors = {}
  local function add(prefix, name, dtype, width, data, bytes)
    tensors[#tensors + 1] = {
      name = prefix .. "." .. name, dtype = dtype, shape = { bytes / width }, data = data,
      bytes = bytes,
    }
  end
  for _, name in ipairs(kept_vectors(state)) do
    local vector = state.vectors[name]
    add("vector", name, "F32", 4, vector.data, vector.bytes)
  end
  for name, mask in pairs(state.masks) do
    add("mask", name, "U64", 8, mask.data, mask.bytes)
  end
  for name, scalar in pairs(state.scalars) do
    add("scalar", name, "F64", 8, scalar.data, scalar.bytes)
  end
  return tensors
end

--- Writes a checkpoint, or fails and leaves the one that was there.
-- @tparam string path the folder, NAME
-- @tparam table parts model (save), params (state), tokenizer (save) or nil, labels, trainer: a
--   plain table for trainer.json
-- @raise one line with the path when the disk is full or fails
function M.save(path, parts)
  folder.replace(path, function(new)
    parts.model:save(new, { labels = parts.labels })
    if parts.tokenizer then
      parts.tokenizer:save(new)
    end
    safetensors.write(new .. "/state.safetensors", state_tensors(parts.params:state()))
    parts.trainer.format = FORMAT
    return json.encode(parts.trainer, { indent = true }) .. "\n"
  end)
end

--- The complete checkpoint to read for NAME, also after a crash while saving.
-- @tparam string path
-- @treturn ?string a folder, or nil
function M.find(path)
  return folder.resolve(path)
end

--- Where the run of a checkpoint stands.
-- @tparam string path a complete checkpoint
-- @treturn table
-- @raise when it was written by a later version
function M.trainer(path)
  local name = path .. "/trainer.json"
  local trainer = json.decode(file.read(name), name)
  if type(trainer) ~= "table" or trainer.format ~= FORMAT then
    errors.raise("%s has format %s, this program reads %d; continue with the program that wrote it",
      name, tostring(type(trainer) == "table" and trainer.format), FORMAT)
  end
  return trainer
end

-- Copies one stored tensor into memory of the same size.
local function fill(source, name, target)
  local entry = source:get(name)
  entry:read_bytes(ffi.cast("uint8_t *", target.data), target.bytes)
end

--- Puts the optimizer's vectors, masks and scalars back.
-- @tparam string path a complete checkpoint
-- @tparam table params of a model that was loaded from the same folder, with its optimizer built
-- @raise when the file and the optimizer do not have the same things
function M.restore(path, params)
  local source = safetensors.open(path .. "/state.safetensors")
  local state = params:state()
  for _, kind in ipairs({ "vector", "mask", "scalar" }) do
    for name, target in pairs(state[kind .. "s"]) do
      if name ~= "w" then
        fill(source, kind .. "." .. name, target)
      end
    end
  end
  for _, name in ipairs(source.names) do
    local kind, of = name:match("^(%a+)%.(.*)$")
    if not (kind and state[kind .. "s"] and state[kind .. "s"][of]) then
      errors.raise("%s has %s, which this optimizer does not keep", source.path, name)
    end
  end
  source:close()
end

return M
