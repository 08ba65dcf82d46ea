--- Folders and files of other programs, given where a checkpoint belongs.
--
-- Owns: what is recognised of them, and what a message says to do. Leaves to others: the formats
-- that are read (formats).
local file = require("fsam.base.file")
local registry = require("fsam.base.registry")

local M = {}

local SAVE = "save the model by Transformers' save_pretrained, which writes model.safetensors"

-- Programs by the ends of their files' names.
local PROGRAMS = {
  [".ckpt"] = "a PyTorch or TensorFlow", [".h5"] = "a TensorFlow", [".msgpack"] = "a Flax",
  [".gguf"] = "a llama.cpp", [".onnx"] = "an ONNX",
}

--- What to say about a file of another program.
-- @tparam string path
-- @treturn ?string the message behind its path, nil for other files
function M.file_hint(path)
  local program = PROGRAMS[path:match("%.[^./]*$")]
  return program and ("is %s file, which is not read; %s"):format(program, SAVE)
end

local function adapter(list)
  if registry.contains(list, "adapter_config.json") then
    return "holds an adapter (LoRA or another of PEFT's), not a whole model; merge it into its "
      .. "base model (merge_and_unload) and save that"
  end
end

-- The folder of the latest step among those that Transformers' Trainer writes.
local function trainer_step(list, path)
  local latest
  for _, name in ipairs(list) do
    local step = tonumber(name:match("^checkpoint%-(%d+)$"))
    if step and file.kind(path .. "/" .. name .. "/config.json") then
      latest = math.max(latest or 0, step)
    end
  end
  return latest and ("has no config.json, but folders of steps: give one of these, such as "
    .. "%s/checkpoint-%d"):format(path, latest)
end

local function by_name(list, path)
  for _, name in ipairs(list) do
    if name:find("^model%-%d+%-of%-%d+%.safetensors$") then
      return ("has %s, a part of the weights, but no model.safetensors.index.json, which says "
        .. "where each tensor is"):format(name)
    elseif name:find("^model%..+%.safetensors$") then
      return ("has no model.safetensors; give the file itself: %s/%s"):format(path, name)
    elseif M.file_hint(name) then
      return ("has no model.safetensors, and %s %s"):format(name, M.file_hint(name))
    end
  end
end

--- What to say about a folder that lacks config.json or weights.
-- @tparam string path
-- @treturn ?string the message behind its path, nil for other folders
function M.folder_hint(path)
  local list = file.entries(path)
  return adapter(list) or registry.contains(list, "config.json") and by_name(list, path)
    or trainer_step(list, path)
end

return M
