--- Numbered checkpoints: which a run writes beside its best and last one, and which it removes.
--
--   checkpoint3                      after epoch 3                    --keep-last-epochs
--   checkpoint_3_500                 after update 500, in epoch 3     --keep-interval-updates
--   checkpoint.best_mcc_0.6321_804   of the best validations          --keep-best-checkpoints
--
-- The names are fairseq's without .pt; the value is the metric as the run's reports have it, and
-- the update makes ties differ. The list of those that the run wrote is saved with it, and nothing
-- else is ever removed.
--
-- Owns: names, the list, which go. Leaves to others: what is in a checkpoint (checkpoint.lua), when
-- a run saves (loop.lua).

local checkpoint = require("fsam.train.checkpoint")
local lfs = require("lfs")
local metrics = require("fsam.data.metrics")

local M = {}

-- Patterns of the names, for folders that an earlier run left.
local PATTERNS = { "^checkpoint%d+$", "^checkpoint_%d+_%d+$", "^checkpoint%.best_.+_%d+$" }

--- Is it the name of a numbered checkpoint, or what an interrupted save left of one?
-- @tparam string name
-- @treturn boolean
function M.is_name(name)
  local bare = name:gsub("%.new$", ""):gsub("%.old$", "")
  for _, pattern in ipairs(PATTERNS) do
    if bare:find(pattern) then
      return true
    end
  end
  return false
end

-- Is the entry of `kind` a better one to keep than another?
local function precedes(kind, maximize)
  return function(a, b)
    if kind ~= "best" or a.value == b.value then
      return a.step > b.step
    elseif maximize then
      return a.value > b.value
    end
    return a.value < b.value
  end
end

-- The entries of a kind, those to keep first.
local function ranked(list, kind, maximize)
  local found = {}
  for _, entry in ipairs(list) do
    if entry.kind == kind then
      found[#found + 1] = entry
    end
  end
  table.sort(found, precedes(kind, maximize))
  return found
end

-- How many of a kind stay: math.huge for all.
local function allowed(o, kind)
  local most = ({ epoch = o.keep_last_epochs, update = o.keep_interval_updates,
    best = math.max(o.keep_best_checkpoints, 0) })[kind]
  return most < 0 and math.huge or most
end

--- The entry for the checkpoint of an epoch that has ended, or nil where none is kept.
-- @tparam table o options
-- @tparam integer epoch
-- @tparam integer step
function M.of_epoch(o, epoch, step)
  if allowed(o, "epoch") > 0 and not o.no_epoch_checkpoints then
    return { kind = "epoch", name = "checkpoint" .. epoch, step = step }
  end
end

--- Likewise for a save within an epoch.
function M.of_update(o, epoch, step)
  if allowed(o, "update") > 0 then
    return { kind = "update", name = ("checkpoint_%d_%d"):format(epoch, step), step = step }
  end
end

--- Likewise for a validation: nil where enough better ones are kept. A tie counts as better.
-- @tparam table o options
-- @tparam table list of entries
-- @tparam number value of the metric that decides
-- @tparam integer step
function M.of_best(o, list, value, step)
  local metric, most = o.best_checkpoint_metric, allowed(o, "best")
  if most == 0 or value ~= value then
    return nil
  end
  value = metrics.rounded(metric, value)
  local entry = { kind = "best", step = step, value = value,
    name = ("checkpoint.best_%s_%.4f_%d"):format(metric, value, step) }
  local best = ranked(list, "best", metrics.maximizes(metric))
  local worst = best[most]
  if worst and not precedes("best", metrics.maximizes(metric))(entry, worst) then
    return nil
  end
  return entry
end

--- Adds an entry, in the place of an earlier one of its name.
-- @tparam table list
-- @tparam table entry
function M.add(list, entry)
  for i = #list, 1, -1 do
    if list[i].name == entry.name then
      table.remove(list, i)
    end
  end
  list[#list + 1] = entry
end

--- Goes through the list of a run that goes on: ends saves that were interrupted, and takes out
-- entries without a folder, as a kill between listing and writing leaves them.
-- @tparam table list
-- @tparam table run path(name)
-- @tparam integer step of the run
-- @treturn {table,…} entries of this very step that were taken out, which can still be saved
function M.recover(list, run, step)
  local missing = {}
  for i = #list, 1, -1 do
    local path = run:path(list[i].name)
    pcall(checkpoint.finish, path)
    if not lfs.symlinkattributes(path, "mode") then
      local entry = table.remove(list, i)
      missing[#missing + 1] = entry.step == step and entry or nil
    end
  end
  return missing
end

-- Does --keep-interval-updates-pattern exempt it?
local function is_exempt(o, entry)
  local every = o.keep_interval_updates_pattern
  return entry.kind == "update" and every > 0 and entry.step % every == 0
end

--- Removes those that are too many, and takes them from the list.
-- @tparam table o options
-- @tparam table list of entries
-- @tparam table run path(name)
-- @treturn {string,…} paths that should have gone but hold something else
function M.prune(o, list, run)
  local gone, stuck = {}, {}
  for _, kind in ipairs({ "epoch", "update", "best" }) do
    local most, count = allowed(o, kind), 0
    for _, entry in ipairs(ranked(list, kind, metrics.maximizes(o.best_checkpoint_metric))) do
      if not is_exempt(o, entry) then
        count = count + 1
        -- A run that goes on without the flag keeps what it has.
        if count > most and most > 0 then
          gone[entry] = true
          if not checkpoint.discard(run:path(entry.name), entry.step) then
            stuck[#stuck + 1] = run:path(entry.name)
          end
        end
      end
    end
  end
  for i = #list, 1, -1 do
    if gone[list[i]] then
      table.remove(list, i)
    end
  end
  return stuck
end

return M
