--- `--log-format json`: fairseq's log lines, for the tools that read them.
--
--   2026-01-01 12:00:00 | INFO | train_inner | {"epoch": 1, "update": 0.373, "loss": "0.95", …}
--   2026-01-01 12:00:09 | INFO | valid | {"epoch": 1, "valid_loss": "0.612", …}
--   2026-01-01 12:00:09 | INFO | train | {"epoch": 1, "train_loss": "0.871", …}
--
-- train_inner stands every --log-interval updates and covers those since the last one, across the
-- end of an epoch too. As in fairseq, losses are in bits and shares in percent, all rounded as
-- there; all numbers but epoch and update are strings of six digits; lr is the rate of the update
-- that comes next. Metrics that fairseq's released program lacks stand behind the accuracy. Speeds
-- are of the updates alone, without validation and saving. Lines that fairseq does not have carry
-- the tag fsam.
--
-- Owns: names, order and rounding of fairseq's fields, and its other lines.
--
-- Source: fairseq's progress_bar.py, meters.py, trainer.py, train.py and sentence_prediction.py.

local json = require("fsam.base.json")
local registry = require("fsam.base.registry")
local running_sums = require("fsam.report.running_sums")

local M = {}

local Screen = {}
Screen.__index = Screen

local LN2 = math.log(2)

-- Names of fairseq's loggers, which stand in the third column.
local CLI, TRAINER, CHECKPOINTS = "fairseq_cli.train", "fairseq.trainer",
  "fairseq.checkpoint_utils"

local SHARED = { "loss", "nll_loss", "accuracy", "wps", "ups", "wpb", "bsz", "num_updates", "lr",
  "gnorm", "clip", "train_wall", "wall" }

