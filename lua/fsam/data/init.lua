--- fsam.data: samples and their batches. `fsam.data.NAME` is the module of that file in this
-- folder, loaded at first use.
local HERE = debug.getinfo(1, "S").source:match("^@(.*)init%.lua$")

-- The names of the files beside this one.
local function names()
  local list = {}
  for entry in require("lfs").dir(HERE) do
    local name = entry:match("^([%w_]+)%.lua$")
    if name and name ~= "init" then
      list[#list + 1] = name
    end
  end
  table.sort(list)
  return list
end

return setmetatable({}, {
  __index = function(self, name)
    local is_name = type(name) == "string" and name:find("^[%w_]+$") and name ~= "init"
    if not (is_name and package.searchpath("fsam.data." .. name, package.path)) then
      return nil
    end
    local module = require("fsam.data." .. name)
    rawset(self, name, module)
    return module
  end,
  __names = names, -- for completion in the REPL
  __show = function()
    return "fsam.data: " .. table.concat(names(), "  ")
  end,
})
