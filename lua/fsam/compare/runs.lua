--- The runs of a comparison. Each is a child process of this program: the recipe with a run folder
-- of its own. So a run can be resumed and repeated by hand, a failing one does not end the others,
-- and all memory is free again after each. They run one after the other.
--
-- Owns: starting children, and reading what they leave. Leaves to others: what a run folder holds
-- (fsam.train).
local checkpoint = require("fsam.train.checkpoint")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local lfs = require("lfs")
local metrics = require("fsam.data.metrics")
local schema = require("fsam.base.schema")
local statistics = require("fsam.compare.statistics")

local M = {}

local Runs = {}
Runs.__index = Runs

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- The words that started this program, up to its script.
local function program()
  local first, words = 0, {}
  while _G.arg[first - 1] do
    first = first - 1
  end
  for i = first, -1 do
    words[#words + 1] = _G.arg[i]
  end
  return words
end

-- The content of a JSON file that fits a shape; nil where there is no such file, or it is no JSON.
local function read_json(path, shape)
  if not file.kind(path) then
    return nil
  end
  local text = file.read(path)
  local ok, value = pcall(json.decode, text, path)
  return ok and schema.check(value, shape, path, "") or nil
end

local IDENTITY = schema.record({ recipe = schema.string, words = schema.string })

local SCORE
do
  local fields = { epoch = schema.integer(0),
    collapsed = schema.optional(schema.string) }
  for _, name in ipairs(metrics.names) do
    fields[name] = schema.optional(schema.number())
  end
  SCORE = schema.record(fields)
end

local RESULTS = schema.record({ finished = schema.optional(schema.boolean),
  best = schema.optional(SCORE), last = schema.optional(SCORE) })

-- What a table of finished runs shows.
local FINISHED = schema.record({ best = SCORE, last = SCORE,
  best_checkpoint_metric = schema.one_of(metrics.names), updates = schema.integer(0),
  skipped = schema.optional(schema.integer(0)), samples = schema.integer(0),
  evaluations = schema.integer(0), seconds = schema.record({ train = schema.number(0) }) })

-- What must be equal for the runs of one folder to be comparable.
local function identity(o)
  return { recipe = o.recipe, words = table.concat(o.words, " ") }
end

-- What a comparison itself writes into its folder. What says which comparison it is goes last.
local REPORTS = { "runs.csv", "runs.csv.new", "summary.csv", "summary.csv.new", "compare.json.new",
  "compare.json" }

-- Is this the folder of one of its runs, ENTRY-SEED or ENTRY-SEED-updates-N?
local function is_run(folder, name)
  local path = folder .. "/" .. name
  return name:find("^[^.].*%-%d+$") and file.kind(path) == "directory"
    and (file.kind(path .. "/train.log") or file.kind(path .. "/results.json")) ~= nil
end

-- Moves what a comparison has written aside, and nothing else. Returns where it is.
local function move_aside(folder)
  local names = {}
  for _, name in ipairs(file.entries(folder)) do
    if is_run(folder, name:match("^(.*)%.out$") or name) then
      names[#names + 1] = name
    end
  end
  for _, name in ipairs(REPORTS) do
    names[#names + 1] = name
  end
  return file.move_aside(folder, names)
end

--- Opens a comparison's folder.
-- @tparam table o options (flags.lua)
-- @treturn table runs; `aside` says where --restart has put what was there, nil: nowhere
-- @raise when another comparison is in it, or what says which one is damaged
function M.open(o)
  local path, now = o.save_dir .. "/compare.json", identity(o)
  local is_there = file.kind(path) ~= nil
  local aside
  if is_there and o.restart then
    aside = move_aside(o.save_dir)
    is_there = false
  end
  local before = is_there and read_json(path, IDENTITY)
  if is_there and not before then
    errors.raise("%s is damaged: it does not say which comparison is in %s; give another "
      .. "--save-dir, or --restart to begin anew", path, o.save_dir)
  elseif before and (before.recipe ~= now.recipe or before.words ~= now.words) then
    errors.raise("the comparison in %s was started with %s %s; give the same flags, another "
      .. "--save-dir, or --restart to begin anew", o.save_dir, before.recipe, before.words)
  end
  file.make_folder(o.save_dir)
  return setmetatable({ folder = o.save_dir, recipe = o.recipe, words = o.words, aside = aside,
    keep = o.keep_checkpoints, program = program(), path = path, unsigned = not before and now },
    Runs)
end

-- Writes the folder's identity once a run has begun: so a mistyped command leaves no trace.
function Runs:sign()
  if self.unsigned then
    -- Tables of that name are no comparison's: the user's own, or left of one without its name.
    self.aside = file.move_aside(self.folder, REPORTS) or self.aside
    file.replace(self.path, json.encode(self.unsigned, { indent = true }) .. "\n")
    self.unsigned = false
  end
end

--- A run: a way of training, a seed, and a length.
-- @tparam table entry (flags.lua)
-- @tparam integer seed
-- @tparam[opt] table length updates and epochs that suffice for them; default: the recipe's
function Runs:run(entry, seed, length)
  local name = ("%s-%d"):format(entry.id, seed) .. (length and "-updates-" .. length.updates or "")
  return { entry = entry, seed = seed, length = length, name = name,
    folder = self.folder .. "/" .. name }
end

local MOST_LOG = 2 ^ 32 -- bytes

-- Seconds of each update. A run that was killed repeats some; of those the later ones count.
local function step_seconds(path)
  local seconds, list = {}, {}
  for line in file.lines(path, MOST_LOG) do
    local step = line:find('"event": "step"', 1, true) and line:match('"step": (%d+)')
    if step then -- a full disk leaves half a line
      seconds[tonumber(step)] = tonumber(line:match('"seconds": ([%d.eE+-]+)'))
    end
  end
  for _, value in pairs(seconds) do
    list[#list + 1] = value
  end
  return list
end

--- The results.json of a finished run, with step_seconds (median of an update); nil when the run is
-- not finished or has no score, and in a folder that does not say yet which comparison is in it:
-- there a run must find out itself whether it is this one's.
function Runs:results(run)
  if self.unsigned then
    return nil
  end
  local path = run.folder .. "/results.json"
  local results = read_json(path, RESULTS)
  if not results or not results.finished or not results.best or not results.last then
    return nil
  end
  schema.check(results, FINISHED, path, "")
  for _, at in ipairs({ "best", "last" }) do
    local metric = results.best_checkpoint_metric
    schema.check(results[at][metric], schema.number(), path, at .. "." .. metric)
  end
  local log = run.folder .. "/train.log"
  results.step_seconds = statistics.median(file.kind(log) and step_seconds(log) or {})
  return results
end

-- The command of a run; later flags win.
function Runs:command(run)
  local words = {}
  for _, list in ipairs({ self.program, { self.recipe }, self.words, run.entry.words,
    { "--seed", tostring(run.seed), "--save-dir", run.folder, "--log-format", "none" },
    run.length and { "--max-update", tostring(run.length.updates), "--max-epoch",
      tostring(run.length.epochs) } or {} }) do
    for _, word in ipairs(list) do
      words[#words + 1] = quote(word)
    end
  end
  return table.concat(words, " ")
end

-- The last line that a child wrote.
local function last_words(path)
  local last = "it said nothing"
  for line in file.lines(path, MOST_LOG) do
    last = line ~= "" and line or last
  end
  return last
end

--- Trains a run to its end, from its last checkpoint where it has one.
-- @treturn ?string nil when it is finished, "interrupted", or the reason why it failed
-- @raise when it failed before its folder was there: then the command is at fault
function Runs:train(run)
  local out = self.folder .. "/" .. run.name .. ".out"
  -- exec: the shell does not stand between Ctrl-C and the run, which saves and ends with 130.
  if self.unsigned and file.kind(out) then
    file.move_aside(self.folder, { run.name .. ".out" })
  end
  local status = os.execute(("FSAM_ENDS_WITH_PARENT=1 exec %s >%s 2>&1 </dev/null"):format(
    self:command(run), quote(out)))
  local code, signal = math.floor(status / 256), status % 128
  local has_begun = file.kind(run.folder) ~= nil
  if has_begun then
    self:sign()
  end
  if code == 130 or signal == 2 then
    return "interrupted"
  elseif code ~= 0 or signal ~= 0 then
    local reason = signal ~= 0 and ("killed by signal %d"):format(signal) or last_words(out)
    if not has_begun then
      file.remove(out)
      lfs.rmdir(self.folder) -- where it is empty
      errors.raise("%s seed %d could not begin: %s", run.entry.label, run.seed, reason)
    end
    return reason
  elseif not self:results(run) then
    return "it ended without a score"
  end
  file.remove(out)
  if not self.keep then
    checkpoint.remove(run.folder .. "/checkpoint_best")
    checkpoint.remove(run.folder .. "/checkpoint_last")
  end
  return nil
end

return M
