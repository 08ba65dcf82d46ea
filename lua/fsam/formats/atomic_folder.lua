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
-- What a user puts into NAME itself goes on into the folder that replaces it: files that the new
-- one lacks, and that are not in the list `files` of NAME's last file. Where there are such guests,
-- NAME gets an empty file LAST.guests before the exchange. A NAME.new or NAME.old with that file
-- was replaced, and its guests are still to be moved.
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

local function is_there(path)
  return lfs.symlinkattributes(path, "mode") ~= nil
end

-- The names that the save of a complete folder wrote, as a set, by the list in one of its files.
-- Runs of earlier versions have no list.
local function own_files(last, list_at)
  local own = { [last] = true, [last .. ".guests"] = true }
  local content = json.decode(file.read(list_at), list_at)
  local list = type(content) == "table" and content.files
  for _, entry in ipairs(type(list) == "table" and list or {}) do
    own[entry] = true
  end
  return own
end

-- What a user put into a complete folder that another one replaces.
local function guests_of(path, other, last)
  local own, guests = own_files(last, path .. "/" .. last), {}
  for _, entry in ipairs(file.entries(path)) do
    if not own[entry] and not is_there(other .. "/" .. entry) then
      guests[#guests + 1] = entry
    end
  end
  return guests
end

local function move_guests(path, name, last)
  for _, entry in ipairs(guests_of(path, name, last)) do
    file.rename(path .. "/" .. entry, name .. "/" .. entry)
  end
  file.sync(name)
end

-- Removes NAME.new or NAME.old, if it is ours.
local function clear(path, name, last)
  local kind = lfs.symlinkattributes(path, "mode")
  if not kind then
    return
  end
  local at, part = path .. "/" .. last, path .. "/" .. last .. ".part"
  if kind == "directory" and is_complete(path, last) then
    if is_there(at .. ".guests") then
      move_guests(path, name, last)
    end
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
  clear(name .. ".new", name, last)
  clear(name .. ".old", name, last)
  if is_there(name .. "/" .. last .. ".guests") then -- killed right before the exchange
    file.remove(name .. "/" .. last .. ".guests")
  end
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
  if is_complete(name, last) and #guests_of(name, new, last) > 0 then
    file.write(name .. "/" .. last .. ".guests", "")
    file.sync(name)
  end
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
  pcall(clear, old, name, last) -- the new folder is in place; `prepare` complains if this one stays
end

--- Writes a folder anew. When that fails, the old folder stays unchanged. Files that a user put
-- into the old folder are in the new one.
-- @tparam string name the folder
-- @tparam function write called with the path of an empty folder; writes all files but the last,
--   and returns the last one's text, whose member `files` may list their names (`written`)
-- @tparam[opt="trainer.json"] string last the file whose presence marks the folder as complete
-- @raise what `write` raises; one line that names the path when the disk is full or fails
function M.replace(name, write, last)
  name, last = file.bare(name), last or LAST
  M.prepare(name, last)
  local new = name .. ".new"
  local ok, err = pcall(fill, new, write, last)
  if not ok then
    pcall(clear, new, name, last) -- frees the disk
    error(err, 0)
  end
  swap(name, last)
end

--- What a save has written so far, for the list in its last file.
-- @tparam string path of the folder that `replace` hands over
-- @tparam[opt="trainer.json"] string last
-- @treturn table an array of names (json.array), the last file's among them
function M.written(path, last)
  local names = json.array({ last or LAST })
  for _, entry in ipairs(file.entries(path)) do
    names[#names + 1] = entry ~= (last or LAST) .. ".part" and entry or nil
  end
  return names
end

--- Removes the files that the save of a complete folder wrote, and the folder unless a user put
-- something there. With its first step it is complete no more; after a kill a second
-- call removes the rest.
-- @tparam string name
-- @tparam[opt="trainer.json"] string last
-- @raise one line with the path
function M.remove(name, last)
  last = last or LAST
  local at, part = name .. "/" .. last, name .. "/" .. last .. ".part"
  if file.kind(name) == "directory" and is_complete(name, last) then
    file.rename(at, part)
  elseif file.kind(part) ~= "file" then
    lfs.rmdir(name) -- where a kill left it empty
    return
  end
  local own = own_files(last, part)
  for _, entry in ipairs(file.entries(name)) do
    if own[entry] then
      file.remove(name .. "/" .. entry)
    end
  end
  file.remove(part)
  lfs.rmdir(name) -- where it is empty
end

return M
