--- The tape of one micro-batch: the backward steps that follow from its forward ones.
-- Define-by-run: every op of ops.lua runs at once and records its backward here. Owns: the order of
-- backward, activations' gradients and their memory, which work may go beside other work. Leaves to
-- others: what an op computes (ops.lua), parameters' gradients (gradients.lua), what a pass is for
-- (fsam.pass).
local C = require("fsam.C")
local arguments = require("fsam.base.arguments")
local device_batch = require("fsam.pass.device_batch")
local Tensor = require("fsam.base.tensor")
local errors = require("fsam.errors")
local ffi, lib, check = C.ffi, C.lib, C.check

-- A pass makes a hundred tensors, all of shapes that ops take from other tensors.
local new_tensor, view_of = arguments.within(Tensor.new), arguments.within(Tensor.methods.view)

local Tape = {}
Tape.__index = Tape

-- Gradients of one size that work beside other work may still read, before one of them is waited
-- for: it is then what a layer of the model queued while the one behind it was at the same place.
local MOST_READ = 2
-- How many sections of such work may be under way.
local LAG = 3

--- A tape for one micro-batch.
-- @tparam table o arena = step arena; batch = fsam_batch; first_rows = the batch of the samples'
--   first rows (fsam.pass.device_batch; nil: made when an op needs it, which no graph records);
--   training = dropout is on;
--   grads = where parameters' gradients go (fsam.pass.gradients); nil: there is no backward;
--   attention_rng = FSAM_RNG_…, who draws attention's dropout (nil: our kernels);
--   squares = they are Σ_b g_b² over the samples b, not the gradient of the sum of losses;
--   device = a device that records, where parameters' gradients shall go beside other work; or nil
function Tape.new(o)
  return setmetatable({
    arena = o.arena,
    batch = o.batch,
    first_rows = o.first_rows,
    training = o.training,
    attention_rng = o.attention_rng,
    grads = o.grads,
    squares = o.squares,
    beside = not o.squares and o.device or nil,
    ticket = 0, -- of the last work beside other work
    joined = 0, -- the last ticket that was waited for
    parted = {}, -- parameters' views whose gradients the work that has begun writes
    apart = {}, -- such views → the ticket of the last work that did
    to_clear = {}, -- views of large gradients, mostly zeros, that the first of such work clears
    read = {}, -- gradients that such work may still read: size_key → list of { tensor, ticket }
    used = {}, -- parameters that an op has read, where squares are wanted
    repeated = nil, -- the name of one that several ops have read
    rows = {}, -- tensors that have a row for each sample, not for each token
    entries = {},
    needs = {}, -- tensors whose gradient is wanted
    waiting = {}, -- tensor → its gradient so far
    free = {}, -- gradient memory to use again: size_key → list of tensors
    touched = {}, -- gradients of activations that the entry which runs now writes
  }, Tape)
end

--- A fresh activation in the step arena, contents undefined.
function Tape:tensor(dtype, shape, name)
  return new_tensor(self.arena, dtype, shape, name)
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

--- Notes that y has a row for each sample: of = true, or a tensor that y's rows follow.
function Tape:per_sample(y, of)
  self.rows[y] = of == true or self.rows[of]
end

--- 1 where x has a row for each sample, 0 where it has one for each token.
function Tape:is_per_sample(x)
  return self.rows[x] and 1 or 0
end

--- The batch whose rows x has: the tape's, or the first rows of its samples.
-- @treturn cdata fsam_batch
function Tape:batch_of(x)
  if not self.rows[x] then
    return self.batch
  end
  self.first_rows = self.first_rows or device_batch.first_rows(self.arena, self.batch)
  return self.first_rows
end

