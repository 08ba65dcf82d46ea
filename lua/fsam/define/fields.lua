--- The fields of `s`, through which the parts of a sam-type, base optimizer or mask policy see a
-- step. Owns: this one list, from which follow what can be read, what is refused, what a misspelt
-- name suggests and which names no definition may take. Leaves to others: how a view holds the
-- fields (fsam.step.view), their values (fsam.step).
--
-- by      "library": the step sets it; "declarations": an option of that name gives it its first
--         value, the step its present one; "method": s:NAME(…)
-- absent  when it is nil; without this the field always has a value

local M = {}

--- The values first, then the methods.
M.list = {
  { name = "w", by = "library", about = "the master weights, a vector of the whole model" },
  { name = "g", by = "library",
    about = "the first pass's gradient; in a base optimizer the clipped direction" },
  { name = "g2", by = "library", absent = "before the second pass, and where there is none",
    about = "the second pass's gradient" },
  { name = "d", by = "library", absent = "before the update", about = "the clipped direction" },
  { name = "mask", by = "library", absent = "without a fisher- form", about = "the mask" },
  { name = "losses", by = "library", absent = "before the first pass",
    about = "the loss of each sample that the first pass saw" },
  { name = "base", by = "library", absent = "in a base optimizer",
    about = "the base optimizer's view: its state and options" },
  { name = "parameters", by = "library",
    about = "the model's parameters: name, kind, layer, shape, index, decay, frozen" },
  { name = "step", by = "library", about = "updates tried before this one" },
  { name = "t", by = "library", about = "updates applied before this one" },
  { name = "lr", by = "library", about = "the learning rate" },
  { name = "lr_peak", by = "library", about = "the largest learning rate of the run" },
  { name = "lr_end", by = "library", about = "the last learning rate of the run" },
  { name = "progress", by = "library", about = "the share of the run that is over, 0 … 1" },
  { name = "N", by = "library", about = "samples of the step" },
  { name = "K", by = "library", about = "micro-batches of the step" },
  { name = "train_samples", by = "library", absent = "where the caller does not say",
    about = "samples of the training set" },
  { name = "weight_decay", by = "library",
    about = "a number, or a row of it and 0 where some parameters have no decay" },
  { name = "rho", by = "declarations",
    about = "the radius of this step, as --rho-schedule has it" },
  { name = "each", by = "method", about = "a row of constants: f(parameter) → number or boolean" },
  { name = "normal", by = "method", about = "standard normal numbers by seed, step and element" },
  { name = "uniform", by = "method", about = "numbers in [0, 1) by seed, step and element" },
  { name = "random", by = "method", about = "one number in (0, 1) by seed and step" },
  { name = "read", by = "method", about = "the value of a scalar, now" },
  { name = "keeps", by = "method", about = "is there a state of this name?" },
  { name = "losses_at_e", by = "method", about = "the loss of each sample at the perturbed point" },
  { name = "per_sample_squares", by = "method",
    about = "the sum of the squares of single samples' gradients, a vector" },
}

--- The same by name.
M.of = {}
for _, field in ipairs(M.list) do
  M.of[field.name] = field
end

--- May a definition not use this name for what it declares?
-- @tparam string name
-- @tparam string part "options", "state", "scratch" or "scalars"
function M.is_taken(name, part)
  local field = M.of[name]
  return field ~= nil and not (field.by == "declarations" and part == "options")
end

return M
