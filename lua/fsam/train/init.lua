--- fsam.train: the loop that recipes share, and the three things around it.
--
--     train.flags.spec{…}      the command line's declarations
--     train.open(options)      the run folder: begins, continues or is finished
--     train.report(options, task.metrics)
--     train.run{…}             trains; with --valid-only only validates
--
-- Each part is its own file; a recipe may use the parts and write its own loop instead.

local devices = require("fsam.base.device")
local folder = require("fsam.train.run_folder")
local header = require("fsam.report.header")
local loop = require("fsam.train.loop")
local report = require("fsam.report")

local M = {
  flags = require("fsam.train.flags"),
  report = report.new,
  header = header.lines,
}

--- Opens the device, settles what `auto` means there, and finds where the run begins.
-- @tparam table options; its precision becomes "fp32" or "bf16"
-- @treturn table run, see folder.open; device
function M.open(options)
  local device = devices.open(options.device)
  options.device_name = devices.gpu(device)
  local unused = options.device == "auto" and devices.unused_gpu(device)
  if unused then
    options.notes = options.notes or {}
    table.insert(options.notes, "a GPU is here but not used: " .. unused)
  end
  options.precision = devices.precision(options.precision, device)
  devices.threads(options.threads)
  if options.rounding == "stochastic" and options.precision == "fp32" then
    options.notes = options.notes or {}
    table.insert(options.notes, "--rounding stochastic has no effect in fp32: passes read the "
      .. "weights as they are")
  end
  local run = folder.open(options)
  run.device = device
  return run
end

--- Trains, or validates with --valid-only; prints the header first.
-- @tparam table t options, run, task, model, pass, optimizer; report (default: by the options);
--   ranks (fsam.ranks; default: this process alone), those of task and pass
-- @treturn table summary, see loop.run
function M.run(t)
  if t.ranks and not t.ranks.is_first then
    -- The first rank speaks and saves; the others train and judge alike, and leave nothing.
    t.report = report.new({ log_format = "none" }, t.task.metrics)
    t.report.warn = function() end
    t.run = setmetatable({ folder = false, begin = function() end }, { __index = t.run })
  end
  t.report = t.report or report.new(t.options, t.task.metrics)
  t.report:header(header.lines(t))
  for _, note in ipairs(t.options.notes or {}) do
    t.report:warn(note)
  end
  if #t.task.skipped > 0 then
    t.report:warn(("%d training samples are longer than the limit and left out")
      :format(#t.task.skipped))
  end
  return (t.options.valid_only and loop.validate or loop.run)(t)
end

return M
