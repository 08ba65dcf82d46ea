--- PyTorch's files: what PyTorch wrote (spec/golden/make_pytorch.py) read tensor by tensor, in both
-- formats and several protocols, and fairseq's checkpoints as models.
local Pass = require("fsam.pass")
local Tensor = require("fsam.base.tensor")
local devices = require("fsam.base.device")
local entries = require("fsam.formats.pytorch.entry")
local ffi = require("fsam.C").ffi
local formats = require("fsam.formats")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local models = require("fsam.models")
local objects = require("fsam.formats.pytorch.objects")
local packing = require("fsam.data.packing")
local pytorch = require("fsam.formats.pytorch")
local safetensors = require("fsam.formats.safetensors")
local writer = require("fsam.formats.pytorch.writer")

local GOLDEN = "spec/golden/pytorch/"

local function message_of(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.is_nil(tostring(err):find("\n"))
  return tostring(err)
end

local function up_to(n)
  local list = {}
  for i = 1, n do
    list[i] = i - 1
  end
  return list
end

describe("pytorch.open", function()
  -- name → dtype, shape, values
  local TENSORS = {
    base = { "F32", { 4, 6 }, up_to(24) },
    tied = { "F32", { 4, 6 }, up_to(24) },
    transposed = { "F32", { 6, 4 }, { 0, 6, 12, 18, 1, 7, 13, 19, 2, 8, 14, 20, 3, 9, 15, 21, 4, 10,
      16, 22, 5, 11, 17, 23 } },
    columns = { "F32", { 4, 3 }, { 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23 } },
    rows = { "F32", { 2, 6 }, { 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23 } },
    repeated = { "F32", { 3 }, { 7, 7, 7 } },
    empty = { "F32", { 0, 3 }, {} },
    scalar = { "F32", {}, { 2.5 } },
    parameter = { "F32", { 1 }, { 3 } },
    f64 = { "F64", { 2 }, { -0.25, 4 } },
    f16 = { "F16", { 2 }, { 1.5, -2 } },
    bf16 = { "BF16", { 2 }, { 1, -2 } },
    i64 = { "I64", { 2 }, { -5, 9 } },
    i32 = { "I32", { 2 }, { -7, 8 } },
    i16 = { "I16", { 2 }, { -3, 1 } },
    i16_columns = { "I16", { 3, 2 }, { 0, 3, 1, 4, 2, 5 } },
    i8 = { "I8", { 2 }, { -128, 127 } },
    u8 = { "U8", { 2 }, { 255, 3 } },
    bool = { "BOOL", { 2 }, { 1, 0 } },
  }

  for _, name in ipairs({ "values_2", "values_4", "values_5", "values_legacy" }) do
    it("reads every type, view and container of " .. name .. ".pt", function()
      local file = pytorch.open(GOLDEN .. name .. ".pt")
      local count = 0
      for key, expected in pairs(TENSORS) do
        local entry = file:get(key)
        assert.equal(expected[1], entry.dtype, key)
        assert.same(expected[2], { unpack(entry.shape) }, key)
        assert.same(expected[3], entry:values(), key)
        count = count + 1
      end
      assert.equal(count, #file.names)
      assert.equal(file:get("base").pointer, file:get("tied").pointer)
      local function field(key)
        return objects.field(file.object, key)
      end
      assert.equal(0.5, field("numpy"))
      assert.equal(-3, field("whole"))
      assert.equal(-(2 ^ 40), field("negative"))
      assert.equal("\255\0a", field("bytes"))
      assert.is_true(field("nan") ~= field("nan"))
      assert.is_nil(field("none"))
      assert.equal(field("cycle"), field("cycle")[1])
      assert.equal("integer", field("big").is)
      assert.equal("é", objects.field(field("args"), "name"))
      assert.equal(1e-05, objects.field(field("args"), "lr")[1])
    end)
  end

  it("copies views into memory and into tensors, and not after closing", function()
    local file = pytorch.open(GOLDEN .. "values_2.pt")
    local entry, expected = file:get("columns"), TENSORS.columns[3]
    local floats, bytes = ffi.new("float[12]"), ffi.new("float[12]")
    entry:read_f32(floats, 12)
    entry:read_bytes(bytes, 48)
    for i = 1, 12 do
      assert.equal(expected[i], floats[i - 1])
      assert.equal(expected[i], bytes[i - 1])
    end
    assert.truthy(message_of(entry.read_f32, entry, floats, 11):find("columns has 12 elements, 11"))
    file:close()
    assert.truthy(message_of(entry.read_f32, entry, floats, 12):find("is closed; tensor columns"))
  end)

  it("gathers long views in blocks, and counts what is not finite in views alone", function()
    -- A storage of 2 × 300,000 numbers, the second row of which is NaN; views of its columns.
    local n = 300000
    local source = { path = "p", size = 8 * n }
    local folder = helper.memory_dir()
    local numbers = ffi.new("float[?]", 2 * n)
    for i = 0, n - 1 do
      numbers[i], numbers[n + i] = i, 0 / 0
    end
    helper.write_file(folder .. "/x", ffi.string(numbers, 8 * n))
    source.map = require("fsam.base.file").map(folder .. "/x")
    local function view(shape, stride, offset, elements, extent)
      return entries.new(source, "t", { storage = { start = 0 }, dtype = "F32", width = 4,
        offset = offset, shape = shape, stride = stride, elements = elements, extent = extent })
    end
    local both = view({ n, 2 }, { 1, n }, 0, 2 * n, 2 * n)
    local even = view({ n / 2 }, { 2 }, 0, n / 2, n - 1)
    local rows = view({ 2, n - 1 }, { n, 1 }, 1, 2 * n - 2, 2 * n - 1)
    assert.same({ n, 0, n - 1 }, { both:not_finite(), even:not_finite(), rows:not_finite() })
    local floats = ffi.new("float[?]", 2 * n)
    even:read_f32(floats, n / 2)
    assert.same({ 0, 2, n - 2 }, { floats[0], floats[1], floats[n / 2 - 1] })
    rows:read_f32(floats, 2 * n - 2)
    assert.same({ 1, n - 1 }, { floats[0], floats[n - 2] })
    local written, seen = 0, {}
    rows:each_block(function(block, bytes)
      seen[#seen + 1] = ffi.cast("float *", block)[0]
      written = written + bytes
    end)
    assert.equal(rows.bytes, written)
    assert.equal(1, seen[1])
    local device = devices.open("cpu")
    local tensor = Tensor.new(devices.arena(device, "spec"), "f32", { n / 2 }, "t")
    assert.equal(0, even:read_tensor(tensor))
    assert.equal(n - 2, tensor:read()[n / 2])
    helper.remove_dir(folder)
  end)

  it("executes nothing", function()
    os.remove("/tmp/fsam_pickle_ran")
    local file = pytorch.open(GOLDEN .. "hostile.pt")
    assert.same({ 1 }, file:get("w"):values())
    assert.equal("an object of posix.system", objects.show(objects.field(file.object, "x")))
    assert.is_nil(helper.read_file("/tmp/fsam_pickle_ran"))
  end)

  it("reads the fixtures and the real file beside the repository", function()
    local folder = helper.data_dir()
    if not folder then
      pending("no ../shared/data")
      return
    end
    for _, name in ipairs({ "legacy", "zip" }) do
      local file = pytorch.open(folder .. "/pt_fixtures/" .. name .. "_fairseq_like.pt")
      assert.equal(11, #file.names)
      assert.same({ 0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11 }, file:get("t_view"):values())
      assert.same(up_to(48),
        file:get("decoder.sentence_encoder.layers.0.self_attn.in_proj_weight"):values())
      assert.equal(file:get("decoder.lm_head.weight").pointer,
        file:get("decoder.sentence_encoder.embed_tokens.weight").pointer)
      assert.same({ 1, 2 }, file:get("bf16"):values())
      assert.same({ 1, -2, 3 }, file:get("i64"):values())
    end
    assert.same({ 1, 1, 1, 1 }, pytorch.open(folder .. "/pt_fixtures/zip_parameter.pt"):get("w")
      :values())
    local real = pytorch.open(folder .. "/roberta.base.output.pt"):get("tensor")
    assert.same({ 1, 7, 768 }, { unpack(real.shape) })
    assert.near(-0.0170567, real:values()[1], 1e-6)
  end)
end)

describe("a checkpoint as a model", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local SAMPLES = { { ids = { 0, 5, 9, 33, 2 }, token_types = { 0, 0, 0, 0, 0 }, label = 0 },
    { ids = { 0, 2 }, token_types = { 0, 0 }, label = 1 } }

  local function logits_of(path)
    local model = models.load({ device = devices.open("cpu"), path = path, precision = "fp32",
      dropout = 0, attention_dropout = 0, pooler_dropout = 0 })
    local rows = Pass.new({ model = model }):predict(packing.pack(SAMPLES,
      { pad_id = model.pad_id, position_offset = model.position_offset }))
    return { rows[1][1], rows[1][2], rows[2][1], rows[2][2] }, model
  end

  -- What the versions of fairseq keep beside the weights, and where their arguments are.
  it("is the same wherever its arguments are, with an optimizer's state or without", function()
    local from = pytorch.open(GOLDEN .. "fairseq_old.pt")
    local weights, members = objects.dict(), objects.members
    for _, name in ipairs(from.names) do
      objects.set(weights, name, from:get(name))
    end
    local arguments = { "arch", "roberta_base", "encoder_layers", 1, "encoder_embed_dim", 64,
      "encoder_ffn_embed_dim", 96, "encoder_attention_heads", 2, "dropout", 0.2 }
    local history = objects.sequence("list", { members("optimizer_name", "FairseqAdam",
      "lr_scheduler_state", members("best", 0.5), "num_updates", 7) })
    local state = members("state", members("0", members("step", 7, "exp_avg",
      from:get(from.names[1]))), "loss_scale", 128)
    local expected = logits_of(GOLDEN .. "fairseq_old.pt")
    for _, file in ipairs({
      members("args", members(unpack(arguments)), "model", weights),
      members("args", json.null, "cfg", members("_name", json.null, "model",
        members(unpack(arguments)), "task", members("_name", "sentence_prediction")), "model",
        weights, "criterion", json.null, "optimizer_history", history, "task_state", members(),
        "extra_state", members("epoch", 3), "last_optimizer_state", state),
      members("last_optimizer_state", state, "cfg", members("model", members("_name",
        "roberta_base", unpack(arguments, 3))), "model", weights),
    }) do
      writer.write(folder .. "/a.pt", file)
      local logits, model = logits_of(folder .. "/a.pt")
      assert.same(expected, logits)
      assert.same({}, model.announcements)
      assert.equal(0.2, model.config.hidden_dropout_prob)
    end
  end)

  it("has its arguments where fairseq's own tables of settings hold them", function()
    for _, version in ipairs({ "2.0", "2.3" }) do
      local settings = pytorch.open(GOLDEN .. "settings_" .. version .. ".pt").object
      local function at(...)
        local value = settings
        for _, name in ipairs({ ... }) do
          value = objects.field(value, name)
        end
        return value
      end
      assert.equal("roberta_base", at("cfg", "model", "_name"))
      assert.equal(0.25, at("cfg", "model", "dropout"))
      assert.is_false(at("cfg", "task", "regression_target"))
      assert.equal(3, at("cfg", "common", "seed"))
      for _, absent in ipairs({ { "args" }, { "cfg", "_name" }, { "cfg", "common", "user_dir" },
        { "cfg", "common", "log_file" }, { "cfg", "model", "layers_to_keep" },
        { "cfg", "_content" }, { "cfg", "model", "dropout", "_val" } }) do
        assert.is_nil(at(unpack(absent)), absent[#absent])
      end
      local file = pytorch.open(GOLDEN .. "fairseq_old.pt")
      file.object = settings
      local config = require("fsam.formats.fairseq").read(file)
      assert.equal(0.25, config.hidden_dropout_prob)
      assert.equal(2, config.num_attention_heads)
    end
  end)

  it("of fairseq's old names has the logits of the same Hugging Face folder", function()
    local logits, model = logits_of(GOLDEN .. "fairseq_old.pt")
    assert.near((logits_of("spec/golden/roberta_small")), logits, 1e-5)
    assert.same({}, model.announcements)
    assert.equal(2, model.config.num_attention_heads)
    assert.equal(0.2, model.config.hidden_dropout_prob)
    assert.equal(0, model.config.classifier_dropout)
  end)

  it("in pytorch_model.bin, whole or in shards, reads as model.safetensors does", function()
    helper.write_file(folder .. "/config.json", json.encode({ model_type = "anything" }))
    local bytes = helper.read_file(GOLDEN .. "values_2.pt")
    helper.write_file(folder .. "/pytorch_model.bin", bytes)
    for _, path in ipairs({ folder, folder .. "/pytorch_model.bin" }) do
      assert.same({ 1.5, -2 }, formats.open(path).tensors:get("f16"):values())
    end
    assert(os.rename(folder .. "/pytorch_model.bin", folder .. "/shard-1.bin"))
    local map = {}
    for _, name in ipairs(pytorch.open(folder .. "/shard-1.bin").names) do
      map[name] = "shard-1.bin"
    end
    helper.write_file(folder .. "/pytorch_model.bin.index.json", json.encode({ weight_map = map }))
    assert.same({ 1.5, -2 }, formats.open(folder).tensors:get("f16"):values())
  end)

  it("without names of fairseq needs a config.json beside it", function()
    helper.write_file(folder .. "/a.pt", helper.read_file(GOLDEN .. "values_2.pt"))
    assert.equal(folder .. "/a.pt has no config.json beside it, which describes its model",
      message_of(formats.open, folder .. "/a.pt"))
    safetensors.write(folder .. "/b.pt", {})
    assert.equal(folder .. "/b.pt is no file of PyTorch's torch.save",
      message_of(formats.open, folder .. "/b.pt"))
  end)
end)

describe("convert", function()
  local convert = require("fsam.formats.convert")
  local HF = "spec/golden/roberta_small"
  local folder

  before_each(function()
    folder = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  it("from a Hugging Face folder to fairseq's .pt and back gives equal bytes", function()
    convert(HF, folder .. "/model.pt")
    convert(folder .. "/model.pt", folder .. "/back/")
    for _, name in ipairs({ "config.json", "model.safetensors" }) do
      assert.equal(helper.read_file(HF .. "/" .. name),
        helper.read_file(folder .. "/back/" .. name), name)
    end
    convert(folder .. "/back", folder .. "/again.pt")
    assert.equal(helper.read_file(folder .. "/model.pt"), helper.read_file(folder .. "/again.pt"))
  end)

  it("writes names of the newest fairseq, and token types as a part of the positions", function()
    convert(HF, folder .. "/model.pt")
    local theirs = pytorch.open(folder .. "/model.pt")
    local ours = safetensors.open(HF .. "/model.safetensors")
    local positions = ours:get("roberta.embeddings.position_embeddings.weight"):values()
    local types = ours:get("roberta.embeddings.token_type_embeddings.weight"):values()
    local sums = theirs:get("encoder.sentence_encoder.embed_positions.weight"):values()
    for i, value in ipairs(sums) do
      assert.near(positions[i] + types[(i - 1) % #types + 1], value, 1e-6)
    end
    assert.same(ours:get("roberta.encoder.layer.0.attention.self.key.weight"):values(),
      theirs:get("encoder.sentence_encoder.layers.0.self_attn.k_proj.weight"):values())
    assert.equal(2, objects.field(objects.field(objects.field(theirs.object, "cfg"), "model"),
      "encoder_attention_heads"))
  end)

  it("from fairseq's old names gives a folder that converts back to itself", function()
    convert(GOLDEN .. "fairseq_old.pt", folder .. "/a")
    convert(folder .. "/a", folder .. "/a.pt")
    convert(folder .. "/a.pt", folder .. "/b")
    for _, name in ipairs({ "config.json", "model.safetensors" }) do
      assert.equal(helper.read_file(folder .. "/a/" .. name),
        helper.read_file(folder .. "/b/" .. name), name)
    end
  end)

  it("refuses to overwrite, and models that fairseq's RoBERTa is not", function()
    assert.equal("spec/golden/bert_small/model.safetensors has model_type \"bert\"; a fairseq "
      .. "checkpoint holds a roberta", message_of(convert, "spec/golden/bert_small",
      folder .. "/x.pt"))
    assert.is_nil(helper.read_file(folder .. "/x.pt.new"))
    helper.write_file(folder .. "/x.pt", "")
    assert.equal(folder .. "/x.pt exists; give another name, or move it away",
      message_of(convert, HF, folder .. "/x.pt"))
    assert.equal(folder .. " is not empty; give a new folder", message_of(convert, HF, folder))
  end)
end)
