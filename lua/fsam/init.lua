--- fsam: the library that recipes script. Modules load at first use, so that starting costs
-- milliseconds; `fsam.C` and below are for the library itself.
local MODULES = {}

return setmetatable({}, {
  __index = function(self, name)
    local path = MODULES[name]
    if not path then
      return nil
    end
    local module = require(path)
    rawset(self, name, module)
    return module
  end,
})
