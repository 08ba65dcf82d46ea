--- Training: the loop that recipes share, and what it needs.
--
--     train.flags.spec{…}      the command line's declarations (flags.lua)
--     train.setup(options)     the parts of a run: corpus, …, model, optimizer (setup.lua)
--     train.run(parts)         trains (loop.lua); with --valid-only only judges (valid_only.lua)
--     train.open(options)      the run alone, without its other parts (setup.lua)
--     train.report(options, task.metrics)     where a run's events go (fsam.report)
--     train.recipe(arg, {…})   all of this, for a recipe that changes none of it
--
-- Owns: this face, and what `run` does around the loop. A recipe may use some of these and write
-- its own loop instead.

local C = require("fsam.C")
local arguments = require("fsam.base.arguments")
local header = require("fsam.report.header")
local loop = require("fsam.train.loop")
local options = require("fsam.options")
local program_files = require("fsam.train.program_files")
local ranks = require("fsam.ranks")
local report = require("fsam.report")
local schema = require("fsam.base.schema")
local valid_only = require("fsam.train.valid_only")
local values = require("fsam.options.values")

local M = {
  flags = require("fsam.train.flags"),
  report = report.new,
}

-- Half of the library stands behind setup.lua; --help and a mistyped flag need none of it.
for name, part in pairs({ setup = "parts", open = "open" }) do
  M[name] = function(...)
    return require("fsam.train.setup")[part](...)
  end
end

-- Flags in which ranks may differ: they change nothing that the others wait for.
local OWN = { device = true, threads = true, log_format = true, log_interval = true,
  profile = true, profile_trace = true }

-- What every rank must have alike before the first sum. The program comes first: of another one
-- anything else may differ too.
local function agree(t)
  local o, resume = t.options, t.run.resume
  if t.ranks.size == 1 then
    return
  end
  t.ranks:agree({ version = ("%s with Lua files of fingerprint %s"):format(
    C.ffi.string(C.lib.fsam_version()), program_files.fingerprint()) })
  local same = {
    -- Another one rounds sums otherwise, and each rank computes norms and updates for itself.
    ["instruction set"] = C.ffi.string(C.lib.fsam_isa()) .. " (FSAM_ISA sets it)",
    data = ("of %d and %d samples (fingerprint %s)"):format(#t.task.train, #t.task.dev,
      t.task.fingerprint),
    ["a checkpoint"] = resume and ("of update %d"):format(resume.trainer.step) or "never saved",
  }
  for _, d in ipairs(o.spec.flags) do
    if o[d.name] ~= nil and not OWN[d.name] then
      same[options.flag(d.name)] = values.show(d, o[d.name])
    end
  end
  same["--precision"] = t.run.precision
  t.ranks:agree(same)
end

--- Trains, or validates with --valid-only; prints the header first.
-- @tparam table t of setup: options, ranks, run, task, model, pass, optimizer; report (default: by
--   the options)
-- @treturn table summary, see loop.run
function M.run(t)
  t.ranks = t.ranks or ranks.alone
  if not t.ranks.is_first then
    -- The first rank reports and saves. The others train and validate alike, and write nothing.
    t.report = report.new({ log_format = "none" }, t.task.metrics)
    t.report.warn = function() end
  end
  agree(t)
  t.report = t.report or report.new(t.options, t.task.metrics)
  t.report:header(header.lines(t))
  for _, notes in ipairs({ t.options.notes, t.run.notes }) do
    for _, note in ipairs(notes) do
      t.report:warn(note)
    end
  end
  if #t.task.skipped > 0 then
    t.report:warn(("%d training samples are longer than the limit and left out")
      :format(#t.task.skipped))
  end
  if (t.task.dev_skipped or 0) > 0 then
    t.report:warn(("%d development samples are longer than the limit and left out: scores are of "
      .. "the others"):format(t.task.dev_skipped))
  end
  local run = (t.options.valid_only and valid_only or loop).run
  local file = t.options.profile_trace
  if not (t.options.profile or file) or not t.ranks.is_first then
    return run(t)
  end
  t.profile = require("fsam.profile").new({ device = t.model.device, file = file })
  t.profile:watch({ pass = t.pass, optimizer = t.optimizer, task = t.task })
  local finished = run(t)
  print(t.profile:finish())
  return finished
end

--- A whole recipe: reads the command line, makes the parts, trains, and ends the program.
-- @tparam {string,…} words `arg`, with the script at 0
-- @tparam table recipe as for train.flags.spec
-- @raise one line about the command line, or about the part that cannot be made
function M.recipe(words, recipe)
  local parts, finished = M.setup(options.parse(words, M.flags.spec(recipe)))
  if not parts then
    print(finished)
    return
  end
  os.exit(M.run(parts).interrupted and 130 or 0)
end

local optional = arguments.optional
local OPTIONS = arguments.arg("options", arguments.object("options, of fsam.options.parse",
  { spec = "table", origin = "table" }))
local has = arguments.object

arguments.guard("fsam.train", M, {
  recipe = { arguments.arg("arguments", arguments.table), arguments.arg("recipe",
    schema.record({ name = schema.string })) },
  setup = { OPTIONS, arguments.arg("own", optional(arguments.table)) }, open = { OPTIONS },
  report = { arguments.arg("options", arguments.table),
    arguments.arg("metrics", schema.list(schema.string)), arguments.arg("out", arguments.any) },
  run = { arguments.fields({ options = OPTIONS.shape, row = optional(arguments.table),
    corpus = optional(arguments.table), tokenizer = optional(arguments.table),
    ranks = optional(ranks.shape), run = has("a run, of fsam.train.setup", { path = "function" }),
    task = has("a task, of fsam.task.new", { batches = "table", validate = "function",
      steps = "function", updates = "function" }),
    model = has("a model, of fsam.models", { params = "table" }),
    pass = has("a pass, of fsam.pass.new", { bind = "function" }),
    optimizer = has("an optimizer, of fsam.step.build", { step = "function" }),
    report = optional(arguments.table) }) },
})

return M
