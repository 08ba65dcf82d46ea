--- Small inputs from the field, each with the right value or message. They lie beside the
-- repository; the specs of each room hold the same values on inputs of their own.
local h = require("spec.helper")

-- case → what its output must show (`has`) and must not (`lacks`), as Lua patterns of the whole
-- output, and its exit code (0 where none is given; false where it does not matter).
local TRAINS = { has = "trained  1 update" }
local CASES = {
  ["cfg-gelu-accurate"] = TRAINS,
  ["cfg-id2label-gap"] = TRAINS,
  ["cfg-id2label-int"] = TRAINS,
  ["cfg-multilabel"] = TRAINS,
  ["cfg-nan-literal"] = TRAINS,
  ["cfg-no-model-type"] = TRAINS,
  ["st-tied-alias"] = TRAINS,
  ["st-unknown-dtype-unused"] = TRAINS,
  ["data-blank-last-line"] = TRAINS,
  ["data-latin1"] = { has = "train%.tsv, line %d+.*UTF%-8", lacks = "trained", code = 1 },
  ["data-utf16"] = { has = "UTF%-16", lacks = "trained", code = 1 },
  ["env-closed-stdio"] = { has = "^0 lines of train%.log are not JSON\n0 run2/%.lock\n$" },
  ["env-omp-num-threads"] = { has = "cpu, 1 thread," },
  ["json-log-epoch"] = { has = "checkpoint_last %(epoch 1 @ 1 updates", lacks = "epoch 2" },
  ["labels-swapped-valid"] = { has = "mcc 1%.0000" },
  ["late-id-out-of-range"] = { has = "tokenizer.*89.*exit 1", lacks = "embedding_forward",
    code = false },
  ["late-text-too-long"] = { has = "62 tokens.*40", lacks = "embedding_forward", code = 1 },
  ["log-torn-line"] = { lacks = "line [^%d]*%d+ is not JSON.*line %d+ is not JSON" },
  ["msg-fairseq-pt"] = { has = "model%.pt", lacks = "no tokenizer in this folder %(looked",
    code = false },
  ["msg-lfs-weights"] = { has = "Git LFS", lacks = "header's length", code = 1 },
  ["msg-too-long"] = { has = "dev%.tsv.*line %d+.*82 tokens.*40", code = 1 },
  ["name-freeze-typo"] = { has = "%-%-freeze bret is part of no parameter's name", code = 1 },
  ["name-mask-exclude"] = { has = "%-%-mask%-exclude embedings is part of no", code = 1 },
  ["name-freeze-all"] = { has = "leaves no parameter to train", code = 1 },
  ["nan-valid-only"] = { has = "not numbers", lacks = "mcc 0", code = 1 },
  ["perm-tokenizer-config"] = { has = "tokenizer_config%.json: Permission denied", code = 1 },
  ["predict-regression"] = { has = "^%-?%d+%.%d+", lacks = "LABEL_0" },
  ["roberta-pad-in-text"] = { has = "^%-0%.19267%d*%s+1%.37231%d*" },
  ["run-foreign-folder"] = { has = "in the way.*notes kept" },
  ["run-last-missing"] = { has = "checkpoint_best kept" },
  ["tok-added-json"] = { has = "^2 64 65 71 89 5 3\n$" },
  ["tok-additional-special-map"] = { has = "^2 64 89 65 90 71 5 3\n$" },
  ["tok-class-japanese"] = { has = "BertJapaneseTokenizer", lacks = "32 33 1 1", code = 1 },
  ["tok-decoder-not-in-json"] = { has = "^2 64 65 71 89 5 3\n$" },
  ["tok-extra-special-v5"] = { has = "^2 64 89 65 90 71 5 3\n$" },
  ["tok-lowercase-conflict"] = { has = "^2 64 1 1 5 3\n$" },
  ["tok-renamed-in-map"] = { has = "^2 64 65 71 5 3\n$" },
  ["tok-strip-accents-conflict"] = { has = "^2 64 1 71 5 3\n$" },
  ["tokjson-no-postprocessor"] = { has = "^2 64 65 71 5 3\n$" },
  ["tokjson-postprocessor-sequence"] = { has = "^2 64 65 71 5 3\n$" },
  ["tokjson-sequence-normalizer"] = { has = "^2 64 65 71 5 3\n$" },
}

describe("an input from the field", function()
  local names = {}
  for name in pairs(CASES) do
    names[#names + 1] = name
  end
  table.sort(names)

  for _, name in ipairs(names) do
    it(name, function()
      local folder, case = h.data_dir("cases/" .. name), CASES[name]
      if not folder then
        pending("no ../shared/data/cases")
        return
      end
      local code, text = h.shell(("FSAM=%s RECIPES=%s sh %s/run.sh 2>&1"):format(
        h.quote(h.build_dir() .. "/fsam-lua"), h.quote(h.root .. "/recipes"), h.quote(folder)))
      assert.is_truthy(not case.has or text:find(case.has), text)
      assert.is_nil(case.lacks and text:find(case.lacks), text)
      assert.is_nil(text:find("stack traceback"), text)
      if case.code ~= false then
        assert.equal(case.code or 0, code, text)
      end
    end)
  end
end)
