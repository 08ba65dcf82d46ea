--- What trainer.json must hold for a run to go on from it. The file may come from another version
-- or a damaged disk, and a wrong count in it would train, or save, for ever.
--
-- Owns: the shape of the file, and the rules between its counts. Leaves to others: reading it
-- (checkpoint.lua), whether its position fits the data (checkpoint.check_position).
local errors = require("fsam.errors")
local schema = require("fsam.base.schema")

local M = {}

local count, number, text = schema.integer(0), schema.number(), schema.string
local some_number, some_text = schema.optional(number), schema.optional(text)
local amounts = schema.map(some_number) -- null stands for what was no number

-- A validation's result.
local score = schema.record({
  epoch = count, step = count, values = amounts, groups = schema.optional(amounts),
  collapsed = some_text, also = schema.optional(schema.map(amounts)),
})

-- A numbered checkpoint. Its name is a folder's that may be removed: no other form is let through.
local kept = schema.record({
  kind = schema.one_of({ "epoch", "update", "best" }), step = count, value = some_number,
  name = schema.where(function(name)
    return type(name) == "string" and (name:find("^checkpoint%d+$")
      or name:find("^checkpoint_%d+_%d+$") or name:find("^checkpoint%.best_[%w_]+_%-?[%d.]+_%d+$"))
  end, "a checkpoint's name"),
})

local progress = schema.record({
  step = count, epoch = count, done = count, epochs_done = count, since_better = count,
  skipped = count, skipped_in_row = count,
  samples = schema.optional(count), evaluations = schema.optional(count),
  tokens = schema.optional(count), train_seconds = some_number, valid_seconds = some_number,
  first_skipped = schema.optional(count), first_reason = some_text,
  best = schema.optional(score), last = schema.optional(score), top = some_number,
  meter = schema.optional(amounts), kept = schema.optional(schema.list(kept)),
  diagnoses = schema.optional(schema.record({ sums = schema.optional(amounts),
    counts = schema.optional(amounts) })),
})

local TRAINER = schema.record({
  progress = progress,
  plan = schema.record({ updates = schema.number(0), total = schema.number(0),
    warmup = schema.optional(schema.number(0)) }),
  optimizer = schema.record({ applied = count }), -- the rest is its parts' own
  schedule = schema.optional(schema.map(number)),
  options = schema.map(text),
  origin = schema.optional(schema.map(text)),
  model = some_text, -- the --restore-file or --arch that the run began from
  data = schema.record({ name = some_text, train = count, dev = count, fingerprint = text,
    texts = schema.optional(schema.integer(1, 2)) }), -- texts of a sample
  environment = schema.map(schema.either("a text or a number", text, number)),
  step = count, epochs_done = count, stopped = some_text, patience_used = some_number,
})

--- Checks the content of a trainer.json.
-- @tparam table trainer
-- @tparam string name of the file, for messages
-- @raise one line that names the member
function M.check(trainer, name)
  schema.check(trainer, TRAINER, name .. " is damaged", "")
  for _, field in ipairs({ "step", "epochs_done" }) do
    if trainer[field] ~= trainer.progress[field] then
      errors.raise("%s is damaged: %s and progress.%s differ", name, field, field)
    end
  end
end

return M
