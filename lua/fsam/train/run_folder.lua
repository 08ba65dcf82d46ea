--- The run folder: where a run writes, and whether it begins, continues or has nothing left to do.
--
-- Owns: choosing the folder (a fresh numbered one under runs/, or --save-dir), finding the
-- checkpoint to continue from, refusing to continue with other mathematics, and the lock against a
-- second process. Leaves to others: what is inside a checkpoint (checkpoint.lua).

local checkpoint = require("fsam.train.checkpoint")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local formats = require("fsam.formats")
local lfs = require("lfs")
local options_of = require("fsam.options")
local values = require("fsam.options.values")

local M = {}

local Run = {}
Run.__index = Run

--- A path inside the run folder.
function Run:path(name)
  return self.folder .. "/" .. name
end

-- Makes the folder with the lowest number above all others. When two runs start at once, mkdir
-- decides.
local function fresh_folder(base)
  file.make_folder("runs")
  local last = 0
  for entry in lfs.dir("runs") do
    local number = entry:match("^" .. base:gsub("%p", "%%%0") .. "%-(%d+)$")
    last = math.max(last, tonumber(number or 0))
  end
  for number = last + 1, last + 1000 do
    local path = ("runs/%s-%d"):format(base, number)
    local made, reason = lfs.mkdir(path)
    if made then
      return path
    elseif not file.kind(path) then
      errors.raise("cannot make the folder %s: %s", path, reason)
    end
  end
  return errors.raise("runs/ has no free name for %s; give --save-dir", base)
end

--- The options that decide what is computed, as text. --precision has the value in use, never auto.
-- @treturn table name → text; a flag without a value is left out
-- @treturn table name → where the value comes from, for those that are not defaults
function Run:mathematics()
  local o, texts, origin = self.options, {}, {}
  for _, d in ipairs(o.spec.flags) do
    local value = o[d.name]
    if d.name == "precision" then
      value = self.precision
    end
    if value ~= nil and not d.free and options_of.in_use(o, d) then
      texts[d.name] = values.show(d, value)
      origin[d.name] = o.origin[d.name] ~= "default" and o.origin[d.name] or nil
    end
  end
  return texts, origin
end

-- "--lr 1e-05 (now 2e-05), …" for all flags that differ, or nil. A saved run without a flag did
-- what the flag's default does. A flag that nothing reads now does not count: runs of earlier
-- versions wrote down all flags.
local function differences(saved, now, o)
  local parts = {}
  for _, d in ipairs(o.spec.flags) do
    local declared = not d.free and options_of.in_use(o, d)
    local before, after = saved[d.name], now[d.name]
    if declared and before ~= after
        and not (before == nil and after == values.show(d, options_of.default(declared))) then
      parts[#parts + 1] = ("%s %s (now %s)"):format(options_of.flag(d.name), before or "not given",
        after or "not given")
    end
  end
  table.sort(parts)
  return #parts > 0 and table.concat(parts, ", ") or nil
end

-- Why a saved run needs no more training under these options, or nil.
local function finished_because(trainer, o)
  local epochs = trainer.epochs_done
  if trainer.stopped == "patience" and tostring(o.patience) == tostring(trainer.patience_used) then
    return ("stopped by --patience %d after %d epochs"):format(o.patience, epochs)
  elseif epochs >= o.max_epoch then
    return ("%d epochs"):format(epochs)
  elseif o.max_update and trainer.step >= o.max_update then
    return ("%d updates"):format(trainer.step)
  end
end

local function continue(run, o, path)
  local trainer = checkpoint.trainer(path)
  local old = differences(trainer.options, run:mathematics(), o)
  if old then
    errors.raise("the run in %s was started with %s; give the same flags, another --save-dir, or "
      .. "--restart to begin anew", run.folder, old)
  end
  run.resume = { path = path, trainer = trainer }
  local why = finished_because(trainer, o)
  if why then
    run.finished = ("%s is finished (%s); raise --max-epoch or --max-update to go on, or give "
      .. "--restart to begin anew"):format(run.folder, why)
  end
end

-- One process at a time trains in a folder.
local function lock(run)
  local held
  run.lock, held = file.lock(run:path(".lock"))
  if held then
    errors.raise("another process is training in %s; wait for it, or give another --save-dir",
      run.folder)
  end
end

--- Finds out where a run writes and where it starts. Writes only a lock file, in --save-dir.
-- @tparam table options from options.read
-- @tparam string precision of the passes, "fp32" or "bf16"
-- @treturn table run: options, precision, folder (nil with --no-save and --valid-only), resume
--   { path, trainer } or nil, finished (a sentence) or nil, source: the path of the model and its
--   vocabulary (checkpoint or --restore-file; nil for random weights)
-- @raise when --restore-file does not exist; when the saved run was started with other mathematics
function M.open(options, precision)
  local run = setmetatable({ options = options, precision = precision }, Run)
  if not options.no_save and not options.valid_only then
    run.folder = options.save_dir and options.save_dir:gsub("(.)/+$", "%1")
  end
  if run.folder then
    local kind = file.kind(run.folder)
    if kind and kind ~= "directory" then
      errors.raise("--save-dir %s is a %s, expected a folder", run.folder, kind)
    elseif kind then
      lock(run)
    end
    local last = checkpoint.find(run:path("checkpoint_last"))
    if last and not options.restart then
      continue(run, options, last)
    end
  elseif not options.no_save and not options.valid_only then
    run.fresh = options.spec.name:gsub("%.lua$", "")
  end
  run.source = run.resume and run.resume.path or options.restore_file
  if run.source and not formats.exists(run.source) then
    errors.raise("--restore-file %s does not exist; it is %s", run.source, formats.KINDS)
  end
  return run
end

--- Makes the folder ready for writing: creates it, and with --restart removes the old run's files.
-- Called once everything is loaded, so that a mistyped command destroys nothing.
function Run:begin()
  if self.fresh then
    self.folder = fresh_folder(self.fresh)
  elseif self.folder then
    file.make_folder(self.folder)
    if not self.resume then
      for _, name in ipairs({ "checkpoint_last", "checkpoint_best" }) do
        for _, suffix in ipairs({ "", ".new", ".old" }) do
          file.remove(self:path(name .. suffix))
        end
      end
      file.remove(self:path("train.log"))
      file.remove(self:path("results.json"))
      file.remove(self:path("tuning.json"))
    end
  end
  if self.folder and not self.lock then
    lock(self)
  end
end

return M
