--- The flags of a recipe that looks at a landscape, and the checks that need no model. Owns: both.
-- Leaves to others: the defaults of an eigenvalue's iteration (curvature.lua).

local arguments = require("fsam.base.arguments")
local curvature = require("fsam.landscape.curvature")
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local precious = require("fsam.formats.precious")
local schema = require("fsam.base.schema")

local M = {}

local function declarations()
  local hessian = curvature.defaults
  local groups = {
    { "Data", {
      { name = "data", type = "string", metavar = "FOLDER",
        help = "GLUE's CoLA folder (train.tsv, dev.tsv); none: the built-in corpus" },
      { name = "split", type = "choice", choices = { "train", "dev" }, default = "train",
        help = "whose loss it is" },
      { name = "samples", type = "integer", default = 256, min = 1,
        help = "samples of it, drawn by seed" },
      { name = "batch_size", type = "integer", default = 64, min = 1,
        help = "most samples in a batch; the loss is the mean over all" },
      { name = "seed", type = "integer", default = 1, min = 0, max = 4294967295,
        help = "of the samples and of random directions" },
    } },
    { "Where to look", {
      { name = "gradient_reach", type = "number", default = 0.2, above = 0, metavar = "R",
        help = "how far along the gradient, as a distance" },
      { name = "reach", type = "number", default = 0.5, above = 0, metavar = "R",
        help = "how far along random directions; 1 moves each filter by its own length" },
      { name = "points", type = "integer", default = 41, min = 3,
        help = "points on a line, odd: the middle one is the model" },
      { name = "lines", type = "integer", default = 3, min = 1,
        help = "random directions to follow" },
      { name = "grid", type = "integer", default = 21, min = 3,
        help = "points on each side of the plane, odd" },
    } },
    { "Largest eigenvalue of the Hessian", {
      { name = "hessian_step", type = "number", default = hessian.h, above = 0, metavar = "H",
        help = "length of the step of finite differences" },
      { name = "hessian_tolerance", type = "number", default = hessian.tolerance, above = 0,
        help = "stop when the eigenvalue changes by less, relative to itself" },
      { name = "hessian_iterations", type = "integer", default = hessian.iterations, min = 0,
        help = "most iterations, of two gradients each; 0: no eigenvalue" },
    } },
    { "Results and machine", {
      { name = "out", type = "string", default = "landscape", metavar = "NAME",
        help = "writes NAME.json and NAME.svg" },
      { name = "device", type = "choice", choices = { "cpu", "cuda", "auto" }, default = "auto",
        help = "where to compute, always in fp32" },
      { name = "threads", type = "integer", default = 0, min = 0, max = 4096,
        help = "processor threads; 0: OMP_NUM_THREADS, or all cores" },
    } },
  }
  local flags = {}
  for _, group in ipairs(groups) do
    for _, d in ipairs(group[2]) do
      d.group = group[1]
      flags[#flags + 1] = d
    end
  end
  return flags
end

local function check(o)
  if not o.checkpoint then
    errors.raise("no checkpoint is given; give the folder of a trained model, such as "
      .. "runs/cola-1/checkpoint_best (--help)")
  elseif file.kind(o.checkpoint) ~= "directory" then
    errors.raise("%s %s; give the folder of a trained model, such as runs/cola-1/checkpoint_best",
      o.checkpoint, file.kind(o.checkpoint) and "is not a folder" or "does not exist")
  end
  for _, name in ipairs({ "points", "grid" }) do
    if o[name] % 2 == 0 then
      errors.raise("--%s %d is even; an odd number has the model itself in the middle", name,
        o[name])
    end
  end
  local parent = file.parent(o.out)
  if file.kind(parent) ~= "directory" then
    errors.raise("--out %s: the folder %s does not exist", o.out, parent)
  elseif precious.is(o.out .. ".json") then
    errors.raise("--out %s: %s.json is a file of a run or a model; give another name", o.out, o.out)
  end
end

--- The command line of such a recipe, for options.parse.
-- @tparam table recipe name, usage, summary
-- @treturn table spec
function M.spec(recipe)
  return {
    name = recipe.name, usage = recipe.usage, summary = recipe.summary, alone = true,
    flags = declarations(),
    positional = { name = "checkpoint", metavar = "CHECKPOINT",
      help = "a trained model: checkpoint_best of a run, or a Hugging Face folder" },
    check = check,
  }
end

arguments.guard("fsam.landscape.flags", M, {
  spec = { arguments.fields({ name = schema.string, usage = arguments.optional(schema.string),
    summary = arguments.optional(schema.string) }) },
})

return M
