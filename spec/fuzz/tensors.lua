--- Changes of a safetensors file that keep it one: tensors left out, renamed, doubled, exchanged,
-- of another type or shape, with odd numbers among theirs; the offsets fit again afterwards. Owns:
-- the form of the file, and these changes. Leaves to others: files that are none (mutate.lua).
local bytes = require("spec.fuzz.bytes")
local json = require("fsam.base.json")

local M = {}

local MOST = 65536 -- bytes of a tensor that grows

local SIZES = { F64 = 8, I64 = 8, U64 = 8, F32 = 4, I32 = 4, U32 = 4, F16 = 2, BF16 = 2, I16 = 2,
  U16 = 2, I8 = 1, U8 = 1, BOOL = 1, F8_E4M3 = 1, F8_E5M2 = 1 }
local TYPES = { "F64", "I64", "U64", "F32", "I32", "U32", "F16", "BF16", "I16", "U16", "I8", "U8",
  "BOOL", "F8_E4M3", "F8_E5M2" }

-- NaN, an infinity, -0, a denormal number and the largest one: as float32, whose halves are
-- bfloat16's odd numbers.
local ODD = { "\0\0\192\127", "\0\0\128\127", "\0\0\128\255", "\0\0\0\128", "\1\0\0\0",
  "\255\255\127\127" }

-- -- the form -------------------------------------------------------------------------------------

-- The length of a header as its eight bytes.
local function length_bytes(n)
  local list = {}
  for i = 1, 8 do
    list[i] = string.char(n % 256)
    n = math.floor(n / 256)
  end
  return table.concat(list)
end

--- A file of a header and data.
function M.file(header, data)
  return length_bytes(#header) .. header .. data
end

--- The header and the data of a file that has both; nil otherwise.
function M.parts(text)
  local length = 0
  for i = math.min(8, #text), 1, -1 do
    length = length * 256 + text:byte(i)
  end
  if #text >= 8 and length <= #text - 8 then
    return text:sub(9, 8 + length), text:sub(9 + length)
  end
end

local function elements_of(shape)
  local count = 1
  for _, n in ipairs(shape) do
    if type(n) ~= "number" or n < 0 or n % 1 ~= 0 then
      return -1
    end
    count = count * n
  end
  return count
end

-- The tensors of a file, in their order; nil where the header does not describe the data.
local function read(header, data)
  local ok, members = pcall(json.decode, header, "header")
  local list = {}
  for name, d in pairs(ok and type(members) == "table" and members or {}) do
    if name ~= "__metadata__" then
      local at = type(d) == "table" and d.data_offsets
      local size = at and SIZES[d.dtype]
      local shape = size and type(d.shape) == "table" and d.shape
      if not shape or elements_of(shape) < 0 or type(at) ~= "table"
        or type(at[1]) ~= "number" or type(at[2]) ~= "number"
        or elements_of(shape) * size ~= at[2] - at[1] or at[1] < 0 or at[2] > #data then
        return nil
      end
      list[#list + 1] = { name = tostring(name), dtype = d.dtype, shape = shape, at = at[1],
        data = data:sub(at[1] + 1, at[2]) }
    end
  end
  table.sort(list, function(a, b)
    return a.at < b.at or a.at == b.at and a.name < b.name
  end)
  return list
end

-- The file of a list of tensors. Data that do not fit their shape are cut, or repeated.
local function write(list)
  local members, all, at = {}, {}, 0
  for i, t in ipairs(list) do
    local size = elements_of(t.shape) * SIZES[t.dtype]
    if #t.data ~= size then
      local from = t.data == "" and "\0\0\128\63" or t.data
      t.data = from:rep(math.ceil(size / #from)):sub(1, size)
    end
    all[i] = t.data
    members[i] = ('%s:{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}'):format(
      json.encode(t.name), t.dtype, table.concat(t.shape, ","), at, at + size)
    at = at + size
  end
  return M.file("{" .. table.concat(members, ",") .. "}", table.concat(all))
end

-- -- changes --------------------------------------------------------------------------------------

local function copy(t)
  return { name = t.name, dtype = t.dtype, shape = { unpack(t.shape) }, data = t.data }
end

local function reshape(draw, t)
  local shape, kind = { unpack(t.shape) }, draw:upto(5)
  local at = draw:upto(math.max(#shape, 1))
  if kind == 1 then
    shape = { elements_of(shape) }
  elseif kind == 2 then
    table.insert(shape, at, 1)
  elseif kind == 3 and #shape > 1 then
    shape[1], shape[#shape] = shape[#shape], shape[1]
  elseif kind == 4 then
    shape[at] = draw:from({ 0, 1, 2, 3, 17 })
  else
    shape[at] = math.max(0, (shape[at] or 1) + draw:from({ -1, 1 }))
  end
  if elements_of(shape) * 8 <= MOST then
    t.shape = shape
  end
end

local CHANGES = {
  function(_, list, at)
    table.remove(list, at)
  end,
  function(draw, list, at, words)
    list[at].name = draw:once_in(2) and draw:from(words)
      or bytes.change(draw, list[at].name, list[draw:upto(#list)].name, words)
  end,
  function(draw, list, at)
    list[at].dtype = draw:from(TYPES)
  end,
  function(draw, list, at)
    reshape(draw, list[at])
  end,
  function(draw, list, at) -- the names of two exchanged
    local other = list[draw:upto(#list)]
    list[at].name, other.name = other.name, list[at].name
  end,
  function(draw, list, at, words)
    local more = copy(list[at])
    more.name = draw:once_in(2) and draw:from(words) or more.name .. "x"
    table.insert(list, draw:upto(#list + 1), more)
  end,
  function(draw, list, at) -- an odd number among its own
    local t = list[at]
    local from = 4 * draw:upto(math.max(1, math.floor(#t.data / 4))) - 4
    t.data = (t.data:sub(1, from) .. draw:from(ODD) .. t.data:sub(from + 5)):sub(1, #t.data)
  end,
  function(draw, list, at) -- elsewhere in the file
    table.insert(list, draw:upto(#list), table.remove(list, at))
  end,
}

--- One change.
-- @tparam Draw draw
-- @tparam string header
-- @tparam string data
-- @tparam {string,…} words names that the format knows; at least one
-- @treturn ?string the file; nil where the header does not describe the data
function M.change(draw, header, data, words)
  local list = read(header, data)
  if not list or #list == 0 then
    return nil
  end
  draw:from(CHANGES)(draw, list, draw:upto(#list), words)
  return write(list)
end

return M
