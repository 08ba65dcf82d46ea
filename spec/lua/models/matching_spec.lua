--- Which tensors of a file become which parameters: names, what may be missing, what must fit.
local C = require("fsam.C")
local config_of = require("fsam.models.config")
local formats = require("fsam.formats")
local helper = require("spec.helper")
local huggingface = require("fsam.formats.huggingface")
local json = require("fsam.base.json")
local matching = require("fsam.models.matching")
local safetensors = require("fsam.formats.safetensors")
local scratch = require("spec.kernels.scratch")
local ffi = C.ffi

-- A configuration of a few numbers; its "model" is a handful of the real names.
local function raw(fields)
  local t = { model_type = "bert", vocab_size = 8, hidden_size = 4, num_hidden_layers = 1,
    num_attention_heads = 2, intermediate_size = 6, max_position_embeddings = 5,
    architectures = { "BertForSequenceClassification" }, unknown_field = { 1, "two" } }
  for key, value in pairs(fields or {}) do
    t[key] = value
  end
  return t
end

local BODY = {
  { name = "bert.embeddings.word_embeddings.weight", shape = { 8, 4 } },
  { name = "bert.encoder.layer.0.output.LayerNorm.weight", shape = { 4 } },
  { name = "bert.encoder.layer.0.output.LayerNorm.bias", shape = { 4 } },
}
local POOLER = {
  { name = "bert.pooler.dense.weight", shape = { 4, 4 }, part = "pooler" },
  { name = "bert.pooler.dense.bias", shape = { 4 }, part = "pooler" },
}
local HEAD = {
  { name = "classifier.weight", shape = { 2, 4 }, part = "head" },
  { name = "classifier.bias", shape = { 2 }, part = "head" },
}

