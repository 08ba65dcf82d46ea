--- Replacing a folder so that a crash at any moment leaves a complete one.
--
-- A folder is complete when its last file (a JSON text; "trainer.json" by default) is there and
-- parses. Saving NAME writes NAME.new, puts its files and then its last file on the disk, and
-- exchanges it with NAME in one step. Where the file system cannot exchange, NAME is first renamed
-- to NAME.old. So from the first save on, one of the three is complete at every moment.
--
-- From its making to its end, a folder that is not complete holds the last file under the name
-- LAST.part. That tells what a killed save left from what a user put there, which stays.
--
-- `resolve` serves readers, who take what they can get. `find` serves those who will write there:
-- what cannot be read, or is not ours, is an error for them and never "nothing".
--
-- Owns: this protocol. Leaves to others: what is in the folder (fsam.train).
local errors = require("fsam.errors")
local file = require("fsam.base.file")
local json = require("fsam.base.json")
local lfs = require("lfs")

local M = {}

local LAST = "trainer.json"

local function is_complete(path, last)
  last = path .. "/" .. last
  return file.kind(last) == "file" and (pcall(function()
    return json.decode(file.read(last), last)
  end))
end

local function is_empty(path)
  return #file.entries(path) == 0
end

--- The complete folder to read for NAME, whether or not a crash interrupted a save.
-- @tparam string name
-- @tparam[opt="trainer.json"] string last
-- @treturn ?string NAME, else NAME.new, else NAME.old, whichever first is complete; nil: none
function M.resolve(name, last)
  name = file.bare(name)
  for _, suffix in ipairs({ "", ".new", ".old" }) do
    if is_complete(name .. suffix, last or LAST) then
      return name .. suffix
    end
  end
  return nil
end

-- Fails unless the last file of an existing folder reads and parses.
local function check_complete(path, last)
  local at = path .. "/" .. last
  local kind = file.kind(at)
  if kind ~= "file" then
    errors.raise("%s is in the way: it has no readable %s%s, so it is not replaced; move it away",
      path, last, kind and " (a " .. kind .. ")" or "")
  end
  local ok, reason = pcall(function()
    return json.decode(file.read(at), at)
  end)
  if not ok then
    errors.raise("%s; it is damaged or cannot be read now, and %s is not replaced; move it away to "
      .. "begin without it", tostring(reason), path)
  end
end

local function is_own(path, name, last)
  local kind = file.kind(path)
  if kind and kind ~= "directory" then
    errors.raise("%s is in the way: a folder will be saved there, and this is a %s", name, kind)
  elseif not kind or is_empty(path) then
    return false
  end
  check_complete(path, last)
  return true
end

-- Removes NAME.new or NAME.old, if it is ours. At every moment it is complete, or is known by its
-- .part, or is empty.
local function clear(path, last)
  local kind = lfs.symlinkattributes(path, "mode")
  if not kind then
    return
  end
  local at, part = path .. "/" .. last, path .. "/" .. last .. ".part"
  if kind == "directory" and is_complete(path, last) then
    file.rename(at, part)
  elseif kind ~= "directory" or not (file.kind(part) or is_empty(path)) then
    errors.raise("%s is in the way: no save of ours has left it, so it is not removed; move it "
      .. "away", path)
  end
  for _, entry in ipairs(file.entries(path)) do
    if entry ~= last .. ".part" then
      file.remove(path .. "/" .. entry)
    end
  end
  file.remove(path)
end

--- The complete folder to go on from, also after a crash while saving.
-- @tparam string name
-- @tparam[opt="trainer.json"] string last
-- @treturn ?string NAME, else NAME.new, else NAME.old; nil when nothing was ever saved completely
-- @raise when something is there that we did not write, or that is damaged or cannot be read
function M.find(name, last)
  name, last = file.bare(name), last or LAST
  local ok, own = pcall(is_own, name, name, last)
  if ok and own then
    return name
  elseif not ok then
    local whole = is_complete(name .. ".new", last) and file.kind(name) == "directory"
    errors.raise("%s%s", tostring(own), whole and ("; then the complete %s.new takes its place")
      :format(name) or "")
  end
  -- A crash may cut the last file of NAME.new, and that alone: then it was never complete.
  local new, old = name .. ".new", name .. ".old"
  if file.kind(new .. "/" .. last) == "file" then
    file.read(new .. "/" .. last)
    if is_complete(new, last) then
      return new
    end
  end
  return is_own(old, old, last) and old or nil
end

--- Makes NAME ready for `replace`: finishes what a crash interrupted, and clears leftovers. Call it
-- before a long computation whose result will be saved there.
-- @tparam string name
-- @tparam[opt="trainer.json"] string last
-- @raise one line when NAME is not ours to replace, or the folder around it cannot be written
function M.prepare(name, last)
  name, last = file.bare(name), last or LAST
  local parent = file.parent(name)
  file.make_folder(parent)
  local complete = M.find(name, last)
  if complete and complete ~= name then
    file.rename(complete, name)
    file.sync(parent)
  end
  clear(name .. ".new", last)
  clear(name .. ".old", last)
end

--- Puts a folder on the disk, with the files and folders in it.
local function sync_tree(path)
  for _, entry in ipairs(file.entries(path)) do
    local inner = path .. "/" .. entry
    local kind = lfs.symlinkattributes(inner, "mode")
    if kind == "directory" then
      sync_tree(inner)
    elseif kind == "file" then
      file.sync(inner)
    end
  end
  file.sync(path)
end

local function fill(path, write, last)
  local part = path .. "/" .. last .. ".part"
  file.make_folder(path)
  file.write(part, "")
  local text = write(path)
  sync_tree(path)
  file.write(part, text)
  file.rename(part, path .. "/" .. last)
  file.sync(path)
end

--- Puts the complete NAME.new in NAME's place.
local function swap(name, last)
  local parent, new, old = file.parent(name), name .. ".new", name .. ".old"
  if not file.kind(name) then
    file.rename(new, name)
  elseif file.exchange(new, name) then
    old = new
  else
    file.rename(name, old)
    file.sync(parent)
    file.rename(new, name)
  end
  file.sync(parent)
  pcall(clear, old, last) -- the new folder is in place; `prepare` complains if this one stays
end

--- Removes a folder that `replace` wrote. A kill leaves it whole, or so that a second call ends it.
-- @tparam string name
-- @tparam[opt="trainer.json"] string last
-- @raise when it is not one of ours
function M.remove(name, last)
  clear(file.bare(name), last or LAST)
end

--- Writes a folder anew. When that fails, the old folder stays unchanged.
-- @tparam string name the folder
-- @tparam function write called with the path of an empty folder; writes all files but the last,
--   and returns the last one's text
-- @tparam[opt="trainer.json"] string last the file whose presence marks the folder as complete
-- @raise what `write` raises; one line that names the path when the disk is full or fails
function M.replace(name, write, last)
  name, last = file.bare(name), last or LAST
  M.prepare(name, last)
  local new = name .. ".new"
  local ok, err = pcall(fill, new, write, last)
  if not ok then
    pcall(clear, new, last) -- frees the disk
    error(err, 0)
  end
  swap(name, last)
end

return M
