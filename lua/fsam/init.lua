--- fsam: the library that recipes script.
--
--     local fsam = require("fsam")        -- in the REPL it is there already
--
-- Modules load at first use, so that starting costs milliseconds.
local MODULES = {
  compare = true, data = true, device = true, errors = true, json = true, landscape = true,
  load = true, metrics = true, models = true, ops = true, optim = true, options = true,
  params = true, pass = true, sam = true, schedule = true, show = true, tape = true, task = true,
  tensor = true, text = true, train = true, vector = true,
}

local function names()
  return require("fsam.registry").sorted(MODULES)
end

return setmetatable({
  --- Live and peak bytes of every arena; prints as a table.
  memory = function()
    return require("fsam.device").memory()
  end,
}, {
  __index = function(self, name)
    if not MODULES[name] then
      return nil
    end
    local module = require("fsam." .. name)
    rawset(self, name, module)
    return module
  end,
  __names = names, -- for completion in the REPL
  __show = function()
    return "fsam: " .. table.concat(names(), "  ")
  end,
})