local function prefixed(prefix, names)
  local order = { "epoch", "update" }
  for _, name in ipairs(names) do
    order[#order + 1] = prefix .. name
  end
  return order
end

local INNER, TRAIN = prefixed("", SHARED), prefixed("train_", SHARED)

-- The fields of a validation, of the development set or of a further one.
local function judged(set)
  return prefixed(set .. "_", { "loss", "nll_loss", "accuracy", "mcc", "f1", "f1_macro",
    "f1_micro", "acc_and_f1", "pearson", "spearman", "corr", "wps", "wpb", "bsz", "num_updates" })
end

--- @tparam table o out, interval, clip_norm, clock
function M.new(o)
  return setmetatable({
    out = o.out, interval = o.interval, clip = o.clip_norm > 0, clock = o.clock,
    inner = running_sums.new(), started = o.clock(),
  }, Screen)
end

-- A number as Python's round and "{:g}" write it; nil stays nil.
local function text(value, digits)
  if value == nil then
    return nil
  elseif value ~= value then
    return "nan"
  elseif digits then
    value = tonumber((("%%.%df"):format(digits)):format(value))
  end
  return ("%g"):format(value)
end

-- A number of three decimals as Python's json writes a float: 0.373, 1.0.
local function float(value)
  return (("%.3f"):format(value):gsub("0+$", ""):gsub("%.$", ".0"))
end

local function in_bits(loss)
  return loss and loss / LN2
end

-- A metric in fairseq's unit and rounding.
local function metric_text(name, value)
  if name == "loss" then
    return text(in_bits(value), 3)
  end
  return text(value and value * 100, 1)
end

function Screen:put(tag, message, level)
  self.out:write(("%s | %s | %s | %s\n"):format(os.date("%Y-%m-%d %H:%M:%S"), level or "INFO", tag,
    message))
  self.out:flush()
end

-- A line of fields: numbers for epoch and update, which come as text, strings for the others.
function Screen:put_fields(tag, fields, order)
  local parts = {}
  for _, name in ipairs(order) do
    if fields[name] then
      local form = (name == "epoch" or name == "update") and '"%s": %s' or '"%s": "%s"'
      parts[#parts + 1] = form:format(name, fields[name])
    end
  end
  self:put(tag, "{" .. table.concat(parts, ", ") .. "}")
end

-- The fields that train_inner and train share; `lr` is the next update's.
function Screen:fields(prefix, sums, updates, lr)
  local a = sums:averages()
  return {
    [prefix .. "loss"] = text(in_bits(a.loss), 3),
    [prefix .. "nll_loss"] = text(in_bits(a.loss_per_token), 3),
    [prefix .. "accuracy"] = text(a.accuracy and a.accuracy * 100, 1),
    [prefix .. "wps"] = text(a.tokens_per_second, 1),
    [prefix .. "ups"] = text(a.updates_per_second, 2),
    [prefix .. "wpb"] = text(a.tokens_per_update, 1),
    [prefix .. "bsz"] = text(a.samples_per_update, 1),
    [prefix .. "num_updates"] = text(updates),
    [prefix .. "lr"] = text(lr),
    [prefix .. "gnorm"] = text(a.gnorm, 3),
    [prefix .. "clip"] = self.clip and text(a.clipped and a.clipped * 100, 1) or nil,
    [prefix .. "train_wall"] = text(sums.seconds, 0),
    [prefix .. "wall"] = text(self.clock() - self.started, 0),
  }
end

function Screen:begin_epoch(epoch)
  self:put(TRAINER, "begin training epoch " .. epoch)
  self:put(CLI, "Start iterating over samples")
end

function Screen:step(r)
  self.inner:add(r)
  if (r.step + 1) % self.interval == 0 and not r.skipped then
    local fields = self:fields("", self.inner, r.step + 1, r.next_lr)
    fields.epoch = r.epoch
    fields.update = float(r.epoch - 1 + r.done / r.steps)
    self:put_fields("train_inner", fields, INNER)
    self.inner = running_sums.new()
  end
end

function Screen:line(message)
  self:put("fsam", message)
end

Screen.note = Screen.line

function Screen:warn(message)
  self:put("fsam", message, "WARNING")
end

function Screen:begin_validation()
  self:put(CLI, 'begin validation on "valid" subset')
end

-- What a set's validation found, as fields.
local function scores(set, r, values)
  local fields = { epoch = r.epoch, [set .. "_num_updates"] = text(r.step) }
  for name, value in pairs(values) do
    fields[set .. "_" .. name] = metric_text(name, value)
  end
  return fields
end

function Screen:validated(r)
  local order, valid = judged("valid"), scores("valid", r, r.values)
  valid.valid_nll_loss = text(in_bits(r.values.loss) * r.dev_samples / r.dev_tokens, 3)
  valid.valid_wps = text(r.dev_tokens / r.valid_seconds, 1)
  valid.valid_wpb = text(r.dev_tokens / r.dev_batches, 1)
  valid.valid_bsz = text(r.dev_samples / r.dev_batches, 1)
  if r.validated_before and r.best_value then
    local name = "valid_best_" .. r.best_metric
    valid[name] = metric_text(r.best_metric, r.best_value)
    order[#order + 1] = name
  end
  self:put_fields("valid", valid, order)
  for _, set in ipairs(registry.sorted(r.also or {})) do
    self:put_fields(set, scores(set, r, r.also[set]), judged(set))
  end
end

function Screen:epoch(r)
  if r.values then
    self:validated(r)
  end
  self:put(CLI, ("end of epoch %d (average epoch stats below)"):format(r.epoch))
  local train = self:fields("train_", r.sums, r.step, r.lr)
  train.epoch = r.epoch
  self:put_fields("train", train, TRAIN)
  if r.diagnosed then
    self:put("diagnose", json.encode(r.diagnosed))
  end
end

function Screen:saved(r)
  self:put(CHECKPOINTS, ("Saved checkpoint %s (epoch %d @ %d updates, score %s) "
    .. "(writing took %.2f seconds)"):format(r.path, r.epoch, r.step,
    metric_text(r.metric, r.score) or "None", r.seconds))
end

function Screen:finish(s)
  self:put(CLI, ("done training in %.1f seconds"):format(s.train_seconds + s.valid_seconds))
end

return M
