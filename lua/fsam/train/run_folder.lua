--- The run folder: where a run writes, and whether it begins, continues or has nothing left to do.
--
-- Owns: choosing the folder (a fresh numbered one under runs/, or --save-dir), finding the
-- checkpoint to continue from, refusing to continue with other mathematics, and the lock against a
-- second process. The lock comes before the first look. Nothing that stands in the folder is ever
-- removed: what a new run replaces moves into old-1, old-2, … there. Leaves to others: what is
-- inside a checkpoint (checkpoint.lua).

local checkpoint = require("fsam.train.checkpoint")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local formats = require("fsam.formats")
local hub = require("fsam.formats.hub")
local kept = require("fsam.train.kept")
local lfs = require("lfs")
local numbers = require("fsam.base.numbers")
local options_of = require("fsam.options")
local results = require("fsam.train.results")
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
  for _, entry in ipairs(file.entries("runs")) do
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

--- What the run began from: --restore-file, or the architecture of random weights, as it was typed
-- then.
-- @treturn ?string
function Run:began_from()
  local saved = self.resume and self.resume.trainer.model
  return saved or self.options.restore_file or self.options.arch
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
  local epochs, last = trainer.epochs_done, trainer.progress.last
  local judged = type(last) == "table" and last.step
  if trainer.stopped == "patience" and tostring(o.patience) == tostring(trainer.patience_used) then
    return ("stopped by --patience %d after %s"):format(o.patience,
      numbers.quantity(epochs, "epoch"))
  elseif o.max_epoch > 0 and epochs >= o.max_epoch then
    return numbers.quantity(epochs, "epoch")
  elseif o.max_update and trainer.step >= o.max_update
      and (judged == trainer.step or trainer.stopped == "updates") then
    return numbers.quantity(trainer.step, "update")
  end
end

local CHECKPOINTS = { "checkpoint_last", "checkpoint_best" } -- a run goes on from one of them

local function continue(run, o, path, name)
  local trainer = checkpoint.trainer_of_run(path)
  local old = differences(trainer.options, run:mathematics(), o)
  if old then
    errors.raise("the run in %s was started with %s; give the same flags, another --save-dir, or "
      .. "--restart to begin anew", run.folder, old)
  end
  run.resume = { path = path, name = name, trainer = trainer }
  local began, given = trainer.model, o.restore_file
  if began and given and given ~= began and not file.same(given, began) then
    table.insert(run.begin_notes, ("the run in %s began from %s and goes on from its checkpoint; "
      .. "--restore-file %s has no effect"):format(run.folder, began, given))
  end
  local why = finished_because(trainer, o)
  -- A run that was killed before its results were written goes on, and has only these to write.
  if why and results.complete(run:path("results.json"), trainer) then
    for _, checkpoint_name in ipairs(run.follows and {} or CHECKPOINTS) do
      pcall(checkpoint.finish, run:path(checkpoint_name)) -- what it needs is there already
    end
    run.finished = ("%s is finished (%s); raise --max-epoch or --max-update to go on, or give "
      .. "--restart to begin anew"):format(run.folder, why)
  else
    checkpoint.check_finite(path)
  end
end

