--- Fields that stay what they are: `P.w = P.w * 2` would leave the model as it was, and P without
-- its weights. Owns: the refusal. Leaves to others: setting a vector (params.lua).
local source_line = require("fsam.base.source_line")

source_line.own()

local M = {}

--- Lays fields behind their owner, where an assignment does not reach them.
-- @tparam table object with a metatable whose __index is itself
-- @tparam {string,…} names of fields of it
-- @tparam string word what messages call it
-- @treturn table the object
function M.new(object, names, word)
  local fixed = {}
  for _, name in ipairs(names) do
    fixed[name], object[name] = object[name], nil
  end
  local class = getmetatable(object)
  return setmetatable(object, { __index = setmetatable(fixed, class),
    __tostring = class.__tostring, __newindex = function(_, name, value)
      if rawget(fixed, name) then
        source_line.fail("%s.%s = … would only rename it; change it with %s.%s:set(…)", word, name,
          word, name)
      end
      rawset(object, name, value)
    end })
end

return M
