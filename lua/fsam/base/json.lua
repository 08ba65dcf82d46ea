--- JSON in both directions; the one module that others require for it.
--
-- Owns: writing. The same value always gives the same bytes: keys are sorted, or follow a given
-- order, and a number is the shortest text that reads back as the same double. Leaves to others:
-- reading (json_reader.lua), whose functions it hands on.
local ffi = require("ffi")
local errors = require("fsam.errors")
local reader = require("fsam.base.json_reader")
local utf8 = require("fsam.base.utf8")

local M = {
  decode = reader.decode,
  array = reader.array,
  is_array = reader.is_array,
  null = reader.null,
}

local MAX_DEPTH = 200

local int64, uint64 = ffi.typeof("int64_t"), ffi.typeof("uint64_t")

local ESCAPES = {
  ['"'] = '\\"', ["\\"] = "\\\\",
  ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
}

local function escape(c)
  return ESCAPES[c] or ("\\u%04x"):format(c:byte())
end

local function string_text(s)
  return '"' .. utf8.clean(s):gsub('[%z\1-\31"\\\127]', escape) .. '"'
end

local function number_text(x, path)
  if x ~= x or x == math.huge or x == -math.huge then
    errors.raise("json: %s is %s, which JSON cannot hold", path, tostring(x))
  end
  if x == 0 then
    return 1 / x < 0 and "-0.0" or "0"
  elseif x % 1 == 0 and math.abs(x) < 2 ^ 53 then
    return ("%d"):format(x)
  end
  for digits = 15, 16 do
    local text = ("%." .. digits .. "g"):format(x)
    if tonumber(text) == x then
      return text
    end
  end
  return ("%.17g"):format(x)
end

--- The keys of an object in the order of writing, or nil when the table is an array.
local function object_keys(state, t, path)
  if reader.is_array(t) then
    return nil
  end
  local keys, n = {}, 0
  for key in pairs(t) do
    n = n + 1
    keys[n] = key
  end
  if n > 0 and #t == n then
    return nil
  end
  for _, key in ipairs(keys) do
    if type(key) ~= "string" then
      errors.raise("json: %s has the key %s; keys are strings, or 1 … n for an array", path,
        tostring(key))
    end
  end
  local rank = state.rank
  table.sort(keys, function(a, b)
    local ra, rb = rank[a], rank[b]
    if ra and rb then
      return ra < rb
    elseif ra or rb then
      return ra ~= nil
    end
    return a < b
  end)
  return keys
end

local write

local function put(state, ...)
  for i = 1, select("#", ...) do
    state.n = state.n + 1
    state[state.n] = (select(i, ...))
  end
end

--- Line break and indentation of `depth`, or nothing in the one-line form.
local function put_break(state, depth)
  if state.indent then
    put(state, "\n", ("  "):rep(depth))
  end
end

local function write_table(state, t, path, depth)
  if depth >= MAX_DEPTH then
    errors.raise("json: %s is nested deeper than %d levels; a table that contains itself?",
      path:sub(1, 60), MAX_DEPTH)
  end
  local keys = object_keys(state, t, path)
  local count = keys and #keys or #t
  put(state, keys and "{" or "[")
  for i = 1, count do
    if i > 1 then
      put(state, state.indent and "," or ", ")
    end
    put_break(state, depth + 1)
    if keys then
      put(state, string_text(keys[i]), ": ")
      write(state, t[keys[i]], path .. "." .. keys[i], depth + 1)
    else
      write(state, t[i], path .. "[" .. i .. "]", depth + 1)
    end
  end
  if count > 0 then
    put_break(state, depth)
  end
  put(state, keys and "}" or "]")
end

function write(state, value, path, depth)
  local kind = type(value)
  if kind == "string" then
    put(state, string_text(value))
  elseif kind == "number" then
    put(state, number_text(value, path))
  elseif kind == "boolean" then
    put(state, tostring(value))
  elseif value == M.null then
    put(state, "null")
  elseif kind == "table" then
    write_table(state, value, path, depth)
  elseif kind == "cdata" and (ffi.istype(int64, value) or ffi.istype(uint64, value)) then
    put(state, (tostring(value):gsub("U?LL$", "")))
  else
    errors.raise("json: %s is a %s, which JSON cannot hold", path, kind)
  end
end

--- Writes a value as JSON.
--
-- A table is an array if `json.array` marked it or its keys are 1 … n. An empty table without the
-- mark is an object. Bytes that are not UTF-8 become U+FFFD.
-- @param value table, string, number, boolean, json.null, or a 64-bit integer of the FFI
-- @tparam[opt] table options `indent` (boolean: one member a line, indented by two spaces) and
--   `order` (list of keys that come first, in this order, in every object)
-- @treturn string the text, without a line break at its end
-- @raise one line that names the member: for NaN, infinities, values of types that JSON lacks,
--   mixed keys, and nesting deeper than 200 levels
function M.encode(value, options)
  options = options or {}
  local state = { n = 0, indent = options.indent, rank = {} }
  for i, key in ipairs(options.order or {}) do
    state.rank[key] = i
  end
  write(state, value, "the value", 0)
  return table.concat(state, "", 1, state.n)
end

return M
