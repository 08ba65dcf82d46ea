--- recipes/convert.lua: weights and the tokenizer's files, there and back.
local fsam = require("fsam")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local text = require("fsam.text")

describe("recipes/convert.lua", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  it("takes the tokenizer's files along, and makes Transformers' of fairseq's", function()
    os.execute("mkdir " .. folder .. "/fairseq")
    local from = folder .. "/fairseq/model.pt"
    helper.write_file(from, helper.read_file("spec/golden/pytorch/fairseq_old.pt"))
    helper.write_file(folder .. "/fairseq/encoder.json", json.encode({ a = 0, b = 1, ab = 2 }))
    helper.write_file(folder .. "/fairseq/vocab.bpe", "#version: 0.2\na b\n")
    helper.write_file(folder .. "/fairseq/dict.txt", "2 9\n0 3\n1 1\n")
    local code, out, err = helper.fsam_lua({ "recipes/convert.lua", from, folder .. "/hf" })
    assert.equal("", err)
    assert.equal(0, code)
    assert.equal("wrote " .. folder .. "/hf\n", out)
    assert.same(json.decode('{"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"ab":4,"a":5,"b":6,"<mask>":7}'),
      json.decode(helper.read_file(folder .. "/hf/vocab.json")))
    assert.same({ 0, 4, 5, 2 }, (text.load(folder .. "/hf"):encode("aba")))
    code, out = helper.fsam_lua({ "recipes/convert.lua", folder .. "/hf", folder .. "/back/m.pt" })
    assert.equal(0, code)
    assert.equal("wrote " .. folder .. "/back/m.pt and 7 files of its tokenizer\n", out)
    assert.equal(helper.read_file(folder .. "/hf/merges.txt"),
      helper.read_file(folder .. "/back/merges.txt"))
    -- fairseq's own files: GPT-2's numbers are 64 and 65 for a and b, 256 for the first merge.
    assert.equal("256 0\n64 0\n65 0\n", helper.read_file(folder .. "/back/dict.txt"))
    local encoder = json.decode(helper.read_file(folder .. "/back/encoder.json"))
    assert.equal(64, encoder.a)
    assert.equal(256, encoder.ab)
    assert.equal(257, encoder["<|endoftext|>"])
    os.execute(("cd %s && mkdir only && cd back && cp dict.txt encoder.json vocab.bpe m.pt ../only")
      :format(folder))
    assert.same({ 0, 4, 5, 2 }, (text.load(folder .. "/only/m.pt"):encode("aba")))
  end)

  it("gives GPT-2's own numbers to the pieces, from the merges alone", function()
    local data = helper.data_dir("gpt2_bpe")
    if not data then
      pending("no ../shared/data")
      return
    end
    os.execute(("cd %s && mkdir a b && cp %s/* a"):format(folder, data))
    helper.write_file(folder .. "/a/model.pt", "")
    local tokenizer = text.load(folder .. "/a/model.pt")
    assert.equal(3, (text.save_fairseq(tokenizer, folder .. "/b")))
    for _, name in ipairs({ "encoder.json", "vocab.bpe", "dict.txt" }) do
      local was, is = helper.read_file(folder .. "/a/" .. name),
        helper.read_file(folder .. "/b/" .. name)
      if name == "dict.txt" then -- how often each came in the training is nowhere to be had
        was, is = was:gsub(" %d+\n", " 0\n"), is
      end
      assert.same(name:find("json") and json.decode(was) or was,
        name:find("json") and json.decode(is) or is)
    end
  end)

  it("says why there is no dict.txt, and still converts", function()
    local from = helper.root .. "/spec/golden/roberta_small"
    os.execute(("mkdir %s/hf && cp %s/config.json %s/model.safetensors %s/hf"):format(folder, from,
      from, folder))
    helper.write_file(folder .. "/hf/vocab.json", '{"a":0,"<s>":1,"</s>":2,"<pad>":3,"<unk>":4,'
      .. '"<mask>":5}')
    helper.write_file(folder .. "/hf/merges.txt", "#version: 0.2\n")
    local code, out = helper.fsam_lua({ "recipes/convert.lua", folder .. "/hf",
      folder .. "/pt/m.pt" })
    assert.equal(0, code)
    assert.matches("^no dict.txt beside it: id 0 of the tokenizer is \"a\", fairseq's is <s>\n",
      out)
    assert.matches("wrote .*m.pt and 2 files of its tokenizer\n$", out)
  end)

  it("writes activations that fairseq has, and refuses others", function()
    local from = helper.root .. "/spec/golden/roberta_small"
    os.execute("mkdir " .. folder .. "/hf")
    helper.write_file(folder .. "/hf/model.safetensors",
      helper.read_file(from .. "/model.safetensors"))
    local path = folder .. "/hf/config.json"
    local config = json.decode(helper.read_file(from .. "/config.json"))
    for act, back in pairs({ relu = "relu", gelu = "gelu", gelu_python_tanh = "gelu_python_tanh",
      tanh = "tanh" }) do
      config.hidden_act = act
      helper.write_file(path, json.encode(config))
      fsam.convert(folder .. "/hf", folder .. "/" .. act .. ".pt")
      local source = fsam.formats.open(folder .. "/" .. act .. ".pt")
      assert.equal(back, source.config.hidden_act)
      source.tensors:close()
    end
    config.hidden_act = "silu"
    helper.write_file(path, json.encode(config))
    assert.has_error(function() fsam.convert(folder .. "/hf", folder .. "/silu.pt") end, path
      .. ': hidden_act is "silu"; fairseq has gelu, gelu_accurate, relu and tanh')
  end)

  -- Which members and tensors fairseq 0.12.2 asks for was found by loading such files in it, with
  -- strict=True: the logits were equal within 6e-7.
  it("writes all that fairseq's own loader asks for", function()
    local from, to = helper.root .. "/spec/golden/roberta_small", folder .. "/m.pt"
    fsam.convert(from, to)
    local tensors = require("fsam.formats.pytorch").open(to)
    local objects = require("fsam.formats.pytorch.objects")
    local function at(...)
      local value = tensors.object
      for _, name in ipairs({ ... }) do
        value = objects.field(value, name)
      end
      return value
    end
    assert.equal("sentence_prediction", at("cfg", "task", "_name"))
    assert.equal("sentence_classification_head", at("cfg", "criterion", "classification_head_name"))
    assert.equal(false, at("cfg", "criterion", "regression_target"))
    assert.equal("gpt2", at("cfg", "bpe", "_name"))
    assert.equal(".", at("cfg", "task", "data"))
    assert.equal(1, at("cfg", "common", "seed"))
    local words = tensors:get("encoder.sentence_encoder.embed_tokens.weight")
    local width = words.shape[2]
    assert.same(words:values(), tensors:get("encoder.lm_head.weight"):values())
    for name, expected in pairs({ ["dense.weight"] = { 0, width * width }, bias = { 0,
      words.shape[1] }, ["layer_norm.weight"] = { 1, width }, ["layer_norm.bias"] = { 0, width } })
    do
      local values = tensors:get("encoder.lm_head." .. name):values()
      assert.equal(expected[2], #values)
      assert.equal(expected[1], values[1])
      assert.equal(expected[1], values[#values])
    end
    tensors:close()
    fsam.convert(to, folder .. "/back")
    assert.equal(helper.read_file(from .. "/model.safetensors"),
      helper.read_file(folder .. "/back/model.safetensors"))
  end)

  it("names a field of the length that the task has", function()
    local from = helper.root .. "/spec/golden/roberta_small"
    local source = fsam.formats.open(from)
    local objects = require("fsam.formats.pytorch.objects")
    local find = source.tensors.find
    source.tensors.find = function(self, name) -- a model without a classifier
      return not name:find("^classifier") and find(self, name) or nil
    end
    require("fsam.formats.fairseq_writer").write(folder .. "/m.pt", source, "{}")
    source.tensors:close()
    local tensors = require("fsam.formats.pytorch").open(folder .. "/m.pt")
    local task = objects.field(objects.field(tensors.object, "cfg"), "task")
    assert.equal("masked_lm", objects.field(task, "_name"))
    assert.equal(source.config.max_position_embeddings - 2,
      objects.field(task, "tokens_per_sample"))
    assert.is_nil(objects.field(task, "max_positions"))
    tensors:close()
  end)

  it("wants two paths", function()
    local code, _, err = helper.fsam_lua({ "recipes/convert.lua", "a" })
    assert.equal(1, code)
    assert.equal("convert.lua: two paths are needed, FROM and TO (--help says more)\n", err)
  end)
end)
