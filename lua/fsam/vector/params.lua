--- A model's parameters as one vector. `params.new` seals a list of named parameters into a layout
-- that the master weights w, the working copy c, the gradient g and everything an optimizer keeps
-- all share; what can be computed with them is the vector language (fsam.vector).
--
--     local P = params.new(device, specs, { compute = "bf16" })     -- device: fsam_device
--       share = ranks: each of them holds a part of every vector (share.lua); what looks at a whole
--       vector is a collective then
--       specs[i] = { name =, shape =, kind =, layer =, decay = true, frozen = false }
--       kind "embedding", "matrix" (compute type), "bias", "norm", "head" (always f32)
--       layer 0, 1, … inside the encoder; -1 (default) for embeddings, `head` = one past the last
--     P.parameters[i], P.by_name[name]   index (from 0) name kind layer shape offset count decay
--                                        frozen compute ("act" or "f32"), in the layout's order
--     P.count  P.trainable  P.total      elements: without padding; not frozen; with padding
--     P.w  P.c  P.g                      vectors
--     P:vector(name)  P:scratch(name)    persistent state; transient vector (g2). Zero when new
--     P:mask(name)  P:scalar(name, x)    one bit each (all 0 when new); one f64 (x or 0 when new)
--     P:state()                          { vectors, masks, scalars }: persistent things by name, in
--                                        order of creation (w included; c, g and scratch are not)
--     P:weight(p)  P:master(p)           tensors in c (compute type) and w; p: a parameter, its
--     P:grad(p, into)                    name, or neighbours and a shape: ({ q, k, v }, { 3*H, H })
--                                        grad: f32 in `into` (default g); the caller sets `filled`
--     P:sync()                           c ← round(w) now, frozen parameters too
--     P:loaded()                         the same after loading, which writes to P:master(p)
--     P:fill(v, fn)                      fn(tensor) fills all of a vector or mask
--     P:settle()                         the same, unless the user has set c since
--     P.copies:of(v, name)               a vector of its own with the values of v (copies.lua)
--     P:memory()                         bytes by owner
--     P.queue:report()                   what has run (queue.lua)
--
-- For fsam.step:
--     P:begin_step()   from here until commit or discard, sets of persistent things wait
--     P:flush()        runs queued sets of transient things (c, g, scratch) and requested scalars
--     P:touch(v)       v's memory was written outside the language (a pass wrote g): a new value
--     P:commit()       runs everything queued, in as few sweeps as possible; ends the step
--     P:discard()      drops everything queued: nothing persistent has changed; ends the step
--     P:trace(on)      remember where expressions are built, for P:unused()
--
-- Owns: named things and their memory, rows and random vectors. Leaves to others: the order of
-- parameters (parameters.lua), views of single ones (parameter_views.lua), what waits and runs
-- (queue.lua), results without a use (trace.lua).
local arguments = require("fsam.base.arguments")
local C = require("fsam.C")
local schema = require("fsam.base.schema")
local Tensor = require("fsam.base.tensor")
local cells = require("fsam.vector.cells")
local code = require("fsam.vector.instructions")
local copies = require("fsam.vector.copies")
local devices = require("fsam.base.device")
local errors = require("fsam.errors")
local expression = require("fsam.vector.expression")
local fixed = require("fsam.vector.fixed")
local parameters = require("fsam.vector.parameters")
local queues = require("fsam.vector.queue")
local ranks = require("fsam.ranks")
local shares = require("fsam.vector.share")
local show = require("fsam.vector.show")
local source_line = require("fsam.base.source_line")
local storage = require("fsam.vector.storage")
local traces = require("fsam.vector.trace")
local working_copy = require("fsam.vector.working_copy")

source_line.own()

local lib = C.lib

local M = {}

local Params = {}
Params.__index = Params

for name, method in pairs(require("fsam.vector.parameter_views")) do
  Params[name] = method
end

-- In elements: a page, and how much later within it the next vector begins (13 lines of 64 bytes).
local PAGE, STAGGER = 1024, 13 * 16
local COMPUTE = { f32 = true, bf16 = true }

-- -- sealing --------------------------------------------------------------------------------------

