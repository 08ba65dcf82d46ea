--- Finds results that an author's part computes and nothing uses, because `set` or `return` was
-- forgotten. Each is an error at the author's line. An observer (fsam.step.observe). Owns: which
-- steps are watched. Watching costs a position for every expression, so it ends early: after the
-- first step, or, for a type with `every`, when one step had a second pass and one had none. Leaves
-- to others: noting expressions and their uses (fsam.vector.trace).
local code = require("fsam.vector.instructions")
local node = require("fsam.vector.expression")
local observe = require("fsam.step.observe")
local source_line = require("fsam.base.source_line")

local MOST = 100 -- steps that are watched

local Unused = setmetatable({}, { __index = observe.NONE })
Unused.__index = Unused

local M = {}

--- The watch over all steps of an optimizer.
-- @tparam table params
-- @tparam table sam_type its definition
-- @tparam table s what the type sees (fsam.step.view)
function M.new(params, sam_type, s)
  return setmetatable({ params = params, s = s, steps = 0, both = sam_type.every ~= nil,
    one = false, two = false }, Unused)
end

--- At a step's start.
-- @treturn ?table the observer, when the step is to be watched
function M.watch(self)
  local seen = self.one and self.two or not self.both and (self.one or self.two)
  if seen or self.steps >= MOST then
    return nil
  end
  self.steps = self.steps + 1
  self.params:trace(true)
  return self
end

function Unused:updated()
  self.one, self.two = self.one or not self.s.g2, self.two or self.s.g2 ~= nil
  for _, unused in ipairs(self.params:unused()) do
    if source_line.is_users(unused.line) then
      source_line.fail_at(unused.line, "%s is computed here and never used; return it, keep it "
        .. "with s.NAME:set(…)%s, or leave it out", node.describe(unused.node),
        node.rank(unused.node) == code.SCALAR and ", read it with s:read(x)" or "")
    end
  end
end

function Unused:finished()
  self.params:trace(false)
end

return M
