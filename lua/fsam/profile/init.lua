--- Where the time of a run goes: each phase of it (passes, update, mask, data, …), and each kernel
-- within a phase.
--
--     local profile = fsam.profile.new({ device = model.device, file = "trace.json" })
--     profile:watch({ pass = pass, optimizer = optimizer, task = task })
--     …                        -- steps, passes, validations
--     print(profile:finish())  -- the table; everything is as it was before
--
-- While a profile runs, the device writes down its kernels' calls (engine/profile.c), and watched
-- objects have methods of this profile's in place of their own. Otherwise neither exists, so that
-- runs without a profile do nothing for it. What is computed is the same, to the bit.
--
-- Owns: spans, phases and what was spent in them. Leaves to others: which methods begin a span
-- (watch.lua), operations (costs.lua), the table (report.lua), the file (trace.lua).
local C = require("fsam.C")
local arguments = require("fsam.base.arguments")
local ceilings = require("fsam.profile.ceilings")
local costs = require("fsam.profile.costs")
local devices = require("fsam.base.device")
local report = require("fsam.profile.report")
local schema = require("fsam.base.schema")
local trace = require("fsam.profile.trace")
local watch = require("fsam.profile.watch")
local ffi, lib, check = C.ffi, C.lib, C.check

local Profile = {}
Profile.__index = Profile

local M = {}

local calls_out = ffi.typeof("const fsam_profile_call *[1]")

--- Begins a profile.
-- @tparam table o device, the CPU; file: where a trace goes (default: there is none)
-- @treturn table the profile: watch, around, enter, leave, finish
-- @raise one line on a GPU, while another profile runs, or where the file cannot be written
function M.new(o)
  check(lib.fsam_profile_begin(o.device))
  local now = lib.fsam_clock()
  local self = setmetatable({ device = o.device, out = calls_out(), compute = "f32", steps = 0,
    passes = 0, phases = {}, order = {}, spans = {}, replaced = {}, started = now, mark = now,
    own = 0 }, Profile)
  if o.file then
    local ok, opened = pcall(trace.open, o.file, now)
    if not ok then
      lib.fsam_profile_end(o.device)
      error(opened, 0)
    end
    self.trace = opened
  end
  return self
end

