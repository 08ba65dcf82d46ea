--- A trace: the expressions that were built while it was on, and which of them found a use. It
-- finds results that an author computed and dropped.
--
-- Owns: the list of built expressions and the set of used ones. Expressions report to it while
-- `params.tracing` is set (params:trace). Leaves to others: a message's text (fsam.step.unused).
local source_line = require("fsam.base.source_line")

source_line.own()

local M = {}

local Trace = {}
Trace.__index = Trace

--- An empty trace.
function M.new()
  return setmetatable({ list = {}, used = {} }, Trace)
end

--- Notes a new expression and its line; the operands have found a use.
function Trace:built(x)
  self.list[#self.list + 1] = { node = x, line = source_line.here() }
  for _, field in ipairs({ "a", "b", "c" }) do
    if type(x[field]) == "table" then
      self.used[x[field]] = true
    end
  end
end

--- A set, request, read or print has used this expression.
function Trace:use(x)
  self.used[x] = true
end

--- The expressions that found no use.
-- @treturn table list of { node =, line = position }, in the order in which they were built
function Trace:unused()
  local list = {}
  for _, entry in ipairs(self.list) do
    if not self.used[entry.node] then
      list[#list + 1] = entry
    end
  end
  return list
end

return M
