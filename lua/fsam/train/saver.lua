--- What a save of a run writes: checkpoint_last, a numbered checkpoint beside it, and what goes.
--
-- Owns: the order of these, so that a kill at any moment leaves nothing that the run does not know.
-- Leaves to others: when a run saves (loop.lua), which numbered checkpoints are kept (kept.lua),
-- what a checkpoint holds (checkpoint.lua).

local C = require("fsam.C")
local checkpoint = require("fsam.train.checkpoint")
local kept = require("fsam.train.kept")
local tuning = require("fsam.train.tuning")

local M = {}

local Saver = {}
Saver.__index = Saver

local clock = C.lib.fsam_clock

--- @tparam table loop options, run, progress, report, and what checkpoint.save_run reads
function M.new(loop)
  return setmetatable({ loop = loop }, Saver)
end

-- Says what was saved where.
local function report(loop, path, started)
  local p, metric = loop.progress, loop.options.best_checkpoint_metric
  -- The epoch of its last update: at an epoch's end the next one has no update yet.
  local epoch = p.done == 0 and p.epochs_done > 0 and p.epochs_done or p.epoch
  loop.report:saved({ path = path, epoch = epoch, step = p.step, metric = metric,
    score = p.last and p.last.values[metric], seconds = clock() - started })
end

-- On the ranks that write nothing, while the first one saves: it may need their shares.
local function attend(loop)
  if not (loop.ranks.is_first or loop.options.no_save) then
    checkpoint.attend(loop)
  end
end

-- Writes a checkpoint, and before it what was chosen by timing: its table is then in the folder.
local function write(loop, path)
  tuning.keep(loop)
  checkpoint.save_run(path, loop)
end

--- Saves the run's present state.
-- @tparam string name of the folder in the run's
function Saver:save(name)
  local loop = self.loop
  attend(loop)
  if loop.run.folder then
    local path, started = loop.run:path(name), clock()
    write(loop, path)
    report(loop, path, started)
  end
end

--- Lists a numbered checkpoint that is about to be saved. It is listed first, so that no kill
-- leaves one that the run does not know.
-- @tparam ?table entry of kept.lua, or nil
function Saver:list(entry)
  if entry and self.loop.run.folder then
    kept.add(self.loop.progress.kept, entry)
  end
end

--- Saves a numbered checkpoint that is listed.
-- @tparam ?table entry of kept.lua, or nil
-- @tparam ?string same a checkpoint of the present state, whose files it may share
function Saver:save_numbered(entry, same)
  local loop = self.loop
  if not same and loop.ranks:any(entry ~= nil and loop.run.folder ~= nil) then -- the first one's
    attend(loop)
  end
  if entry and loop.run.folder then
    local path, started = loop.run:path(entry.name), clock()
    if same then
      checkpoint.duplicate(path, loop.run:path(same))
    else
      write(loop, path)
    end
    report(loop, path, started)
  end
end

--- Removes the numbered checkpoints that are too many, and what a kill left of such.
function Saver:prune()
  local loop = self.loop
  if loop.run.folder then
    for _, path in ipairs(kept.prune(loop.options, loop.progress.kept, loop.run)) do
      loop.report:warn(path .. " stays: it is not the checkpoint that this run wrote there")
    end
  end
end

--- Saves the run, and a numbered checkpoint where there is an entry for one; then removes those
-- that are too many.
-- @tparam ?table entry of kept.lua, or nil
function Saver:save_all(entry)
  local loop = self.loop
  local last = not loop.options.no_last_checkpoints and "checkpoint_last" or nil
  self:list(entry)
  if last then
    self:save(last)
  end
  self:save_numbered(entry, last)
  self:prune()
end

return M
