--- The command line of a comparison: its own flags, and all others, which go to every run.
--
-- Owns: that division, and reading --optimizers and --seeds. Leaves to others: the flags of a run
-- (its recipe).
local errors = require("fsam.errors")
local options_of = require("fsam.options")

local M = {}

local FLAGS = {
  { name = "optimizers", type = "string", default = "adam,sam,fisher-sam,esam,gsam",
    metavar = "LIST", help = "what is compared, separated by commas: names of optimizers and "
      .. "sam-types, each perhaps with flags of its own: \"adam, sam --rho 0.02\"" },
  { name = "seeds", type = "string", default = "1-5", metavar = "LIST",
    help = "seeds of the runs, such as 1-5 or 1,2,7" },
  { name = "budget", type = "choice", choices = { "epochs", "evaluations", "both" },
    default = "epochs", help = "what is equal: epochs, or the number of samples' gradients "
      .. "(evaluations), of which all get as many as sam takes in the epochs" },
  { name = "baseline", type = "string", metavar = "NAME",
    help = "what the others are tested against; default: the first of --optimizers" },
  { name = "test", type = "choice", choices = { "t", "wilcoxon" }, default = "t",
    help = "paired over seeds: Student's t, or Wilcoxon's signed ranks (exact; five seeds cannot "
      .. "give less than 0.0625)" },
  { name = "score", type = "choice", choices = { "best", "last" }, default = "best",
    help = "the best epoch on the development set, or the last" },
  { name = "recipe", type = "string", metavar = "FILE",
    help = "what trains; default: cola.lua beside this recipe" },
  { name = "save_dir", type = "string", default = "runs/compare", metavar = "FOLDER",
    help = "folder of the comparison; what is finished in it is not run again" },
  { name = "keep_checkpoints", type = "flag",
    help = "keep the models of finished runs; default: only their logs and results" },
  { name = "restart", type = "flag", help = "begin anew in --save-dir" },
}

-- Flags of a run that a comparison sets, or that would make its runs unequal.
local REFUSED = {
  seed = "give --seeds", optimizer = "give --optimizers", sam_type = "give --optimizers",
  no_save = "what a run leaves is what is compared", valid_only = "a comparison trains",
  patience = "runs would end when they please; give --score best or last",
}

-- Divides a command line into the words of the comparison and those of its runs.
local function divide(arguments)
  local own, passed, by_name = {}, {}, {}
  for _, d in ipairs(FLAGS) do
    by_name[d.name] = d
  end
  local i = 1
  while i <= #arguments do
    local word = arguments[i]
    local name, value = word:match("^%-%-([^=]+)(=?.*)$")
    name = name and name:gsub("-", "_")
    if REFUSED[name] then
      errors.raise("%s is not for a comparison: %s", word, REFUSED[name])
    elseif by_name[name] or word == "-h" or word == "--help" then
      own[#own + 1] = word
      if by_name[name] and by_name[name].type ~= "flag" and value == "" then
        i = i + 1
        own[#own + 1] = arguments[i]
      end
    else
      passed[#passed + 1] = word
    end
    i = i + 1
  end
  return own, passed
end

-- The flags that a name of --optimizers stands for.
local function known(name, recipe)
  local plain, types = require("fsam.optim").names(), require("fsam.sam").names()
  for _, other in ipairs(plain) do
    if other == name then
      return { "--optimizer", name }
    end
  end
  for _, other in ipairs(types) do
    if other == name then
      return { "--optimizer", "sam", "--sam-type", name }
    end
  end
  if recipe then -- it may define types that are unknown here
    return { "--optimizer", "sam", "--sam-type", name }
  end
  for _, other in ipairs(types) do
    plain[#plain + 1] = other
  end
  return errors.unknown("--optimizers", name, plain)
end

--- The entries of --optimizers.
-- @tparam string text names, each perhaps with flags; an entry may be flags alone
-- @tparam[opt] string recipe given by the user: then unknown names are its sam-types
-- @treturn {table,…} label, id (for folders), words (flags of its runs)
function M.entries(text, recipe)
  local list, taken = {}, {}
  for entry in text:gmatch("[^,]+") do
    local words, given = {}, {}
    for word in entry:gmatch("%S+") do
      given[#given + 1] = word
    end
    for i, word in ipairs(given) do
      if i == 1 and word:sub(1, 2) ~= "--" then
        words = known(word, recipe)
      else
        words[#words + 1] = word
      end
    end
    local label = table.concat(given, " ")
    local id = label:gsub("[^%w._+]+", "-"):gsub("^%-", "")
    if label ~= "" and taken[id] then
      errors.raise("--optimizers has %s twice", label)
    elseif label ~= "" then
      taken[id] = true
      list[#list + 1] = { label = label, id = id, words = words }
    end
  end
  if #list == 0 then
    errors.raise("--optimizers is empty; give names such as adam,sam")
  end
  return list
end

local MOST_SEEDS = 10000 -- in a range

--- The seeds of a text such as "1-3,7".
-- @treturn {integer,…} in the order given
function M.seeds(text)
  local list, taken = {}, {}
  for part in text:gmatch("[^,%s]+") do
    local first, last = part:match("^(%d+)%-(%d+)$")
    first, last = tonumber(first or part:match("^%d+$")), tonumber(last or part:match("^%d+$"))
    if not first or last < first or last > 4294967295 then
      errors.raise("--seeds %s: %s is no seed and no range such as 1-5", text, part)
    elseif last - first >= MOST_SEEDS then
      errors.raise("--seeds %s: %s is more than %d seeds, each of which is a run", text, part,
        MOST_SEEDS)
    end
    for seed = first, last do
      if taken[seed] then
        errors.raise("--seeds %s: %d is there twice", text, seed)
      end
      taken[seed] = true
      list[#list + 1] = seed
    end
  end
  if #list == 0 then
    errors.raise("--seeds is empty; give a list such as 1-5")
  end
  return list
end

local function baseline_of(o)
  for _, entry in ipairs(o.entries) do
    if entry.label == (o.baseline or o.entries[1].label) then
      return entry
    end
  end
  local labels = {}
  for i, entry in ipairs(o.entries) do
    labels[i] = entry.label
  end
  return errors.unknown("--baseline", o.baseline, labels)
end

--- Reads a comparison's command line.
-- @tparam {string,…} arguments `arg`
-- @tparam table recipe name, usage, summary; recipe, the path of what trains by default
-- @treturn table options, with entries, seeds (a list), baseline (an entry), recipe (a path) and
--   words (for every run)
function M.parse(arguments, recipe)
  local own, passed = divide(arguments)
  own[0] = arguments[0]
  local o = options_of.parse(own, {
    name = recipe.name, usage = recipe.usage, summary = recipe.summary, alone = true,
    flags = options_of.declare(FLAGS, { group = "Comparison" }),
    epilog = "Everything else goes to every run; " .. recipe.recipe:match("[^/]*$")
      .. " --help lists it.",
  })
  o.entries, o.seeds, o.words = M.entries(o.optimizers, o.recipe), M.seeds(o.seeds), passed
  o.baseline = baseline_of(o)
  if o.recipe and not require("fsam.base.file").kind(o.recipe) then
    errors.raise("--recipe %s does not exist", o.recipe)
  end
  o.recipe = o.recipe or recipe.recipe
  o.save_dir = o.save_dir:gsub("(.)/+$", "%1")
  return o
end

return M
