--- SuperGLUE's rows: what a line of each file becomes.
local corpus = require("fsam.data.corpus")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local outputs = require("fsam.predict.outputs")
local spans = require("fsam.data.spans")
local tasks = require("fsam.data.tasks")

local folder

local function samples(name, split, objects)
  local lines = {}
  for i, object in ipairs(objects) do
    lines[i] = json.encode(object)
  end
  local row = tasks.get(name)
  helper.write_file(folder .. "/" .. row.files[split].name, table.concat(lines, "\n"))
  return corpus.split(row, folder, split).samples
end

setup(function()
  folder = helper.memory_dir()
end)

teardown(function()
  helper.remove_dir(folder)
end)

local WSC = { idx = 3, text = "Mark told Pete lies about himself, which Pete hid.", label = true,
  target = { span1_index = 0, span1_text = "mark", span2_index = 5, span2_text = "himself" } }

local WIC = { idx = 1, word = "caf\195\169", sentence1 = "\195\137t\195\169 at a caf\195\169.",
  sentence2 = "caf\195\169s", start1 = 9, end1 = 13, start2 = 0, end2 = 5, label = false,
  version = 1.1 }

describe("a row of SuperGLUE", function()
  it("has pairs as they stand (CB, BoolQ, RTE)", function()
    assert.same({ { text = "p", pair = "h", label = 1, index = 4 } }, samples("superglue_rte",
      "dev", { { premise = "p", hypothesis = "h", label = "not_entailment", idx = 4 } }))
    assert.same({ { text = "p", pair = "h", label = 1, index = 0 } }, samples("cb", "train",
      { { premise = "p", hypothesis = "h", label = "contradiction", idx = 0 } }))
    assert.same({ { text = "q", pair = "p", label = 1, index = 7 } }, samples("boolq", "dev",
      { { question = "q", passage = "p", label = true, idx = 7 } }))
    assert.same({ { text = "q", pair = "p", index = 7 } }, samples("boolq", "test",
      { { question = "q", passage = "p", idx = 7 } }))
  end)

  it("has the word of both sentences in brackets (WiC)", function()
    assert.same({ { text = "\195\137t\195\169 at a [caf\195\169].", pair = "[caf\195\169s]",
      label = 0, index = 1 } }, samples("wic", "train", { WIC }))
  end)

  it("has the noun in brackets and the pronoun between underscores (WSC)", function()
    assert.same({ { text = "[Mark] told Pete lies about _himself_, which Pete hid.", label = 1,
      index = 3 } }, samples("wsc", "train", { WSC }))
    WSC.target.span1_text, WSC.target.span2_index, WSC.target.span2_text = "Mark told", 8, "Pete"
    WSC.label = false
    assert.equal("[Mark told] Pete lies about himself, which Pete _hid._",
      samples("wsc", "train", { WSC })[1].text)
  end)

  it("names the line whose span or label is none", function()
    local function refuses(message, name, object)
      local ok, err = pcall(samples, name, "train", { object })
      assert.is_false(ok)
      assert.equal(folder .. "/train.jsonl, line 1" .. message, tostring(err))
    end
    refuses(": the span 5 to 9 is not in its text \"caf\195\169s\"", "wic", { idx = 1, label = true,
      sentence1 = "a", sentence2 = "caf\195\169s", start1 = 0, end1 = 1, start2 = 5, end2 = 9 })
    refuses(": start1 is -1, expected an integer from 0 to 9007199254740992", "wic", { idx = 1,
      label = true, sentence1 = "a", sentence2 = "b", start1 = -1, end1 = 1, start2 = 0, end2 = 1 })
    refuses(": the span \"it\" at word 9 is not in its text \"a b\"", "wsc", { idx = 1,
      label = true, text = "a b", target = { span1_index = 0, span1_text = "a", span2_index = 9,
        span2_text = "it" } })
    refuses(": target is 5, expected a table", "wsc", { idx = 1, label = true, text = "a b",
      target = 5 })
    refuses(": got the label \"1\", expected false or true (column 4)", "boolq", { idx = 1,
      question = "a", passage = "b", label = 1 })
    refuses(": premise is 5, expected a text", "cb", { idx = 1, premise = 5, hypothesis = "b",
      label = "neutral" })
  end)

  it("is answered in the words of its server", function()
    local function answers(task, labels)
      return outputs.text({ format = "superglue", task = task }, { { index = 4 }, { index = 5 } },
        { { class = 1, labels = labels }, { class = 2, labels = labels } })
    end
    assert.equal('{"idx": 4, "label": "true"}\n{"idx": 5, "label": "false"}\n',
      answers("boolq", { "true", "false" }))
    assert.equal('{"idx": 4, "label": "False"}\n{"idx": 5, "label": "True"}\n',
      answers("wsc", { "LABEL_0", "LABEL_1" }))
    assert.has_error(function()
      outputs.text({ format = "superglue", task = "cb" }, { {} }, { { chosen = {}, labels = {} } })
    end, "the model has several labels for a text, CB has one")
  end)
end)

describe("spans", function()
  it("are found by words, whose own text may be less than they are", function()
    local text = 'the "old man", he said'
    assert.same({ 5, 13 }, { spans.words(text, 1, '"Old man"', "x") })
    assert.same({ 6, 12 }, { spans.words(text, 1, "old man", "x") })
    assert.same({ 5, 14 }, { spans.words(text, 1, "young man", "x") })
    assert.same({ 16, 17 }, { spans.words(text, 3, "he", "x") })
  end)
end)
