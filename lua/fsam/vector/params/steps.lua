--- What the file that drives steps needs: when queued sets run, or are dropped. Methods of
-- fsam.params.
local source_line = require("fsam.base.source_line")
local queue = require("fsam.vector.queue")
local storage = require("fsam.vector.storage")

source_line.own()

local Params = {}

--- From here on, sets of persistent things wait for commit or discard.
function Params:begin_step()
  if #self.queue > 0 then
    queue.commit(self)
  end
  self.in_step = true
end

--- Runs the queued sets of transient things, and computes requested scalars.
function Params:flush()
  queue.run(self, false)
end

--- A model pass has written this vector: what was built before reads a value that is gone.
function Params:touch(vector)
  if vector.model ~= self then
    source_line.fail("touch: %s belongs to another model", vector.name)
  end
  storage.touch(vector)
end

--- Runs everything and ends the step.
function Params:commit()
  queue.commit(self)
end

--- Drops everything that waits and ends the step: no persistent thing has changed.
function Params:discard()
  queue.discard(self)
end

local Trace = {}
Trace.__index = Trace

function Trace:built(x)
  self.list[#self.list + 1] = { node = x, line = source_line.here() }
  for _, field in ipairs({ "a", "b", "c" }) do
    if type(x[field]) == "table" then
      self.used[x[field]] = true
    end
  end
end

function Trace.use(self, x)
  self.used[x] = true
end

--- Remembers where expressions are built while on (slower), to find results that nobody used.
function Params:trace(on)
  self.tracing = on and setmetatable({ list = {}, used = {} }, Trace) or false
end

--- Results built since trace(true) that no expression, set, request, read or print used.
-- @treturn table list of { node =, line = position }, in the order in which they were built
function Params:unused()
  local list, trace = {}, self.tracing or { list = {} }
  for _, entry in ipairs(trace.list) do
    if not trace.used[entry.node] then
      list[#list + 1] = entry
    end
  end
  return list
end

return Params
