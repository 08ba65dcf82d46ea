--- The one door to the C library: declarations, loading, error checking. No other file calls
-- ffi.cdef or ffi.load. The declarations are engine/fsam.h itself (cut out at build time as
-- fsam.cdef), so they cannot drift from the library.
local ffi = require("ffi")

local M = { ffi = ffi }

ffi.cdef(require("fsam.cdef"))

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

--- Raises the library's message when rc is negative; returns rc otherwise.
function M.check(rc)
  if rc < 0 then
    require("fsam.errors").raise("%s", ffi.string(M.lib.fsam_error()))
  end
  return rc
end

return M
