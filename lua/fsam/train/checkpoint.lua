--- Checkpoints of a run: a Hugging Face folder with two more files.
--
--   config.json, model.safetensors, tokenizer files  the model as others read it; w in f32
--   state.safetensors                                every vector, mask and scalar of the optimizer
--   trainer.json                                     where the run stands; written last
--
-- Owns: what both files hold, writing all of a checkpoint or nothing (formats/atomic_folder), and
-- putting a run back where a checkpoint left it. Leaves to others: when a run saves (loop.lua),
-- which options are mathematics (run_folder.lua), what a trainer.json must hold (standing.lua).
-- The bytes of the two safetensors files depend on the run alone: no dates, no paths.

local C = require("fsam.C")
local attention_rng = require("fsam.pass.attention_rng")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local folder = require("fsam.formats.atomic_folder")
local json = require("fsam.base.json")
local lfs = require("lfs")
local report = require("fsam.report")
local header = require("fsam.formats.safetensors.header")
local safetensors = require("fsam.formats.safetensors")
local standing_of = require("fsam.train.standing")
local tuning = require("fsam.train.tuning")

local ffi = C.ffi

local M = {}

local FORMAT = 1

-- Persistent things by their names in the file, without the master weights: these are in
-- model.safetensors, and saving them twice would cost 4 bytes per weight.
local function by_key(params)
  local state, entries = params:state(), {}
  for kind, list in pairs({ vector = state.vectors, mask = state.masks, scalar = state.scalars }) do
    for _, entry in ipairs(list) do
      if not (kind == "vector" and entry.name == "w") then
        entries[kind .. "." .. entry.name] = entry
      end
    end
  end
  return entries
end

