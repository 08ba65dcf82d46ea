--- Files and folders for the rest of the library. Every failure is one line with the path in it.
--
-- Owns: whole small files as strings, mapping large ones, the checked writer, locks, and the few
-- path operations that saving needs. No other file of ours opens one, so that all kinds and sizes
-- are bounded here, before memory is taken. Leaves to others: what a file's bytes mean
-- (fsam.formats, fsam.text, fsam.data), and replacing a folder, or files in one, safely
-- (formats/atomic_folder.lua, formats/file_set.lua).
local C = require("fsam.C")
local errors = require("fsam.errors")
local foreign = require("fsam.base.foreign")
local lfs = require("lfs")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local ENOENT, ENOTDIR = 2, 20 -- on every system that we build on

local file_out, writer_out = ffi.typeof("fsam_file *[1]"), ffi.typeof("fsam_writer *[1]")
local lock_out = ffi.typeof("fsam_lock *[1]")
local folder_out, name_out = ffi.typeof("fsam_folder *[1]"), ffi.typeof("const char *[1]")

-- The first bytes of a mapped file, which show its kind.
local function beginning(map, size)
  return ffi.string(lib.fsam_file_data(map), math.min(size, foreign.ENOUGH))
end

--- Maps a file for reading.
-- @tparam string path
-- @treturn cdata fsam_file, unmapped when it is collected
-- @treturn number its size in bytes
-- @raise when it is not a readable file, or stands for one that was not fetched
function M.map(path)
  local out = file_out()
  check(lib.fsam_file_map(out, path))
  local map = ffi.gc(out[0], lib.fsam_file_unmap)
  local size = tonumber(lib.fsam_file_size(map))
  local hint = foreign.pointer_hint(beginning(map, size), size)
  if hint then
    errors.raise("%s %s", path, hint)
  end
  return map, size
end

local MOST, LONGEST = 2 ^ 24, 2 ^ 20 -- bytes of a document, and of a line

--- The most bytes of a vocabulary: twice the largest that is in use.
M.VOCABULARY = 2 ^ 26

local function check_size(path, size, limit)
  if size > limit then
    errors.raise("%s has %.0f bytes, at most %.0f are read; is it the right file?", path, size,
      limit)
  end
end

-- Where the line that begins at `at` ends: the place of its "\n", or `size`.
local function line_end(data, at, size, path, number)
  local stop = math.min(size, at + LONGEST + 1)
  for i = at, stop - 1 do
    if data[i] == 10 then
      return i
    end
  end
  if stop - at > LONGEST then
    errors.raise("%s: line %d has more than %d bytes; is it the right file?", path, number, LONGEST)
  end
  return size
end

-- Refuses an archive or another encoding under a name that promises text.
local function check_kind(map, size, path, in_lines)
  local hint = foreign.hint(beginning(map, size), not in_lines)
  if hint then
    errors.raise("%s %s", path, hint)
  end
end

--- The whole content of a file: a configuration, a vocabulary, texts.
-- @tparam string path
-- @tparam[opt=16 MB] number limit the most bytes that it may have
-- @tparam[opt=false] boolean in_lines no line of it may have more than 1 MB
-- @treturn string
-- @raise when it is not a readable regular file, is larger, is plainly of another kind
--   (foreign.lua), or changes meanwhile
function M.read(path, limit, in_lines)
  local map, size = M.map(path)
  check_kind(map, size, path, in_lines)
  check_size(path, size, limit or MOST)
  local data, at, number = lib.fsam_file_data(map), 0, 1
  while in_lines and size - at > LONGEST do
    at, number = line_end(data, at, size, path, number) + 1, number + 1
  end
  local text = ffi.string(data, size)
  check(lib.fsam_file_unchanged(map))
  lib.fsam_file_unmap(ffi.gc(map, nil))
  return text
end

--- The lines of a file that may be large, such as a log, one after the other.
-- @tparam string path
-- @tparam number limit the most bytes that the file may have
-- @treturn function an iterator: each call returns a line without its end; nil at the end
-- @raise as `read`; a line may have at most 1 MB
function M.lines(path, limit)
  local map, size = M.map(path)
  check_size(path, size, limit)
  local data, at, number = lib.fsam_file_data(map), 0, 0
  return function()
    if at >= size then
      check(lib.fsam_file_unchanged(map))
      return nil
    end
    number = number + 1
    local from, to = at, line_end(data, at, size, path, number)
    at = to + 1
    return ffi.string(data + from, to - from)
  end
end

