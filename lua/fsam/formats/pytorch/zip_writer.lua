--- Writes a zip file of uncompressed entries as PyTorch's reader wants it: data on 64-byte bounds,
-- 64-bit sizes where they are needed. The bytes depend on names and content alone. Owns: the
-- records and the checksum. Leaves to others: what the entries are (writer.lua).
local bit = require("bit")
local C = require("fsam.C")
local ffi = C.ffi

local M = {}

local ALIGNMENT = 64
local FULL = 0xffffffff -- this value says that the 64-bit field has the size
local DATE = 0x21 -- 1 January 1980, the first that the format knows

local TABLE = ffi.new("uint32_t[256]")
for i = 0, 255 do
  local value = i
  for _ = 1, 8 do
    value = bit.bxor(bit.rshift(value, 1), bit.band(value, 1) * 0xedb88320)
  end
  TABLE[i] = bit.tobit(value)
end

local function checksum(data, bytes)
  local value = -1
  data = ffi.cast("const uint8_t *", data)
  for i = 0, bytes - 1 do
    value = bit.bxor(bit.rshift(value, 8), TABLE[bit.band(bit.bxor(value, data[i]), 255)])
  end
  return bit.bnot(value) % 2 ^ 32
end

local function u(value, width)
  local out = {}
  for i = 1, width do
    out[i] = string.char(value % 256)
    value = math.floor(value / 256)
  end
  return table.concat(out)
end

local function header(signature, entry, extra, limit)
  local size = entry.bytes >= limit and FULL or entry.bytes
  return signature .. u(45, 2) .. u(0x800, 2) .. u(0, 4) .. u(DATE, 2) .. u(entry.crc, 4)
    .. u(size, 4) .. u(size, 4) .. u(#entry.name, 2) .. u(#extra, 2)
end

local function write_entry(writer, entry, limit)
  local extra = entry.bytes >= limit and u(1, 2) .. u(16, 2) .. u(entry.bytes, 8):rep(2) or ""
  entry.offset = writer.written
  local start = entry.offset + 30 + #entry.name + #extra + 4
  local padding = -start % ALIGNMENT
  extra = extra .. "FB" .. u(padding, 2) .. ("Z"):rep(padding)
  writer:write(header("PK\3\4", entry, extra, limit) .. entry.name .. extra)
  if entry.bytes > 0 then
    writer:write(entry.data, entry.bytes)
  end
end

local function directory_entry(entry, limit)
  local extra = ""
  if entry.bytes >= limit then
    extra = u(entry.bytes, 8):rep(2)
  end
  if entry.offset >= limit then
    extra = extra .. u(entry.offset, 8)
  end
  extra = extra ~= "" and u(1, 2) .. u(#extra, 2) .. extra or ""
  return header("PK\1\2" .. u(45, 2), entry, extra, limit) .. u(0, 2) .. u(0, 2) .. u(0, 2)
    .. u(0, 4) .. u(entry.offset >= limit and FULL or entry.offset, 4) .. entry.name .. extra
end

--- Writes all entries and the directory.
-- @tparam table writer of base/file.lua, at its beginning
-- @tparam {function,…} list each returns an entry when its turn comes: name, data (memory or a
--   text), bytes
-- @tparam[opt=0xffffffff] number limit from which size on 64-bit fields are used
function M.write(writer, list, limit)
  limit = limit or FULL
  local rows = {}
  for i, make in ipairs(list) do
    local entry = make()
    entry.crc = checksum(entry.data, entry.bytes)
    write_entry(writer, entry, limit)
    rows[i] = directory_entry(entry, limit)
  end
  local start, text = writer.written, table.concat(rows)
  writer:write(text)
  if start >= limit or #rows >= 0xffff then
    writer:write("PK\6\6" .. u(44, 8) .. u(45, 2):rep(2) .. u(0, 4):rep(2) .. u(#rows, 8):rep(2)
      .. u(#text, 8) .. u(start, 8) .. "PK\6\7" .. u(0, 4) .. u(start + #text, 8) .. u(1, 4))
  end
  local count = math.min(#rows, 0xffff)
  writer:write("PK\5\6" .. u(0, 4) .. u(count, 2):rep(2) .. u(#text, 4)
    .. u(start >= limit and FULL or start, 4) .. u(0, 2))
end

return M
