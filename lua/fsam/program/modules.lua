--- Modules of the current folder: found for the user's code, never for ours.
--
-- engine/host/main.c leaves only absolute entries in package.path and package.cpath. The others
-- (`./?.lua`, `./?.so`, and what LUA_PATH and LUA_CPATH add) are searched here, last of all, and
-- only for a require of the user's own. So a downloaded folder that one happens to stand in cannot
-- run its lfs.lua or jit/v.lua in the place of a module that the library wants.
local M = {}

-- Where the library's own files begin, as sources of functions have it: "@/…/lua/fsam/".
local OURS = debug.getinfo(1, "S").source:gsub("program/[^/]*$", "")

-- Is the require under way, whose loader called us, one of a library file? Compiled C in between
-- (pcall) asks for its caller.
local function is_our_require()
  local level = 4 -- above this function, the loader and require
  local info = debug.getinfo(level, "S")
  while info and info.what == "C" do
    level = level + 1
    info = debug.getinfo(level, "S")
  end
  return info ~= nil and info.source:sub(1, #OURS) == OURS
end

-- A name of the library's. It is refused by name too, because a tail call leaves no trace of its
-- caller.
local function is_our_name(name)
  return name == "fsam" or name:sub(1, 5) == "fsam."
end

--- Adds the search of relative entries behind Lua's own.
-- @tparam table relative {path=, cpath=}: templates as in package.path and package.cpath
function M.search_current_folder(relative)
  local searches = { unpack(package.loaders, 2) } -- Lua files, C files, C files that hold several

  -- What one of Lua's own searches says about a name when the paths are the relative ones.
  local function try(search, name)
    local path, cpath = package.path, package.cpath
    package.path, package.cpath = relative.path, relative.cpath
    local ok, found = pcall(search, name)
    package.path, package.cpath = path, cpath
    if not ok then
      error(found, 0)
    end
    return found
  end

  package.loaders[#package.loaders + 1] = function(name)
    if is_our_name(name) or is_our_require() then
      return nil
    end
    local said = {}
    for i, search in ipairs(searches) do
      local found = try(search, name)
      if type(found) == "function" then
        return found
      end
      said[i] = found or ""
    end
    return table.concat(said)
  end
end

return M
