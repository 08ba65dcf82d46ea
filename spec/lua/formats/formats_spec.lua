--- formats.open: what a path may be, what a source has, and what is refused.
local ffi = require("fsam.C").ffi
local formats = require("fsam.formats")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local safetensors = require("fsam.formats.safetensors")
local lfs = require("lfs")

local CONFIG = { model_type = "anything", odd = { 1, "two" } }

describe("formats.open", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local function message_of(path)
    local ok, err = pcall(formats.open, path)
    assert.is_false(ok)
    return (tostring(err):gsub(folder .. "/?", "<>"))
  end

  -- Three tensors, of which the first holds `value`.
  local function write(path, value)
    helper.write_file(path .. "/config.json", json.encode(CONFIG))
    local list = {}
    for i, name in ipairs({ "a", "b", "c" }) do
      list[i] = { name = name, dtype = "F32", shape = { 1 },
        data = ffi.new("float[1]", (value or 0) + i) }
    end
    safetensors.write(path .. "/model.safetensors", list)
  end

  local function checkpoint(path, value)
    assert(lfs.mkdir(path))
    write(path, value)
    helper.write_file(path .. "/trainer.json", "{}")
  end

  it("takes a folder, a file in it, or an index of shards", function()
    write(folder)
    for _, path in ipairs({ folder, folder .. "/", folder .. "/model.safetensors" }) do
      local source = formats.open(path)
      assert.equal(folder, source.where)
      assert.equal(folder .. "/model.safetensors", source.path)
      assert.equal(folder .. "/config.json", source.config_path)
      assert.same(CONFIG, source.config)
      assert.same({ "a", "b", "c" }, source.tensors.names)
      assert.same({ 2 }, source.tensors:get("b"):values())
    end
    helper.write_file(folder .. "/pytorch_model.bin", "older weights, which are not looked at")
    assert.equal(folder .. "/model.safetensors", formats.open(folder).path)
    assert(os.rename(folder .. "/model.safetensors", folder .. "/1.safetensors"))
    helper.write_file(folder .. "/model.safetensors.index.json",
      json.encode({ weight_map = { a = "1.safetensors", b = "1.safetensors",
        c = "1.safetensors" } }))
    for _, path in ipairs({ folder, folder .. "/model.safetensors.index.json" }) do
      assert.equal(3, #formats.open(path).tensors.names)
    end
  end)

  -- Names of the hub where a folder belongs: the command that fetches it, or the copy in the cache.
  it("says where the model of a hub's name can be had", function()
    local cache = folder .. "/cache/models--org--m"
    assert(helper.shell(("mkdir -p %s/refs %s/snapshots/0af1"):format(cache, cache)) == 0)
    helper.write_file(cache .. "/refs/main", "0af1")
    local COMMAND = "such as the folder that `hf download %s --local-dir %s` makes"
    for name, said in pairs({
      ["roberta-base"] = COMMAND:format("roberta-base", "roberta-base"),
      ["google/electra-base"] = COMMAND:format("google/electra-base", "electra-base"),
      ["https://huggingface.co/a/b/tree/main"] = COMMAND:format("a/b", "b"),
      ["org/m"] = "such as the copy of org/m at " .. cache .. "/snapshots/0af1",
      ["runs/never-run"] = "", ["./roberta-base"] = "", ["/a/bert"] = "", ["a/b/bert"] = "" }) do
      local _, _, err = helper.shell(("HF_HUB_CACHE=%s/cache %s/fsam-lua -e %s"):format(folder,
        helper.quote(helper.build_dir()), helper.quote(("fsam.load %q"):format(name))))
      assert.equal(("fsam-lua: %s does not exist; give %s%s\n"):format(name, formats.KINDS,
        said == "" and "" or ", " .. said), err)
    end
    helper.remove_dir(folder .. "/cache")
  end)

  it("refuses a path with what it lacks", function()
    assert.equal("<>none does not exist; give a Hugging Face folder or a .safetensors file or a "
      .. ".pt or .bin file",
      message_of(folder .. "/none"))
    assert.equal("<> has no config.json: not a Hugging Face folder", message_of(folder))
    helper.write_file(folder .. "/alone.safetensors", "")
    assert.equal("<>alone.safetensors has no config.json beside it, which describes its model",
      message_of(folder .. "/alone.safetensors"))
    helper.write_file(folder .. "/config.json", json.encode(CONFIG))
    assert.equal("<> has neither model.safetensors nor pytorch_model.bin", message_of(folder))
    helper.write_file(folder .. "/pytorch_model.bin", "")
    assert.equal("<>pytorch_model.bin is no file of PyTorch's torch.save", message_of(folder))
    assert.equal("<>config.json is neither a Hugging Face folder nor a .safetensors file nor a "
      .. ".pt or .bin file",
      message_of(folder .. "/config.json"))
  end)

  it("takes a checkpoint whose saving was interrupted", function()
    checkpoint(folder .. "/name.old")
    assert.equal(folder .. "/name.old", formats.open(folder .. "/name").where)
    assert.is_true(formats.exists(folder .. "/name"))
    assert.is_false(formats.exists(folder .. "/other"))
  end)

  it("takes a run's folder: its best checkpoint, else its last", function()
    checkpoint(folder .. "/checkpoint_last", 10)
    assert.equal(folder .. "/checkpoint_last", formats.open(folder).where)
    checkpoint(folder .. "/checkpoint_best", 20)
    local source = formats.open(folder .. "/")
    assert.equal(folder .. "/checkpoint_best", source.where)
    assert.same({ 21 }, source.tensors:get("a"):values())
    helper.write_file(folder .. "/checkpoint_best/vocab.txt", "[PAD]\n")
    assert.equal(folder .. "/checkpoint_best/vocab.txt", formats.vocabulary(folder).files.pieces)
  end)

  it("finds a vocabulary by the roles of its files, without weights too", function()
    for _, name in ipairs({ "vocab.json", "merges.txt", "tokenizer_config.json" }) do
      helper.write_file(folder .. "/" .. name, "{}")
    end
    local vocabulary = formats.vocabulary(folder .. "/")
    assert.equal(folder, vocabulary.where)
    assert.same({ ids = folder .. "/vocab.json", merges = folder .. "/merges.txt",
      config = folder .. "/tokenizer_config.json" }, vocabulary.files)
    write(folder)
    vocabulary.files.model = folder .. "/config.json"
    assert.same(vocabulary, formats.open(folder).vocabulary)
    assert.same(vocabulary, formats.vocabulary(folder .. "/model.safetensors"))
    assert.has_error(function()
      formats.vocabulary(folder .. "/none")
    end, folder .. "/none does not exist; give " .. formats.KINDS)
  end)

  it("opens a folder of fairseq's as its model, its best checkpoint, or its last", function()
    local bytes = helper.read_file("spec/golden/pytorch/fairseq_old.pt")
    for _, name in ipairs({ "checkpoint_last.pt", "checkpoint_best.pt", "model.pt" }) do
      helper.write_file(folder .. "/" .. name, bytes)
      local source = formats.open(folder .. "/")
      assert.equal(folder .. "/" .. name, source.path)
      assert.equal("roberta", source.config.model_type)
      assert.is_true(formats.exists(folder))
      source.tensors:close()
    end
    helper.write_file(folder .. "/dict.txt", "a 1\n")
    assert.same({ dictionary = folder .. "/dict.txt" }, formats.vocabulary(folder).files)
    write(folder) -- a Hugging Face folder, whatever else is in it
    assert.equal(folder .. "/model.safetensors", formats.open(folder).path)
  end)

  it("copies a tokenizer's files, and leaves what is there", function()
    write(folder)
    helper.write_file(folder .. "/vocab.txt", "a")
    helper.write_file(folder .. "/tokenizer_config.json", "{}")
    local to = helper.temp_dir()
    helper.write_file(to .. "/vocab.txt", "mine")
    assert.equal(1, formats.copy_vocabulary(formats.vocabulary(folder), to .. "/"))
    assert.equal("mine", helper.read_file(to .. "/vocab.txt"))
    assert.equal("{}", helper.read_file(to .. "/tokenizer_config.json"))
    assert.is_nil(helper.read_file(to .. "/config.json"))
    helper.remove_dir(to)
  end)

  it("copies a vocabulary of 20 MB, as models of many languages have", function()
    write(folder)
    local to = helper.temp_dir()
    helper.write_file(folder .. "/tokenizer.json", (" "):rep(20 * 2 ^ 20))
    assert.equal(1, formats.copy_vocabulary(formats.vocabulary(folder), to))
    assert.equal(20 * 2 ^ 20, lfs.attributes(to .. "/tokenizer.json", "size"))
    helper.remove_dir(to)
  end)

  -- What lies in a folder → the message behind the folder's name.
  local FOLDERS = {
    { { "config.json", "adapter_config.json", "adapter_model.safetensors" }, "holds an adapter "
      .. "(LoRA or another of PEFT's), not a whole model; merge it into its base model "
      .. "(merge_and_unload) and save that" },
    { { "adapter_config.json" }, "holds an adapter (LoRA or another of PEFT's), not a whole model; "
      .. "merge it into its base model (merge_and_unload) and save that" },
    { { "config.json", "tf_model.h5" }, "has no model.safetensors, and tf_model.h5 is a TensorFlow "
      .. "file, which is not read; save the model by Transformers' save_pretrained, which writes "
      .. "model.safetensors" },
    { { "config.json", "model.fp16.safetensors" }, "has no model.safetensors; give the file itself:"
      .. " <>model.fp16.safetensors" },
    { { "config.json", "model-00001-of-00002.safetensors" }, "has model-00001-of-00002.safetensors,"
      .. " a part of the weights, but no model.safetensors.index.json, which says where each "
      .. "tensor is" },
    { { "checkpoint-90/config.json", "checkpoint-500/config.json", "checkpoint-600/x" }, "has no "
      .. "config.json, but folders of steps: give one of these, such as <>checkpoint-500" },
    { { "config.json", "notes.txt" }, "has neither model.safetensors nor pytorch_model.bin" },
    { { "notes.txt" }, "has no config.json: not a Hugging Face folder" },
  }
  for i, case in ipairs(FOLDERS) do
    it("says what a folder without a model has, " .. i, function()
      for _, name in ipairs(case[1]) do
        lfs.mkdir(folder .. "/" .. (name:match("^(.*)/") or ""))
        helper.write_file(folder .. "/" .. name, "{}")
      end
      assert.equal("<> " .. case[2], message_of(folder))
    end)
  end

  it("says of weights and documents that are of another kind what they are", function()
    local page = "\n<!doctype html>\n<html>" .. (" "):rep(100)
    for name, cases in pairs({
      ["model.safetensors"] = { "\31\139\8\0" .. (" "):rep(100), "PK\3\4" .. (" "):rep(100), page },
      ["pytorch_model.bin"] = { "\31\139\8\0" .. (" "):rep(100), false, page },
      ["config.json"] = { "\31\139\8\0", "PK\3\4\20", page, "\255\254{\0" },
    }) do
      for i, what in ipairs({ "is gzip-compressed; unpack", "is a zip file; unpack",
        "is a web page (HTML), not the file itself; download", "is UTF-16, expected UTF-8" }) do
        if cases[i] then
          helper.write_file(folder .. "/config.json", "{}")
          helper.write_file(folder .. "/pytorch_model.bin", "x")
          helper.write_file(folder .. "/" .. name, cases[i])
          local said = message_of(folder)
          assert.equal("<>" .. name .. " " .. what, said:sub(1, #name + 3 + #what))
        end
      end
      os.remove(folder .. "/" .. name)
    end
  end)

  it("says of other programs' files what they are", function()
    for name, program in pairs({ ["model.h5"] = "a TensorFlow", ["flax.msgpack"] = "a Flax",
      ["a.gguf"] = "a llama.cpp", ["a.onnx"] = "an ONNX",
      ["a.ckpt"] = "a PyTorch or TensorFlow" }) do
      local path = helper.write_file(folder .. "/" .. name, "x")
      for _, open in ipairs({ formats.open, formats.vocabulary }) do
        local ok, err = pcall(open, path)
        assert.is_false(ok)
        assert.truthy(tostring(err):find(("%s is %s file, which is not read"):format(path,
          program), 1, true), tostring(err))
      end
    end
    write(folder)
    helper.write_file(folder .. "/model.safetensors", "version https://git-lfs.github.com/spec/v1\n"
      .. "oid sha256:0\nsize 5\n")
    assert.has_error(function()
      formats.open(folder)
    end, folder .. "/model.safetensors is a Git LFS pointer, not the file itself; fetch it with "
      .. "git lfs pull")
  end)
end)
