--- fsam.data: samples and their batches. `fsam.data.NAME` is the module of that file in this
-- folder, loaded at first use.
return setmetatable({}, {
  __index = function(self, name)
    local path = package.searchpath("fsam.data." .. name, package.path)
    if not path then
      return nil
    end
    local module = require("fsam.data." .. name)
    rawset(self, name, module)
    return module
  end,
})
