--- Observers look at a step and change nothing about it, neither a value nor where one is stored.
-- Owns: the events, the observer that does nothing, and the one that passes each event on to
-- several others. The room's observers are log.lua, diagnosis.lua and unused.lua.
local M = {}

--- The events, in the order of a step. With --m-sharpness those of the passes come once for each
-- group; a mask policy's passes come before their own step's.
M.EVENTS = {
  "gradient", -- (samples)  a pass of the step has given the gradient of so many samples
  "explored", -- (x)  the exploration, while c still holds w
  "first",    -- (result, norm, skip)  pass 1 is over; its gradient's norm, what it left out
  "again",    -- ()  pass 1 comes again, for all of the gradient: the one before does not count
  "ascended", -- (e, masked)  pass 2 comes; the perturbation as the type gave it and as it will be,
              --   neither in a type that has none
  "second",   -- (result, mean_over)  pass 2 is over and s.g2 set, as a share of a mean over so many
              --   samples (nil: it is the mean over its own)
  "measured", -- (info)  all is finite: an observer adds what it found to the step's report
  "updated",  -- ()  the update is built and not run; an error here discards the step
  "finished", -- ()  the step is over, kept or not
}

local Observer = {}
Observer.__index = Observer
for _, event in ipairs(M.EVENTS) do
  Observer[event] = function() end
end

--- The observer that does nothing. A class of observers inherits its events from it:
-- setmetatable(Class, { __index = observe.NONE }).
M.NONE = setmetatable({}, Observer)

local Several = setmetatable({}, { __index = M.NONE })
Several.__index = Several
for _, event in ipairs(M.EVENTS) do
  Several[event] = function(self, ...)
    for _, observer in ipairs(self) do
      observer[event](observer, ...)
    end
  end
end

--- One observer for all of a list, in its order.
-- @tparam {table,…} observers
function M.all(observers)
  return #observers == 0 and M.NONE or #observers == 1 and observers[1]
    or setmetatable(observers, Several)
end

return M
