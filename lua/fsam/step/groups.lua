--- What the ascents of all sam-types share: which of the step's samples the first pass sees
-- (--ascent-fraction), in how many groups the samples are perturbed (--m-sharpness), and whether
-- weight decay belongs to the gradient (--ascent-decay).
-- Owns: the check that a type goes with these options, the choice of samples. Leaves to others:
-- declaring the options (fsam.step.options), the perturbation (the type), running passes
-- (fsam.step).
local draw = require("fsam.data.sampling")
local errors = require("fsam.errors")

local M = {}

local STREAM = 0x4153434e -- "ASCN"

-- Parts of a type that do not go with an option, and why.
local COMBINES = "combines the gradients of both passes"
local CHOOSES = "chooses the samples of its second pass"
local KEEPS = "keeps state from step to step"
local REFUSED = {
  ascent_fraction = { descend = COMBINES, select = CHOOSES },
  m_sharpness = { descend = COMBINES, select = CHOOSES, after = COMBINES, update = COMBINES,
    state = KEEPS, scalars = KEEPS },
  rank_sharpness = { descend = COMBINES, select = CHOOSES, after = COMBINES, update = COMBINES,
    state = KEEPS, scalars = KEEPS, every = "decides by the whole gradient" },
}

local function check_parts(flag, name, t)
  if t.passes == 1 then
    errors.raise("%s does not go with --sam-type %s, which has no second pass", flag, t.name)
  end
  for _, part in ipairs({ "descend", "select", "after", "update", "state", "scalars", "every" }) do
    if REFUSED[name][part] and t[part] then
      errors.raise("%s does not go with --sam-type %s, which %s (%s)", flag, t.name,
        REFUSED[name][part], part)
    end
  end
end

--- Raises unless a type goes with the options.
-- @tparam table t definition (fsam.sam)
-- @tparam table options of the step, complete
-- @tparam ?table mask the mask's options, complete; nil without a fisher- form
function M.check(t, options, mask)
  if options.ascent_fraction < 1 then
    check_parts("--ascent-fraction", "ascent_fraction", t)
  end
  for flag, name in pairs({ ["--m-sharpness"] = "m_sharpness",
    ["--rank-sharpness local"] = "rank_sharpness" }) do
    if options[name] == "local" or name == "m_sharpness" and options[name] > 1 then
      check_parts(flag, name, t)
      if mask and mask.fisher == "batch" then
        errors.raise("%s does not go with --fisher batch: no pass sees the whole batch at w; "
          .. "choose sample, adam, magnitude or random", flag)
      end
    end
  end
end

-- Ordinals first … last.
local function range(first, last)
  local list = {}
  for ordinal = first, last do
    list[#list + 1] = ordinal
  end
  return list
end

-- ceil(fraction n) of the n ordinals, in their order. Where that is all of them, the list itself.
local function part_of(ordinals, fraction, key)
  local count = math.ceil(fraction * #ordinals - 1e-9) -- 0.07 × 100 is 7, not 7 and a bit
  if count >= #ordinals then
    return ordinals
  end
  local places, list = draw.places(count, #ordinals, key), {}
  table.sort(places)
  for i, place in ipairs(places) do
    list[i] = ordinals[place]
  end
  return list
end

--- The groups of a step's samples, in batch order. The plain step has one, of all samples.
-- @tparam table options of the step, complete
-- @tparam table s step, N (samples)
-- @tparam integer seed
-- @tparam integer ranks how many make the step together
-- @treturn {table,…} each: first, second = the ordinals that its two passes see (nil: all of the
--   step's). Where ranks perturb by their own gradients, also: mean_over = N; accumulate, does its
--   share of g2 add to what is there; alone: each rank perturbs its part of the group by that
--   part's own gradient; sum, in the last group: now the ranks sum g2
function M.of(options, s, seed, ranks)
  local fraction, count = options.ascent_fraction, options.m_sharpness
  local by_rank = options.rank_sharpness == "local" and ranks > 1
  if fraction == 1 and count == 1 and not by_rank then
    return { {} }
  end
  local groups = {}
  count = math.min(count, s.N)
  for k = 1, count do
    local all = range(math.floor((k - 1) * s.N / count), math.floor(k * s.N / count) - 1)
    local first = part_of(all, fraction, { seed = seed, step = s.step, stream = STREAM + k })
    if count > 1 or by_rank then
      groups[k] = { first = first, second = all, mean_over = s.N, accumulate = k > 1, alone = true,
        sum = k == count }
    else
      groups[k] = { first = #first < #all and first or nil }
    end
  end
  return groups
end

--- The gradient as `ascend` sees it.
-- @tparam table options of the step, complete
-- @tparam table s w, g, weight_decay (a number or row)
function M.gradient(options, s)
  return options.ascent_decay and s.g + s.w * s.weight_decay or s.g
end

return M
