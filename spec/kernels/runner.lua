--- One runner for all kernel specs: a kernel is described by a table of cases, and everything that
-- any kernel must satisfy is checked here.
--
--     require("spec.kernels.runner").define("tanh", { case, … })
--
-- For each case, in f32 and bf16: outputs against a closed form in Lua's doubles; gradients against
-- finite differences of that closed form; guard words around every buffer; tail rows finite in
-- outputs and exactly zero in gradients; a gradient with `filled` = 1 added to; the same bits at one
-- and at two threads, and (in processes of their own) at every instruction-set level.
--
-- A case is a table:
--   name        a sentence
--   lengths     rows of each sample of the batch (default {}); tail = rows that belong to none
--   inputs      { { name, type, shape, values }, … }: type "act" (f32 and bf16 in turn), "f32" or
--               "i32"; values a flat table, a function(index from 1) or nil (random in [-1, 1])
--   outputs     { { name, type, shape }, … }: what forward writes
--   forward     function(t, batch): calls C with tensors t.NAME, returns its result
--   expect      function(v): closed form; v.NAME are the inputs as stored, as flat tables of
--               doubles; returns { NAME = flat table } for the outputs to compare
--   gradients   { { name of an input, type }, … }: what backward writes into t.dNAME
--   seeds       names of the outputs whose gradient arrives in t.dNAME (default { "y" })
--   backward    function(t, batch): as forward; all inputs and outputs are there, too
--   loss        function(v): the number whose gradient backward computes, for an op that ends in one
--               (default: the sum over the seeds of gradient times output)
--   library     true where the matrix library does the sums: its bits may depend on the threads
--   tolerance   { f32 = …, bf16 = … } of the largest value (default 1e-5 and 1e-2)
--   gradient_tolerance  likewise (default 1e-4 and 2e-2)
--   types       the activation types to run (default { "f32", "bf16" })
-- Any other field is the case's own.
local assert = require("luassert")
local bit = require("bit")
local C = require("fsam.C")
local Tensor = require("fsam.tensor")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local GUARD = 64 -- elements before and after each buffer
local CANARY = { f32 = -7.25e30, bf16 = -1e30, i32 = -559038737 }
local PROBES = 60 -- elements of each input whose derivative is taken one by one
local STEP = 1e-4 -- of finite differences, in doubles

-- -- values ---------------------------------------------------------------------------------------

local function elements(shape)
  local n = 1
  for _, d in ipairs(shape) do
    n = n * d
  end
  return n
end

--- A function that gives numbers in [-1, 1), the same sequence for the same name.
-- @tparam string name
function M.random(name)
  local seed = 1
  for i = 1, #name do
    seed = (seed * 31 + name:byte(i)) % 2147483647
  end
  local out, i = ffi.new("uint32_t[4]"), 0
  return function()
    lib.fsam_philox(out, i, seed, 0, 0, 7, 11)
    i = i + 1
    return out[0] / 2147483648 - 1
  end
end

local function values_of(name, shape, source)
  if type(source) == "table" then
    return source
  end
  local values, random = {}, M.random(name)
  for i = 1, elements(shape) do
    values[i] = source and source(i) or random()
  end
  return values
end

-- -- dropout, from its definition -----------------------------------------------------------------

--- What dropout multiplies an element by: 0 or 65536 / (65536 - threshold). Elements 8 block …
-- 8 block + 7 take the halves of one counter's four words, low half first.
-- @tparam cdata d fsam_dropout
-- @tparam number b sample of the runner's batch
-- @tparam number row second last word of the counter
-- @tparam number block last word of the counter
-- @tparam number k element within the block, from 0
function M.keep(d, b, row, block, k)
  local words = ffi.new("uint32_t[4]")
  lib.fsam_philox(words, d.site, M.ordinal(b), row, block, d.seed, d.step)
  local bits = math.floor(words[math.floor(k / 2)] / (k % 2 == 0 and 1 or 65536)) % 65536
  local threshold = math.floor(65536 * d.p + 0.5)
  return bits < threshold and 0 or 65536 / (65536 - threshold)
end

