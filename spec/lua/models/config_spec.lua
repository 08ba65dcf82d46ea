--- config.json: defaults, what is refused and how, labels, and what is written back.
local config_json = require("fsam.models.config")
local json = require("fsam.base.json")

local BERT = [[{"model_type": "bert", "vocab_size": 100, "hidden_size": 8, "num_hidden_layers": 2,
  "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 12%s}]]

describe("an architecture's name", function()
  it("agrees with configurations of its sizes, whatever their vocabulary", function()
    local architectures = require("fsam.models.architectures")
    for _, name in ipairs(architectures.names()) do
      architectures.agree(name, architectures.config(name, { vocab_size = 99 }), "file")
    end
    for field, value in pairs({ num_hidden_layers = 3, hidden_size = 8, intermediate_size = 5,
      num_attention_heads = 1 }) do
      local config = architectures.config("roberta_base")
      config[field] = value
      assert.has_error(function()
        architectures.agree("roberta_base", config, "file")
      end, ("--arch roberta_base has %s %d, but file has %d; leave --arch out, the checkpoint says "
        .. "what it is"):format(field, architectures.config("roberta_base")[field], value))
    end
  end)
end)

describe("config.json", function()
  -- Checks BERT's text with more fields, of which the last of the same name counts.
  local function check(fields)
    local text = BERT:format(fields and ", " .. fields or "")
    return config_json.check(json.decode(text), "config.json")
  end

  local function refused(fields)
    local ok, err = pcall(check, fields)
    assert.is_false(ok)
    return tostring(err)
  end

  it("has the defaults of Transformers", function()
    local config = check()
    assert.equal(1e-12, config.layer_norm_eps)
    assert.equal(0.02, config.initializer_range)
    assert.equal(0.1, config.hidden_dropout_prob)
    assert.equal(0.1, config.attention_probs_dropout_prob)
    assert.equal(0.1, config.classifier_dropout)
    assert.equal(2, config.type_vocab_size)
    assert.equal(0, config.pad_token_id)
    assert.equal("gelu", config.activation)
    assert.same({ "LABEL_0", "LABEL_1" }, config.labels)
    assert.equal(2, config.num_labels)
    assert.equal("bert.", config.family.prefix)
    local roberta = check('"model_type": "roberta", "classifier_dropout": null, '
      .. '"hidden_dropout_prob": 0.3, "hidden_act": "gelu_new"')
    assert.equal(1, roberta.pad_token_id)
    assert.equal("roberta.", roberta.family.prefix)
    assert.equal(0.3, roberta.classifier_dropout)
    assert.equal("gelu_tanh", roberta.activation)
    for _, name in ipairs({ "gelu_accurate", "gelu_python_tanh" }) do
      assert.equal("gelu_tanh", check(('"hidden_act": "%s"'):format(name)).activation)
    end
  end)

  it("is refused with field, value and what is possible", function()
    for fields, message in pairs({
      ['"model_type": "gpt2"'] = 'model_type is "gpt2"; supported are albert, bert, distilbert, '
        .. "electra, roberta, xlm-roberta",
      ['"hidden_size": 9'] = "hidden_size 9 is not divisible by num_attention_heads 2",
      ['"hidden_size": 0'] = "hidden_size is 0, expected an integer from 1 to 65536",
      ['"num_hidden_layers": 1.5'] = "num_hidden_layers is 1.5, expected an integer from 1 to 1000",
      ['"num_hidden_layers": 1e300'] =
        "num_hidden_layers is 1e+300, expected an integer from 1 to 1000",
      ['"vocab_size": "many"'] = 'vocab_size is "many", expected an integer from 1 to 16777216',
      ['"intermediate_size": [1]'] =
        "intermediate_size is a table, expected an integer from 1 to 1048576",
      ['"pad_token_id": 100'] = "pad_token_id is 100, expected an integer from 0 to 99",
      ['"hidden_dropout_prob": 1'] = "hidden_dropout_prob is 1, expected less than 1",
      ['"classifier_dropout": -1'] = "classifier_dropout is -1, expected a number from 0 to 1",
      ['"layer_norm_eps": 0'] = "layer_norm_eps is 0",
      ['"hidden_act": "mish"'] =
        'hidden_act is "mish"; supported are gelu, gelu_new, relu, silu and tanh',
      ['"model_type": "distilbert", "dim": 9, "n_layers": 1, "n_heads": 2, "hidden_dim": 4'] =
        "dim 9 is not divisible by n_heads 2",
      ['"model_type": "distilbert", "dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 4, '
        .. '"activation": "mish"'] =
        'activation is "mish"; supported are gelu, gelu_new, relu, silu and tanh',
      ['"model_type": "distilbert", "dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 4, '
        .. '"seq_classif_dropout": 1'] = "seq_classif_dropout is 1, expected less than 1",
      ['"model_type": "albert", "inner_group_num": 501'] =
        "num_hidden_layers 2 with inner_group_num 501 is more than 1000 layers",
      ['"model_type": "albert", "num_hidden_groups": 1000, "inner_group_num": 2'] =
        "num_hidden_groups 1000 with inner_group_num 2 is more than 1000 layers",
      ['"position_embedding_type": "relative_key"'] =
        'position_embedding_type is "relative_key"; only absolute is supported',
      ['"embedding_size": 4'] = "embedding_size is 4; it must equal hidden_size",
      ['"id2label": ["a"]'] = "id2label is not an object of label names",
      ['"id2label": {"x": "a"}'] = 'id2label has "x": "a", expected an id and a name',
      ['"model_type": "roberta", "max_position_embeddings": 2'] =
        "max_position_embeddings 2 leaves no position after the padding's 1",
    }) do
      assert.equal("config.json: " .. message, refused(fields))
    end
    assert.equal("config.json has neither model_type nor architectures, so what model it is is not "
      .. 'known; add "model_type", one of albert, bert, distilbert, electra, roberta, xlm-roberta',
      refused('"model_type": null'))
    assert.equal("config.json has no vocab_size", refused('"vocab_size": null'))
    assert.equal("config.json describes a decoder; only encoders are supported",
      refused('"is_decoder": true'))
    assert.is_false((pcall(config_json.check, json.decode("[]"), "config.json")))
  end)

  it("has ELECTRA's own width of embeddings, and takes fields that no classifier uses", function()
    local config = check('"model_type": "electra", "summary_type": "first", '
      .. '"summary_activation": "gelu", "summary_last_dropout": 0.1, "summary_use_proj": true')
    assert.equal(128, config.embedding_size)
    assert.equal("electra.", config.family.prefix)
    assert.equal(24, check('"model_type": "electra", "embedding_size": 24').embedding_size)
    assert.equal("config.json: embedding_size is 0, expected an integer from 1 to 65536",
      refused('"model_type": "electra", "embedding_size": 0'))
    local out = json.decode(config_json.encode(config))
    assert.equal("first", out.summary_type)
    assert.equal(128, out.embedding_size)
    assert.equal("ElectraForSequenceClassification", out.architectures[1])
  end)

  it("refuses labels only where the file's own head is wanted", function()
    for fields, message in pairs({
      ['"problem_type": "token_classification"'] = 'problem_type is "token_classification"; '
        .. "supported are multi_label_classification, regression, single_label_classification",
      ['"id2label": {"0": "a", "2": "b"}'] = "the ids of id2label are not 0 to 1",
      ['"id2label": {"1": "a", "2": "b"}'] = "the ids of id2label are not 0 to 1",
      ['"id2label": {"0": "a", "00": "b", "2": "c"}'] = "the ids of id2label are not 0 to 2",
      ['"problem_type": "regression", "num_labels": 3'] = "problem_type is regression, which has "
        .. "one number here, but there are 3 labels",
      ['"id2label": {"0": "a"}, "num_labels": 2'] = "num_labels is 2, id2label has 1 names",
    }) do
      local config = check(fields)
      local ok, err = pcall(config_json.check_head, config, "config.json")
      assert.is_false(ok)
      assert.equal("config.json: " .. message, err.message)
      config_json.check_head(config_json.with_labels(config, { "no", "yes" }), "config.json")
    end
    config_json.check_head(check('"num_labels": 3'), "config.json")
  end)

  it("takes numbers for names of labels", function()
    assert.same({ "0", "1" }, check('"id2label": {"0": 0, "1": 1}').labels)
  end)

  it("has the family of its class where it has no model_type", function()
    for class, name in pairs({ BertForMaskedLM = "bert", BertModel = "bert",
      RobertaForSequenceClassification = "roberta", ElectraForPreTraining = "electra",
      AlbertForPreTraining = "albert", XLMRobertaModel = "xlm-roberta" }) do
      assert.equal(name, check('"model_type": null, "architectures": ["' .. class .. '"]')
        .model_type)
    end
    assert.equal("config.json: model_type is missing; supported are albert, bert, "
      .. "distilbert, electra, roberta, xlm-roberta",
      refused('"model_type": null, "architectures": ["BertweetModel"]'))
  end)

  it("takes the names of activations that Transformers takes", function()
    for word, form in pairs({ gelu = "gelu", gelu_python = "gelu", gelu_new = "gelu_tanh",
      gelu_fast = "gelu_tanh", gelu_accurate = "gelu_tanh", gelu_pytorch_tanh = "gelu_tanh",
      relu = "relu", silu = "silu", swish = "silu", tanh = "tanh" }) do
      assert.equal(form, check('"hidden_act": "' .. word .. '"').activation)
    end
  end)

  it("has and keeps a family's own names of fields, and their defaults", function()
    local distilbert = json.decode('{"model_type": "distilbert", "vocab_size": 100, "dim": 8, '
      .. '"n_layers": 3, "n_heads": 2, "hidden_dim": 16, "dropout": 0.3, "activation": "relu", '
      .. '"layer_norm_eps": 0.5, "type_vocab_size": 7}')
    local config = config_json.check(distilbert, "config.json")
    for field, value in pairs({ hidden_size = 8, num_hidden_layers = 3, num_attention_heads = 2,
      intermediate_size = 16, hidden_dropout_prob = 0.3, attention_probs_dropout_prob = 0.1,
      classifier_dropout = 0.2, hidden_act = "relu", activation = "relu", pad_token_id = 0,
      layer_norm_eps = 1e-12, type_vocab_size = 0 }) do -- the last two are the class's own
      assert.equal(value, config[field], field)
    end
    local out = json.decode(config_json.encode(config))
    assert.equal("relu", out.activation)
    assert.equal(0.2, out.seq_classif_dropout)
    assert.equal(0.5, out.layer_norm_eps)
    for _, field in ipairs({ "hidden_size", "num_hidden_layers", "hidden_act",
      "classifier_dropout" }) do
      assert.is_nil(out[field])
    end
    local albert = check('"model_type": "albert"')
    for field, value in pairs({ hidden_dropout_prob = 0, attention_probs_dropout_prob = 0,
      classifier_dropout = 0.1, activation = "gelu_tanh", embedding_size = 128,
      num_hidden_groups = 1, inner_group_num = 1 }) do
      assert.equal(value, albert[field], field)
    end
    assert.equal(0.1, json.decode(config_json.encode(albert)).classifier_dropout_prob)
  end)

  it("is written without the numbers that JSON lacks", function()
    local raw = json.decode('{"model_type": "bert", "vocab_size": 100, "hidden_size": 8, '
      .. '"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, '
      .. '"odd": [NaN, -Infinity, Infinity, 1]}', "config.json", false, true)
    assert.equal(-math.huge, raw.odd[2])
    local out = json.decode(config_json.encode(config_json.check(raw, "config.json")))
    assert.same({ json.null, json.null, json.null, 1 }, out.odd)
    assert.equal(512, out.max_position_embeddings)
  end)

  it("takes labels in the order of their ids, eleven too", function()
    local pairs_of, expected = {}, {}
    for i = 0, 10 do
      pairs_of[#pairs_of + 1] = ('"%d": "label %d"'):format(10 - i, 10 - i)
      expected[i + 1] = "label " .. i
    end
    assert.same(expected, check('"id2label": {' .. table.concat(pairs_of, ",") .. "}").labels)
    assert.equal(3, check('"num_labels": 3').num_labels)
  end)

  it("is written with unknown fields, present values, labels and class", function()
    local config = config_json.with_labels(check('"odd": {"list": [], "object": {}}, '
      .. '"num_labels": 3, "dtype": "float16", "architectures": ["BertModel"]'), { "no", "yes" })
    assert.equal("BertModel", config.architecture)
    config.hidden_dropout_prob = 0.25
    local text = config_json.encode(config)
    local out = json.decode(text)
    assert.truthy(text:find('"list": []', 1, true))
    assert.truthy(text:find('"object": {}', 1, true))
    assert.equal(0.25, out.hidden_dropout_prob)
    assert.equal(0.1, out.classifier_dropout)
    assert.same({ ["0"] = "no", ["1"] = "yes" }, out.id2label)
    assert.same({ no = 0, yes = 1 }, out.label2id)
    assert.equal("BertForSequenceClassification", out.architectures[1])
    assert.equal("float32", out.torch_dtype)
    assert.is_nil(out.dtype)
    assert.is_nil(out.num_labels)
    local again = config_json.check(out, "again")
    assert.equal(text, config_json.encode(again))
  end)

  it("is for regression when a task has no labels", function()
    local base = check('"num_labels": 3')
    local config = config_json.with_labels(base, nil)
    assert.equal(1, config.num_labels)
    assert.equal("regression", config.problem_type)
    assert.equal(3, base.num_labels)
  end)
end)
