--- Reads a pickle, Python's stack program for building a value, as data: tables come out
-- (objects.lua), nothing is looked up, imported or called.
--
-- Owns: the operations of protocols 0 to 5, and the bounds on what a file may ask for. Every
-- operation costs at least one byte of the file and builds at most one table, and their number has
-- a limit; nothing here recurses. Leaves to others: what the few known names mean (globals.lua),
-- storages (storage.lua), how numbers and texts look in bytes (encoding.lua).
--
-- Source: Python's pickletools.py, which documents each operation.
local C = require("fsam.C")
local encoding = require("fsam.formats.pytorch.encoding")
local errors = require("fsam.errors")
local header = require("fsam.formats.safetensors.header")
local json = require("fsam.base.json")
local objects = require("fsam.formats.pytorch.objects")
local ffi = C.ffi

local M = {}

--- Most operations of one pickle. A checkpoint of a thousand tensors has about forty thousand.
M.MAX_STEPS = 2 ^ 20
--- Longest pickle in bytes; the weights are not part of it.
M.MAX_BYTES = 2 ^ 27

local LONGEST_NAME = 1000 -- bytes of a line: a module, a class, a number in digits
local LONGEST_INTEGER = 1024 -- bytes

local Machine = {}
Machine.__index = Machine

--- Raises about the operation at hand.
function Machine:fail(format, ...)
  errors.raise("%s: byte %d of its pickle: %s", self.path, self.from, format:format(...))
end

--- Counts values that a known name copies like as many operations, so that copying has a limit too.
-- @tparam number count
function Machine:spend(count)
  self.spent = self.spent + count
  if self.spent > M.MAX_STEPS then
    self:fail("its calls copy more than %d values", M.MAX_STEPS)
  end
end

-- -- the bytes ------------------------------------------------------------------------------------

-- The position of the next `count` bytes, which are passed over.
local function take(vm, count)
  local at = vm.at
  if count > vm.limit - at then
    if vm.truncated then
      vm:fail("it is longer than %d bytes", M.MAX_BYTES)
    end
    vm:fail("the file ends inside it: it is truncated")
  end
  vm.at = at + count
  return at
end

-- An unsigned little-endian integer of `width` bytes (at most 8; then exact to 2^53).
local function unsigned(vm, width)
  return encoding.unsigned(vm.data, take(vm, width), width)
end

local function bytes(vm, count)
  return ffi.string(vm.data + take(vm, count), count)
end

local function line(vm, longest)
  local start = vm.at
  local last = math.min(vm.limit, start + (longest or LONGEST_NAME)) - 1
  for at = start, last do
    if vm.data[at] == 10 then
      vm.at = at + 1
      return ffi.string(vm.data + start, at - start)
    end
  end
  vm:fail(last == vm.limit - 1 and "the file ends inside it: it is truncated"
    or "a line is too long")
end

-- -- the stack ------------------------------------------------------------------------------------

local function push(vm, value)
  vm.top = vm.top + 1
  vm.stack[vm.top] = value
end

