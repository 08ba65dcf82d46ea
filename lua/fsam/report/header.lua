--- The lines at the start of a run: machine, method, data, model, and the values that come neither
-- from the command nor from a default.
--
-- Owns: these lines. Leaves to others: where they go (fsam.report).

local C = require("fsam.C")
local devices = require("fsam.base.device")
local format = require("fsam.base.numbers")
local options = require("fsam.options")
local radius = require("fsam.sam.radius")
local registry = require("fsam.base.registry")
local values = require("fsam.options.values")

local M = {}

local WIDTH, INDENT = 100, (" "):rep(9)

-- "fisher-sam, rho 0.02, keep 10 %, mask every 100" or "adam".
local function method(o)
  if o.optimizer ~= "sam" then
    return o.optimizer
  end
  local parts = { o.sam_type }
  if o.owned.sam.rho then
    parts[#parts + 1] = radius.describe(o)
  end
  if o.owned.mask then
    parts[#parts + 1] = ("keep %g %%"):format(o.keep_ratio * 100)
    parts[#parts + 1] = ("mask every %d"):format(o.mask_iter_e)
  end
  if o.rank_sharpness == "local" then
    parts[#parts + 1] = "rank-sharpness local"
  end
  if o.m_sharpness > 1 then
    parts[#parts + 1] = ("m-sharpness %d"):format(o.m_sharpness)
  end
  if o.base_optimizer ~= "adam" then
    parts[#parts + 1] = "on " .. o.base_optimizer
  end
  return table.concat(parts, ", ")
end

-- Values that come neither from a default nor from the command: a list of { source =, texts … }.
local function elsewhere(o)
  local list, by_source = {}, {}
  for _, d in ipairs(o.spec.flags) do
    local source, declared = o.origin[d.name], options.in_use(o, d)
    local text = values.show(d, o[d.name])
    if declared and source ~= "default" and source ~= "command line"
        and text ~= values.show(d, options.default(declared)) then
      if not by_source[source] then
        by_source[source] = { source = (source:gsub("^profile: ", "")) }
        list[#list + 1] = by_source[source]
      end
      table.insert(by_source[source], d.name:gsub("_", "-") .. " " .. text)
    end
  end
  return list
end

-- "options  lr 0.0007, rho 0.02 (without --restore-file)", broken into lines.
local function sources(o)
  local lines, line = {}, "options  "
  for _, texts in ipairs(elsewhere(o)) do
    for i, text in ipairs(texts) do
      text = text .. (i < #texts and ", " or " (" .. texts.source .. ")")
      if #line + #text > WIDTH then
        lines[#lines + 1], line = line:gsub(" $", ""), INDENT
      end
      line = line .. text
    end
    lines[#lines + 1], line = line, INDENT
  end
  return lines
end

-- What the training loss has that a validation's has not.
local function weighting(t)
  local settings, parts = t.pass and t.pass.settings, {}
  if not settings then
    return nil
  end
  for i, weight in ipairs(settings.weights or {}) do
    parts[i] = ("%s %.3g"):format(t.model.config.labels[i], weight)
  end
  local weights = #parts > 12 and #parts .. " classes weighted"
    or #parts > 0 and "classes weighted " .. table.concat(parts, ", ") or nil
  local smoothing = settings.smoothing > 0 and ("labels smoothed by %g"):format(settings.smoothing)
  return "loss     " .. (weights or "") .. (weights and smoothing and "; " or "")
    .. (smoothing or "") .. "; validation has neither"
end

-- Which samples the training loss covers, where it is not all of them.
local function losses(o)
  if o.optimizer == "sam" and o.ascent_fraction < 1 then
    return ("losses   of training: those of the first pass, %g %% of each update's samples")
      :format(o.ascent_fraction * 100)
  end
end

-- ", 9,832 mismatched": the further sets that are judged.
local function further(also)
  local text = ""
  for _, name in ipairs(registry.sorted(also or {})) do
    text = ("%s, %s %s"):format(text, format.count(#also[name].samples), name)
  end
  return text
end

local function model_name(t)
  return t.run:began_from() or t.model.config.model_type
end

-- How many weights train, where some are frozen.
local function frozen(params)
  if params and params.trainable and params.trainable < params.count then
    return ("%s%s of %s weights train, the others are frozen"):format(INDENT,
      format.count(params.trainable), format.count(params.count))
  end
end

--- @tparam table t options, run (precision), task, model
-- @treturn {string,…}
function M.lines(t)
  local o, config = t.options, t.model.config
  local lines = {
    ("fsam-lua %s · %s, %s · %s · seed %d"):format(C.ffi.string(C.lib.fsam_version()),
      t.model.device and devices.describe(t.model.device) or "cpu", t.run.precision, method(o),
      o.seed),
    ("data     %s, %s train, %s dev%s"):format(t.task.name, format.count(#t.task.train),
      format.count(#t.task.dev), further(t.task.also)),
    ("model    %s, %d layers, %d wide, %s parameters"):format(model_name(t),
      config.num_hidden_layers, config.hidden_size, format.millions(t.model.count)),
  }
  lines[#lines + 1] = frozen(t.model.params)
  for _, line in ipairs(t.model.announcements or {}) do
    lines[#lines + 1] = INDENT .. line
  end
  for _, line in ipairs(sources(o)) do
    lines[#lines + 1] = line
  end
  lines[#lines + 1] = weighting(t)
  lines[#lines + 1] = losses(o)
  return lines
end

return M
