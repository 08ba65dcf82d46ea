--- Tensors: views of arena memory that a script can look into.
--
-- Owns: the methods of C's struct fsam_tensor, which make views and move values between the device
-- and the host. Arenas own the memory, Lua never does. Using a tensor after its arena was reset is
-- an error that names it.
local arguments = require("fsam.base.arguments")
local C = require("fsam.C")
local devices = require("fsam.base.device")
local errors = require("fsam.errors")
local schema = require("fsam.base.schema")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local struct = ffi.typeof("fsam_tensor")
local shape_of = ffi.typeof("int64_t[4]")
local floats, ints = ffi.typeof("float[?]"), ffi.typeof("int32_t[?]")

local DTYPES = { f32 = lib.FSAM_F32, bf16 = lib.FSAM_BF16, i32 = lib.FSAM_I32 }
local NAMES = { [lib.FSAM_F32] = "f32", [lib.FSAM_BF16] = "bf16", [lib.FSAM_I32] = "i32" }

local function to_shape(shape)
  local c = shape_of()
  for i = 1, #shape do
    c[i - 1] = shape[i]
  end
  return c
end

--- A new tensor at the top of an arena.
-- @tparam cdata arena fsam_arena
-- @tparam string dtype "f32", "bf16" or "i32"
-- @tparam table shape 1 to 4 dimensions
-- @tparam string name for messages
-- @tparam[opt] boolean zeroed fill it with zeros; otherwise its values are undefined
-- @treturn cdata fsam_tensor
-- @raise one line when the arena is full or the shape is none
function M.new(arena, dtype, shape, name, zeroed)
  local t = struct()
  check(lib.fsam_tensor_new(t, arena, DTYPES[dtype], #shape, to_shape(shape), name,
    zeroed and 1 or 0))
  return t
end

--- True for a tensor.
function M.is(value)
  return ffi.istype(struct, value)
end

local methods = {}
M.methods = methods -- for completion in the REPL

--- A view of `shape`, starting `offset` elements into this tensor (default 0).
-- @treturn cdata fsam_tensor that shares this one's memory
-- @raise one line when it would end beyond this tensor
function methods.view(self, shape, offset, name)
  local t = struct()
  check(lib.fsam_tensor_view(t, self, offset or 0, #shape, to_shape(shape),
    name or ffi.string(self.name)))
  return t
end

--- A column slice of a matrix [R, C]: columns first … first + width - 1 (from 0) of every row.
-- @treturn cdata fsam_tensor [R, width] that shares this one's memory
-- @raise one line when it has no such columns
function methods.columns(self, first, width, name)
  if first < 0 or first + width > self.shape[1] then
    errors.raise("columns %d to %d of %s, which has %d", first, first + width - 1,
      tostring(self), tonumber(self.shape[1]))
  end
  local t = self:view({ tonumber(self.shape[0]), width }, 0, name)
  t.row_stride = self.row_stride
  t.data = ffi.cast("char *", self.data) + first * (self.dtype == lib.FSAM_BF16 and 2 or 4)
  return t
end

--- Number of elements.
function methods.count(self)
  return tonumber(self.shape[0] * self.shape[1] * self.shape[2] * self.shape[3])
end

--- The dimensions as a Lua table.
function methods.dims(self)
  local dims = {}
  for i = 1, self.rank do
    dims[i] = tonumber(self.shape[i - 1])
  end
  return dims
end

--- 64 bits that stand for the tensor's bytes: other values have other ones, but for chance.
-- @treturn {number,number} the upper and the lower 32 bits
function methods.hash(self)
  local out = ffi.new("uint64_t[1]")
  check(lib.fsam_tensor_hash(out, self))
  return { tonumber(out[0] / 2 ^ 32), tonumber(out[0] % 2 ^ 32) }
end

--- "f32", "bf16" or "i32".
function methods.type(self)
  return NAMES[self.dtype]
end