--- Of every element of the rows [T,width] of a case, from 1; nil in the tail, where nothing drops.
function M.keep_rows(case, d, width)
  local keep = {}
  for b, length in ipairs(case.lengths) do
    for r = 0, length - 1 do
      for c = 0, width - 1 do
        keep[#keep + 1] = M.keep(d, b - 1, r, math.floor(c / 8), c % 8)
      end
    end
  end
  return keep
end

-- -- a case made real: tensors with guards, a batch -------------------------------------------------

local Bench = {}
Bench.__index = Bench

--- The tensor t.NAME in the midst of guard words, holding `values`.
function Bench:add(name, dtype, shape, values)
  dtype = dtype == "act" and self.act or dtype
  local n = elements(shape)
  local whole = Tensor.new(self.arena, dtype, { n + 2 * GUARD }, name)
  whole:fill(CANARY[dtype])
  self.guards[name] = { whole = whole, count = n, canary = whole:read()[1] }
  local t = whole:view(shape, GUARD, name)
  if n > 0 then
    t:write(values)
  end
  self.t[name] = t
end

function Bench:guards_hold()
  for name, guard in pairs(self.guards) do
    local host = guard.whole:to_host()
    for i = 0, GUARD - 1 do
      if host[i] ~= guard.canary or host[GUARD + guard.count + i] ~= guard.canary then
        return false, name
      end
    end
  end
  return true
end

function Bench:add_batch(case)
  local starts, samples, longest = { 0 }, {}, 0
  for b, length in ipairs(case.lengths or {}) do
    starts[b + 1] = starts[b] + length
    longest = math.max(longest, length)
    for _ = 1, length do
      samples[#samples + 1] = b - 1
    end
  end
  for _ = 1, case.tail or 0 do
    samples[#samples + 1] = -1
  end
  local count = #starts - 1
  self:add("starts", "i32", { count + 1 }, starts)
  self:add("sample", "i32", { #samples }, samples)
  self:add("ordinals", "i32", { count }, values_of("", { count }, function(b)
    return M.ordinal(b - 1)
  end))
  self.batch = ffi.new("fsam_batch", { tokens = #samples, samples = count, longest = longest })
  for _, field in ipairs({ "starts", "sample", "ordinals", "ids", "positions", "segments" }) do
    self.batch[field] = self.t[field] and self.t[field].data
  end
end

--- The ordinal that the runner's batches give to sample b.
function M.ordinal(b)
  return 3 * b + 2
end

local function bench(case, act)
  local self = setmetatable({ case = case, act = act, t = {}, guards = {} }, Bench)
  self.device, self.slot = ffi.new("fsam_device *[1]"), ffi.new("fsam_arena *[1]")
  check(lib.fsam_device_open(self.device, "cpu"))
  check(lib.fsam_arena_new(self.slot, self.device[0], "spec"))
  self.arena = self.slot[0]
  self.v = {}
  for _, input in ipairs(case.inputs) do
    local name, dtype, shape, source = unpack(input)
    self:add(name, dtype, shape, values_of(name, shape, source))
    self.v[name] = self.t[name]:read() -- as stored: bf16 has rounded them
  end
  for _, output in ipairs(case.outputs or {}) do
    local name, dtype, shape = unpack(output)
    self:add(name, dtype, shape, values_of(name, shape, function()
      return dtype == "i32" and 77 or 0 / 0
    end))
  end
  self:add_batch(case)
  return self
end

function Bench:close()
  lib.fsam_arena_free(self.arena)
  lib.fsam_device_close(self.device[0])
end

function Bench:shape(name)
  for _, list in ipairs({ self.case.inputs, self.case.outputs }) do
    for _, entry in ipairs(list) do
      if entry[1] == name then
        return entry[3], entry[2]
      end
    end
  end
  error("no input or output " .. name)
end

--- Elements of the rows that belong to samples; tail rows come after them.
function Bench:live(shape)
  local tail = self.case.tail or 0
  if tail == 0 or #shape < 2 or shape[1] ~= self.batch.tokens then
    return elements(shape)
  end
  return elements(shape) / shape[1] * (shape[1] - tail)
end

--- Makes the gradients: those that arrive random (zero in the tail, as every op leaves them), those
-- that backward writes NaN (filled = 0) or random (filled = 1).
function Bench:add_gradients(filled)
  for _, name in ipairs(self.case.seeds or { "y" }) do
    local shape, dtype = self:shape(name)
    local values, live = values_of("d" .. name, shape), self:live(shape)
    for i = live + 1, #values do
      values[i] = 0
    end
    self:add("d" .. name, dtype, shape, values)
    self.v["d" .. name] = self.t["d" .. name]:read()
  end
  for _, gradient in ipairs(self.case.gradients) do
    local name, dtype = unpack(gradient)
    local shape = self:shape(name)
    self:add("d" .. name, dtype, shape, values_of("old" .. name, shape, filled == 0 and function()
      return 0 / 0
    end or nil))
    self.t["d" .. name].filled = filled
  end
end

function Bench:run(threads)
  check(lib.fsam_threads_set(threads))
  check(self.case.forward(self.t, self.batch, self.case))
  if self.case.backward then
    check(self.case.backward(self.t, self.batch, self.case))
  end
  check(lib.fsam_threads_set(0))
end

-- -- finite differences -----------------------------------------------------------------------------

--- The scalar whose gradient backward computes: sum over seeds of dy * y.
local function loss(case, v)
  if case.loss then
    return case.loss(v, case)
  end
  local y, total = case.expect(v, case), 0
  for _, name in ipairs(case.seeds or { "y" }) do
    local values, weights = y[name], v["d" .. name]
    for i = 1, #values do
      total = total + values[i] * weights[i]
    end
  end
  return total
end

--- Derivative of the loss along `direction` (index → weight, sparse) in the input `name`.
local function derivative(case, v, name, direction)
  local x, old, side = v[name], {}, {}
  for i in pairs(direction) do
    old[i] = x[i]
  end
  for k, sign in ipairs({ 1, -1 }) do
    for i, weight in pairs(direction) do
      x[i] = old[i] + sign * STEP * weight
    end
    side[k] = loss(case, v)
  end
  for i in pairs(direction) do
    x[i] = old[i]
  end
  return (side[1] - side[2]) / (2 * STEP)
end

--- Directions to try: single elements spread over the tensor, and two that reach every element.
local function directions(name, count)
  local list, random = {}, M.random("directions of " .. name)
  local stride = math.max(1, math.floor(count / PROBES))
  for i = 1 + count % stride, count, stride do
    list[#list + 1] = { [i] = 1 }
  end
  for k = 1, 2 do
    local all = {}
    for i = 1, count do
      all[i] = k == 1 and random() / math.sqrt(count) or (random() < 0 and -1 or 1) / math.sqrt(count)
    end
    list[#list + 1] = all
  end
  return list
end

-- -- the checks -------------------------------------------------------------------------------------

local function largest(values)
  local most = 0
  for i = 1, #values do
    most = math.max(most, math.abs(values[i]))
  end
  return most
end

local function check_outputs(self, tolerance)
  local want = self.case.expect(self.v, self.case)
  for _, output in ipairs(self.case.outputs) do
    local name = output[1]
    local got = self.t[name]:read()
    for i = 1, #got do
      assert(output[2] == "i32" or math.abs(got[i]) < math.huge, name .. " is not finite")
    end
    if want[name] then
      assert.near(want[name], got, tolerance * math.max(largest(want[name]), 1e-3), name)
    end
  end
end

local function check_gradient(self, name, tolerance)
  local got, count = self.t["d" .. name]:read(), #self.v[name]
  local want, found = {}, {}
  for k, direction in ipairs(directions(name, count)) do
    want[k], found[k] = derivative(self.case, self.v, name, direction), 0
    for i, weight in pairs(direction) do
      found[k] = found[k] + weight * got[i]
    end
  end
  assert.near(want, found, tolerance * math.max(largest(want), 1e-3), "d" .. name)
  for i = self:live(self:shape(name)) + 1, count do
    assert(got[i] == 0, "d" .. name .. " is not zero in the tail")
  end
end

local function check_added(self, plain, name, tolerance)
  local got, before = self.t["d" .. name]:read(), plain.t["d" .. name]:read()
  local old = values_of("old" .. name, (self:shape(name)))
  for i = 1, #before do
    before[i] = before[i] + old[i]
  end
  assert.near(before, got, tolerance * math.max(largest(before), 1), "d" .. name .. " added to")
end

--- A number made of every byte that a run wrote.
local function digest(self, hash)
  local names = {}
  for name in pairs(self.t) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local host, n = self.t[name]:to_host()
    local words = ffi.cast("int32_t *", host)
    for i = 0, n - 1 do
      hash = bit.bxor(bit.rol(hash, 5), words[i]) + 0x9e3779b * (i % 7)
    end
  end
  return bit.tobit(hash)
end

local function finished(case, act, threads, filled)
  local self = bench(case, act)
  if case.backward then
    self:add_gradients(filled or 0)
  end
  self:run(threads)
  return self
end

--- Runs forward in f32, for specs of their own.
-- @tparam table case
-- @treturn table outputs by name, as flat tables
function M.forward(case)
  local self = bench(case, "f32")
  local rc = case.forward(self.t, self.batch, case)
  local values = {}
  for _, output in ipairs(case.outputs) do
    values[output[1]] = self.t[output[1]]:read()
  end
  self:close()
  check(rc)
  return values
end

--- The digest of all cases at the present instruction-set level: what `define` compares.
function M.digest(cases)
  local hash = 1
  for _, case in ipairs(cases) do
    for _, act in ipairs(case.types or { "f32", "bf16" }) do
      local self = finished(case, act, 2)
      hash = digest(self, hash)
      self:close()
    end
  end
  return bit.tohex(hash)
end

local function check_case(case, act)
  local tolerance = (case.tolerance or { f32 = 1e-5, bf16 = 1e-2 })[act]
  local gradient_tolerance = (case.gradient_tolerance or { f32 = 1e-4, bf16 = 2e-2 })[act]
  local self, single = finished(case, act, 2), finished(case, act, 1)
  check_outputs(self, tolerance)
  for _, gradient in ipairs(case.backward and case.gradients or {}) do
    check_gradient(self, gradient[1], gradient_tolerance)
  end
  assert(case.library or digest(self, 1) == digest(single, 1),
    "one and two threads give different bits")
  local hold, name = self:guards_hold()
  assert(hold, name and "written outside of " .. name)
  if case.backward then
    local added = finished(case, act, 2, 1)
    for _, gradient in ipairs(case.gradients) do
      check_added(added, self, gradient[1], act == "bf16" and 1e-2 or 1e-6)
    end
    added:close()
  end
  self:close()
  single:close()
end

local function levels_agree(name)
  local helper = require("spec.helper")
  local digests = {}
  for _, isa in ipairs({ "generic", "avx2", "avx512" }) do
    local code, out, err = helper.fsam_lua({ env = "FSAM_ISA=" .. isa, "-e", ([[
      package.path = "./?.lua;" .. package.path
      local cases = dofile("spec/kernels/%s_spec.lua")
      print(require("spec.kernels.runner").digest(cases))]]):format(name) })
    assert.equal(0, code, err)
    assert.truthy(out:match("^%x+\n$"), out)
    digests[#digests + 1] = out
  end
  assert.same({ digests[1], digests[1], digests[1] }, digests)
end

--- Declares the specs of one kernel. The file that calls it is spec/kernels/NAME_spec.lua and ends
-- with `return cases`: it is also run, outside of busted, once per instruction-set level.
-- @tparam string name
-- @tparam table cases see the head of this file
-- @tparam[opt] function more declares further specs
function M.define(name, cases, more)
  local env = getfenv(2) -- busted gives its functions to the spec's file only
  local describe, it = env.describe, env.it
  if not describe then
    return
  end
  describe(name, function()
    for _, case in ipairs(cases) do
      for _, act in ipairs(case.types or { "f32", "bf16" }) do
        it(("is right %s, in %s"):format(case.name, act), function()
          check_case(case, act)
        end)
      end
    end
    it("gives the same bits at every instruction-set level", function()
      levels_agree(name)
    end)
    if more then
      more()
    end
  end)
end

return M