--- Records y's backward. Where nothing wants y's gradient, y is a constant from here on.
-- @tparam cdata y an op's output
-- @tparam boolean wanted does any input or parameter of the op want a gradient?
-- @tparam function backward fn(dy) adds to these gradients
function Tape:record(y, wanted, backward)
  if self.grads and wanted then
    self.needs[y] = true
    self.entries[#self.entries + 1] = { y = y, backward = backward }
  end
end

local ticket_slot = ffi.new("int64_t[1]")

-- Gradients of one size and type share memory.
local function size_key(x)
  return x:count() * 4 + x.dtype
end

-- What is queued from here on waits for the work of a ticket.
local function join(tape, ticket)
  if ticket > tape.joined then
    check(lib.fsam_beside_join(tape.beside, ticket))
    tape.joined = ticket
  end
end

-- The gradient of a size that was left to work beside other work the longest ago; nil where there
-- are few: then new memory costs less than waiting.
local function left_longest_ago(tape, key)
  local list = tape.read[key]
  local oldest = list and list[1]
  if not oldest or #list < MOST_READ and oldest.ticket > tape.joined then
    return nil
  end
  join(tape, oldest.ticket)
  return table.remove(list, 1).tensor
end

-- Memory for a gradient of x's size: that of a gradient that is no longer needed, or new.
local function gradient_like(tape, x)
  local key = size_key(x)
  local list = tape.free[key]
  local used = list and table.remove(list) or left_longest_ago(tape, key)
  if used then
    return view_of(used, x:dims(), 0, "gradient")
  end
  return tape:tensor(x:type(), x:dims(), "gradient")
end

--- The gradient of activation x to write (filled = 0) or add to (1); nil when it is not wanted.
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

--- Notes a parameter's view whose gradient is zero but for a few rows: where work may go beside
-- other work, backward begins with clearing it there.
function Tape:clears(view)
  if self.beside and self.grads then
    table.insert(self.to_clear, view)
  end
end

--- Begins work that reads the gradient which the entry that runs was given, and writes these
-- parameters' gradients alone: nothing waits for it before backward ends. Call `meet` right after
-- the work, also when it failed.
function Tape:part(weight, bias)
  if self.beside then
    check(lib.fsam_beside_begin(self.beside))
    self.parted = { weight or bias, bias or weight }
  end
end

--- Ends it.
function Tape:meet()
  if self.beside then
    check(lib.fsam_beside_end(ticket_slot, self.beside))
    local first = self.ticket == 0
    self.ticket = tonumber(ticket_slot[0])
    if first then
      self.joined = self.ticket - 1 -- what is before is of other passes
    end
    for _, view in ipairs(self.parted) do
      self.apart[view] = self.ticket
    end
    -- What is a while ago is done, or nearly. Waiting for it here, where a product follows, spares
    -- the wait where its memory is used again, behind which a kernel could not start early.
    join(self, self.ticket - LAG)
  end
end

--- Between the two: the gradient that was just queued is added up for its norm, where that is
-- wanted.
function Tape:square(view)
  if self.beside then
    self.grads:square(view)
  end
end

--- The gradient of a parameter's view, for the kernel that writes it next; nil when it is frozen or
-- skipped in this pass.
-- @tparam[opt] boolean squares true of an op that squares samples' gradients where it should
-- @tparam[opt] boolean apart true where the kernel is called between `part` and `meet`
-- @raise where the tape wants squares and the op has none
function Tape:weight_grad(view, squares, apart)
  if self.squares and not squares and view then
    errors.raise("the op that reads %s cannot square single samples' gradients (fsam.pass.ops)",
      view.parameters[1].name)
  end
  if view and not apart and self.apart[view] then
    join(self, self.apart[view])
  end
  return view and self.grads:write(view)
end

-- The square of a sum needs all its parts at once: a parameter that two ops read has none here.
local function note_use(tape, view)
  for _, parameter in ipairs(view.parameters) do
    if tape.used[parameter] then
      tape.repeated = parameter.name
    end
    tape.used[parameter] = true
  end
end

--- True when some view of the list gets a gradient in this pass.
function Tape:trains(...)
  local trains = false
  for i = 1, select("#", ...) do
    local view = select(i, ...)
    if view and self.grads and self.grads:wants(view) then
      trains = true
      if self.squares then
        note_use(self, view)
      end
    end
  end
  return trains
end

--- Seeds the gradient of y with dy (the loss does this).
function Tape:seed(y, dy)
  dy.filled = 1
  self.waiting[y] = dy
end

-- The memory of a gradient whose entry has run, at which the work beside others was at `before`.
local function give_back(tape, dy, before)
  local key = size_key(dy)
  local lists = tape.ticket > before and tape.read or tape.free
  lists[key] = lists[key] or {}
  table.insert(lists[key], tape.ticket > before and { tensor = dy, ticket = tape.ticket } or dy)
end

local function clear_tables(self)
  local views = self.to_clear
  self.to_clear = {}
  for _, view in ipairs(views) do
    local dw = self:weight_grad(view, true, true)
    if dw and dw.filled == 0 then
      self:part(view)
      dw:fill(0)
      self:meet()
    end
  end
end

-- Runs the entries from the last to `to`.
local function run_entries(self, to)
  clear_tables(self)
  for i = #self.entries, to, -1 do
    local entry = self.entries[i]
    local dy = self.waiting[entry.y]
    self.grads.entry = i
    if dy then
      local before = self.ticket
      entry.backward(dy)
      for k, t in ipairs(self.touched) do
        t.filled = 1
        self.touched[k] = nil
      end
      self.waiting[entry.y] = nil
      give_back(self, dy, before)
    end
    self.entries[i] = nil
  end
end

--- Runs the tape backwards, or a piece of it: from where the piece before ended. After each entry
-- its closure goes, and the memory of its output's gradient is used again, so that a pass needs
-- its activations plus a few gradients, not twice the activations.
-- @tparam[opt=1] integer to the entry that the piece ends with
-- @treturn boolean did some of its work go beside the rest?
function Tape:backward(to)
  local first, device = self.ticket, self.beside
  if not device then
    run_entries(self, to or 1)
    return false
  end
  check(lib.fsam_beside_sums(device, lib.FSAM_SUMS_HELD))
  local ok, err = pcall(run_entries, self, to or 1)
  if not ok then
    lib.fsam_beside_sums(device, lib.FSAM_SUMS_DROPPED)
    error(err, 0)
  end
  join(self, self.ticket)
  check(lib.fsam_beside_sums(device, lib.FSAM_SUMS_AT_ONCE))
  self.grads:square_run()
  return self.ticket > first
end

return Tape
