--- The report of a look at a landscape: lines on the screen while it goes on, a table as JSON, and
-- the picture. Owns: the words and the table. Leaves to others: the drawing (picture.lua).

local arguments = require("fsam.base.arguments")
local C = require("fsam.C")
local axis = require("fsam.landscape.axis")
local devices = require("fsam.base.device")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local format = require("fsam.base.numbers")
local json = require("fsam.base.json")
local picture = require("fsam.landscape.picture")
local schema = require("fsam.base.schema")

local M = {}

local Report = {}
Report.__index = Report

local clock = C.lib.fsam_clock

local ORDER = { "at", "checkpoint", "data", "split", "samples", "seed", "loss", "gnorm", "hessian",
  "gradient", "random", "plane" }

local function say(format_text, ...)
  io.write(format_text:format(...), "\n")
  io.flush()
end

-- A copy for JSON, in which null replaces numbers that are not finite.
local function clean(value)
  if type(value) == "number" then
    return axis.is_finite(value) and value or json.null
  elseif type(value) ~= "table" then
    return value
  end
  local copy = {}
  for key, inner in pairs(value) do
    copy[key] = clean(inner)
  end
  return copy
end

--- Begins a report: writes what the look is at.
-- @tparam table o options
-- @tparam table model
-- @tparam string data name of the data
-- @tparam integer samples how many
-- @treturn table the report
function M.begin(o, model, data, samples)
  local config = model.config
  say("fsam-lua %s · %s, fp32 · seed %d", C.ffi.string(C.lib.fsam_version()),
    devices.describe(model.device), o.seed)
  say("model    %s, %d layers, %d wide, %s parameters", o.checkpoint, config.num_hidden_layers,
    config.hidden_size, format.millions(model.count))
  for _, line in ipairs(model.announcements) do
    say("         %s", line)
  end
  say("data     %s, %s %s samples, without dropout", data, format.count(samples), o.split)
  return setmetatable({ options = o, began = clock(), found = { checkpoint = o.checkpoint,
    data = data, split = o.split, samples = samples, seed = o.seed } }, Report)
end

--- The loss and the gradient's norm at w, and how long the rest will take.
-- @raise when the loss is not finite
function Report:at_w(view, loss, gnorm)
  local o, began = self.options, clock()
  if not axis.is_finite(loss) then
    errors.raise("the loss of this model is %s; there is nothing to look at", tostring(loss))
  end
  self.found.loss, self.found.gnorm = loss, gnorm
  say("at w     loss %.4g   ‖g‖ %.4g", loss, gnorm)
  view:loss()
  local passes = o.grid * o.grid + o.points * (o.lines + 1)
  say("to do    %s passes, about %s", format.count(passes),
    format.duration(passes * (clock() - began)))
end

--- The Hessian's largest eigenvalue (curvature.lua).
function Report:hessian(h)
  self.found.hessian = h
  say("hessian  largest eigenvalue %.4g%s%s, after %d iterations of step %g", h.value,
    h.lowest and (", lowest %.4g"):format(h.lowest) or "",
    h.converged and "" or (" (not converged: residual %.2g)"):format(h.residual), h.iterations,
    h.h)
end

--- Writes NAME.json and NAME.svg.
-- @tparam table found gradient (a line), random (lines), plane: see fsam.landscape
function Report:write(found)
  local r, name = self.found, self.options.out
  r.gradient, r.random, r.plane = found.gradient, found.random, found.plane
  file.write(name .. ".json", json.encode(clean(r), { order = ORDER }) .. "\n")
  local subtitle = ("%s, %s %s samples, no dropout   ·   loss %.4g   ·   ‖g‖ %.4g"):format(r.data,
    format.count(r.samples), r.split, r.loss, r.gnorm)
  if r.hessian then
    subtitle = subtitle .. ("   ·   largest Hessian eigenvalue %.4g"):format(r.hessian.value)
  end
  file.write(name .. ".svg", picture.draw(r, { title = "Loss around " .. r.checkpoint,
    subtitle = subtitle }))
  say("written  %s.json   %s.svg   in %s", name, name, format.duration(clock() - self.began))
end

arguments.guard("fsam.landscape.report", M, {
  begin = { arguments.arg("options", arguments.object("options, of fsam.options.parse",
    { checkpoint = "string", seed = "number" })), arguments.arg("model",
    arguments.object("a model", { config = "table", device = "cdata" })),
    arguments.arg("data", schema.string), arguments.arg("samples", schema.integer(0)) },
})

return M
