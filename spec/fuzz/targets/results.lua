--- results.json and train.log as a comparison reads them, up to its tables and files.
local files = require("fsam.base.file")
local json = require("fsam.base.json")
local report = require("fsam.compare.report")
local runs_of = require("fsam.compare.runs")

local RESULTS = { command = "fsam-lua recipes/cola.lua", task = "cola", seed = 1, finished = true,
  best = { epoch = 2, step = 20, mcc = 0.5, accuracy = 0.75, loss = 0.4, by_kind = { a = 1 } },
  last = { epoch = 3, step = 30, mcc = 0.25, accuracy = 0.5, loss = 0.5, collapsed = "no" },
  best_checkpoint_metric = "mcc", updates = 30, skipped = 0, samples = 300, evaluations = 600,
  seconds = { train = 1.5, validation = 0.25 }, tokens_per_second = 1000 }

local LOG = '{"event": "start", "step": 0}\n{"event": "step", "step": 1, "seconds": 0.01}\n'
  .. '{"event": "step", "step": 2, "seconds": 0.02}\n{"event": "epoch", "epoch": 1, "mcc": 0.5}\n'

local BASE, OTHER = { label = "adam", id = "adam", words = {} }, { label = "sam", id = "sam",
  words = {} }

return {
  parts = { { name = "sam-1/results.json", kind = "document" },
    { name = "sam-1/train.log", kind = "bytes" }, { name = "compare.json", kind = "document" } },
  words = { "best", "last", "mcc", "accuracy", "loss", "seconds", "train", "updates", "evaluations",
    "samples", "skipped", "collapsed", "finished", "best_checkpoint_metric", "by_kind", "epoch",
    "step", '"event": "step"', '"step": 3', '"seconds": 1e999', "recipe", "words" },
  seeds = function()
    return { { ["sam-1/results.json"] = json.encode(RESULTS, { indent = true }),
      ["sam-1/train.log"] = LOG, ["compare.json"] = '{"recipe": "r.lua", "words": ""}' } }
  end,
  start = function(folder)
    files.make_folder(folder .. "/sam-1")
  end,
  run = function(_, folder)
    local o = { save_dir = folder, recipe = "r.lua", words = {}, score = "best", test = "t",
      entries = { BASE, OTHER }, baseline = BASE }
    local runs = runs_of.open(o)
    local run = runs:run(OTHER, 1)
    run.results = runs:results(run)
    if run.results then
      local base = { entry = BASE, seed = 1, name = "adam-1", folder = folder, results = RESULTS }
      local list = { { run }, { base } }
      local group = { budget = "epochs", rows = {} }
      for i, entry in ipairs({ OTHER, BASE }) do
        group.rows[i] = { entry = entry, runs = list[i],
          summary = report.summary(o, list[i], list[2]) }
      end
      report.table(o, group)
      report.collapsed({ group })
    end
  end,
}
