--- Cells: the places on the device where computed scalars (one f64) and rows (one f64 per
-- parameter) stand. A node holds its cell by a small cdata handle; when the node is collected, the
-- cell is used again. Work on a device is in order, so a cell that is used again cannot be
-- overwritten too early.
--
-- Owns: which cells are free, and moving numbers between cells and the host. Leaves to others: what
-- a cell means (the node that holds it).
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
require("fsam.base.source_line").own()

local ffi, lib, check = C.ffi, C.lib, C.check
local handle_of = ffi.typeof("int32_t[1]")
local doubles = ffi.typeof("double[?]")
local pointer = ffi.typeof("double *")

local CHUNK = 64 -- cells that are allocated at once, and scalars that are read at once

local M = {}
local Pool = {}
Pool.__index = Pool

--- A pool of cells of `width` f64 numbers each, in an arena.
function M.new(arena, width, name)
  local free = {}
  return setmetatable({
    arena = arena, width = width, name = name,
    pointers = {}, tensors = {}, free = free, chunks = {},
    known = {}, -- number of a chunk of scalars → its numbers on the host, until a program runs
    host = doubles(width),
    release = function(handle)
      free[#free + 1] = handle[0]
    end,
  }, Pool)
end

local function grow(self)
  local count = #self.pointers
  local chunk = Tensor.new(self.arena, "i32", { CHUNK * self.width * 2 }, self.name, true)
  self.chunks[#self.chunks + 1] = chunk
  for i = CHUNK, 1, -1 do
    local cell = chunk:view({ self.width * 2 }, (i - 1) * self.width * 2)
    self.tensors[count + i] = cell
    self.pointers[count + i] = ffi.cast(pointer, cell.data)
    self.free[#self.free + 1] = count + i
  end
end

--- A fresh cell's handle.
function Pool:take()
  local free = self.free
  if #free == 0 then
    grow(self)
  end
  local handle = ffi.gc(handle_of(free[#free]), self.release)
  free[#free] = nil
  return handle
end

--- Where a cell is, for a program's binding.
function Pool:pointer(handle)
  return self.pointers[handle[0]]
end

-- A scalar's chunk on the host. Reading waits for the device, so that all scalars that a program
-- left are read with the first of them.
local function chunk_on_host(self, number)
  local host = self.known[number]
  if not host then
    host = doubles(CHUNK)
    check(lib.fsam_tensor_read(self.chunks[number + 1], host, CHUNK * 2))
    self.known[number] = host
  end
  return host
end

--- Cells may hold other numbers from here on: a program runs.
function Pool:forget()
  if next(self.known) then
    self.known = {}
  end
end

--- Its numbers, as a host array (valid until the next read).
function Pool:read(handle)
  if self.width == 1 then
    local at = handle[0] - 1
    return chunk_on_host(self, math.floor(at / CHUNK)) + at % CHUNK
  end
  check(lib.fsam_tensor_read(self.tensors[handle[0]], self.host, self.width * 2))
  return self.host
end

--- Overwrites its numbers from a table.
function Pool:write(handle, values)
  self:forget()
  for i = 1, self.width do
    self.host[i - 1] = values[i]
  end
  check(lib.fsam_tensor_write(self.tensors[handle[0]], self.host, self.width * 2))
end

return M