local function phase_of(self, name)
  local phase = self.phases[name]
  if not phase then
    phase = { name = name, seconds = 0, count = 0, kernels = {}, order = {} }
    self.phases[name] = phase
    self.order[#self.order + 1] = phase
  end
  return phase
end

local function kernel_of(phase, number)
  local kernel = phase.kernels[number]
  if not kernel then
    kernel = { name = ffi.string(lib.fsam_profile_kernel(number)), calls = 0, seconds = 0,
      bytes = 0, flops = 0 }
    phase.kernels[number] = kernel
    phase.order[#phase.order + 1] = kernel
  end
  return kernel
end

-- What was spent since the last mark belongs to the innermost span's phase.
local function settle(self)
  local now, top = lib.fsam_clock(), self.spans[#self.spans]
  local phase = phase_of(self, top and top.phase or report.REST)
  phase.seconds = phase.seconds + now - self.mark
  local count = tonumber(lib.fsam_profile_take(self.out))
  for i = 0, count - 1 do
    local call = self.out[0][i]
    local kernel = kernel_of(phase, call.kernel)
    local flops = costs.flops(kernel.name, call)
    kernel.calls, kernel.seconds = kernel.calls + 1, kernel.seconds + call.seconds
    kernel.bytes, kernel.flops = kernel.bytes + call.bytes, kernel.flops + flops
    if self.trace then
      self.trace:event(kernel.name, "kernel", call.start, call.seconds, call.bytes, flops)
    end
  end
  self.mark = lib.fsam_clock()
  self.own = self.own + self.mark - now
end

--- Begins a span. What runs until its `leave` is spent in its phase, or in that of a span within it
-- that has another; within a phase that `covers` all, none has.
-- @tparam string name in the trace
-- @tparam[opt] string phase a row of the table; default: that of the span around it
-- @tparam[opt] boolean covers spans within it do not have phases of their own
-- @treturn number how deep it is, for `leave`
function Profile:enter(name, phase, covers)
  settle(self)
  local around = self.spans[#self.spans]
  if around and (around.covers or not phase) then
    phase, covers = around.phase, around.covers
  end
  phase = phase or report.REST
  if not around or around.phase ~= phase then
    local one = phase_of(self, phase)
    one.count = one.count + 1
  end
  self.spans[#self.spans + 1] = { name = name, phase = phase, covers = covers, start = self.mark }
  return #self.spans
end

--- Ends a span, and those within it that an error has left open.
-- @tparam[opt] number depth what `enter` returned; default: the innermost
function Profile:leave(depth)
  settle(self)
  depth = depth or #self.spans
  for i = #self.spans, math.max(1, depth), -1 do
    local span = self.spans[i]
    self.spans[i] = nil
    if self.trace then
      self.trace:event(span.name, "span", span.start, self.mark - span.start)
    end
  end
end

-- Ends a span after a function's call, and hands on what that returned or raised.
local function finish_span(self, depth, ok, ...)
  self:leave(depth)
  if not ok then
    error(..., 0)
  end
  return ...
end

--- A function as a span.
-- @tparam function fn
-- @tparam string name, phase, covers as for `enter`
-- @treturn function that calls fn within a span
function Profile:spanned(fn, name, phase, covers)
  return function(...)
    return finish_span(self, self:enter(name, phase, covers), pcall(fn, ...))
  end
end

--- Puts a function in an object's place of a method, until the profile is finished.
-- @tparam table object
-- @tparam string method
-- @tparam function fn gets what the method gets
function Profile:replace(object, method, fn)
  table.insert(self.replaced, { object = object, method = method, had = rawget(object, method) })
  rawset(object, method, fn)
end

--- Makes an object's method a span.
-- @tparam table object
-- @tparam string method
-- @tparam[opt] string phase a row of the table; default: that of the span around it
-- @tparam[opt] boolean covers spans within it do not have phases of their own
function Profile:around(object, method, phase, covers)
  self:replace(object, method, self:spanned(object[method], method, phase, covers))
end

--- Watches a run's parts; those that are nil are not watched.
-- @tparam table parts pass (fsam.pass), optimizer (fsam.step), task (fsam.task), saver
function Profile:watch(parts)
  watch.watch(self, parts)
end

--- Ends the profile and measures what the machine can do.
-- @tparam[opt] table limits { flops, bytes } a second, to hold kernels against; default: measured
-- @treturn table seconds, steps, ceilings, phases: name, seconds, count, kernels of each: name,
--   calls, seconds, bytes, flops; prints as a table
function Profile:finish(limits)
  self:leave(1)
  local lost = tonumber(lib.fsam_profile_lost())
  lib.fsam_profile_end(self.device)
  for i = #self.replaced, 1, -1 do
    local one = self.replaced[i]
    rawset(one.object, one.method, one.had)
  end
  self.replaced = {}
  if self.trace then
    self.trace:close()
  end
  return report.new({ phases = self.order, seconds = self.mark - self.started - self.own,
    own = self.own, steps = self.steps, lost = lost, compute = self.compute, trace = self.trace,
    ceilings = limits or ceilings.measure(self.device, self.compute) })
end

local PROFILE = arguments.object("a profile, of fsam.profile.new",
  { phases = "table", spans = "table", device = "cdata" })
local optional, word = arguments.optional, arguments.arg("name", schema.string)
local maybe = arguments.arg("phase", optional(schema.string))
local covers = arguments.arg("covers", optional(schema.boolean))

arguments.guard("fsam.profile", M, {
  new = { arguments.fields({ device = devices.shape, file = optional(schema.path) }) },
})
arguments.guard("profile:", Profile, {
  watch = { self = PROFILE, arguments.fields({ pass = optional(arguments.table),
    optimizer = optional(arguments.table), task = optional(arguments.table),
    saver = optional(arguments.table) }) },
  around = { self = PROFILE, arguments.arg("object", arguments.table),
    arguments.arg("method", schema.string), maybe, covers },
  enter = { self = PROFILE, word, maybe, covers },
  leave = { self = PROFILE, arguments.arg("depth", optional(schema.integer(0))) },
  finish = { self = PROFILE, arguments.arg("limits",
    optional(schema.record({ flops = schema.number(0), bytes = schema.number(0) }))) },
})

return M