--- All values as a flat host array (float[count] or int32_t[count], from 0) and the count.
function methods.to_host(self)
  local n = self:count()
  local host = self.dtype == lib.FSAM_I32 and ints(n) or floats(n)
  check(lib.fsam_tensor_read(self, host, n))
  return host, n
end

local Later = {}
Later.__index = Later

--- A copy of the present values, to be read later. On a GPU, reading waits for this copy alone, not
-- for the work that was queued since. f32 and i32 only.
-- @treturn table with the methods to_host(), which may be called repeatedly, and dims(), both as a
--   tensor's
function methods.later(self)
  local out = ffi.new("fsam_readback *[1]")
  check(lib.fsam_readback_begin(out, self))
  return setmetatable({ handle = ffi.gc(out[0], lib.fsam_readback_free), count = self:count(),
    shape = self:dims(), make = self.dtype == lib.FSAM_I32 and ints or floats }, Later)
end

function Later:to_host()
  if not self.host then
    local host = self.make(self.count)
    check(lib.fsam_readback_end(self.handle, host, self.count))
    self.host = host
  end
  return self.host, self.count
end

function Later:dims()
  return self.shape
end

--- All values as a flat Lua table, from 1, row by row.
function methods.read(self)
  local host, n = self:to_host()
  local values = {}
  for i = 1, n do
    values[i] = tonumber(host[i - 1])
  end
  return values
end

--- Overwrites all values from a flat Lua table or a host array of the same type, row by row.
-- @treturn cdata the tensor
-- @raise one line when a table has another number of values
function methods.write(self, values)
  local n = self:count()
  if type(values) == "table" then
    if #values ~= n then
      errors.raise("write: %d values for %s", #values, tostring(self))
    end
    values = (self.dtype == lib.FSAM_I32 and ints or floats)(n, values)
  end
  check(lib.fsam_tensor_write(self, values, n))
  return self
end

--- Sets every element to a number.
function methods.fill(self, value)
  check(lib.fsam_tensor_fill(self, value))
  return self
end

--- Copies another tensor of the same element count, converting between f32 and bf16.
-- @tparam cdata from fsam_tensor on the same device
-- @treturn cdata the tensor
function methods.copy(self, from)
  check(lib.fsam_tensor_copy(self, from))
  return self
end

local function describe(self)
  return ("%s [%s] %s"):format(ffi.string(self.name), table.concat(self:dims(), ", "),
    NAMES[self.dtype])
end

local optional, whole = arguments.optional, schema.integer(0)
local TENSOR = arguments.where(M.is, "a tensor")
local SHAPE = arguments.arg("shape", schema.list(whole, 1))
local NAME = arguments.arg("name", optional(schema.string))

arguments.guard("fsam.tensor", M, { is = { arguments.arg("value", arguments.any) }, new = {
  arguments.arg("arena", devices.arena_shape),
  arguments.arg("dtype", schema.one_of({ "f32", "bf16", "i32" })), SHAPE,
  arguments.arg("name", schema.string), arguments.arg("zeroed", optional(schema.boolean)),
} })
arguments.guard("tensor:", methods, {
  view = { self = TENSOR, SHAPE, arguments.arg("offset", optional(whole)), NAME },
  columns = { self = TENSOR, arguments.arg("first", whole), arguments.arg("width",
    schema.integer(1)), NAME },
  to_host = { self = TENSOR }, later = { self = TENSOR }, read = { self = TENSOR },
  hash = { self = TENSOR }, count = { self = TENSOR },
  dims = { self = TENSOR }, type = { self = TENSOR },
  fill = { self = TENSOR, arguments.arg("value", schema.either("a number", function(value, place)
    return type(value) ~= "number" and schema.number()(value, place) or nil -- NaN is a value too
  end)) },
  copy = { self = TENSOR, arguments.arg("from", TENSOR) },
  write = { self = TENSOR, arguments.arg("values", schema.either("a list or a host array",
    arguments.table, arguments.where(function(value)
      return type(value) == "cdata"
    end, ""))) },
})

ffi.metatype(struct, { __index = methods, __tostring = describe })
return M