-- The value on top; the values under a mark belong to whatever set it.
local function top(vm)
  if vm.top <= (vm.marks[#vm.marks] or 0) then
    vm:fail("it needs a value where there is none")
  end
  return vm.stack[vm.top]
end

local function pop(vm)
  local value = top(vm)
  vm.stack[vm.top] = nil
  vm.top = vm.top - 1
  return value
end

-- The values above the last mark, which is removed. Returns a list and its length.
local function pop_mark(vm)
  local mark = table.remove(vm.marks)
  if not mark then
    vm:fail("it needs a mark where there is none")
  end
  local list, n = {}, vm.top - mark
  for i = 1, n do
    list[i] = vm.stack[mark + i]
    vm.stack[mark + i] = nil
  end
  vm.top = mark
  return list, n
end

local function remember(vm, key)
  vm.memo[key] = top(vm)
end

local function recall(vm, key)
  local value = vm.memo[key]
  if value == nil then
    vm:fail("it names value %.0f, which was not stored", key or 0 / 0)
  end
  push(vm, value)
end

-- A number that a text operation gives for a place in the memo.
local function index(vm)
  return tonumber((line(vm):match("^%d+$"))) or vm:fail("a place in its memory is no number")
end

-- -- containers -----------------------------------------------------------------------------------

-- Appends to a list or a set, or to the items of an object that is one.
local function append(vm, target, list, n)
  local kind = objects.kind(target)
  if kind == "object" then
    target.list = target.list or objects.sequence("list", {})
    target = target.list
  elseif kind ~= "list" and kind ~= "set" then
    vm:fail("it appends to %s", objects.show(target))
  end
  for i = 1, n do
    target[target.n + i] = list[i]
  end
  target.n = target.n + n
end

local function append_marked(vm)
  local list, n = pop_mark(vm)
  append(vm, top(vm), list, n)
end

-- Sets members of a dict, or of an object that is one, from a flat list.
local function set_items(vm, target, list, n)
  local kind = objects.kind(target)
  if kind == "object" then
    target.dict = target.dict or objects.dict()
    target = target.dict
  elseif kind ~= "dict" then
    vm:fail("it sets members of %s", objects.show(target))
  elseif n % 2 ~= 0 then
    vm:fail("a key has no value")
  end
  for i = 1, n - n % 2, 2 do
    objects.set(target, list[i], list[i + 1])
  end
end

local function tuple(n)
  return function(vm)
    local list = {}
    for i = n, 1, -1 do
      list[i] = pop(vm)
    end
    push(vm, objects.sequence("tuple", list, n))
  end
end

local function sequence(is)
  return function(vm)
    push(vm, objects.sequence(is, pop_mark(vm)))
  end
end

-- -- names and objects ----------------------------------------------------------------------------

-- The class or function of a name; the same table each time.
local function named(vm, module, name)
  if type(module) ~= "string" or type(name) ~= "string" then
    vm:fail("a class is named by %s", objects.show(type(module) ~= "string" and module or name))
  end
  local full = module .. "." .. name
  vm.names[full] = vm.names[full] or { is = "class", name = full }
  return vm.names[full]
end

-- What a call of a name would make, without the call: one of the known values, or an object.
local function make(vm, class, args)
  local known = objects.kind(class) == "class" and vm.globals[class.name]
  if known then
    return known(args, vm)
  end
  local object = objects.object(type(class) == "table" and (class.name or class.class) or "?")
  object.args = args
  return object
end

local function make_from_stack(vm)
  local args = pop(vm)
  if objects.kind(args) ~= "tuple" then
    vm:fail("the arguments of a class are %s", objects.show(args))
  end
  push(vm, make(vm, pop(vm), args))
end

-- -- operations -----------------------------------------------------------------------------------

local function pushes(read)
  return function(vm)
    push(vm, read(vm))
  end
end

local function constant(value)
  return function(vm)
    push(vm, value)
  end
end

-- A text or bytes whose length comes first in `width` bytes.
local function counted(width)
  return pushes(function(vm)
    return bytes(vm, unsigned(vm, width))
  end)
end

local function long(width)
  return pushes(function(vm)
    local count = unsigned(vm, width)
    if count > LONGEST_INTEGER then
      vm:fail("an integer of %.0f bytes", count)
    end
    return encoding.integer(bytes(vm, count))
  end)
end

local function digits(vm)
  local text = line(vm)
  return tonumber((text:match("^%s*([+-]?%d+)L?%s*$")))
    or vm:fail("%s is no integer", objects.show(text))
end

local OPERATIONS = {
  -- numbers and constants
  ["N"] = constant(json.null),
  ["\136"] = constant(true),
  ["\137"] = constant(false),
  ["J"] = pushes(function(vm)
    local value = unsigned(vm, 4)
    return value >= 2 ^ 31 and value - 2 ^ 32 or value
  end),
  ["K"] = pushes(function(vm) return unsigned(vm, 1) end),
  ["M"] = pushes(function(vm) return unsigned(vm, 2) end),
  ["G"] = pushes(function(vm) return encoding.double(bytes(vm, 8):reverse()) end),
  ["\138"] = long(1),
  ["\139"] = long(4),
  ["L"] = pushes(digits),
  ["I"] = pushes(function(vm)
    local start = vm.at
    local word = line(vm)
    if word == "00" or word == "01" then -- how protocol 0 writes False and True
      return word == "01"
    end
    vm.at = start
    return digits(vm)
  end),
  ["F"] = pushes(function(vm)
    local text = line(vm)
    return tonumber(text) or vm:fail("%s is no number", objects.show(text))
  end),
  -- texts and bytes
  ["S"] = pushes(function(vm)
    return encoding.quoted(line(vm, M.MAX_BYTES)) or vm:fail("a text has no quotes")
  end),
  ["V"] = pushes(function(vm) return encoding.raw_unicode(line(vm, M.MAX_BYTES)) end),
  ["T"] = counted(4), ["U"] = counted(1), -- strings of Python 2
  ["X"] = counted(4), ["\140"] = counted(1), ["\141"] = counted(8),
  ["B"] = counted(4), ["C"] = counted(1), ["\142"] = counted(8), ["\150"] = counted(8),
  -- containers
  ["]"] = pushes(function() return objects.sequence("list", {}) end),
  ["l"] = sequence("list"),
  ["a"] = function(vm)
    local value = pop(vm)
    append(vm, top(vm), { value }, 1)
  end,
  ["e"] = append_marked,
  ["\144"] = append_marked,
  [")"] = tuple(0), ["\133"] = tuple(1), ["\134"] = tuple(2), ["\135"] = tuple(3),
  ["t"] = sequence("tuple"),
  ["\143"] = pushes(function() return objects.sequence("set", {}) end),
  ["\145"] = sequence("set"), -- a frozen one
  ["}"] = pushes(objects.dict),
  ["d"] = function(vm)
    local dict, list, n = objects.dict(), pop_mark(vm)
    set_items(vm, dict, list, n)
    push(vm, dict)
  end,
  ["s"] = function(vm)
    local value, key = pop(vm), pop(vm)
    set_items(vm, top(vm), { key, value }, 2)
  end,
  ["u"] = function(vm)
    local list, n = pop_mark(vm)
    set_items(vm, top(vm), list, n)
  end,
  -- the stack and the memo
  ["("] = function(vm) vm.marks[#vm.marks + 1] = vm.top end,
  ["0"] = function(vm)
    if vm.top == vm.marks[#vm.marks] then
      pop_mark(vm)
    else
      pop(vm)
    end
  end,
  ["1"] = function(vm) pop_mark(vm) end,
  ["2"] = function(vm) push(vm, top(vm)) end,
  ["p"] = function(vm) remember(vm, index(vm)) end,
  ["q"] = function(vm) remember(vm, unsigned(vm, 1)) end,
  ["r"] = function(vm) remember(vm, unsigned(vm, 4)) end,
  ["\148"] = function(vm)
    remember(vm, vm.stored)
    vm.stored = vm.stored + 1
  end,
  ["g"] = function(vm) recall(vm, index(vm)) end,
  ["h"] = function(vm) recall(vm, unsigned(vm, 1)) end,
  ["j"] = function(vm) recall(vm, unsigned(vm, 4)) end,
  -- names and objects
  ["c"] = pushes(function(vm)
    local module = line(vm)
    return named(vm, module, line(vm))
  end),
  ["\147"] = pushes(function(vm)
    local name = pop(vm)
    return named(vm, pop(vm), name)
  end),
  ["R"] = make_from_stack,
  ["\129"] = make_from_stack,
  ["\146"] = function(vm)
    local named_args = pop(vm)
    make_from_stack(vm)
    if objects.kind(top(vm)) == "object" then
      top(vm).named_args = named_args
    end
  end,
  ["o"] = function(vm)
    local list, n = pop_mark(vm)
    if n == 0 then
      vm:fail("an object has no class")
    end
    local class = table.remove(list, 1)
    push(vm, make(vm, class, objects.sequence("tuple", list, n - 1)))
  end,
  ["i"] = function(vm)
    local module = line(vm)
    local class = named(vm, module, line(vm))
    push(vm, make(vm, class, objects.sequence("tuple", pop_mark(vm))))
  end,
  ["b"] = function(vm)
    local state, target = pop(vm), top(vm)
    local kind = objects.kind(target)
    if kind == "object" or kind == "dict" then -- an OrderedDict may have attributes
      target.state = state
    end
  end,
  ["P"] = pushes(function(vm) return vm.persistent(line(vm), vm) end),
  ["Q"] = pushes(function(vm) return vm.persistent(pop(vm), vm) end),
  -- the frame of the whole
  ["\128"] = function(vm)
    local protocol = unsigned(vm, 1)
    if protocol > 5 then
      vm:fail("protocol %d; 0 to 5 are supported", protocol)
    end
  end,
  ["\149"] = function(vm) take(vm, 8) end, -- the length of a frame, which only helps buffering
}

local BY_BYTE = {}
for character, operation in pairs(OPERATIONS) do
  BY_BYTE[character:byte()] = operation
end

local STOP = ("."):byte()

--- Reads one pickle.
-- @tparam table o data (const uint8_t *), at (where it begins) and limit (where the bytes end);
--   path for messages; globals, name → function(args, machine), which returns the value of a known
--   name's call; persistent, function(id, machine), which returns the value of a persistent id
-- @return its value (see objects.lua)
-- @treturn number the position after it
-- @raise one line that names the file and the byte, for the first defect and for a pickle beyond
--   the bounds
function M.read(o)
  local limit = math.min(o.limit, o.at + M.MAX_BYTES)
  local vm = setmetatable({ path = o.path, data = o.data, at = o.at, limit = limit,
    truncated = limit < o.limit, globals = o.globals, persistent = o.persistent, stack = {},
    top = 0, marks = {}, memo = {}, names = {}, stored = 0, from = 0, spent = 0 }, Machine)
  for _ = 1, M.MAX_STEPS do
    vm.from = vm.at - o.at
    local code = vm.data[take(vm, 1)]
    if code == STOP then
      return pop(vm), vm.at
    end
    local operation = BY_BYTE[code]
    if not operation then
      vm:fail("%s is no operation that is supported", code > 32 and code < 127
        and header.printable(string.char(code)) or ("0x%02x"):format(code))
    end
    operation(vm)
  end
  return vm:fail("it has more than %d operations", M.MAX_STEPS)
end

return M
