--- The one door to the C library. Owns: its declarations, loading it, checking its return codes. No
-- other file calls ffi.cdef or ffi.load. The declarations are engine/fsam.h itself, which the build
-- cuts out as fsam.cdef, so they cannot drift from the library.
--
--   C.ffi     LuaJIT's ffi        C.lib   the library's functions and constants
--   C.check   (rc) → rc, or raises the library's message
--   C.pow     (x, y) → x to the power y as C computes it; LuaJIT's ^ differs in the last bit, and
--             compiled from interpreted
local ffi = require("ffi")

local M = { ffi = ffi }

ffi.cdef(require("fsam.cdef"))
ffi.cdef("double pow(double, double);")

M.pow = ffi.C.pow

-- The library lies beside the build's lua/ or in the installed lib/, unless the program that runs
-- us has it linked in.
local function load_library()
  local linked = pcall(function()
    return ffi.C.fsam_abi
  end)
  if linked then
    return ffi.C
  end
  local cdef = assert(package.searchpath("fsam.cdef", package.path))
  local root = cdef:gsub("[^/]*$", "") .. "../../"
  local tried = { root .. "libfsam.so", root .. "../../lib/libfsam.so" }
  for _, path in ipairs(tried) do
    local file = io.open(path, "rb")
    if file then
      file:close()
      return ffi.load(path)
    end
  end
  error("libfsam.so was not found (tried " .. table.concat(tried, ", ") .. ")", 0)
end

M.lib = load_library()

local abi = M.lib.fsam_abi()
if abi ~= M.lib.FSAM_ABI then
  error(("libfsam.so has interface %d, the Lua files want %d: build and install them together")
    :format(abi, tonumber(M.lib.FSAM_ABI)), 0)
end

--- Checks what a function of the library returned.
-- @tparam number rc
-- @tparam[opt] string file that the arguments came from; the message names it in place of the
--   function
-- @treturn number rc, when it is not negative
-- @raise the library's one-line message (fsam_error) when it is negative
function M.check(rc, file)
  if rc < 0 then
    local message = ffi.string(M.lib.fsam_error())
    if file then
      message = file .. ": " .. message:gsub("^[%l_]+: ", "")
    end
    require("fsam.errors").raise("%s", message)
  end
  return rc
end

return M
