--- Lua's global names as the library sees them: those that the program began with. At the prompt
-- and in a script `table = read("a.csv")` or `type = "sam"` is the user's variable, and must not
-- stand in the place of the function that the library calls.
--
-- Owns: the library's own table of global names, and loading its modules with it. What the library
-- puts into the user's names (fsam, help, _) it writes to `_G`. engine/host/main.c requires this
-- file before all others. Leaves to others: where modules are found (package.path, modules.lua).
local own = {}
for name, value in pairs(_G) do
  own[name] = value
end

local error, loadfile, setfenv, searchpath = error, loadfile, setfenv, package.searchpath

table.insert(package.loaders, 2, function(name)
  -- argparse is the one module in Lua that is the system's and that we call.
  if name ~= "fsam" and name:sub(1, 5) ~= "fsam." and name ~= "argparse" then
    return nil
  end
  local path = searchpath(name, package.path)
  if not path then
    return nil -- Lua's own search says where it looked
  end
  local chunk, message = loadfile(path)
  return setfenv(chunk or error(message, 0), own)
end)

return {}