-- Vectors are F32 [total], masks I32 [total / 32], scalars F64 [1].
local function state_tensors(params)
  local tensors = {}
  for key, entry in pairs(by_key(params)) do
    local tensor = { name = key }
    if key:find("^scalar") then
      tensor.dtype, tensor.shape = "F64", { 1 }
      tensor.data = ffi.new("double[1]", entry:read())
    else
      tensor.dtype = key:find("^mask") and "I32" or "F32"
      tensor.shape = { key:find("^mask") and params.total / 32 or params.total }
      tensor.data = function(writer)
        writer:tensor(entry:tensor()) -- at its turn: of shares, one is gathered at a time
      end
    end
    tensors[#tensors + 1] = tensor
  end
  return tensors
end

--- Writes a checkpoint from its parts, or fails and leaves the one that was there.
-- @tparam string path the folder, NAME
-- @tparam table parts model (save), params (state), tokenizer (save) or nil, trainer: a plain table
--   for trainer.json
-- @raise one line with the path when the disk is full or fails
function M.save(path, parts)
  folder.replace(path, function(new)
    parts.model:save(new)
    if parts.tokenizer then
      parts.tokenizer:save(new)
    end
    safetensors.write(new .. "/state.safetensors", state_tensors(parts.params))
    parts.trainer.format = FORMAT
    parts.trainer.files = folder.written(new)
    return json.encode(parts.trainer, { indent = true }) .. "\n"
  end)
end

-- A writer for a rank that only gives its shares.
local UNWRITTEN = { tensor = function() end }

--- On a rank that writes nothing, while the first one saves: where ranks hold shares, it gives its
-- own, in the order in which they are written.
-- @tparam table loop as for save_run
function M.attend(loop)
  local params = loop.model.params
  if params.share then
    loop.optimizer:prepare_evaluation()
    params.w:tensor()
    local _, ordered = header.make(state_tensors(params), {}, "state.safetensors")
    for _, tensor in ipairs(ordered) do
      if type(tensor.data) == "function" then
        tensor.data(UNWRITTEN)
      end
    end
  end
end

--- What decides about bits besides the options. Resuming in the same environment gives the same
-- bits as never having stopped.
-- @tparam table run device, device_name, precision, options
function M.environment(run)
  local library = ffi.new("char[?]", 256)
  C.lib.fsam_matrix_library(library, 256)
  local attention = attention_rng.library(run.device, run.options.attention_dropout_rng)
  return {
    matrix_library = ffi.string(library),
    version = ffi.string(C.lib.fsam_version()),
    instruction_set = ffi.string(C.lib.fsam_isa()),
    threads = C.lib.fsam_threads(),
    device = run.device_name,
    precision = run.precision,
    ranks = run.ranks or 1,
    attention = attention ~= "own" and attention or nil,
    tuning = tuning.digest(run.device),
  }
end

-- The content of trainer.json.
local function standing(loop)
  local p, task = loop.progress, loop.task
  local options, origin = loop.run:mathematics()
  return {
    progress = report.finite(p:state()),
    plan = loop.plan,
    optimizer = loop.optimizer:state(),
    schedule = loop.schedule.state,
    options = options, origin = origin, model = loop.run:began_from(),
    data = { name = task.name, train = #task.train, dev = #task.dev, texts = task.texts,
      fingerprint = task.fingerprint },
    environment = M.environment(loop.run),
    step = p.step, epochs_done = p.epochs_done,
    stopped = p:finished(loop.options), patience_used = loop.options.patience,
  }
end

--- Writes a checkpoint of the loop's present state.
-- @tparam string path
-- @tparam table loop options, run, progress, plan, model, task, optimizer, schedule
-- @raise when it cannot be written; the message says that the one before is intact
function M.save_run(path, loop)
  loop.optimizer:prepare_evaluation()
  local ok, err = pcall(M.save, path, {
    model = loop.model, params = loop.model.params, tokenizer = loop.task.tokenizer,
    trainer = standing(loop),
  })
  if not ok then
    if errors.is(err) and folder.resolve(path) then
      errors.raise("%s; the checkpoint before it is intact: %s", tostring(err), path)
    end
    error(err, 0)
  end
end

-- The bytes of one file at another path.
local function copy(from, to)
  local map, size = file.map(from)
  file.write_with(to, function(writer)
    writer:write(C.lib.fsam_file_data(map), size)
  end)
end

--- Writes a checkpoint that equals another: by hard links to its files, or where the file system
-- has none, by copies. Saving never writes into a file that is there, so the two stay apart.
-- @tparam string path
-- @tparam string from a complete checkpoint of the loop's present state
-- @raise one line with the path when the disk is full or fails
function M.duplicate(path, from)
  folder.replace(path, function(new)
    for _, entry in ipairs(file.entries(from)) do
      local source, target = from .. "/" .. entry, new .. "/" .. entry
      if not entry:find("^trainer%.json") and not lfs.link(source, target) then
        copy(source, target) -- trainer.json comes last, by itself
      end
    end
    return file.read(from .. "/trainer.json")
  end)
end

--- Removes a checkpoint that a run wrote.
-- @tparam string path
-- @tparam integer step of the run when it was written
-- @treturn boolean true when it is gone; false when something else stands there, which stays
function M.discard(path, step)
  if folder.resolve(path) == path then
    local ok, trainer = pcall(M.trainer, path)
    if not ok or trainer.step ~= step then
      return false
    end
  end
  pcall(folder.remove, path)
  return lfs.symlinkattributes(path, "mode") == nil
end

--- The complete checkpoint to continue from for NAME, also after a crash while saving.
-- @tparam string path
-- @treturn ?string a folder; nil when nothing was ever saved there
-- @raise when something is there that cannot be read or is not a checkpoint
function M.find(path)
  return folder.find(path)
end

--- Finishes what a crash while saving interrupted, and clears what it left.
-- @tparam string path
-- @raise naming what is in the way
function M.finish(path)
  folder.prepare(path)
end

--- The same, and makes sure that a save can begin.
-- @tparam string path
-- @raise naming what is in the way, or that nothing can be written there
function M.prepare(path)
  M.finish(path)
  file.make_folder(path .. ".new")
  file.remove(path .. ".new")
end

--- Removes a checkpoint, but not what a user put into its folder.
-- @tparam string path
-- @raise one line with the path
function M.remove(path)
  folder.remove(path)
end

--- Refuses a checkpoint whose position the epoch under way does not have.
-- @tparam string path a complete checkpoint
-- @tparam table progress its progress
-- @tparam integer steps updates of that epoch
function M.check_position(path, progress, steps)
  if progress.done > steps then
    errors.raise("%s/trainer.json is damaged: progress.done is %d, and epoch %d has %d updates",
      path, progress.done, progress.epoch, steps)
  end
end

--- Where the run of a checkpoint stands.
-- @tparam string path a complete checkpoint
-- @treturn table
-- @raise when it was written by a later version
function M.trainer(path)
  local name = path .. "/trainer.json"
  local trainer = json.decode(file.read(name), name)
  if type(trainer) ~= "table" or trainer.format ~= FORMAT then
    errors.raise("%s has format %s, this program reads %d; continue with the program that wrote it",
      name, tostring(type(trainer) == "table" and trainer.format), FORMAT)
  end
  return trainer
end

--- The same, of a run that is to go on.
-- @raise also when what a run needs is missing or no count
function M.trainer_of_run(path)
  local trainer = M.trainer(path)
  standing_of.check(trainer, path .. "/trainer.json")
  return trainer
end

local function check_file(path)
  local source = safetensors.open(path)
  for _, name in ipairs(source.names) do
    local broken = source:get(name):not_finite()
    if broken > 0 then
      errors.raise("%s: %d numbers of tensor %s are infinite or not numbers; a run cannot go on "
        .. "from them, so give --restart, or move this checkpoint away", path, broken, name)
    end
  end
  source:close()
end

--- Refuses a checkpoint whose weights or state are not finite.
-- @tparam string path a complete checkpoint
-- @raise naming the file and the tensor
function M.check_finite(path)
  check_file(path .. "/model.safetensors")
  check_file(path .. "/state.safetensors")
end

--- Puts the optimizer's vectors, masks and scalars back.
-- @tparam string path a complete checkpoint
-- @tparam table params of a model that was loaded from the same folder, with its optimizer built
-- @raise when the file and the optimizer do not have the same things
function M.restore(path, params)
  local source = safetensors.open(path .. "/state.safetensors")
  local entries = by_key(params)
  for _, name in ipairs(source.names) do
    if not entries[name] then
      errors.raise("%s has %s, which this optimizer does not keep", source.path, name)
    end
  end
  for key, entry in pairs(entries) do
    local stored = source:get(key)
    if key:find("^scalar") then
      local value = ffi.new("double[1]")
      stored:read_bytes(value, 8)
      entry:set(value[0])
      entry:read() -- outside a step, a read runs what waits
    else
      params:fill(entry, function(tensor) stored:read_tensor(tensor) end)
    end
  end
  source:close()
end

--- Puts a loop's optimizer back where a checkpoint left it.
-- @tparam string path a complete checkpoint
-- @tparam table trainer what it says
-- @tparam table loop model, optimizer
function M.restore_run(path, trainer, loop)
  M.restore(path, loop.model.params)
  loop.optimizer:restore(trainer.optimizer)
end

--- Sentences for a user whose run continues in another environment, or with another plan.
-- @tparam table trainer of the checkpoint
-- @tparam table loop options, plan
-- @treturn {string,…} sentences
function M.remarks(trainer, loop)
  local lines, differ = {}, {}
  local now = M.environment(loop.run)
  for _, name in ipairs({ "version", "instruction_set", "matrix_library", "threads", "device",
    "precision", "ranks", "attention" }) do
    local before = trainer.environment[name]
    if name == "ranks" then
      before = before or 1 -- in files of versions that knew one process only
    elseif name == "attention" then -- written down where it is a library's
      before, now.attention = before or "own", now.attention or "own"
    end
    -- Earlier versions did not write down the matrix library.
    if before ~= now[name] and not (name == "matrix_library" and before == nil) then
      differ[#differ + 1] = ("%s %s, now %s"):format(name:gsub("_", " "), tostring(before),
        tostring(now[name]))
    end
  end
  if #differ > 0 then
    lines[1] = ("the run began with %s; it continues, but not bit for bit")
      :format(table.concat(differ, "; "))
  end
  lines[#lines + 1] = tuning.remark(loop.run.device, trainer.environment.tuning)
  if trainer.plan.total ~= loop.plan.total then
    lines[#lines + 1] = ("the decay of the learning rate ended at update %d, now at %d")
      :format(trainer.plan.total, loop.plan.total)
  end
  return lines
end

return M
