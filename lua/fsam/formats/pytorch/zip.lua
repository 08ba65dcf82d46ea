--- The directory of a zip file whose entries are stored uncompressed, as PyTorch writes them.
--
-- Owns: finding an entry's bytes by its name. Names are only ever compared, never used as paths.
-- Sizes come from the central directory, as the local headers may lack them. Checksums are not
-- compared: PyTorch does not either, and it would read every weight twice.
--
-- Source: APPNOTE.TXT of PKWARE, 4.3.
local C = require("fsam.C")
local encoding = require("fsam.formats.pytorch.encoding")
local errors = require("fsam.errors")
local header = require("fsam.formats.safetensors.header")
local ffi, unsigned = C.ffi, encoding.unsigned

local M = {}

local LONGEST_COMMENT = 65535
local END_BYTES, LOCATOR_BYTES, END64_BYTES, ENTRY_BYTES, LOCAL_BYTES = 22, 20, 56, 46, 30

local function has(data, at, size, signature)
  return at >= 0 and at + 4 <= size and ffi.string(data + at, 4) == signature
end

local function fail(path, format, ...)
  errors.raise("%s: its zip directory is broken: %s", path, format:format(...))
end

-- A file of PyTorch's has one entry for each storage.
local MOST_ENTRIES = 2 ^ 17

-- Where the directory begins, its bytes and its entries, from the record at the end of the file.
local function find_directory(path, data, size)
  local last = size - END_BYTES
  for at = last, math.max(0, last - LONGEST_COMMENT), -1 do
    if data[at] == 0x50 and has(data, at, size, "PK\5\6") then
      local count = unsigned(data, at + 10, 2)
      local bytes, start = unsigned(data, at + 12, 4), unsigned(data, at + 16, 4)
      if has(data, at - LOCATOR_BYTES, size, "PK\6\7") then
        local at64 = unsigned(data, at - LOCATOR_BYTES + 8, 8)
        if at64 > size - END64_BYTES or not has(data, at64, size, "PK\6\6") then
          fail(path, "its 64-bit end is not at byte %.0f", at64)
        end
        count, bytes = unsigned(data, at64 + 32, 8), unsigned(data, at64 + 40, 8)
        start = unsigned(data, at64 + 48, 8)
      end
      if start + bytes > at or count * ENTRY_BYTES > bytes then
        fail(path, "%.0f entries in %.0f bytes from byte %.0f on do not fit in the file", count,
          bytes, start)
      elseif count > MOST_ENTRIES then
        fail(path, "%.0f entries, at most %d are read", count, MOST_ENTRIES)
      end
      return start, bytes, count
    end
  end
  return errors.raise("%s is a zip file without its end: it is truncated", path)
end

-- The 64-bit values that stand in the extra field for those that are all ones.
local function widen(path, data, at, bytes, values)
  local limit = at + bytes
  while at + 4 <= limit do
    local id, length = unsigned(data, at, 2), unsigned(data, at + 2, 2)
    if at + 4 + length > limit then
      return values
    end
    if id == 1 then
      local from = at + 4
      for _, name in ipairs({ "size", "packed", "offset" }) do
        if values[name] == 0xffffffff then
          if from + 8 > at + 4 + length then
            fail(path, "an entry lacks a 64-bit size")
          end
          values[name] = unsigned(data, from, 8)
          from = from + 8
        end
      end
    end
    at = at + 4 + length
  end
  return values
end

--- Reads the directory.
-- @tparam string path for messages
-- @tparam cdata data const uint8_t *
-- @tparam number size of the file
-- @treturn {string,…} the names in order
-- @treturn table map from name to { size, packed, offset, method }
-- @raise one line for the first defect
function M.read(path, data, size)
  local at, bytes, count = find_directory(path, data, size)
  local limit, names, entries = at + bytes, {}, {}
  for i = 1, count do
    if at + ENTRY_BYTES > limit or not has(data, at, size, "PK\1\2") then
      fail(path, "entry %d is not where it should be", i)
    end
    local name_bytes, extra = unsigned(data, at + 28, 2), unsigned(data, at + 30, 2)
    local next_at = at + ENTRY_BYTES + name_bytes + extra + unsigned(data, at + 32, 2)
    if next_at > limit then
      fail(path, "entry %d ends beyond it", i)
    end
    local name = ffi.string(data + at + ENTRY_BYTES, name_bytes)
    if entries[name] then
      fail(path, "two entries have the name %s", header.printable(name))
    end
    names[i] = name
    entries[name] = widen(path, data, at + ENTRY_BYTES + name_bytes, extra, {
      method = unsigned(data, at + 10, 2), packed = unsigned(data, at + 20, 4),
      size = unsigned(data, at + 24, 4), offset = unsigned(data, at + 42, 4) })
    at = next_at
  end
  return names, entries
end

--- Where an entry's bytes begin.
-- @tparam string path for messages
-- @tparam cdata data const uint8_t *
-- @tparam number size of the file
-- @tparam string name for messages
-- @tparam table entry of `read`
-- @treturn number the byte of the file; all of the entry's `size` bytes are in the file
-- @raise one line when it is compressed, or not within the file
function M.start(path, data, size, name, entry)
  local at = entry.offset
  if entry.method ~= 0 or entry.packed ~= entry.size then
    errors.raise("%s: %s is compressed; PyTorch stores its files uncompressed", path,
      header.printable(name))
  elseif at > size - LOCAL_BYTES or not has(data, at, size, "PK\3\4") then
    fail(path, "%s is not at byte %.0f", header.printable(name), at)
  end
  local start = at + LOCAL_BYTES + unsigned(data, at + 26, 2) + unsigned(data, at + 28, 2)
  if start + entry.size > size then
    fail(path, "%s ends beyond the file: it is truncated", header.printable(name))
  end
  return start
end

return M
