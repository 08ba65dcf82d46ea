--- What the REPL's help(x) and ?x say: the comment that stands above a function, or at the head of
-- the file of a module or object.
--
-- Owns: finding that comment. Leaves to others: what it says (the files), how one asks
-- (repl.lua).
local arguments = require("fsam.base.arguments")
local file = require("fsam.base.file")

local M = {}

local MOST = 2 ^ 24 -- bytes of a source
local ABOVE = 16 -- lines between a comment and the function that it is about, at most

local OVERVIEW = [[
fsam is the library; Tab after `fsam.` lists its parts, and after a value its fields.
  m = fsam.load "runs/cola-1"    a trained model: m:predict "text", m:gradient("text", "label")
  m.params.w                     all its weights, a vector; w:norm():read() is a number
  help(x) or ?x                  what a part, function or value is: ?fsam.sam, ?m.predict, ?w
  exit, or Ctrl-D                ends]]

-- The lines of a source; none where it is gone.
local function lines_of(path)
  local lines = {}
  if file.kind(path) == "file" then
    for line in file.lines(path, MOST) do
      lines[#lines + 1] = line
    end
  end
  return lines
end

-- The comment that goes on from a line; nil where none begins there.
local function comment_from(lines, first)
  if not (lines[first] or ""):find("^%s*%-%-%-") then
    return nil
  end
  local text = {}
  for i = first, #lines do
    local rest = lines[i]:match("^%s*%-%-%-? ?(.*)$")
    if not rest then
      break
    end
    text[#text + 1] = rest
  end
  return table.concat(text, "\n")
end

local function about_function(fn)
  fn = arguments.within(fn) or fn
  local info = debug.getinfo(fn, "S")
  local path = info.source:match("^@(.*)$")
  local lines = path and lines_of(path) or {}
  for first = info.linedefined - 1, math.max(1, info.linedefined - ABOVE), -1 do
    local text = comment_from(lines, first)
    if text then
      return text
    end
  end
  return nil
end

-- The comment at the head of the file in which a function stands.
local function about_file(fn)
  local path = debug.getinfo(arguments.within(fn) or fn, "S").source:match("^@(.*)$")
  return path and comment_from(lines_of(path), 1)
end

local function about_module(value)
  for name, module in pairs(package.loaded) do
    if rawequal(module, value) and type(name) == "string" and name:find("^fsam") then
      local path = package.searchpath(name, package.path)
      return path and comment_from(lines_of(path), 1)
    end
  end
end

-- A function of an object's class, whose file is about the object.
local function method_of(value)
  local meta = getmetatable(value)
  if type(meta) == "table" and type(rawget(meta, "__tostring")) == "function" then
    return rawget(meta, "__tostring")
  end
  for _, class in ipairs({ meta, type(meta) == "table" and rawget(meta, "__index") or nil }) do
    for _, member in next, type(class) == "table" and class or {} do
      if type(member) == "function" and debug.getinfo(member, "S").what == "Lua" then
        return member
      end
    end
  end
end

--- The text about a value.
-- @param ... the value; without one an overview
-- @treturn string
function M.text(...)
  local value = (...)
  if select("#", ...) == 0 then
    return OVERVIEW
  elseif type(value) == "function" then
    return about_function(value) or about_file(value) or "a function without a comment"
  elseif type(value) == "table" then
    local vector = package.loaded["fsam.vector.expression"] and require("fsam.vector")
    if vector and vector.is(value) then
      return about_module(vector)
    end
    local method = not about_module(value) and method_of(value)
    return about_module(value) or method and about_file(method)
      or "a table; Tab after its name and a dot lists its fields"
  end
  return value == nil and "nil: there is nothing of this name" or "a " .. type(value)
end

return M
