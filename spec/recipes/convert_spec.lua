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
    assert.equal("wrote " .. folder .. "/back/m.pt and 4 files of its tokenizer\n", out)
    assert.equal(helper.read_file(folder .. "/hf/merges.txt"),
      helper.read_file(folder .. "/back/merges.txt"))
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

  it("wants two paths", function()
    local code, _, err = helper.fsam_lua({ "recipes/convert.lua", "a" })
    assert.equal(1, code)
    assert.equal("convert.lua: two paths are needed, FROM and TO (--help says more)\n", err)
  end)
end)
