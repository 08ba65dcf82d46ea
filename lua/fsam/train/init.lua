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

-- What a run cannot follow of its options on this machine.
local function remarks(options, run)
  local notes = {}
  local unused = options.device == "auto" and devices.unused_gpu(run.device)
  if unused then
    notes[1] = "a GPU is here but not used: " .. unused
  end
  if options.rounding == "stochastic" and run.precision == "fp32" then
    notes[#notes + 1] = "--rounding stochastic has no effect in fp32: passes read the weights as "
      .. "they are"
  end
  return notes
end

--- Opens the device, settles what `auto` means there, and finds where the run begins.
-- @tparam table options from options.read; not changed
-- @treturn table run, see folder.open; device; device_name ("cpu", or what the GPU is); precision,
--   "fp32" or "bf16": options.precision says what was asked for; notes, remarks
function M.open(options)
  local device = devices.open(options.device)
  devices.threads(options.threads)
  local run = folder.open(options, devices.precision(options.precision, device))
  run.device, run.device_name = device, devices.gpu(device) or "cpu"
  run.notes = remarks(options, run)
  return run
end

--- Trains, or validates with --valid-only; prints the header first.
-- @tparam table t options, run, task, model, pass, optimizer; report (default: by the options)
-- @treturn table summary, see loop.run
function M.run(t)
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
  return (t.options.valid_only and loop.validate or loop.run)(t)
end

return M
