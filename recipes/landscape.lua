--- Looks at the loss around a trained model: along the gradient, along random filter-normalised
-- directions (Li et al. 2018), on a plane of two of them, and the Hessian's largest eigenvalue.
-- docs/landscape.md says how to read it. The checkpoint is only read.
--
--     fsam-lua recipes/landscape.lua runs/cola-1/checkpoint_best             built-in corpus
--     fsam-lua recipes/landscape.lua runs/cola-2/checkpoint_best --data CoLA/
--     fsam-lua recipes/landscape.lua --help

local fsam = require("fsam")
local landscape = fsam.landscape

local options = fsam.options.parse(arg, landscape.flags.spec({
  name = "landscape.lua",
  usage = "fsam-lua recipes/landscape.lua CHECKPOINT [flags]",
  summary = "Looks at the loss around a trained model.",
}))

-- Model and samples; everything is computed in fp32, without dropout.
fsam.device.threads(options.threads)
local model = fsam.load(options.checkpoint, { device = options.device, seed = options.seed,
  untrained = "accept" }) -- the report says it
local row = fsam.data.tasks.get("cola")
local corpus = fsam.data.corpus.open(row, options.data)
local task = fsam.task.new({
  row = corpus.row or row, corpus = corpus, tokenizer = model.tokenizer, model = model,
  options = options,
})
local batches, count = task:first(options.split, options.samples)
local view = landscape.new({ model = model, pass = model.pass, batches = batches,
  labels = task.labels })
local report = landscape.report.begin(options, model, task.name, count)

-- Directions: uphill at distance 1, and random ones as long as the model, filter by filter.
local uphill, gnorm, loss = landscape.directions.gradient(view, "uphill")
report:at_w(view, loss, gnorm)
if options.hessian_iterations > 0 then
  report:hessian(landscape.curvature.largest(view, {
    h = options.hessian_step, tolerance = options.hessian_tolerance,
    iterations = options.hessian_iterations, seed = options.seed,
  }))
end
local function random(k, name)
  return landscape.directions.random(model.params, name, options.seed, k)
end

-- Losses.
local found = { gradient = view:line(uphill, options.gradient_reach, options.points), random = {} }
for k = 1, options.lines do
  found.random[k] = view:line(random(k, "one"), options.reach, options.points)
end
found.plane = view:plane(random(1, "one"), random(2, "two"), options.reach, options.grid)
report:write(found)
