--- The compiler of the vector language: from queued sets and asked-for values to a program of the
-- library, compiled once for each structure. This file is the room's only door.
--
-- One after the other: key.lua walks over the expressions and writes records, which are the key of
-- the cache; plan.lua says which sets and reductions run in which sweep over memory; emit.lua,
-- values.lua and scalars.lua make instructions, and registers.lua places their values. When a
-- program runs, queue.lua decides.
local C = require("fsam.C")
local code = require("fsam.vector.instructions")
local emit = require("fsam.vector.compile.emit")
local keys = require("fsam.vector.compile.key")
local plans = require("fsam.vector.compile.plan")
require("fsam.base.source_line").own()

local ffi, lib, check = C.ffi, C.lib, C.check
local instructions_of = ffi.typeof("fsam_instruction[?]")
local size_of = ffi.typeof("fsam_program_size")
local program_out = ffi.typeof("fsam_program *[1]")

local M = {}

local FIELDS = { "op", "space", "kinds", "out", "a", "b", "c", "d" }

-- Compiles the records of the last walk.
local function compile(device)
  local plan = plans.plan(keys.records())
  local bound, numbers, cells = keys.binding_sizes()
  local list, size = emit.emit(plan, bound, numbers, cells)
  local array = instructions_of(math.max(#list, 1))
  for i, instruction in ipairs(list) do
    for _, field in ipairs(FIELDS) do
      array[i - 1][field] = instruction[field]
    end
  end
  local out = program_out()
  check(lib.fsam_program_new(out, device, array, #list, size_of(size)))
  return { handle = ffi.gc(out[0], lib.fsam_program_free), sweeps = plan.sweeps, code = list,
    size = size }
end

--- The program that runs queued sets and computes what is asked for, compiled if the cache lacks
-- it.
-- @tparam table programs the cache, by key; a new program is added to it
-- @tparam cdata device fsam_device
-- @tparam table sets the new leaves of queued sets, in order
-- @tparam table outs scalars and rows whose values are wanted
-- @param[opt] selection the values that a selection looks at
-- @treturn table program { handle = fsam_program, sweeps = number of sweeps over memory, code = the
--   instructions as tables, size }
-- @treturn cdata its fsam_binding, until the next call
-- @treturn table the nodes whose values the program keeps in cells
-- @treturn table these cells' handles, for the caller to assign once the program has run
-- @raise with the user's line, where an expression reads a value that is gone
function M.program_of(programs, device, sets, outs, selection)
  local key, kept, handles = keys.walk(sets, outs, selection)
  local program = programs[key]
  if not program then
    program = compile(device)
    programs[key] = program
  end
  return program, keys.binding(), kept, handles
end

--- A program as text, one instruction per line, for specs and for reading.
function M.describe(program)
  local lines = {}
  for i, x in ipairs(program.code) do
    lines[i] = ("%-12s space %d kinds %2d  out %d  a %d b %d c %d d %d")
      :format(code.NAME[x.op], x.space, x.kinds, x.out, x.a, x.b, x.c, x.d)
  end
  return table.concat(lines, "\n")
end

return M
