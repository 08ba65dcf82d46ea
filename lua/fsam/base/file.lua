--- Files and folders for the rest of the library. Every failure is one line with the path in it.
--
-- Owns: whole small files as strings, mapping large ones, the checked writer, and the few path
-- operations that saving needs. Leaves to others: what a file's bytes mean (fsam.formats,
-- fsam.text, fsam.data), and replacing a folder safely (formats/atomic_folder.lua).
local C = require("fsam.C")
local errors = require("fsam.errors")
local lfs = require("lfs")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local ENOENT, ENOTDIR = 2, 20 -- on every system that we build on

local file_out, writer_out = ffi.typeof("fsam_file *[1]"), ffi.typeof("fsam_writer *[1]")

-- What Git LFS leaves in place of a large file that was not fetched: a short text.
local LFS_POINTER = "version https://git-lfs.github.com/spec/"
local LFS_MOST = 1024

local function check_pointer(map, size, path)
  if size > #LFS_POINTER and size <= LFS_MOST
      and ffi.string(lib.fsam_file_data(map), #LFS_POINTER) == LFS_POINTER then
    errors.raise("%s is a Git LFS pointer, not the file itself; fetch it with git lfs pull", path)
  end
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
  check_pointer(map, size, path)
  return map, size
end

--- The whole content of a small file (a configuration, a vocabulary).
-- @tparam string path
-- @treturn string
-- @raise when it is not a readable file
function M.read(path)
  local map, size = M.map(path)
  local text = ffi.string(lib.fsam_file_data(map), size)
  lib.fsam_file_unmap(ffi.gc(map, nil))
  return text
end

local Writer = {}
Writer.__index = Writer

--- Opens a file for writing and empties it. Only `close` makes sure that its bytes are on the disk.
-- @tparam string path
-- @treturn Writer its `written` counts bytes
-- @raise when it cannot be opened
function M.writer(path)
  local out = writer_out()
  check(lib.fsam_writer_open(out, path))
  return setmetatable({ handle = ffi.gc(out[0], lib.fsam_writer_abandon), written = 0 }, Writer)
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
  local ok, next_entry, handle = pcall(lfs.dir, path)
  if not ok then -- lfs puts a place in our code before what the system says
    errors.raise("%s", (tostring(next_entry):gsub("^[^\n]-%.lua:%d+: ", "")))
  end
  local names = {}
  for entry in next_entry, handle do -- to its end, which closes it
    names[#names + 1] = entry ~= "." and entry ~= ".." and entry or nil
  end
  table.sort(names)
  return names
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

--- Locks a file; makes it where it does not exist. The lock ends when the handle is closed or
-- collected, and at the latest with the process.
-- @tparam string path
-- @treturn ?userdata the handle; nil when there is no lock
-- @treturn boolean true when there is no lock because another process holds it; false when the file
--   cannot be opened or locked at all, or when the lock is ours
-- @treturn ?string why there is no handle
function M.lock(path)
  local handle, refused = io.open(path, "a")
  if not handle then
    return nil, false, refused
  end
  local ok, reason = lfs.lock(handle, "w")
  if ok then
    return handle, false
  end
  handle:close()
  return nil, reason:find("unavailable") ~= nil or reason:find("Permission") ~= nil, reason
end

return M
