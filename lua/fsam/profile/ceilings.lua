--- What this machine can do at best, with our own engine: matrix products in a model's type, and
-- vector programs on memory that no cache holds. Takes about a second.
-- Owns: these two measurements. Leaves to others: what they are held against (report.lua).
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local devices = require("fsam.base.device")
local params = require("fsam.vector.params")

local M = {}

local SIDE = 1024         -- of the squares that are multiplied
local SPAN = 12e6         -- elements of a vector: 48 MB
local SECONDS = 0.4       -- for each measurement

-- The most of `amount` a second, of calls of fn within a short while. The first warms up.
local function best(amount, fn)
  fn()
  local ending, least = C.lib.fsam_clock() + SECONDS, math.huge
  repeat
    local began = C.lib.fsam_clock()
    fn()
    least = math.min(least, C.lib.fsam_clock() - began)
  until C.lib.fsam_clock() > ending
  return amount / least
end

-- Operations a second of y = x wᵀ.
local function products(device, compute)
  local arena = devices.arena(device, "ceiling")
  local x, w, y = Tensor.new(arena, compute, { SIDE, SIDE }, "x"),
    Tensor.new(arena, compute, { SIDE, SIDE }, "w"), Tensor.new(arena, compute, { SIDE, SIDE }, "y")
  x:fill(0.5)
  w:fill(0.25)
  return best(2 * SIDE ^ 3, function()
    C.check(C.lib.fsam_linear_forward(y, x, w, nil))
  end)
end

-- Bytes a second: of a sweep that reads two vectors and writes one of them, or of one that reads.
local function memory(device)
  local P = params.new(device, { { name = "w", kind = "matrix", shape = { SPAN / 1e3, 1e3 } } }, {})
  P.w:set(P.w + 0.5)
  P.g:set(P.g + 0.25)
  P:sync()
  local written = best(12 * SPAN, function()
    P.w:set(P.w + P.g)
    P:sync()
  end)
  return math.max(written, best(8 * SPAN, function()
    P.w:dot(P.g):read()
  end))
end

--- Measures the ceilings.
-- @tparam cdata device fsam_device, the CPU
-- @tparam string compute "f32" or "bf16", the type of the products
-- @treturn table { flops = operations of products, bytes = of memory }, each a second
function M.measure(device, compute)
  local found = { flops = products(device, compute), bytes = memory(device) }
  collectgarbage()
  return found
end

return M
