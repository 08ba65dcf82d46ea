--- JSON lines: files of one's own, texts to predict for, and SuperGLUE's rows with spans.
local corpus = require("fsam.data.corpus")
local errors = require("fsam.errors")
local inputs = require("fsam.predict.inputs")
local own_files = require("fsam.data.own_files")
local tasks = require("fsam.data.tasks")
local text_file = require("fsam.data.text_file")

local OWN = '{"text": "a", "label": "yes"}\n{"text": "b", "label": "no"}\n'
  .. '{"text": "c", "label": ["yes", 1.5, true]}\n{"text": "d", "label": null}\n'
local WSC = '{"idx": 0, "text": "Mark told Pete about himself, too.", "label": true, "target": '
  .. '{"span1_index": 0, "span1_text": "Mark", "span2_index": 4, "span2_text": "himself"}}\n'
local WIC = '{"idx": 1, "sentence1": "a caf\195\169.", "sentence2": "caf\195\169s", "start1": 2, '
  .. '"end1": 6, "start2": 0, "end2": 5, "label": false}\n'

local WAYS = {
  function(path)
    return own_files.row({ given = {}, restore_file = "model", train_file = path,
      text_column = "text", label_column = "label", validation_share = 0.5, split_seed = 1 })
  end,
  function(path)
    return corpus.file(tasks.get("wsc"), path, "train")
  end,
  function(path)
    return corpus.file(tasks.get("wic"), path, "test")
  end,
  function(path)
    return inputs.lines(text_file.read(path), path, true)
  end,
}

return {
  parts = { { name = "train.jsonl", kind = "bytes" } },
  words = { '"text"', '"label"', '"idx"', '"target"', '"span1_index"', '"start1"', "{", "}", "[",
    "]", ":", ",", "\n", "null", "true", "-1", "1e999", "9007199254740993",
    '"\\ud800"', "\239\187\191",
    '"text_pair"', "0.5" },
  seeds = function()
    return { { ["train.jsonl"] = OWN }, { ["train.jsonl"] = WSC .. WSC },
      { ["train.jsonl"] = WIC .. WIC }, { ["train.jsonl"] = '{"text": "a", "text_pair": "b"}\n' } }
  end,
  run = function(_, folder)
    local refused, accepted
    for _, read in ipairs(WAYS) do
      local ok, got = pcall(read, folder .. "/train.jsonl")
      if not ok and not errors.is(got) then
        error(got, 0)
      end
      refused, accepted = not ok and got or refused, ok or accepted
    end
    if not accepted then
      error(refused, 0)
    end
  end,
}
