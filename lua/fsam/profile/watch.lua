--- Which methods of a run's parts are spans of a profile, and of which phase.
-- Owns: this choice. Leaves to others: spans themselves (fsam.profile), what the parts do.
local Pass = require("fsam.pass")
local report = require("fsam.profile.report")

local M = {}

local MOST = 3 -- passes of a step that have rows of their own

-- "pass 1", or "mask" for those of a mask's policy, which its phase covers.
local function pass_name(profile)
  local number = profile.passes + 1
  profile.passes = number
  return number < MOST and "pass " .. number or ("pass %d and later"):format(MOST)
end

-- Passes of a step by their number in it, and their halves.
local function watch_pass(profile, pass)
  local current
  profile.compute = pass.model.params.compute
  local bind, begin = pass.bind, pass.graphs.begin
  profile:replace(pass, "bind", function(...)
    local evaluate = bind(...)
    return Pass.stands_for(function(...)
      local before = current
      current = profile.masking and "mask" or pass_name(profile)
      local function finish(ok, ...)
        current = before
        if not ok then
          error(..., 0)
        end
        return ...
      end
      return finish(pcall(profile:spanned(evaluate, current), ...))
    end, evaluate)
  end)
  profile:replace(pass.graphs, "begin", function(...)
    local work = begin(...)
    local pieces = work.pieces
    function work.pieces(self, name, ...)
      local phase = (current and current .. " " or "") .. name
      return profile:spanned(pieces, name, phase)(self, name, ...)
    end
    return work
  end)
end

local function watch_masking(profile, masking)
  if not rawget(masking, "params") then
    return -- the one of types without a mask, which all of them share
  end
  for _, method in ipairs({ "before_gradient", "after_gradient" }) do
    local plain = masking[method]
    local spanned = profile:spanned(plain, "mask", report.MASK, true)
    profile:replace(masking, method, function(self, s, passes)
      if not self:needs_all(s.step) then
        return plain(self, s, passes)
      end
      profile.masking = true
      local function finish(...)
        profile.masking = false
        return ...
      end
      return finish(spanned(self, s, passes))
    end)
  end
end

local function watch_optimizer(profile, optimizer)
  local step = profile:spanned(optimizer.step, "step", report.UPDATE)
  profile:replace(optimizer, "step", function(...)
    profile.steps, profile.passes = profile.steps + 1, 0
    profile.masking = false
    return step(...)
  end)
  watch_masking(profile, optimizer.masking)
end

--- Makes spans of the parts' methods.
-- @tparam table profile fsam.profile
-- @tparam table parts pass, optimizer, task, saver; each may be nil
function M.watch(profile, parts)
  if parts.pass then
    watch_pass(profile, parts.pass)
  end
  if parts.optimizer then
    watch_optimizer(profile, parts.optimizer)
  end
  if parts.task then
    profile:around(parts.task, "micro_batches", report.DATA, true)
    profile:around(parts.task, "validate", report.VALIDATION, true)
  end
  if parts.saver then
    for _, method in ipairs({ "save", "save_numbered", "prune" }) do
      profile:around(parts.saver, method, report.SAVE, true)
    end
  end
end

return M