-- Vectors are read side by side, element by element. So that they do not all fall into the same few
-- lines of the caches, each begins at another place within its page.
local function new_vector(self, arena, name, persistent)
  self.vector_count = self.vector_count + 1
  local start = self.vector_count * STAGGER % PAGE
  local count = self.share and self.share.count or self.total
  local whole = Tensor.new(arena, "f32", { count + PAGE }, name, true)
  local raw = whole:view({ count }, start)
  return storage.new(self, name, code.F32, persistent, raw, self:origin(raw))
end

--- Seals a list of parameters into one vector.
-- @tparam cdata device fsam_device
-- @tparam table specs see above
-- @tparam[opt] table options compute = "f32" (default) or "bf16"; share: fsam.ranks
-- @treturn table params
-- @raise when a spec has no valid name, kind or shape; with share, on a GPU without NCCL
function M.new(device, specs, options)
  local compute = options and options.compute or "f32"
  if not COMPUTE[compute] then
    errors.raise("params: compute is %s, expected f32 or bf16", tostring(compute))
  end
  local all = parameters.arrange(specs)
  local self = setmetatable({ device = device, compute = compute,
    parameters = all.list, by_name = all.by_name, count = all.count, trainable = all.trainable,
    act = all.act, total = all.total, vector_count = 0, names = {}, views = {}, tracing = false,
    share = false, copy_waits = false,
    named = { vectors = {}, masks = {}, scalars = {} },
    layout = parameters.layout(device, all, compute == "bf16"),
    parameter_arena = devices.arena(device, "parameters"),
    state_arena = devices.arena(device, "state") }, Params)
  if options and options.share and options.share.size > 1 then
    self.share = shares.new(device, self.layout, options.share, self.state_arena,
      self.total, compute == "bf16" and self.act or 0)
  end
  self.queue = queues.new(device, self.layout, function()
    self.scalar_cells:forget()
    return working_copy.settle(self)
  end, function()
    return self.share and self.share:gather_copy(self.c.raw)
  end)
  self.scalar_cells = cells.new(self.state_arena, 1, "scalars")
  self.row_cells = cells.new(self.state_arena, #all.list, "rows")
  self.w = new_vector(self, self.parameter_arena, "w", true)
  self.c = working_copy.new(self)
  self.g = new_vector(self, self.state_arena, "g", false)
  self.copies = copies.new(self, function(name)
    return new_vector(self, self.state_arena, name, false)
  end)
  self.names.w, self.names.c, self.names.g = self.w, self.c, self.g
  self.named.vectors[1] = self.w
  return fixed.new(self, { "w", "c", "g" }, "params")
end

-- -- named things ---------------------------------------------------------------------------------

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

--- The persistent vector of this name (a moment, …); zero when it is new. The state of a type or
-- optimizer has its name in front: "sam.ema".
-- @raise where the name is new and that of some such state without what stands in front
function Params:vector(name)
  return named(self, name, code.F32, self.named.vectors, function()
    for _, other in ipairs(self.named.vectors) do
      if other.name:match("^[^.]+%.(.+)$") == name then
        source_line.fail("there is no vector %s, but a state %s: params:vector(%q)", name,
          other.name, other.name)
      end
    end
    return new_vector(self, self.state_arena, name, true)
  end)
end

--- The transient vector of this name (g2, …): its sets run at the next flush, and checkpoints leave
-- it out.
function Params:scratch(name)
  return named(self, name, code.F32, nil, function()
    return new_vector(self, self.state_arena, name, false)
  end)
end

--- Memory for one bit per element.
-- @treturn cdata tensor
-- @treturn cdata where element 0 is
function Params:new_bits(name)
  local count = self.share and self.share.count or self.total
  local raw = Tensor.new(self.state_arena, "i32", { count / 32 }, name, true)
  return raw, self:origin(raw)
end

--- Where element 0 of a vector or mask is, or would be where this process holds a share.
function Params:origin(raw)
  return self.share and self.share:origin(raw) or raw.data
end

--- The mask of this name; no bit is set when it is new.
function Params:mask(name)
  return named(self, name, code.BITS, self.named.masks, function()
    return storage.new(self, name, code.BITS, true, self:new_bits(name))
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

--- c ← round(w) for every parameter, now. Outside a step, sets that wait run first.
function Params:sync()
  if not self.queue:is_in_step() then
    self.queue:commit()
  end
  working_copy.round(self)
  if self.share then
    self.share:gather_copy(self.c.raw)
  end
  storage.touch(self.c, "params:sync")
end

--- The same once weights were loaded through `master`; without shares it happens when c is first
-- used.
function Params:loaded()
  if self.share then
    self.share:take(self.w)
    self:sync()
    return
  end
  self.queue:commit()
  working_copy.postpone(self)
  storage.touch(self.c, "params:loaded")
end

--- Fills a vector or mask as a whole: a checkpoint's. Every rank fills all of it alike.
-- @tparam table vector
-- @tparam function fill gets a tensor, f32 [total] or i32 [total / 32]
function Params:fill(vector, fill)
  self.queue:look(vector.name)
  if self.share then
    fill(self.share:place(vector))
    self.share:take(vector)
  else
    fill(vector.raw)
  end
end

--- The same before a user looks at what the model computes, unless the user has set c since w got
-- its present value: then c is what he wants to look at.
function Params:settle()
  self.queue:commit()
  local c, w = self.c.now, self.w.now
  local users = type(c.line) == "table" and source_line.is_users(c.line)
  if not users or c.number < w.number then
    self:sync()
  end
end

-- -- values without a name ------------------------------------------------------------------------

--- A row: one number or boolean per parameter, asked for now.
-- @tparam function fn gets a parameter: name, kind, layer, shape, decay, frozen, …
function Params:each(fn)
  if type(fn) ~= "function" then
    source_line.fail("each: a function of a parameter is needed, got %s", expression.describe(fn))
  end
  local values, kind = {}, nil
  for i, parameter in ipairs(self.parameters) do
    local value = fn(parameter)
    local bool = type(value) == "boolean"
    if not bool and type(value) ~= "number" or value ~= value then
      source_line.fail("each: the function gave %s for %s; a number or boolean is needed",
        expression.describe(value), parameter.name)
    end
    local this = bool and code.ROW + code.BOOL or code.ROW
    kind = (kind or this) == this and this or code.ROW
    values[i] = bool and (value and 1 or 0) or value
  end
  local row = expression.new(code.CELL, false, false, false, self, kind or code.ROW)
  row.cell = self.row_cells:take()
  self.row_cells:write(row.cell, values)
  return row
end

local function random(self, op, what, options)
  for _, name in ipairs({ "seed", "step" }) do
    if options == nil or options[name] == nil then
      source_line.fail("%s: a %s is needed: params:%s{ seed =, step = }", what, name, what)
    end
  end
  local operand = expression.operand
  return expression.new(op, operand(options.seed, what), operand(options.step, what),
    operand(options.stream or 0, what), self, code.VECTOR)
end

--- Standard normal numbers, one per element: functions of seed, step, stream (default 0) and the
-- element's place, and of nothing else.
function Params:normal(options)
  return random(self, code.OP.NORMAL, "normal", options)
end

--- Uniform numbers k / 2^24 in [0, 1), likewise.
function Params:uniform(options)
  return random(self, code.OP.UNIFORM, "uniform", options)
end

--- How many elements a reduction runs over: a number, or a row for groups 1 (parameters), 2
-- (layers).
function Params:element_count(group)
  if group == 0 then
    return self.trainable
  end
  local counts = {}
  for _, parameter in ipairs(self.parameters) do
    local name = group == 1 and parameter.name or parameter.layer
    counts[name] = (counts[name] or 0) + (parameter.frozen and 0 or parameter.count)
  end
  return self:each(function(parameter)
    return counts[group == 1 and parameter.name or parameter.layer]
  end)
end

--- The cells in which scalars (kind SCALAR) or rows (kind ROW) of this model stand.
function Params:cells_of(kind)
  return kind % code.BOOL == code.ROW and self.row_cells or self.scalar_cells
end

-- -- steps ----------------------------------------------------------------------------------------

--- From here on, sets of persistent things wait for commit or discard.
function Params:begin_step()
  self.queue:begin_step()
end

--- Runs the queued sets of transient things, and computes requested scalars.
function Params:flush()
  working_copy.settle(self)
  self.queue:flush()
end

--- A pass has written this vector: what was built before reads a value that is gone.
function Params:touch(vector)
  if vector.params ~= self then
    source_line.fail("touch: %s belongs to another model", vector.name)
  end
  storage.touch(vector)
  lib.fsam_squares_of(self.layout, nil)
end

--- What the sets that wait for the end of the step will make.
-- @treturn {table,…} each: name; size, a scalar that is finite only where all of the value is: a
--   vector's norm, or the scalar itself
function Params:waiting()
  local list = {}
  for _, leaf in ipairs(self.queue:persistent_sets()) do
    local class = leaf.storage.class
    if class == code.F32 or class == code.CELLS then
      list[#list + 1] = { name = leaf.storage.name,
        size = class == code.F32 and leaf:norm() or leaf + 0 }
    end
  end
  return list
end

--- Runs everything and ends the step.
function Params:commit()
  self.queue:commit()
end

--- Drops everything that waits and ends the step: no persistent thing has changed.
function Params:discard()
  self.queue:discard()
end

--- While on, remembers where expressions are built, to find results without a use. Slower.
function Params:trace(on)
  self.tracing = on and traces.new() or false
end

--- Results built since trace(true) that no expression, set, request, read or print used.
-- @treturn table list of { node =, line = position }, in the order in which they were built
function Params:unused()
  return self.tracing and self.tracing:unused() or {}
end

-- -- reports --------------------------------------------------------------------------------------

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

local optional = arguments.optional
local PARAMS = arguments.object("a model's params, of fsam.params.new",
  { queue = "table", parameters = "table", w = "table" })
local NAME = arguments.arg("name", schema.string)
local VECTOR = arguments.arg("vector", arguments.where(storage.is,
  "a named vector or mask, such as params.w"))
local ENTRY = arguments.arg("parameter", schema.either("a parameter's name, a parameter, or a list",
  schema.string, arguments.table))
local SHAPE = arguments.arg("shape", optional(schema.list(schema.integer(1), 1)))
local INTO = arguments.arg("into", optional(storage.is_target))
local KEY = arguments.fields({ seed = arguments.any, step = arguments.any, stream = arguments.any })

local COMPUTE_TYPE = optional(schema.one_of({ "f32", "bf16" }))
arguments.guard("fsam.params", M, { new = { arguments.arg("device", devices.shape),
  arguments.arg("specs", schema.list(arguments.table, 1)),
  arguments.optional_fields({ compute = COMPUTE_TYPE, share = optional(ranks.shape) }) } })
arguments.guard("params:", Params, {
  vector = { self = PARAMS, NAME }, scratch = { self = PARAMS, NAME },
  mask = { self = PARAMS, NAME }, state = { self = PARAMS }, sync = { self = PARAMS },
  scalar = { self = PARAMS, NAME, arguments.arg("initial", optional(schema.number())) },
  loaded = { self = PARAMS }, fill = { self = PARAMS, VECTOR, arguments.arg("f", arguments.func) },
  memory = { self = PARAMS }, view = { self = PARAMS, VECTOR, ENTRY, SHAPE },
  weight = { self = PARAMS, ENTRY, SHAPE }, master = { self = PARAMS, ENTRY, SHAPE },
  grad = { self = PARAMS, ENTRY, INTO, SHAPE }, parameter = { self = PARAMS, ENTRY },
  each = { self = PARAMS, arguments.arg("function", arguments.func), inside = true },
  normal = { self = PARAMS, KEY, inside = true }, uniform = { self = PARAMS, KEY, inside = true },
  touch = { self = PARAMS, VECTOR }, flush = { self = PARAMS }, commit = { self = PARAMS },
  discard = { self = PARAMS }, begin_step = { self = PARAMS }, unused = { self = PARAMS },
  trace = { self = PARAMS, arguments.arg("on", optional(schema.boolean)) },
})

return M
