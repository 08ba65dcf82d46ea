--- `--log-format json`: fairseq's log lines, for the tools that read them.
--
--   2026-01-01 12:00:00 | INFO | train_inner | {"epoch": 1, "update": 0.373, "loss": "0.95", …}
--
-- Owns: names, order and rounding of fairseq's fields. As in fairseq, losses are in bits,
-- accuracies in percent, and all numbers but epoch and update are strings of six digits.
--
-- Source: fairseq's progress_bar.py, trainer.py and sentence_prediction criterion.

local json = require("fsam.base.json")
local registry = require("fsam.base.registry")
local running_sums = require("fsam.report.running_sums")

local M = {}

local Screen = {}
Screen.__index = Screen

local LN2 = math.log(2)

local INNER = { "epoch", "update", "loss", "nll_loss", "accuracy", "wps", "ups", "wpb", "bsz",
  "num_updates", "lr", "gnorm", "clip", "train_wall", "wall" }

local function prefixed(prefix)
  local order = { "epoch" }
  for i = 3, #INNER do
    order[#order + 1] = prefix .. INNER[i]
  end
  return order
end

local TRAIN = prefixed("train_")
-- The fields of a validation, of the development set ("valid_") or of a further one.
local function judged(prefix)
  local order = { "epoch", prefix .. "loss", prefix .. "nll_loss" }
  for _, name in ipairs({ "accuracy", "mcc", "f1", "f1_macro", "f1_micro", "acc_and_f1", "pearson",
    "spearman", "corr", "wps", "wpb", "bsz", "num_updates" }) do
    order[#order + 1] = prefix .. name
  end
  return order
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
  end
  if digits then
    value = tonumber((("%%.%df"):format(digits)):format(value))
  end
  return ("%g"):format(value)
end

function Screen:put(tag, fields, order)
  local line = type(fields) == "table" and json.encode(fields, { order = order }) or fields
  self.out:write(("%s | INFO | %s | %s\n"):format(os.date("%Y-%m-%d %H:%M:%S"), tag, line))
  self.out:flush()
end

-- The fields that train_inner and train share.
function Screen:fields(prefix, sums, r)
  local a = sums:averages()
  local function per_bit(loss)
    return loss and loss / LN2
  end
  return {
    [prefix .. "loss"] = text(per_bit(a.loss), 3),
    [prefix .. "nll_loss"] = text(per_bit(a.loss_per_token), 3),
    [prefix .. "accuracy"] = text(a.accuracy and a.accuracy * 100, 1),
    [prefix .. "wps"] = text(a.tokens_per_second, 1),
    [prefix .. "ups"] = text(a.updates_per_second, 2),
    [prefix .. "wpb"] = text(a.tokens_per_update, 1),
    [prefix .. "bsz"] = text(a.samples_per_update, 1),
    [prefix .. "num_updates"] = text(r.step + 1),
    [prefix .. "lr"] = text(r.lr),
    [prefix .. "gnorm"] = text(a.gnorm, 3),
    [prefix .. "clip"] = self.clip and text(a.clipped and a.clipped * 100, 1) or nil,
    [prefix .. "train_wall"] = text(sums.seconds, 0),
    [prefix .. "wall"] = text(self.clock() - self.started, 0),
  }
end

function Screen:step(r)
  self.inner:add(r)
  self.last = r
  if (r.step + 1) % self.interval == 0 then
    local fields = self:fields("", self.inner, r)
    fields.epoch = r.epoch
    fields.update = tonumber(("%.3f"):format(r.epoch - 1 + r.done / r.steps))
    self:put("train_inner", fields, INNER)
    self.inner = running_sums.new()
  end
end

function Screen:line(message)
  self:put("fsam", message)
end

Screen.warn, Screen.note = Screen.line, Screen.line

local function percent(value)
  return text(value and value * 100, 1)
end

-- The metrics of a set, in percent, and its loss in bits.
local function scores(prefix, epoch, values)
  local fields = { epoch = epoch }
  for name, value in pairs(values) do
    fields[prefix .. name] = name == "loss" and text(value / LN2, 3) or percent(value)
  end
  return fields
end

function Screen:epoch(r)
  local train = self:fields("train_", r.sums, { step = r.step - 1, lr = r.lr })
  train.epoch = r.epoch
  self:put("train", train, TRAIN)
  local order, valid = judged("valid_"), scores("valid_", r.epoch, r.values)
  valid.valid_nll_loss = text(r.values.loss * r.dev_samples / r.dev_tokens / LN2, 3)
  valid.valid_wps = text(r.dev_tokens / r.valid_seconds, 1)
  valid.valid_wpb = text(r.dev_tokens / r.dev_batches, 1)
  valid.valid_bsz = text(r.dev_samples / r.dev_batches, 1)
  valid.valid_num_updates = text(r.step)
  if r.epoch > 1 and r.best_value then
    local name = "valid_best_" .. r.best_metric
    valid[name] = r.best_metric == "loss" and text(r.best_value / LN2, 3) or percent(r.best_value)
    order[#order + 1] = name
  end
  self:put("valid", valid, order)
  for _, name in ipairs(registry.sorted(r.also or {})) do
    local further = scores(name .. "_", r.epoch, r.also[name])
    further[name .. "_num_updates"] = text(r.step)
    self:put(name, further, judged(name .. "_"))
  end
  if r.diagnosed then
    self:put("diagnose", r.diagnosed)
  end
end

function Screen:saved(r)
  self:put("fsam", ("Saved checkpoint %s (epoch %d @ %d updates, score %s) "
    .. "(writing took %.2f seconds)"):format(r.path, r.epoch, r.step, text(r.score) or "None",
    r.seconds))
end

function Screen:finish(s)
  self:put("fsam", ("done training in %.1f seconds"):format(s.train_seconds + s.valid_seconds))
end

return M
