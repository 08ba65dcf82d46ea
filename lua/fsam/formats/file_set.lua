--- Replacing some files of a folder together, so that a failure costs nothing that was there. Owns:
-- this. Leaves to others: what the files are, and folders that are saved as a whole, so that even a
-- crash between two files does no harm (atomic_folder.lua).
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local lfs = require("lfs")

local M = {}

-- An error of a path within `from`, as one of the same path within `to`.
local function moved(err, from, to)
  if not errors.is(err) then
    return err
  end
  local first, last = err.message:find(from, 1, true)
  return first and errors.new(err.message:sub(1, first - 1) .. to .. err.message:sub(last + 1))
    or err
end

--- Writes files into a folder that may have older ones of the same names. All are complete before
-- the first takes an older one's place.
-- @tparam string folder is made where it is missing
-- @tparam function write gets the path of an empty folder, and writes the files there
-- @raise what `write` raises
function M.write(folder, write)
  local was_there, fresh = file.kind(folder) ~= nil, folder .. "/.new-files"
  file.make_folder(folder)
  file.remove(fresh)
  local ok, err = pcall(function()
    file.make_folder(fresh)
    write(fresh)
    for _, name in ipairs(file.entries(fresh)) do
      file.rename(fresh .. "/" .. name, folder .. "/" .. name)
    end
    file.sync(folder)
  end)
  file.remove(fresh)
  if not ok then
    local _ = was_there or lfs.rmdir(folder)
    error(moved(err, fresh, folder), 0)
  end
end

return M
