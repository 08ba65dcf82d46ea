--- Completion of the text before the cursor: names, fields and methods of live values, and paths
-- inside quotes.
--
-- Owns: finding the candidates and laying them out. It looks at values without running their code,
-- with one exception: a lazy table of modules may list its names in a metafield `__names` (a table,
-- or a function that returns one). Leaves to others: keys and the line (line_reader.lua).
local file = require("fsam.base.file")
local registry = require("fsam.base.registry")

local M = {}

local LONGEST = 500 -- bytes of a name with all that leads to it

local KEYWORDS = {
  "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
  "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
}

--- The table that holds the methods of one of our C types: `fsam_tensor` has them in the module
-- fsam.base.tensor, if it is loaded.
local function cdata_methods(value)
  local ffi = require("ffi")
  local name = tostring(ffi.typeof(value)):match("fsam_(%w+)")
  local module = name and package.loaded["fsam.base." .. name]
  return type(module) == "table" and module.methods or nil
end

--- Calls visit(key, field) for each field of `value`: its own ones, then those of __index.
local function each_field(value, visit)
  local seen = 0
  while value ~= nil and seen < 10 do -- a chain of classes; ten is a cycle
    seen = seen + 1
    if type(value) == "cdata" then
      value = cdata_methods(value)
    end
    local meta = type(value) == "string" and debug.getmetatable(value) or getmetatable(value)
    if type(value) == "table" then
      for key, field in next, value do
        visit(key, field)
      end
    end
    meta = type(meta) == "table" and meta or nil
    local names = meta and rawget(meta, "__names")
    if type(names) == "function" then
      names = names(value)
    end
    for _, name in ipairs(names or {}) do
      visit(name, nil)
    end
    local index = meta and rawget(meta, "__index")
    value = type(index) == "table" and index or nil
  end
end

--- Follows `a.b.c` from the globals. A function __index is not run, unless the table lists the name
-- in __names.
local function resolve(path)
  local value = _G
  for name in path:gmatch("[%a_][%w_]*") do
    local found, listed
    each_field(value, function(key, field)
      if key == name then
        listed = true
        found = found == nil and field or found
      end
    end)
    if found == nil and listed then
      found = value[name]
    end
    if found == nil then
      return nil
    end
    value = found
  end
  return value
end

--- Names that continue `word`. It follows `path` and `separator` ("." or ":"), which are empty for
-- a global.
local function names(path, separator, word)
  local set = {}
  local value = path == "" and _G or resolve(path)
  each_field(value, function(key, field)
    local callable = separator ~= ":" or field == nil or type(field) == "function"
    if type(key) == "string" and key:sub(1, #word) == word and key:match("^[%a_][%w_]*$")
        and callable and (key:sub(1, 1) ~= "_" or word:sub(1, 1) == "_") then
      set[key] = true
    end
  end)
  if path == "" then
    for _, keyword in ipairs(KEYWORDS) do
      if keyword:sub(1, #word) == word then
        set[keyword] = true
      end
    end
  end
  return registry.sorted(set)
end

--- Files that continue the path inside an open quote. Folders end in "/".
local function files(text)
  local lfs = require("lfs")
  local folder, word = text:match("^(.*/)([^/]*)$")
  folder, word = folder or "", word or text
  local place = folder == "" and "." or folder:gsub("^~/", (os.getenv("HOME") or "~") .. "/")
  local set = {}
  if lfs.attributes(place, "mode") == "directory" then
    local readable, found = pcall(file.entries, place)
    for _, name in ipairs(readable and found or {}) do
      local hidden = name:sub(1, 1) == "." and word:sub(1, 1) ~= "."
      if name:sub(1, #word) == word and not hidden then
        local is_folder = lfs.attributes(place .. "/" .. name, "mode") == "directory"
        set[name .. (is_folder and "/" or "")] = true
      end
    end
  end
  return registry.sorted(set), word
end

--- The text of a string literal that is still open at the end of `line`, or nil.
local function open_quote(line)
  local quote, from
  local i = 1
  while i <= #line do
    local c = line:sub(i, i)
    if quote and c == "\\" then
      i = i + 1
    elseif quote and c == quote then
      quote = nil
    elseif not quote and (c == '"' or c == "'") then
      quote, from = c, i + 1
    end
    i = i + 1
  end
  return quote and line:sub(from) or nil
end

--- How the text before the cursor could go on.
-- @tparam string line the line up to the cursor
-- @treturn string the text to insert now: all candidates share it beyond the typed part
-- @treturn {string,…} the candidates, sorted
function M.complete(line)
  local candidates, word
  local quote = open_quote(line)
  if quote then
    candidates, word = files(quote)
  else
    local path, separator
    line = line:sub(-LONGEST) -- a search in a long line takes the square of its length
    path, separator, word = line:match("([%a_][%w_%.]*)([%.:])([%w_]*)$")
    if not path then
      path, separator, word = "", "", line:match("([%a_][%w_]*)$") or ""
    end
    candidates = names(path, separator, word)
  end
  local shared = candidates[1] or word
  for _, candidate in ipairs(candidates) do
    while candidate:sub(1, #shared) ~= shared do
      shared = shared:sub(1, -2)
    end
  end
  return shared:sub(#word + 1), candidates
end

--- Lays candidates out in columns, read downwards.
-- @tparam {string,…} candidates
-- @tparam number width columns of the terminal
-- @treturn string lines, each with its line end
function M.columns(candidates, width)
  local cell = 0
  for _, text in ipairs(candidates) do
    cell = math.max(cell, #text + 2)
  end
  local across = math.max(1, math.floor(width / cell))
  local down = math.ceil(#candidates / across)
  local lines = {}
  for i = 1, down do
    local row = {}
    for j = i, #candidates, down do
      row[#row + 1] = candidates[j] .. (" "):rep(cell - #candidates[j])
    end
    lines[i] = table.concat(row):gsub("%s+$", "") .. "\n"
  end
  return table.concat(lines)
end

return M
