--- A model's parameters as one vector. `params.new` seals a list of named parameters into a layout
-- that the master weights w, the working copy c, the gradient g and everything an optimizer keeps
-- all share; what can be computed with them is the vector language (fsam.vector).
--
--     local P = params.new(device, specs, { compute = "bf16" })     -- device: fsam_device
--       specs[i] = { name =, shape =, kind =, layer =, decay = true, frozen = false }
--       kind "embedding", "matrix" (compute type), "bias", "norm", "head" (always f32)
--       layer 0, 1, … inside the encoder; -1 (default) for embeddings, `head` = one past the last
--     P.segments[i], P.by_name[name]     index (from 0) name kind layer shape offset count decay
--                                        frozen compute ("act" or "f32"), in the layout's order
--     P.count  P.trainable  P.total      elements: real, not frozen, with padding
--     P.w  P.c  P.g                      vectors
--     P:vector(name)  P:scratch(name)    persistent state; transient vector (g2, …). Zero when new
--     P:mask(name)  P:scalar(name, x)    one bit each (all 0 when new); one f64 (x or 0 when new)
--     P:state()                          { vectors, masks, scalars }: persistent things by name, in
--                                        order of creation (w included; c, g and scratch are not)
--     P:weight(s)  P:master(s)           tensors in c (compute type) and w; s: segment or name, or
-- a
--     P:grad(s, into)                    list of neighbours with a shape: P:weight({q, k, v}, {3*H,
-- H});
--                                        grad: f32 view of `into` (default g); its `filled` is
-- yours
--     P:sync()                           c ← round(w) now, frozen segments too (after loading)
--     P:memory()                         bytes by owner
--
-- For the one file that drives steps:
--     P:begin_step()   from here until commit or discard, sets of persistent things wait
--     P:flush()        runs queued sets of transient things (c, g, scratch) and requested scalars
--     P:touch(v)       somebody else has written v's memory (a model pass wrote g): a new value
--     P:commit()       runs everything queued, in as few passes as possible; ends the step
--     P:discard()      drops everything queued: nothing persistent has changed; ends the step
--     P:trace(on)      remember where expressions are built: better messages, and P:unused()
local C = require("fsam.C")
local Tensor = require("fsam.tensor")
local cells = require("fsam.vector.cells")
local code = require("fsam.vector.code")
local errors = require("fsam.errors")
local node = require("fsam.vector.node")
local position = require("fsam.vector.position")
local queue = require("fsam.vector.queue")
local show = require("fsam.vector.show")
local storage = require("fsam.vector.storage")
require("fsam.vector.mask")

local ffi, lib, check = C.ffi, C.lib, C.check
local arena_out, layout_out = ffi.typeof("fsam_arena *[1]"), ffi.typeof("fsam_layout *[1]")

local M = {}

local Params = {}
Params.__index = Params

local ALIGN = 64 -- elements: a cache line of f32 four times, and a word of mask bits
-- In elements: a page, and how much later within it the next vector begins (13 lines of 64 bytes).
local PAGE, STAGGER = 1024, 13 * 16
-- In which of the two blocks a kind of parameter lies.
local COMPUTE = { embedding = "act", matrix = "act", bias = "f32", norm = "f32", head = "f32" }
local BYTES = { f32 = 4, bf16 = 2 }

-- -- sealing --------------------------------------------------------------------------------------

local function product(shape)
  local count = 1
  for _, n in ipairs(shape) do
    count = count * n
  end
  return count
end

local function check_spec(spec, known)
  if not COMPUTE[spec.kind] then
    errors.raise("parameter %s: kind %s is unknown (embedding, matrix, bias, norm, head)",
      tostring(spec.name), tostring(spec.kind))
  elseif type(spec.name) ~= "string" or known[spec.name] then
    errors.raise("parameter %s: a name is needed, and only once", tostring(spec.name))
  elseif type(spec.shape) ~= "table" or #spec.shape < 1 or #spec.shape > 4
      or product(spec.shape) < 1 then
    errors.raise("parameter %s: a shape of 1 to 4 positive dimensions is needed", spec.name)
  end