-- All that a run writes into its folder beside the lock.
local OWN = { "train.log", "results.json", "results.json.new", "tuning.json", "tuning.json.new" }
for _, name in ipairs(CHECKPOINTS) do
  for _, suffix in ipairs({ "", ".new", ".old" }) do
    OWN[#OWN + 1] = name .. suffix
  end
end

-- One process at a time trains in a folder. Where the file system has no locks, a note says so.
local function lock(run)
  local held, reason
  run.lock, held, reason = file.lock(run:path(".lock"))
  if held then
    errors.raise("another process is training in %s; wait for it, or give another --save-dir",
      run.folder)
  elseif not run.lock and not file.kind(run:path(".lock")) then
    errors.raise("%s; give another --save-dir", reason)
  elseif not run.lock then
    table.insert(run.begin_notes, ("%s: start no second process there"):format(reason))
  end
end

-- The checkpoint to continue from: the last one, or the best where there is no last, as a kill in
-- the first epoch may leave it.
local function latest(run)
  for _, name in ipairs(CHECKPOINTS) do
    local path = checkpoint.find(run:path(name))
    if path then
      if name ~= "checkpoint_last" then
        table.insert(run.begin_notes, ("%s has no checkpoint_last; the run goes on from %s")
          :format(run.folder, path))
      end
      return path, name
    end
  end
end

-- The names of all that an earlier run may have left: OWN, and numbered checkpoints.
local function leftovers(run)
  local names = { unpack(OWN) }
  for _, entry in ipairs(file.entries(run.folder)) do
    if kept.is_name(entry) then
      names[#names + 1] = entry
    end
  end
  return names
end

-- Moves all that an earlier run wrote into the first free old-N of its folder.
local function move_aside(run)
  local aside = file.move_aside(run.folder, leftovers(run))
  if aside then
    table.insert(run.begin_notes, ("what an earlier run left in %s is now in %s")
      :format(run.folder, aside))
  end
end

--- Finds out where a run writes and where it starts. Writes only a lock file, in --save-dir.
-- @tparam table options from options.read
-- @tparam string precision of the passes, "fp32" or "bf16"
-- @tparam[opt] boolean follows another rank holds the folder: this one takes no lock and writes
--   nothing
-- @treturn table run: options, precision, folder (nil with --no-save and --valid-only), resume
--   { path, name, trainer } or nil, finished (a sentence) or nil, begin_notes (sentences for the
--   user, complete after `begin`), source: the path of the model and its vocabulary (checkpoint or
--   --restore-file; nil for random weights)
-- @raise when --restore-file does not exist; when the saved run was started with other mathematics;
--   when a checkpoint in the folder cannot be read, or is none
function M.open(options, precision, follows)
  local run = setmetatable({ options = options, precision = precision, begin_notes = {},
    follows = follows }, Run)
  if not options.no_save and not options.valid_only then
    run.folder = options.save_dir and options.save_dir:gsub("(.)/+$", "%1")
  end
  if run.folder then
    local kind = file.kind(run.folder)
    if kind and kind ~= "directory" then
      errors.raise("--save-dir %s is a %s, expected a folder", run.folder, kind)
    elseif kind and not follows then
      lock(run)
    end
    run.was_there = kind ~= nil
    if kind and not options.restart then
      local path, name = latest(run)
      if path then
        continue(run, options, path, name)
      end
    end
  elseif not options.no_save and not options.valid_only and not follows then
    run.fresh = options.spec.name:gsub("%.lua$", "")
  end
  run.source = run.resume and run.resume.path or options.restore_file
  if run.source and not formats.exists(run.source) then
    errors.raise("--restore-file %s does not exist; it is %s%s", run.source, formats.KINDS,
      hub.hint(run.source))
  end
  return run
end

-- The checkpoint that the run continues from: `prepare` has put it there.
local function find_again(run)
  if run.resume then
    run.resume.path = run:path(run.resume.name)
  end
end

--- Makes the folder ready for writing: creates it, and moves aside what an earlier run left there:
-- all of it with --restart, otherwise a log or results without a checkpoint. Called once everything
-- is loaded, so that a mistyped command changes nothing.
-- @raise when another process began there meanwhile; when the folder cannot be written
function Run:begin()
  if self.fresh then
    self.folder = fresh_folder(self.fresh)
  elseif not self.folder then
    return
  end
  file.make_folder(self.folder)
  if not self.was_there then
    lock(self)
    if not self.options.restart and latest(self) then
      errors.raise("another process began in %s meanwhile; give the same command again to continue "
        .. "its run, or another --save-dir", self.folder)
    end
  end
  if not self.resume then
    move_aside(self)
  end
  for _, name in ipairs(CHECKPOINTS) do
    checkpoint.prepare(self:path(name))
  end
  find_again(self)
end

--- On a rank that follows, once the first rank has begun: this one writes nothing.
function Run:follow()
  find_again(self)
  self.folder = nil
end

return M
