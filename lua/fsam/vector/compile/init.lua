--- Compiled programs: from a key's records to the library's fsam_program.
local C = require("fsam.C")
local code = require("fsam.vector.instructions")
local emit = require("fsam.vector.compile.emit")
local schedule = require("fsam.vector.compile.plan")
require("fsam.base.source_line").own()

local ffi, lib, check = C.ffi, C.lib, C.check
local instructions_of = ffi.typeof("fsam_instruction[?]")
local size_of = ffi.typeof("fsam_program_size")
local program_out = ffi.typeof("fsam_program *[1]")

local M = {}

local FIELDS = { "op", "space", "kinds", "out", "a", "b", "c", "d" }

--- Compiles what key.walk has just recorded.
-- @treturn table { handle = fsam_program, passes = number of passes over memory, code = the
--   instructions as tables }
function M.compile(device, records, count, bound, numbers, cells)
  local plan = schedule.plan(records, count)
  local list, size = emit.emit(plan, bound, numbers, cells)
  local array = instructions_of(math.max(#list, 1))
  for i, instruction in ipairs(list) do
    for _, field in ipairs(FIELDS) do
      array[i - 1][field] = instruction[field]
    end
  end
  local out = program_out()
  check(lib.fsam_program_new(out, device, array, #list, size_of(size)))
  return { handle = ffi.gc(out[0], lib.fsam_program_free), passes = plan.passes, code = list,
    size = size }
end

--- A program as text, one instruction per line: for specs and curious people.
function M.describe(program)
  local lines = {}
  for i, x in ipairs(program.code) do
    lines[i] = ("%-12s space %d kinds %2d  out %d  a %d b %d c %d d %d")
      :format(code.NAME[x.op], x.space, x.kinds, x.out, x.a, x.b, x.c, x.d)
  end
  return table.concat(lines, "\n")
end

return M
