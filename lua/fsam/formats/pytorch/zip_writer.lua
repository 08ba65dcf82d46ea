--- Writes a zip file of uncompressed entries as PyTorch's reader wants it: data on 64-byte bounds,
-- 64-bit sizes where they are needed. The bytes depend on names and content alone. Owns: the
-- records and the checksum. Leaves to others: what the entries are (writer.lua).
local bit = require("bit")
local C = require("fsam.C")
local ffi = C.ffi
local band, bxor, rshift = bit.band, bit.bxor, bit.rshift

local M = {}

local ALIGNMENT = 64
local FULL = 0xffffffff -- this value says that the 64-bit field has the size
local DATE = 0x21 -- 1 January 1980, the first that the format knows

-- Eight tables, so that a step of the checksum takes eight bytes: TABLES[k][b] is what byte b makes
-- of the checksum when k more bytes follow it.
local TABLES = {}
for k = 0, 7 do
  TABLES[k] = ffi.new("uint32_t[256]")
  for b = 0, 255 do
    local value = k == 0 and b or TABLES[k - 1][b]
    if k == 0 then
      for _ = 1, 8 do
        value = bxor(rshift(value, 1), band(value, 1) * 0xedb88320)
      end
    else
      value = bxor(rshift(value, 8), TABLES[0][band(value, 255)])
    end
    TABLES[k][b] = bit.tobit(value)
  end
end
local T0, T1, T2, T3 = TABLES[0], TABLES[1], TABLES[2], TABLES[3]
local T4, T5, T6, T7 = TABLES[4], TABLES[5], TABLES[6], TABLES[7]

local words_at = ffi.typeof("const uint32_t *")

-- CRC-32 of more bytes, behind those whose checksum is `value` (-1 before the first).
local function checksum(value, data, bytes)
  data = ffi.cast("const uint8_t *", data)
  local words, eights = ffi.cast(words_at, data), math.floor(bytes / 8)
  for i = 0, eights - 1 do
    local a, b = bxor(value, bit.tobit(words[2 * i])), bit.tobit(words[2 * i + 1])
    value = bxor(T7[band(a, 255)], T6[band(rshift(a, 8), 255)], T5[band(rshift(a, 16), 255)],
      T4[rshift(a, 24)], T3[band(b, 255)], T2[band(rshift(b, 8), 255)],
      T1[band(rshift(b, 16), 255)], T0[rshift(b, 24)])
  end
  for i = eights * 8, bytes - 1 do
    value = bxor(rshift(value, 8), T0[band(bxor(value, data[i]), 255)])
  end
  return value
end

local function checksum_of(entry)
  local value = -1
  entry.each_block(function(data, bytes)
    value = checksum(value, data, bytes)
  end)
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
  entry.each_block(function(data, bytes)
    writer:write(data, bytes)
  end)
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
-- @tparam {table,…} list entries: name, bytes (how many), each_block (a function that calls its
--   argument with one piece of memory and its bytes after another; it is called twice)
-- @tparam[opt=0xffffffff] number limit from which size on 64-bit fields are used
function M.write(writer, list, limit)
  limit = limit or FULL
  local rows = {}
  for i, entry in ipairs(list) do
    entry.crc = checksum_of(entry)
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
