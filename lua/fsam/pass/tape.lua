--- The tape of one pass: which backward steps follow from the forward ones, and the gradients that
-- wait for them. Define-by-run: every op of fsam.ops runs at once and records its backward here.
-- Owns: activations' gradients and their memory. Leaves to others: what an op computes (ops), where
-- parameters' gradients lie (fsam.params), what a pass is for (fsam.pass).
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local ffi, lib, check = C.ffi, C.lib, C.check

local Tape = {}
Tape.__index = Tape

--- A tape for one micro-batch.
-- @tparam table o arena = step arena; batch = fsam_batch; training = dropout is on;
--   recording = keep what backward needs;
--   grads = an object with `of(parameter)` → f32 tensor or nil (fsam.pass)
function Tape.new(o)
  return setmetatable({
    arena = o.arena,
    batch = o.batch,
    training = o.training,
    recording = o.recording,
    grads = o.grads,
    entries = {},
    needs = {}, -- tensors whose gradient somebody wants
    waiting = {}, -- tensor → its gradient so far
    free = {}, -- gradient memory to use again: size_key → list of tensors
    touched = {}, -- gradients written by the entry that runs now
  }, Tape)
end

--- A fresh activation in the step arena, contents undefined.
function Tape:tensor(dtype, shape, name)
  return Tensor.new(self.arena, dtype, shape, name)
end

--- Dropout of probability p at a site (numbered by the model), or nil when there is none.
function Tape:dropout(p, site)
  if not self.training or p == 0 then
    return nil
  end
  return ffi.new("fsam_dropout", p, site)
end

--- True when a gradient with respect to x is wanted.
function Tape:wants(x)
  return self.needs[x] or false
end

--- Records that y's gradient is passed on by `backward(dy)`. `wanted` says whether anything above y
-- needs it; if not, y is a constant from here on.
function Tape:record(y, wanted, backward)
  if self.recording and wanted then
    self.needs[y] = true
    self.entries[#self.entries + 1] = { y = y, backward = backward }
  end
end

-- Gradients of one size and type share memory.
local function size_key(x)
  return x:count() * 4 + x.dtype
end

-- Gradient memory of x's size: taken back from a gradient that has been used up, or new.
local function gradient_like(tape, x)
  local list = tape.free[size_key(x)]
  local used = list and table.remove(list)
  if used then
    return used:view(x:dims(), 0, "gradient")
  end
  return tape:tensor(x:type(), x:dims(), "gradient")
end

--- The gradient of activation x to write (filled = 0) or add to (1); nil when nobody wants it.
function Tape:grad(x)
  if not self.needs[x] then
    return nil
  end
  local dx = self.waiting[x]
  if not dx then
    dx = gradient_like(self, x)
    self.waiting[x] = dx
  end
  self.touched[#self.touched + 1] = dx
  return dx
end

--- The gradient of a parameter to write or add to; nil when it is frozen or left out of this pass.
function Tape:weight_grad(parameter)
  local dw = parameter and self.grads:of(parameter)
  if dw then
    self.touched[#self.touched + 1] = dw
    if self.notes then
      self.notes.written[parameter] = true
    end
  end
  return dw
end

--- What the device does from here to end_part makes the gradients of these parameters and nothing
-- else: a recorded pass can leave it out.
function Tape:begin_part(...)
  local notes = self.notes
  if notes then
    local parameters = {}
    for i = 1, select("#", ...) do
      parameters[#parameters + 1] = (select(i, ...)) -- a linear map may have no bias
    end
    check(lib.fsam_graph_part_begin(notes.device, #notes.parts))
    notes.parts[#notes.parts + 1] = parameters
  end
end

function Tape:end_part()
  if self.notes then
    check(lib.fsam_graph_part_end(self.notes.device))
  end
end

--- True when some parameter of the list gets a gradient in this pass.
function Tape:trains(...)
  for i = 1, select("#", ...) do
    local parameter = select(i, ...)
    if parameter and self.grads and self.grads:of(parameter) then
      return true
    end
  end
  return false
end

--- Seeds the gradient of y with dy (the loss does this).
function Tape:seed(y, dy)
  dy.filled = 1
  self.waiting[y] = dy
end

--- Runs the tape backwards. Each entry's temporaries are released as soon as it is done, and the
-- memory of its output's gradient is used again, so that a pass needs its activations plus a few
-- gradients, not twice the activations.
-- @tparam[opt] table notes of a recording (fsam.pass.cuda_graphs): its parts, and the parameters
-- whose
--   gradients it writes, are noted there
function Tape:backward(notes)
  self.notes = notes
  for i = #self.entries, 1, -1 do
    local entry = self.entries[i]
    local dy = self.waiting[entry.y]
    if dy then
      entry.backward(dy)
      for k, t in ipairs(self.touched) do
        t.filled = 1
        self.touched[k] = nil
      end
      self.waiting[entry.y] = nil
      local key = size_key(dy)
      self.free[key] = self.free[key] or {}
      table.insert(self.free[key], dy)
    end
    self.entries[i] = nil
  end
end

return Tape
