--- trainer.json of a run that is to go on, up to its first update. The run is that of words.lua.
local errors = require("fsam.errors")
local files = require("fsam.base.file")
local helper = require("spec.helper")
local options = require("fsam.options")
local words = require("spec.lua.train.words")

local stopped = errors.new("the run got to its first update")

local function stop()
  error(stopped, 0)
end

-- The command line is the same each time. It is read once; each run gets a copy.
local function read_once()
  local read, kept = options.read, nil
  function options.read(list, spec)
    kept = kept or read(list, spec)
    local copy = {}
    for name, value in pairs(kept) do
      copy[name] = value
    end
    for _, name in ipairs({ "given", "origin", "owned", "notes" }) do
      copy[name] = {}
      for key, value in pairs(kept[name]) do
        copy[name][key] = value
      end
    end
    return copy
  end
end

local PASS = { bind = stop, predict = stop }

local function flags(folder)
  return { "--save-dir", folder .. "/run", "--max-epoch", "4", "--log-format", "none" }
end

return {
  parts = { { name = "run/checkpoint_last/trainer.json", kind = "document" } },
  words = { "progress", "plan", "optimizer", "options", "data", "environment", "format", "step",
    "epoch", "done", "epochs_done", "since_better", "skipped", "best", "last", "top", "meter",
    "diagnoses", "values", "mcc", "accuracy", "groups", "updates", "total", "warmup", "fingerprint",
    "stopped", "patience", "patience_used", "epochs", "origin", "lr", "seed", "first_reason",
    "first_skipped", "samples", "tokens", "train_seconds", "kept", "kind", "name", "value",
    "schedule", "base", "factor", "checkpoint1" },
  changes_files = true,
  seeds = function()
    local folder = helper.memory_dir()
    words.killed_at(4, { "--save-dir", folder .. "/run", "--save-interval-updates",
      "3" })
    local early = helper.read_file(folder .. "/run/checkpoint_last/trainer.json")
    words.go({ "--save-dir", folder .. "/whole", "--max-epoch", "1", "--keep-last-epochs", "1" },
      { samples = 16 })
    local judged = helper.read_file(folder .. "/whole/checkpoint_last/trainer.json")
    helper.remove_dir(folder)
    local name = "run/checkpoint_last/trainer.json"
    return { { [name] = early }, { [name] = judged } }
  end,
  start = function(folder)
    words.go({ "--save-dir", folder .. "/run", "--max-epoch", "1" })
    read_once()
    return { count = 0 }
  end,
  run = function(_, folder, state)
    state.count = state.count + 1
    if state.count % 100 == 0 then
      collectgarbage() -- arenas are larger than they look to the collector
    end
    files.make_folder(folder .. "/run/checkpoint_last")
    local ok, err = pcall(words.go, flags(folder), { pass = PASS })
    if not ok and err ~= stopped then
      error(err, 0)
    end
  end,
}
