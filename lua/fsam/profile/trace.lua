--- A trace in the JSON format of Chrome's trace viewer, which Perfetto reads too: an event for each
-- span and each call of a kernel, nested by their times. It is written as the run goes, so that a
-- run that is killed leaves a trace that the viewers open.
-- Owns: the file and its format. Leaves to others: what is an event (fsam.profile).
local files = require("fsam.base.file")
local json = require("fsam.base.json")

local M = {}

local MOST = 200000 -- events, about 25 MB; later ones are left out

local Trace = {}
Trace.__index = Trace

--- Opens a trace and empties the file.
-- @tparam string path
-- @tparam number origin the time (fsam_clock) that is 0 in the trace
-- @treturn Trace
-- @raise one line where the file cannot be written
function M.open(path, origin)
  local writer = files.writer(path)
  writer:write('[{"ph":"M","name":"process_name","pid":1,"tid":1,"args":{"name":"fsam-lua"}}')
  return setmetatable({ writer = writer, path = path, origin = origin, count = 0, left_out = 0 },
    Trace)
end

--- Adds an event.
-- @tparam string name
-- @tparam string category "span" or "kernel"
-- @tparam number start fsam_clock
-- @tparam number seconds
-- @tparam[opt] number bytes of a kernel
-- @tparam[opt] number flops likewise
function Trace:event(name, category, start, seconds, bytes, flops)
  if self.count == MOST then
    self.left_out = self.left_out + 1
    return
  end
  self.count = self.count + 1
  local more = bytes and (',"args":{"bytes":%.0f,"flops":%.0f}'):format(bytes, flops) or ""
  self.writer:write((',\n{"ph":"X","name":%s,"cat":"%s","pid":1,"tid":1,"ts":%.3f,"dur":%.3f%s}')
    :format(json.encode(name), category, (start - self.origin) * 1e6, seconds * 1e6, more))
end

--- Ends the file.
function Trace:close()
  self.writer:write("\n]\n")
  self.writer:close()
end

return M
