--- A model's parameters as one vector. `params.new` seals a list of named parameters into a layout
-- that the master weights w, the working copy c, the gradient g and everything an optimizer keeps
-- all share; what can be computed with them is the vector language (fsam.vector).
--
--     local P = params.new(device, specs, { compute = "bf16" })     -- device: fsam_device
--       specs[i] = { name =, shape =, kind =, layer =, decay = true, frozen = false }
--       kind "embedding", "matrix" (compute type), "bias", "norm", "head" (always f32)
--       layer 0, 1, … inside the encoder; -1 (default) for embeddings, `head` = one past the last
--     P.parameters[i], P.by_name[name]     index (from 0) name kind layer shape offset count decay
--                                        frozen compute ("act" or "f32"), in the layout's order
--     P.count  P.trainable  P.total      elements: real, not frozen, with padding
--     P.w  P.c  P.g                      vectors
--     P:vector(name)  P:scratch(name)    persistent state; transient vector (g2). Zero when new
--     P:mask(name)  P:scalar(name, x)    one bit each (all 0 when new); one f64 (x or 0 when new)
--     P:state()                          { vectors, masks, scalars }: persistent things by name, in
--                                        order of creation (w included; c, g and scratch are not)
--     P:weight(s)  P:master(s)           tensors in c (compute type) and w; s: a parameter, its
--     P:grad(s, into)                    name, or neighbours and a shape: ({ q, k, v }, { 3*H, H })
--                                        grad: f32 in `into` (default g); its `filled` is yours
--     P:sync()                           c ← round(w) now, frozen parameters too (after loading)
--     P:memory()                         bytes by owner
--
-- For the one file that drives steps:
--     P:begin_step()   from here until commit or discard, sets of persistent things wait
--     P:flush()        runs queued sets of transient things (c, g, scratch) and requested scalars
--     P:touch(v)       somebody else has written v's memory (a model pass wrote g): a new value
--     P:commit()       runs everything queued, in as few passes as possible; ends the step
--     P:discard()      drops everything queued: nothing persistent has changed; ends the step
--     P:trace(on)      remember where expressions are built, for P:unused()
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local cells = require("fsam.vector.cells")
local code = require("fsam.vector.instructions")
local devices = require("fsam.base.device")
local errors = require("fsam.errors")
local source_line = require("fsam.base.source_line")
local layout = require("fsam.vector.parameters")
local show = require("fsam.vector.show")
local storage = require("fsam.vector.storage")
require("fsam.vector.mask")

source_line.own()

local lib = C.lib

local M = {}

local Params = {}
Params.__index = Params
for _, part in ipairs({ "views", "values", "steps" }) do
  for name, method in pairs(require("fsam.vector.params." .. part)) do
    Params[name] = method
  end
end

-- In elements: a page, and how much later within it the next vector begins (13 lines of 64 bytes).
local PAGE, STAGGER = 1024, 13 * 16
local BYTES = { f32 = 4, bf16 = 2 }

-- -- sealing --------------------------------------------------------------------------------------

-- The working copy: one piece of memory, bf16[act] and then f32[total - act], or f32[total].
local function new_working_copy(self)
  if self.compute == "f32" then
    self.c_act = Tensor.new(self.parameter_arena, "f32", { self.total }, "c", true)
    return storage.new(self, "c", code.F32, false, self.c_act, self.c_act.data)
  end
  local rest = self.total - self.act
  local all = Tensor.new(self.parameter_arena, "bf16", { self.act + 2 * rest }, "c", true)
  self.c_act = all:view({ self.act }, 0, "c")
  local bytes = all:view({ 2 * rest }, self.act, "c")
  self.c_rest = all:view({ rest }, 0, "c")
  self.c_rest.dtype, self.c_rest.data = lib.FSAM_F32, bytes.data
  return storage.new(self, "c", code.ACT, false, all, all.data)
end

-- Vectors are read side by side, element by element. So that they do not all fall into the same few
-- lines of the caches, each begins at another place within its page.
local function new_vector(self, arena, name, persistent)
  self.vectors = self.vectors + 1
  local start = self.vectors * STAGGER % PAGE
  local whole = Tensor.new(arena, "f32", { self.total + PAGE }, name, true)
  local raw = whole:view({ self.total }, start)
  return storage.new(self, name, code.F32, persistent, raw, raw.data)
