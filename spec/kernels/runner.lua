--- One runner for all kernel specs: a table of cases describes a kernel, and the runner checks all
-- that any kernel must satisfy.
--
--     require("spec.kernels.runner").define("tanh", { case, … })
--
-- For each case, in f32 and bf16: outputs against a closed form in Lua's doubles; gradients against
-- finite differences of that closed form; guard words around every buffer; tail rows finite in
-- outputs and exactly zero in gradients; a gradient with `filled` = 1 added to; the same bits at
-- one and at two threads, and (in processes of their own) at every instruction-set level.
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
--   loss        function(v): the number whose gradient backward computes, for an op that ends in
--               one (default: the sum over the seeds of gradient times output)
--   library     true where the matrix library does the sums: its bits may depend on the threads
--   tolerance   { f32 = …, bf16 = … } of the largest value (default 1e-5 and 1e-2)
--   gradient_tolerance  likewise (default 1e-4 and 2e-2)
--   types       the activation types to run (default { "f32", "bf16" })
-- Any other field is the case's own.
local assert = require("luassert")
local bit = require("bit")
local check = require("fsam.C").check
local stage = require("spec.kernels.stage")

local M = {
  random = stage.random,
  keep = stage.keep,
  keep_rows = stage.keep_rows,
  ordinal = stage.ordinal,
  rows = stage.rows,
}

local PROBES = 60 -- elements of each input whose derivative is taken one by one
local STEP = 1e-4 -- of finite differences, in doubles

-- -- finite differences ---------------------------------------------------------------------------

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
  local list, random = {}, stage.random("directions of " .. name)
  local stride = math.max(1, math.floor(count / PROBES))
  for i = 1 + count % stride, count, stride do
    list[#list + 1] = { [i] = 1 }
  end
  for k = 1, 2 do
    local all = {}
    for i = 1, count do
      all[i] = (k == 1 and random() or random() < 0 and -1 or 1) / math.sqrt(count)
    end
    list[#list + 1] = all
  end
  return list
end

-- -- the checks -----------------------------------------------------------------------------------

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
  local old = stage.values("old" .. name, (self:shape(name)))
  for i = 1, #before do
    before[i] = before[i] + old[i]
  end
  assert.near(before, got, tolerance * math.max(largest(before), 1), "d" .. name .. " added to")
end

local function finished(case, act, threads, filled)
  local self = stage.new(case, act)
  if case.backward then
    self:add_gradients(filled or 0)
  end
  self:run(threads)
  return self
end

--- Runs forward, for specs of their own.
-- @tparam table case
-- @tparam[opt="f32"] string act type of the activations
-- @treturn table outputs by name, as flat tables
function M.forward(case, act)
  local self = stage.new(case, act or "f32")
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
      hash = self:digest(hash)
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
  assert(case.library or self:digest(1) == single:digest(1),
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

--- Checks that the cases of spec/kernels/NAME_spec.lua have one digest at every level.
function M.levels_agree(name)
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
      M.levels_agree(name)
    end)
    if more then
      more()
    end
  end)
end

return M
