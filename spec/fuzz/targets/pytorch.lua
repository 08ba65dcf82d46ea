--- A PyTorch file: the zip's directory or the legacy stream, all readers of each tensor, and the
-- names and arguments of a fairseq checkpoint.
local fairseq = require("fsam.formats.fairseq")
local ffi = require("ffi")
local helper = require("spec.helper")
local objects = require("fsam.formats.pytorch.objects")
local pytorch = require("fsam.formats.pytorch")
local writer = require("fsam.formats.pytorch.writer")

local MOST = 1e4 -- elements that are read one by one

-- An entry for the writer.
local function tensor(...)
  local shape, elements = { ... }, 1
  for _, n in ipairs(shape) do
    elements = elements * n
  end
  return { name = "t", dtype = "F32", shape = shape, elements = elements, bytes = 4 * elements,
    each_block = function(self, fn)
      fn(ffi.new("float[?]", elements), self.bytes)
    end }
end

-- A fairseq checkpoint of one small layer with its old names.
local function checkpoint()
  local body, model = "decoder.sentence_encoder.", objects.dict()
  objects.set(model, body .. "embed_tokens.weight", tensor(6, 2))
  objects.set(model, body .. "embed_positions.weight", tensor(5, 2))
  for _, last in ipairs({ "weight", "bias" }) do
    local layer = body .. "layers.0."
    objects.set(model, body .. "emb_layer_norm." .. last, tensor(2))
    objects.set(model, layer .. "self_attn.in_proj_" .. last,
      last == "bias" and tensor(6) or tensor(6, 2))
    objects.set(model, layer .. "fc1." .. last, last == "bias" and tensor(3) or tensor(3, 2))
  end
  objects.set(model, "classification_heads.a.out_proj.weight", tensor(2, 2))
  local path = helper.temp_dir() .. "/seed.pt"
  writer.write(path, objects.members("model", model, "args", objects.members("arch", "roberta_base",
    "encoder_layers", 1, "encoder_embed_dim", 2, "dropout", 0.1)))
  local bytes = helper.read_file(path)
  helper.remove_dir((path:gsub("/[^/]*$", "")))
  return bytes
end

local function look(source)
  for _, name in ipairs(source.names) do
    local entry = source:get(name)
    if entry.elements < MOST then
      local counted = 0
      entry:each_block(function(_, bytes)
        counted = counted + bytes
      end)
      assert(counted == entry.bytes, "blocks of other bytes than the tensor's")
      entry:read_bytes(ffi.new("uint8_t[?]", entry.bytes + 1), entry.bytes)
      entry:not_finite()
      if entry:is_float() then
        entry:read_f32(ffi.new("float[?]", entry.elements + 1), entry.elements)
        entry:values()
      end
    end
  end
end

return {
  parts = { { name = "a.pt", kind = "bytes" } },
  words = { "PK\1\2", "PK\3\4", "PK\5\6", "PK\6\6", "PK\6\7", "archive/data.pkl", "archive/data/0",
    "../../data.pkl", "\255\255\255\255", "\255\255", "\1\0\16\0", "X\255\255\255\255",
    "ctorch\nHalfStorage\n", "ctorch\nDoubleStorage\n", "K\0", "K\255", "layers.1.",
    "in_proj_weight", "encoder_attention_heads", "fsam", "config", "tensors" },
  seeds = function()
    local golden, list = helper.root .. "/spec/golden/pytorch/", { { ["a.pt"] = checkpoint() } }
    for _, name in ipairs({ "hostile", "values_2", "values_5", "values_legacy" }) do
      list[#list + 1] = { ["a.pt"] = helper.read_file(golden .. name .. ".pt") }
    end
    return list
  end,
  run = function(_, folder)
    local source = pytorch.open(folder .. "/a.pt")
    look(source)
    if fairseq.recognises(source) then
      local _, translated = fairseq.read(source)
      look(translated)
    end
    source:close()
  end,
}