end

--- Seals a list of parameters into one vector.
-- @tparam cdata device fsam_device
-- @tparam table specs see above
-- @tparam[opt] table options compute = "f32" (default) or "bf16"
-- @treturn table params
-- @raise when a spec has no valid name, kind or shape
function M.new(device, specs, options)
  local self = setmetatable({ device = device, compute = options and options.compute or "f32",
    parameters = {}, by_name = {}, count = 0, trainable = 0, act = 0,
    queue = {}, requests = {}, spares = {}, programs = {}, passes = 0, in_step = false,
    tracing = false, vectors = 0, named = { vectors = {}, masks = {}, scalars = {} }, names = {},
    views = {} }, Params)
  if not BYTES[self.compute] then
    errors.raise("params: compute is %s, expected f32 or bf16", tostring(self.compute))
  end
  layout.arrange(self, specs)
  layout.number(self)
  self.layout = layout.new(self)
  self.parameter_arena, self.state_arena = devices.arena(device, "parameters"),
    devices.arena(device, "state")
  self.scalar_cells = cells.new(self.state_arena, 1, "scalars")
  self.row_cells = cells.new(self.state_arena, #self.parameters, "rows")
  self.w = new_vector(self, self.parameter_arena, "w", true)
  self.c = new_working_copy(self)
  self.g = new_vector(self, self.state_arena, "g", false)
  self.names.w, self.names.c, self.names.g = self.w, self.c, self.g
  self.named.vectors[1] = self.w
  return self
end

--- Is one of the pieces (plain text; nil: none) part of a parameter's name?
function M.matches(name, pieces)
  for _, piece in ipairs(pieces or {}) do
    if name:find(piece, 1, true) then
      return true
    end
  end
  return false
end

-- -- named things --------------------------------------------------------------------------

local function named(self, name, class, list, make)
  local found = self.names[name]
  if found and found.class == class then
    return found
  elseif found then
    source_line.fail("%s exists already, as something else", name)
  end
  found = make()
  self.names[name] = found
  if list then
    list[#list + 1] = found
  end
  return found
end

--- The persistent vector of this name (moments, …); zero when it is new.
function Params:vector(name)
  return named(self, name, code.F32, self.named.vectors, function()
    return new_vector(self, self.state_arena, name, true)
  end)
end

--- The transient vector of this name (g2, …): its sets run at the next flush, no checkpoint has
-- it.
function Params:scratch(name)
  return named(self, name, code.F32, nil, function()
    return new_vector(self, self.state_arena, name, false)
  end)
end

--- Memory for one bit per element.
function Params:new_bits(name)
  return Tensor.new(self.state_arena, "i32", { self.total / 32 }, name, true)
end

--- The mask of this name; no bit is set when it is new.
function Params:mask(name)
  return named(self, name, code.BITS, self.named.masks, function()
    local raw = self:new_bits(name)
    return storage.new(self, name, code.BITS, true, raw, raw.data)
  end)
end

--- The named scalar (f64); `initial` (default 0) when it is new.
function Params:scalar(name, initial)
  return named(self, name, code.CELLS, self.named.scalars, function()
    local handle = self.scalar_cells:take()
    self.scalar_cells:write(handle, { initial or 0 })
    return storage.new(self, name, code.CELLS, true, handle, self.scalar_cells:pointer(handle))
  end)
end

--- Everything that lives in a checkpoint, in order of creation.
-- @treturn table { vectors =, masks =, scalars = }: lists; each entry has a name
function Params:state()
  return self.named
end

-- -- reports -------------------------------------------------------------------------------

--- Bytes of the parameters and of the state.
function Params:memory()
  return { parameters = tonumber(lib.fsam_arena_live(self.parameter_arena)),
    state = tonumber(lib.fsam_arena_live(self.state_arena)) }
end

function Params:__tostring()
  local names = {}
  for _, list in ipairs({ self.named.vectors, self.named.masks, self.named.scalars }) do
    for _, entry in ipairs(list) do
      names[#names + 1] = entry.name ~= "w" and entry.name or nil
    end
  end
  return ("%s weights in %d parameters   w c g   (state: %s)"):format(show.amount(self.count),
    #self.parameters, #names > 0 and table.concat(names, ", ") or "none")
end

return M
