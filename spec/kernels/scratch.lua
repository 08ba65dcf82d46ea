--- A device, an arena and a batch for specs that try a kernel on a few values by hand, beside what
-- the runner checks.
--
--     local s = scratch.new()
--     local x = s:tensor("f32", { 2, 3 }, { 1, 2, 3, 4, 5, 6 })
--     assert.equal(message, s:refused(lib.fsam_tanh_forward(y, x)))
--     s:close()
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local stage = require("spec.kernels.stage")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}
M.__index = M

--- A fresh arena on the CPU.
function M.new()
  local device, arena = ffi.new("fsam_device *[1]"), ffi.new("fsam_arena *[1]")
  check(lib.fsam_device_open(device, "cpu"))
  check(lib.fsam_arena_new(arena, device[0], "scratch"))
  return setmetatable({ device = device[0], arena = arena[0], kept = {} }, M)
end

--- Frees the arena and everything made here.
function M:close()
  lib.fsam_arena_free(self.arena)
  lib.fsam_device_close(self.device)
end

--- A tensor that holds `values`: a flat table, or one number for all (default 0).
function M:tensor(dtype, shape, values, name)
  local t = Tensor.new(self.arena, dtype, shape, name or "t", true)
  if type(values) == "table" then
    t:write(values)
  elseif values then
    t:fill(values)
  end
  return t
end

--- A batch of samples of these lengths and `tail` rows after them, in a pass of scale 1.
function M:batch(lengths, tail)
  local starts = { 0 }
  for b, length in ipairs(lengths) do
    starts[b + 1] = starts[b] + length
  end
  local t = self:tensor("i32", { #starts }, starts, "starts")
  local pass = self:tensor("i32", { 4 }, stage.pass_words({ scale = 1 }), "pass")
  self.kept[#self.kept + 1] = { t, pass }
  return ffi.new("fsam_batch", { starts = t.data, tokens = starts[#starts] + (tail or 0),
    samples = #lengths, pass = ffi.cast("const fsam_pass *", pass.data) })
end

--- The message of a call that must have failed.
function M:refused(rc) -- luacheck: ignore self
  assert(rc < 0, "the call succeeded")
  return ffi.string(lib.fsam_error())
end

return M