local function joined(...)
  local list = {}
  for _, part in ipairs({ ... }) do
    for _, parameter in ipairs(part) do
      list[#list + 1] = parameter
    end
  end
  return list
end

local MODEL = joined(BODY, POOLER, HEAD)

local function names(list)
  local result = {}
  for i, parameter in ipairs(list) do
    result[i] = parameter.name
  end
  return result
end

-- The source of a path, and its configuration.
local function open(path)
  local source = formats.open(path)
  return source, config_of.check(source.config, source.config_path)
end

describe("tensors and parameters", function()
  local folder, memory

  before_each(function()
    folder, memory = helper.temp_dir(), scratch.new()
  end)

  after_each(function()
    helper.remove_dir(folder)
    memory:close()
  end)

  local function message_of(f, ...)
    local ok, err = pcall(f, ...)
    assert.is_false(ok)
    return (tostring(err):gsub(folder .. "/?", "<>"))
  end

  -- Tensors of these parameters, renamed by `rename`; the values tell them apart.
  local function tensors(parameters, rename)
    local list = {}
    for i, p in ipairs(parameters) do
      local count = 1
      for _, size in ipairs(p.shape) do
        count = count * size
      end
      local data = ffi.new("float[?]", count)
      for k = 0, count - 1 do
        data[k] = i + k / 64
      end
      list[i] = { name = rename and rename(p.name) or p.name, dtype = p.dtype or "F32",
        shape = p.shape, data = data }
    end
    return list
  end

  local function write(list, fields)
    helper.write_file(folder .. "/config.json", json.encode(raw(fields)))
    safetensors.write(folder .. "/model.safetensors", list)
  end

  local data = {} -- memory of parameters, by name

  -- Plans MODEL (or `parameters`) from the folder, and copies: the values by name, and the plan.
  local function assign(parameters, labels)
    local values = {}
    local source, config = open(folder)
    local plan = matching.plan(source.tensors, config, parameters or MODEL, labels)
    plan:copy(function(parameter)
      data[parameter.name] = memory:tensor("f32", parameter.shape)
      return data[parameter.name]
    end)
    for name, t in pairs(data) do
      values[name] = t:read()
    end
    data = {}
    return values, plan
  end

  describe("names", function()
    local expected

    before_each(function()
      write(tensors(MODEL))
      expected = assign()
    end)

    it("are known with and without the model's prefix, and in their old form", function()
      write(tensors(MODEL, function(name) return (name:gsub("^bert%.", "")) end))
      assert.same(expected, (assign()))
      write(tensors(MODEL, function(name)
        return (name:gsub("LayerNorm.weight", "LayerNorm.gamma")
          :gsub("LayerNorm.bias", "LayerNorm.beta"))
      end))
      assert.same(expected, (assign()))
    end)

    it("whose numbers are not finite are named, where the model uses them", function()
      local list = tensors(joined(MODEL, { { name = "surprise", shape = { 3 } } }))
      local unused = list[#list]
      for i, value in ipairs({ 0 / 0, math.huge, -math.huge }) do
        unused.data[0] = value
        local tensor = list[2 * i - 1]
        local kept = tensor.data[1]
        tensor.data[1], tensor.data[3] = value, value
        write(list)
        assert.equal(("<>model.safetensors: 2 of the %d numbers of tensor %s are infinite or not "
          .. "numbers; a model cannot start from them, so take another checkpoint"):format(
          i == 1 and 32 or i == 2 and 4 or 4, tensor.name), message_of(assign))
        tensor.data[1], tensor.data[3] = kept, kept
      end
      write(list)
      assert.is_table((assign()))
    end)

    it("of other heads and of buffers are left aside, unknown ones are reported", function()
      local more = tensors(joined(MODEL, {
        { name = "cls.predictions.bias", shape = { 8 } },
        { name = "cls.predictions.transform.LayerNorm.gamma", shape = { 4 } },
        { name = "bert.embeddings.position_ids", shape = { 1 } },
        { name = "surprise", shape = { 1 } },
        { name = "bert.encoder.layer.1.output.dense.bias", shape = { 4 } } }))
      write(more)
      local values, report = assign()
      assert.same(expected, values)
      assert.equal(3, #report.ignored)
      assert.same({ "bert.encoder.layer.1.output.dense.bias", "surprise" }, report.unexpected)
      assert.same({}, report.fresh)
      assert.same({}, report.reasons)
    end)

    it("may stand for another tensor, which shares its memory", function()
      local list = tensors(joined(MODEL, { { name = "cls.predictions.decoder.weight",
        shape = { 8, 4 } } }))
      local word = table.remove(list, 1)
      list[#list].data = word.data
      helper.write_file(folder .. "/config.json", json.encode(raw()))
      safetensors.write(folder .. "/model.safetensors", list, { format = "pt",
        [word.name] = "cls.predictions.decoder.weight" })
      assert.same(expected, (assign()))
    end)

    it("may stand behind what holds the model: DataParallel, torch.compile, a module", function()
      for _, wrapper in ipairs({ "module.", "_orig_mod.", "model.", "_orig_mod.module.",
        "model._orig_mod." }) do
        write(tensors(MODEL, function(name) return wrapper .. name end))
        local values, report = assign()
        assert.same(expected, values)
        assert.same({ {}, {} }, { report.unexpected, report.reasons })
      end
      write(tensors(joined(MODEL, { { name = "x", shape = { 1 } } }), function(name)
        return name == "x" and name or "module." .. name
      end))
      assert.truthy(message_of(assign):find("lacks 3 tensors: bert.embeddings", 1, true))
    end)

    it("may not mean the same tensor twice", function()
      write(tensors(joined(MODEL, { { name = "pooler.dense.bias", shape = { 4 } } })))
      assert.truthy(message_of(assign):find("holds tensor bert.pooler.dense.bias twice", 1, true))
    end)

    it("of a pooler mean nothing to RoBERTa", function()
      local function roberta(name) return (name:gsub("^bert", "roberta")) end
      local wanted = tensors(joined(BODY, {
        { name = "classifier.out_proj.weight", shape = { 2, 4 } } }), roberta)
      write(tensors(joined(MODEL, { { name = "lm_head.bias", shape = { 8 } },
        { name = "classifier.out_proj.weight", shape = { 2, 4 } } }), roberta),
        { model_type = "roberta" })
      local _, report = assign(wanted)
      assert.same({ "lm_head.bias", "roberta.pooler.dense.bias", "roberta.pooler.dense.weight" },
        report.ignored)
      assert.same({ "classifier.bias", "classifier.weight" }, report.unexpected)
    end)
  end)

  describe("what is missing", function()
    it("may be the head and the pooler, which start new", function()
      write(tensors(BODY))
      local values, report = assign()
      for _, parameter in ipairs(MODEL) do
        local new = parameter.name:find("pooler") or parameter.name:find("classifier")
        assert.equal(not new, values[parameter.name] ~= nil)
      end
      assert.same(names(joined(POOLER, HEAD)), names(report.fresh))
      assert.same({ "new pooler: the file has none", "new head: the file has none" },
        report.reasons)
    end)

    it("may be a head of other labels or of another task", function()
      write(tensors(joined(BODY, POOLER, { { name = "classifier.weight", shape = { 3, 4 } },
        { name = "classifier.bias", shape = { 3 } } })), { num_labels = 3 })
      local _, report = assign()
      assert.same(names(HEAD), names(report.fresh))
      assert.same({ "new head: the file's is for 3 labels" }, report.reasons)
      write(tensors(MODEL), { architectures = { "BertForTokenClassification" } })
      _, report = assign()
      assert.same(names(HEAD), names(report.fresh))
      assert.same({ "new head: the file's is for another task (BertForTokenClassification)" },
        report.reasons)
    end)

    it("is no label: a head follows the names of its labels", function()
      write(tensors(MODEL), { id2label = { ["0"] = "Good", ["1"] = "bad" } })
      local straight = assign(MODEL, { "good", "bad" })
      local turned, plan = assign(MODEL, { "bad", "good" })
      assert.same({ 2, 1 }, plan.order)
      assert.is_nil(plan.remark)
      local w, v = straight["classifier.weight"], turned["classifier.weight"]
      assert.same({ w[5], w[6], w[7], w[8], w[1], w[2], w[3], w[4] }, v)
      w, v = straight["classifier.bias"], turned["classifier.bias"]
      assert.same({ w[2], w[1] }, v)
      local other = select(2, assign(MODEL, { "yes", "no" }))
      assert.equal("the file's labels are Good, bad; they are taken for yes, no, in this order",
        other.remark)
      write(tensors(MODEL))
      assert.is_nil(select(2, assign(MODEL, { "yes", "no" })).remark) -- LABEL_0, LABEL_1
    end)

    it("is an error otherwise, with the first five and the count", function()
      local many = {}
      for i = 1, 7 do
        many[i] = { name = "bert.x" .. i, shape = { 1 } }
      end
      write(tensors(MODEL))
      assert.equal("<>model.safetensors lacks 7 tensors: bert.x1, bert.x2, bert.x3, bert.x4, "
        .. "bert.x5, ...", message_of(assign, joined(MODEL, many)))
      assert.equal("<>model.safetensors lacks 1 tensor: bert.x1",
        message_of(assign, joined(MODEL, { many[1] })))
      write(tensors(joined(BODY, POOLER, { HEAD[1] })))
      assert.equal("<>model.safetensors: tensor classifier.bias is missing, though others of its "
        .. "part are there", message_of(assign))
    end)
  end)

  describe("what does not fit", function()
    local function refuse(parameter, fields)
      local list = tensors(MODEL)
      for i, t in ipairs(list) do
        list[i] = t.name == parameter.name and tensors({ parameter })[1] or t
      end
      write(list, fields)
      local source, config = open(folder)
      return message_of(matching.plan, source.tensors, config, MODEL)
    end

    it("is named, with what it is and what it should be", function()
      assert.equal("<>model.safetensors: tensor bert.embeddings.word_embeddings.weight is [9, 4], "
        .. "config.json asks for [8, 4]",
        refuse({ name = "bert.embeddings.word_embeddings.weight", shape = { 9, 4 } }))
      assert.truthy(refuse({ name = "bert.pooler.dense.bias", shape = { 4, 1 } })
        :find("is [4, 1], config.json asks for [4]", 1, true))
      assert.truthy(refuse({ name = "classifier.weight", shape = { 3, 4 } })
        :find("classifier.weight is [3, 4], config.json asks for [2, 4]", 1, true))
      assert.truthy(refuse({ name = "bert.pooler.dense.bias", shape = { 4 }, dtype = "I32" })
        :find("is I32, expected F32, F16, BF16 or F64", 1, true))
    end)
  end)

  it("come back as they were saved, with labels and unknown fields", function()
    write(tensors(MODEL))
    local expected = assign()
    local text = config_of.encode(config_of.with_labels(select(2, open(folder)),
      { "bad", "good" }))
    huggingface.save(folder, text, tensors(MODEL))
    assert.same(expected, (assign()))
    local _, config = open(folder)
    assert.same({ "bad", "good" }, config.labels)
    assert.equal("single_label_classification", config.problem_type)
    assert.equal("two", config.raw.unknown_field[2])
    local before = helper.read_file(folder .. "/model.safetensors")
    huggingface.save(folder, text, tensors(MODEL))
    assert.equal(before, helper.read_file(folder .. "/model.safetensors"))
  end)
end)