--- All of standard input.
-- @tparam number limit the most bytes that it may have
-- @treturn string
-- @raise when there are more
function M.standard_input(limit)
  local pieces, bytes = {}, 0
  repeat
    local piece = io.read(2 ^ 16)
    pieces[#pieces + 1] = piece
    bytes = bytes + #(piece or "")
    if bytes > limit then
      errors.raise("standard input has more than %.0f bytes, which is the most that is read", limit)
    end
  until not piece
  return table.concat(pieces)
end

local Writer = {}
Writer.__index = Writer

local function open_writer(path, how)
  local out = writer_out()
  check(lib.fsam_writer_open(out, path, how))
  return setmetatable({ handle = ffi.gc(out[0], lib.fsam_writer_abandon), written = 0 }, Writer)
end

--- Opens a file for writing and empties it. Only `close` makes sure that its bytes are on the disk.
-- @tparam string path
-- @treturn Writer its `written` counts bytes
-- @raise when it cannot be opened
function M.writer(path)
  return open_writer(path, 0)
end

local WAYS = {
  log = lib.FSAM_APPEND + lib.FSAM_PLAIN,
  history = lib.FSAM_APPEND + lib.FSAM_PRIVATE,
}

--- Opens a file to append to it, and makes it where there is none.
-- @tparam string path
-- @tparam string way "log": a regular file, not through a link; "history": a new one is the user's
--   alone
-- @treturn Writer whose bytes are the system's after `flush`
-- @raise when it cannot be opened
function M.appender(path, way)
  return open_writer(path, WAYS[way])
end

--- Appends bytes from memory or from a string.
-- @tparam cdata|string data
-- @tparam[opt=#data] number bytes
-- @raise one line with the path, when the disk is full or fails
function Writer:write(data, bytes)
  bytes = bytes or #data
  check(lib.fsam_writer_write(self.handle, data, bytes))
  self.written = self.written + bytes
end

--- Appends all elements of a tensor, in its own type, from whichever device it is on.
-- @tparam cdata tensor fsam_tensor
-- @raise as `write`
function Writer:tensor(tensor)
  check(lib.fsam_writer_tensor(self.handle, tensor))
  local width = tensor.dtype == lib.FSAM_BF16 and 2 or 4
  for i = 0, 3 do
    width = width * tonumber(tensor.shape[i])
  end
  self.written = self.written + width
end

--- How many numbers of the tensors so far are infinite or NaN.
-- @treturn number
function Writer:not_finite()
  return tonumber(lib.fsam_writer_not_finite(self.handle))
end

--- Hands all bytes to the system, so that they stay when this process is killed.
-- @raise as `write`
function Writer:flush()
  check(lib.fsam_writer_flush(self.handle))
end

--- Does the file that it appends to end inside a line, as a full disk or a kill leaves it?
-- @treturn boolean
function Writer:is_torn()
  return lib.fsam_writer_torn(self.handle) ~= 0
end

--- Puts all bytes on the disk and closes; the writer cannot be used afterwards.
-- @raise as `write`
function Writer:close()
  check(lib.fsam_writer_close(ffi.gc(self.handle, nil)))
end

--- Closes after an error; what was written so far stays.
function Writer:abandon()
  lib.fsam_writer_abandon(ffi.gc(self.handle, nil))
end

--- Writes a file by a function and puts it on the disk. The file is closed after an error too.
-- @tparam string path
-- @tparam function fill called with the Writer
-- @raise what `fill` raises, and as `Writer:write`
function M.write_with(path, fill)
  local writer = M.writer(path)
  local ok, err = pcall(fill, writer)
  if not ok then
    writer:abandon()
    error(err, 0)
  end
  writer:close()
end

--- Writes a small file and puts it on the disk.
-- @tparam string path
-- @tparam string text
-- @raise one line with the path
function M.write(path, text)
  M.write_with(path, function(writer)
    writer:write(text)
  end)
end

--- Writes a small file, all or nothing: first beside it, as NAME.new.
-- @tparam string path
-- @tparam string text
-- @raise one line with the path
function M.replace(path, text)
  local new = path .. ".new"
  local writer = open_writer(new, lib.FSAM_PLAIN)
  writer:write(text)
  writer:close()
  M.rename(new, path)
  M.sync(M.parent(path))
end

--- A path without slashes at its end; "/" stays.
-- @tparam string path
-- @treturn string
function M.bare(path)
  return (path:gsub("(.)/+$", "%1"))
end

--- What is at a path; links are followed. What cannot be seen does not pass for nothing there: a
-- vocabulary or a checkpoint that is missed for a moment would silently be replaced by another.
-- @tparam string path
-- @treturn ?string "file", "directory" or another of lfs's modes; nil only when nothing is there
-- @raise naming the path, when the system does not answer (permission, a failing disk)
function M.kind(path)
  local kind, reason, number = lfs.attributes(path, "mode")
  if not kind and number ~= ENOENT and number ~= ENOTDIR then
    errors.raise("%s", reason)
  end
  return kind
end

--- What is in a folder.
-- @tparam string path
-- @treturn {string,…} names, sorted, without "." and ".."
-- @raise one line with the path, when it cannot be read
function M.entries(path)
  local out, name, names = folder_out(), name_out(), {}
  check(lib.fsam_folder_open(out, path))
  local folder = ffi.gc(out[0], lib.fsam_folder_close)
  repeat
    check(lib.fsam_folder_next(name, folder))
    names[#names + 1] = name[0] ~= nil and ffi.string(name[0]) or nil
  until name[0] == nil
  lib.fsam_folder_close(ffi.gc(folder, nil))
  table.sort(names)
  return names
end

--- Do two paths lead to one file or folder?
-- @tparam string a
-- @tparam string b
-- @treturn boolean false where one of them is not there
function M.same(a, b)
  local x, y = lfs.attributes(a), lfs.attributes(b)
  return x ~= nil and y ~= nil and x.ino == y.ino and x.dev == y.dev
end

--- The folder that a path is in.
-- @tparam string path without a slash at its end
-- @treturn string "." for a name alone
function M.parent(path)
  local folder = path:match("^(.*)/[^/]*$")
  return folder == "" and "/" or folder or "."
end

--- Makes a folder, and each folder above it that does not exist yet.
-- @tparam string path
-- @raise one line with the path
function M.make_folder(path)
  if path == "" or M.kind(path) == "directory" then
    return
  end
  M.make_folder(M.parent(M.bare(path)))
  local ok, reason = lfs.mkdir(path)
  if not ok and M.kind(path) ~= "directory" then -- another process may have been quicker
    errors.raise("cannot make the folder %s: %s", path, reason)
  end
end

--- Removes a file, or a folder with all that is in it. A path with nothing there is no error.
-- @tparam string path
-- @raise one line with the path
function M.remove(path)
  check(lib.fsam_path_remove(path))
end

--- Renames; an existing file is replaced, an existing folder only if it is empty.
-- @tparam string from
-- @tparam string to
-- @raise one line with both paths
function M.rename(from, to)
  check(lib.fsam_path_rename(from, to, 0))
end

--- Swaps two existing paths in one atomic step.
-- @tparam string a
-- @tparam string b
-- @treturn boolean false where the file system cannot do this; nothing has changed then
-- @raise one line with both paths, on other failures
function M.exchange(a, b)
  local rc = lib.fsam_path_rename(a, b, 1)
  if rc == lib.FSAM_EINVAL then
    return false
  end
  check(rc)
  return true
end

--- Puts a file's content, or a folder's list of entries, on the disk.
-- @tparam string path
-- @raise one line with the path
function M.sync(path)
  check(lib.fsam_path_sync(path))
end

--- Moves entries of a folder into the first free old-1, old-2, … in it.
-- @tparam string folder
-- @tparam {string,…} names those that are not there do not count
-- @treturn ?string where they are now; nil when none was there
-- @raise one line with the path
function M.move_aside(folder, names)
  local aside
  for _, name in ipairs(names) do
    local path = folder .. "/" .. name
    if lfs.symlinkattributes(path, "mode") then
      local number = 1
      while not aside and M.kind(folder .. "/old-" .. number) do
        number = number + 1
      end
      aside = aside or folder .. "/old-" .. number
      M.make_folder(aside)
      M.rename(path, aside .. "/" .. name)
    end
  end
  return aside
end

--- Locks a file; makes it where it does not exist. The lock ends when the handle is collected, and
-- at the latest with the process.
-- @tparam string path
-- @treturn ?cdata the handle; nil when there is no lock
-- @treturn boolean true when there is no lock because another process holds it; false when the file
--   cannot be opened or locked at all, or when the lock is ours
-- @treturn ?string why there is no handle
function M.lock(path)
  local out = lock_out()
  if lib.fsam_lock_take(out, path) < 0 then
    return nil, false, errors.line(ffi.string(lib.fsam_error()))
  elseif out[0] == nil then
    return nil, true
  end
  return ffi.gc(out[0], lib.fsam_lock_free), false
end

return M