end

-- Segments in the layout's order: those of the compute type first, each list as it was given.
local function arrange(self, specs)
  local offset = 0
  for _, compute in ipairs({ "act", "f32" }) do
    for _, spec in ipairs(specs) do
      if COMPUTE[spec.kind] == compute then
        check_spec(spec, self.by_name)
        local segment = { index = #self.segments, name = spec.name, kind = spec.kind,
          layer = spec.layer, shape = spec.shape, offset = offset, count = product(spec.shape),
          decay = spec.decay ~= false, frozen = spec.frozen == true, compute = compute }
        self.segments[#self.segments + 1] = segment
        self.by_name[spec.name] = segment
        self.count = self.count + segment.count
        self.trainable = self.trainable + (segment.frozen and 0 or segment.count)
        offset = offset + math.ceil(segment.count / ALIGN) * ALIGN
      end
    end
    self.act = compute == "act" and offset or self.act
  end
  self.total = offset
end

-- Layers are numbered from what the specs say: embeddings are -1, heads one past the last.
local function number_layers(self)
  local last = -1
  for _, segment in ipairs(self.segments) do
    last = math.max(last, segment.layer or -1)
  end
  for _, segment in ipairs(self.segments) do
    segment.layer = segment.layer or (segment.kind == "head" and last + 1 or -1)
  end
end

local function new_layout(self)
  local n = #self.segments
  local offset, count = ffi.new("int64_t[?]", n), ffi.new("int64_t[?]", n)
  local layer, frozen = ffi.new("int32_t[?]", n), ffi.new("uint8_t[?]", n)
  local number, next_number = {}, 0
  for i, segment in ipairs(self.segments) do
    if not number[segment.layer] then
      number[segment.layer], next_number = next_number, next_number + 1
    end
    offset[i - 1], count[i - 1] = segment.offset, segment.count
    layer[i - 1], frozen[i - 1] = number[segment.layer], segment.frozen and 1 or 0
  end
  local out = layout_out()
  check(lib.fsam_layout_new(out, self.device, n, offset, count, layer, frozen, self.total,
    self.compute == "bf16" and self.act or 0))
  return ffi.gc(out[0], lib.fsam_layout_free)
end

local function new_arena(device, name)
  local out = arena_out()
  check(lib.fsam_arena_new(out, device, name))
  return ffi.gc(out[0], lib.fsam_arena_free)
end

-- The working copy: one piece of memory, bf16[act] and then f32[total - act], or f32[total].
local function new_working_copy(self)
  if self.compute == "f32" then
    self.c_act = Tensor.new(self.parameters, "f32", { self.total }, "c", true)
    return storage.new(self, "c", code.F32, false, self.c_act, self.c_act.data)
  end
  local rest = self.total - self.act
  local all = Tensor.new(self.parameters, "bf16", { self.act + 2 * rest }, "c", true)
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
  local raw = Tensor.new(arena, "f32", { self.total + PAGE }, name, true):view({ self.total }, start)
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
    segments = {}, by_name = {}, count = 0, trainable = 0, act = 0,
    queue = {}, requests = {}, spares = {}, programs = {}, passes = 0, in_step = false,
    tracing = false, vectors = 0, named = { vectors = {}, masks = {}, scalars = {} }, names = {}, views = {} },
    Params)
  if not BYTES[self.compute] then
    errors.raise("params: compute is %s, expected f32 or bf16", tostring(self.compute))
  end
  for _, spec in ipairs(specs) do
    check_spec(spec, {})
  end
  arrange(self, specs)
  number_layers(self)
  self.layout = new_layout(self)
  self.parameters, self.state_arena = new_arena(device, "parameters"), new_arena(device, "state")
  self.scalar_cells = cells.new(self.state_arena, 1, "scalars")
  self.row_cells = cells.new(self.state_arena, #self.segments, "rows")
  self.w = new_vector(self, self.parameters, "w", true)
  self.c = new_working_copy(self)
  self.g = new_vector(self, self.state_arena, "g", false)
  self.names.w, self.names.c, self.names.g = self.w, self.c, self.g
  self.named.vectors[1] = self.w
  return self
end

-- -- named things
-- -----------------------------------------------------------------------------------

local function named(self, name, class, list, make)
  local found = self.names[name]
  if found and found.class == class then
    return found
  elseif found then
    position.fail("%s exists already, as something else", name)
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

--- The transient vector of this name (g2, …): its sets run at the next flush, no checkpoint has it.
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

--- A segment by name, or itself.
-- @raise when there is none of that name, with the nearest
function Params:segment(entry)
  if type(entry) == "table" and rawequal(self.by_name[entry.name], entry) then
    return entry
  end
  local segment = self.by_name[entry]
  if not segment then
    local names = {}
    for i, other in ipairs(self.segments) do
      names[i] = other.name
    end
    local near = errors.nearest(tostring(entry), names)
    errors.raise("there is no parameter %s%s", tostring(entry),
      near and "; did you mean " .. near .. "?" or "")
  end
  return segment
end

-- -- tensors
-- ----------------------------------------------------------------------------------------

-- A tensor over one segment, or over neighbours that leave no gap (else nil).
local function view(self, memory, from, entry, shape)
  if type(entry) == "table" and not entry.name then
    local first, last = self:segment(entry[1]), nil
    for _, other in ipairs(entry) do
      other = self:segment(other)
      if last and last.offset + last.count ~= other.offset then
        return nil
      end
      last = other
    end
    return memory:view(shape, first.offset - from, first.name)
  end
  local segment = self:segment(entry)
  return memory:view(shape or segment.shape, segment.offset - from, segment.name)
end

--- A view of a named thing's memory as it is: what waits is not run.
function Params:view(vector, entry, shape)
  if rawequal(vector, self.c) then
    return self:weight(entry, shape)
  end
  return view(self, vector.raw, 0, entry, shape)
end

--- A segment (or neighbours, given a shape) of the working copy, in its compute type.
-- @treturn cdata|nil tensor; nil when neighbours do not follow each other without a gap
function Params:weight(entry, shape)
  local first = self:segment(type(entry) == "table" and not entry.name and entry[1] or entry)
  if self.c_rest and first.compute == "f32" then
    return view(self, self.c_rest, self.act, entry, shape)
  end
  return view(self, self.c_act, 0, entry, shape)
end

--- A segment of the master weights, f32.
function Params:master(entry, shape)
  return view(self, self.w.raw, 0, entry, shape)
end

--- A segment of a gradient vector, f32: always the same tensor for the same segment, so that its
-- `filled` says whether this pass has written it.
-- @tparam[opt] table into a vector; g without it
function Params:grad(entry, into, shape)
  into = into or self.g
  local views = self.views[into.name]
  if not views then
    views = {}
    self.views[into.name] = views
  end
  if type(entry) == "table" and not entry.name then
    local names = table.concat({ tostring(entry[1].name or entry[1]), #entry }, "+")
    views[names] = views[names] or view(self, into.raw, 0, entry, shape)
    return views[names]
  end
  local name = type(entry) == "table" and entry.name or entry
  views[name] = views[name] or view(self, into.raw, 0, entry, shape)
  return views[name]
end

--- c ← round(w) for every segment, at once. After weights were loaded.
function Params:sync()
  if self.c_rest then
    local rest = self.total - self.act
    if self.act > 0 then
      self.c_act:copy(self.w.raw:view({ self.act }, 0))
    end
    if rest > 0 then
      self.c_rest:copy(self.w.raw:view({ rest }, self.act))
    end
  else
    self.c_act:copy(self.w.raw)
  end
  storage.touch(self.c, "params:sync")
end

-- -- values that are not stored
-- ---------------------------------------------------------------------

--- A row: one number or boolean per segment, asked for now.
-- @tparam function fn gets a segment: name, kind, layer, shape, decay, frozen, …
function Params:each(fn)
  local values, kind = {}, nil
  for i, segment in ipairs(self.segments) do
    local value = fn(segment)
    local bool = type(value) == "boolean"
    if not bool and type(value) ~= "number" or value ~= value then
      position.fail("each: the function gave %s for %s; a number or boolean is needed",
        node.describe(value), segment.name)
    end
    local this = bool and code.ROW + code.BOOL or code.ROW
    kind = (kind or this) == this and this or code.ROW
    values[i] = bool and (value and 1 or 0) or value
  end
  local row = node.new(code.CELL, false, false, false, self, kind or code.ROW)
  row.cell = self.row_cells:take()
  self.row_cells:write(row.cell, values)
  return row
end

local function random(self, op, what, options)
  for _, name in ipairs({ "seed", "step" }) do
    if options == nil or options[name] == nil then
      position.fail("%s: a %s is needed: params:%s{ seed =, step = }", what, name, what)
    end
  end
  return node.new(op, node.operand(options.seed, what), node.operand(options.step, what),
    node.operand(options.stream or 0, what), self, code.VECTOR)
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

--- How many elements a reduction runs over: a number, or a row for groups 1 (segments), 2 (layers).
function Params:element_count(group)
  if group == 0 then
    return self.trainable
  end
  local counts = {}
  for _, segment in ipairs(self.segments) do
    local name = group == 1 and segment.name or segment.layer
    counts[name] = (counts[name] or 0) + (segment.frozen and 0 or segment.count)
  end
  return self:each(function(segment)
    return counts[group == 1 and segment.name or segment.layer]
  end)
end

-- -- steps
-- --------------------------------------------------------------------------------------------

--- From here on, sets of persistent things wait for commit or discard.
function Params:begin_step()
  if #self.queue > 0 then
    queue.commit(self)
  end
  self.in_step = true
end

--- Runs the queued sets of transient things, and computes requested scalars.
function Params:flush()
  queue.run(self, false)
end

--- A model pass has written this vector: what was built before reads a value that is gone.
function Params:touch(vector)
  storage.touch(vector)
end

--- Runs everything and ends the step.
function Params:commit()
  queue.commit(self)
end

--- Drops everything that waits and ends the step: no persistent thing has changed.
function Params:discard()
  queue.discard(self)
end

--- Remembers where expressions are built while on (slower): for messages, and to find results that
-- nobody used.
function Params:trace(on)
  if not on then
    self.tracing = false
    return
  end
  local built, used = {}, setmetatable({}, { __mode = "k" })
  self.traced = { built = built, used = used }
  self.tracing = function(x)
    built[#built + 1] = { node = x, line = position.here() }
    for _, field in ipairs({ "a", "b", "c" }) do
      if type(x[field]) == "table" then
        used[x[field]] = true
      end
    end
  end
end

--- Where results were built since trace(true) that no expression, set or read used.
-- @treturn table list of "file:line"
function Params:unused()
  local lines, traced = {}, self.traced or { built = {} }
  for _, entry in ipairs(traced.built) do
    if not traced.used[entry.node] and not entry.node.cell then
      lines[#lines + 1] = position.text(entry.line)
    end
  end
  return lines
end

-- -- reports
-- ------------------------------------------------------------------------------------------

--- Bytes of the parameters and of the state.
function Params:memory()
  return { parameters = tonumber(lib.fsam_arena_live(self.parameters)),
    state = tonumber(lib.fsam_arena_live(self.state_arena)) }
end

function Params:__tostring()
  local names = {}
  for _, list in ipairs({ self.named.vectors, self.named.masks, self.named.scalars }) do
    for _, entry in ipairs(list) do
      names[#names + 1] = entry.name ~= "w" and entry.name or nil
    end
  end
  return ("%s parameters in %d segments   w c g   (state: %s)"):format(show.amount(self.count),
    #self.segments, #names > 0 and table.concat(names, ", ") or "none")
end

return M
