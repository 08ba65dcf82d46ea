--- What this process runs: the Lua files of this program, and the script. Ranks of one job compare
-- it, because a machine with another state of the files would compute something else, or wait for
-- something that the others never do.
local errors = require("fsam.errors")
local files = require("fsam.base.file")
local fingerprint = require("fsam.base.fingerprint")

local M = {}

-- The modules below a folder whose own name is `name`, in order.
local function add_modules(list, folder, name)
  for _, entry in ipairs(files.entries(folder)) do
    local path, module = folder .. "/" .. entry, entry:match("^(.*)%.lua$")
    if module then
      list[#list + 1] = module == "init" and name or name .. "." .. module
    elseif files.kind(path) == "directory" then
      add_modules(list, path, name .. "." .. entry)
    end
  end
end

--- A fingerprint of the library's Lua files, as `require` finds them, of its C declarations and of
-- the script.
-- @treturn string eight hexadecimal digits
function M.fingerprint()
  local own = package.searchpath("fsam.errors", package.path)
  local list, hash = { "fsam.cdef" }, fingerprint.EMPTY
  add_modules(list, files.parent(own), "fsam")
  for _, name in ipairs(list) do
    local path = package.searchpath(name, package.path)
      or errors.raise("%s is not found, though it was there at the start", name)
    hash = fingerprint.add_text(fingerprint.add_text(hash, name), files.read(path))
  end
  local words = rawget(_G, "arg")
  local script = words and words[0]
  if script and files.kind(script) == "file" then
    hash = fingerprint.add_text(hash, files.read(script))
  end
  return fingerprint.show(hash)
end

return M
