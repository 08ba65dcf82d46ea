-- Squares of the samples' gradients, over the cases of the kernels that have such a form: against
-- their plain backward with all rows of dy but one sample's at zero, sample by sample.
local C = require("fsam.C")
local runner = require("spec.kernels.runner")
local scratch = require("spec.kernels.scratch")
local stage = require("spec.kernels.stage")
local lib, check = C.lib, C.check

local TOLERANCE = { f32 = 2e-6, bf16 = 2e-6 } -- of the largest: both sides round the same numbers

-- The gradients of a kernel that are parameters', and the form of its backward that squares them.
local KERNELS = {
  linear = { { "w", "b" }, function(t, batch)
    check(lib.fsam_linear_backward_input(t.dx, t.dy, t.w))
    return lib.fsam_linear_backward_squares(t.dw, t.db, t.dy, t.x, batch, 0)
  end },
  layernorm = { { "gamma", "beta", "b" }, function(t, batch, case)
    return lib.fsam_layernorm_backward_squares(t.dx, t.dresidual, t.db, t.dgamma, t.dbeta, t.dy,
      t.z, t.stats, t.gamma, batch, case.dropout)
  end },
  embedding = { { "word", "position", "token_type", "gamma", "beta" }, function(t, batch, case)
    return lib.fsam_embedding_backward_squares(t.dword, t.dposition, t.dtoken_type, t.dgamma,
      t.dbeta, t.dy, t.z, t.stats, t.gamma, batch, case.dropout)
  end },
}

-- Sizes beside those of the kernels' own specs: samples of one token, none, and unequal ones;
-- several tiles with a rest in both directions, and more tokens than one of CUDA's slabs takes.
local function linear_over_tiles(template, name, o)
  local case = setmetatable(o, { __index = template })
  case.name, case.tail, case.T = name, 3, 3
  for _, length in ipairs(case.lengths) do
    case.T = case.T + length
  end
  case.inputs = { { "x", "act", { case.T, case.K } }, { "w", "act", { case.N, case.K } },
    { "b", "f32", { case.N } } }
  case.outputs = { { "y", "act", { case.T, case.N } } }
  return case
end

-- A linear map's are sums over what both devices are given; dx is a product, rounded to the type.
local TWIN = { linear = { dw = 1e-5, db = 1e-5 } }

-- Copies of a kernel's cases, whose backward squares. `plain`: the case; `squared`: its parameters.
local function cases_of(kernel)
  local own, list = dofile(("spec/kernels/%s_spec.lua"):format(kernel)), {}
  if kernel == "linear" then
    table.insert(own, linear_over_tiles(own[1], "over several tiles",
      { lengths = { 1, 9, 0, 17, 2 }, K = 75, N = 50 }))
    table.insert(own, linear_over_tiles(own[1], "of samples across slabs",
      { lengths = { 0, 30, 1, 16, 40, 0, 5, 0 }, K = 136, N = 24 }))
  end
  for _, plain in ipairs(own) do
    if plain.name ~= "between column slices" then
      list[#list + 1] = setmetatable({ kernel = kernel, plain = plain, twin = TWIN[kernel],
        squared = KERNELS[kernel][1], backward = KERNELS[kernel][2] }, { __index = plain })
    end
  end
  return list
end

local cases = {}
for _, kernel in ipairs({ "linear", "layernorm", "embedding" }) do
  for _, case in ipairs(cases_of(kernel)) do
    cases[#cases + 1] = case
  end
end

-- dy with zeros in all rows but sample b's.
local function only(case, dy, b)
  local width, first, rest = 0, 0, {}
  for i = 1, b - 1 do
    first = first + case.lengths[i]
  end
  for _, length in ipairs(case.lengths) do
    width = width + length
  end
  width = #dy / (width + (case.tail or 0))
  for i = 1, #dy do
    local row = math.floor((i - 1) / width)
    rest[i] = row >= first and row < first + case.lengths[b] and dy[i] or 0
  end
  return rest
end

-- Σ_b g_b² of every squared parameter, from the plain backward; and dx of the whole.
local function one_by_one(case, act)
  local self, sums = stage.new(case, act), {}
  self:add_gradients(0)
  check(case.forward(self.t, self.batch, case))
  local dy = self.t.dy:read()
  for b in ipairs(case.lengths) do
    self.t.dy:write(only(case, dy, b))
    check(case.plain.backward(self.t, self.batch, case))
    for _, name in ipairs(case.squared) do
      local values = self.t["d" .. name] and self.t["d" .. name]:read() or {}
      sums[name] = sums[name] or {}
      for i = 1, #values do
        sums[name][i] = (sums[name][i] or 0) + values[i] ^ 2
      end
    end
  end
  self.t.dy:write(dy)
  check(case.plain.backward(self.t, self.batch, case))
  local dx = self.t.dx and self.t.dx:read()
  self:close()
  return sums, dx
end

local function squares(case, act, threads, filled)
  local self = stage.new(case, act)
  self:add_gradients(filled or 0)
  self:run(threads)
  return self
end

local function largest(values)
  local most = 1e-6
  for i = 1, #values do
    most = math.max(most, math.abs(values[i]))
  end
  return most
end

local function check_case(case, act)
  local want, dx = one_by_one(case, act)
  local self, added = squares(case, act, 2), squares(case, act, 2, 1)
  for _, name in ipairs(case.squared) do
    local t = self.t["d" .. name]
    if t then
      local got, more, sum = t:read(), added.t["d" .. name]:read(), {}
      assert.near(want[name], got, TOLERANCE[act] * largest(want[name]), "d" .. name)
      for i, old in ipairs(stage.values("old" .. name, (self:shape(name)))) do
        sum[i] = got[i] + old
      end
      assert.near(sum, more, 2e-6 * (1 + largest(sum)), "d" .. name .. " added to")
    end
  end
  assert.same(dx, self.t.dx and self.t.dx:read())
  local hold, name = self:guards_hold()
  assert(hold, name and "written outside of " .. name)
  local digest = self:digest(1)
  self:close()
  added:close()
  for _, threads in ipairs(case.kernel == "linear" and {} or { 1, 3, 4 }) do
    local other = squares(case, act, threads)
    assert.equal(digest, other:digest(1), threads .. " threads give other bits")
    other:close()
  end
end

local describe, it = describe, it -- luacheck: ignore
if describe then
  describe("sample squares", function()
    local s
    before_each(function()
      s = scratch.new()
    end)
    after_each(function()
      s:close()
    end)

    for _, case in ipairs(cases) do
      for _, act in ipairs(case.types or { "f32", "bf16" }) do
        it(("of %s are right %s, in %s"):format(case.kernel, case.name, act), function()
          check_case(case, act)
        end)
      end
    end

    it("have the same bits at every instruction-set level", function()
      runner.levels_agree("sample_squares")
    end)

    it("have the same bits on one to four threads", function()
      local random, x, y = runner.random("threads"), {}, {}
      for i = 1, 40 * 130 do
        x[i], y[i] = random(), random()
      end
      local batch = s:batch({ 1, 20, 3, 16 })
      local first
      for threads = 1, 4 do
        check(lib.fsam_threads_set(threads))
        local dw, db = s:tensor("f32", { 130, 130 }), s:tensor("f32", { 130 })
        check(lib.fsam_linear_backward_squares(dw, db, s:tensor("bf16", { 40, 130 }, y),
          s:tensor("bf16", { 40, 130 }, x), batch, 0))
        local bits = { dw:read(), db:read() }
        first = first or bits
        assert.same(first, bits)
      end
      check(lib.fsam_threads_set(0))
    end)

    it("take a row for each sample where these are the rows", function()
      local x = s:tensor("f32", { 3, 2 }, { 1, 2, 3, 4, 5, 6 })
      local dy, dw = s:tensor("f32", { 3, 1 }, { 1, -1, 2 }), s:tensor("f32", { 1, 2 })
      local db = s:tensor("f32", { 1 })
      check(lib.fsam_linear_backward_squares(dw, db, dy, x, s:batch({ 2, 1, 5 }), 1))
      assert.same({ 1 + 9 + 100, 4 + 16 + 144 }, dw:read())
      assert.same({ 6 }, db:read())
    end)

    it("add the rows of a sample's repeated tokens before they are squared", function()
      local width = 16
      local batch, ids = s:batch({ 3, 2 }), s:tensor("i32", { 5 }, { 1, 0, 1, 1, 1 })
      local sample = s:tensor("i32", { 5 }, { 0, 0, 0, 1, 1 })
      batch.ids, batch.positions, batch.sample = ids.data, ids.data, sample.data
      local values, random = {}, runner.random("repeated")
      for i = 1, 5 * width do
        values[i] = random()
      end
      local dy, z = s:tensor("f32", { 5, width }, values), s:tensor("f32", { 5, width }, values)
      local stats = s:tensor("f32", { 5, 2 }, { 0, 1, 0, 1, 0, 1, 0, 1, 0, 1 })
      local gamma = s:tensor("f32", { width }, 1)
      local function word(backward, lengths_of)
        batch.starts = lengths_of.starts
        local dword = s:tensor("f32", { 2, width })
        check(backward(dword, nil, nil, nil, nil, dy, z, stats, gamma, batch, nil))
        return dword:read()
      end
      -- Each sample alone: the other's rows are taken out of dy.
      local want = {}
      for _, rows in ipairs({ { 0, 3 }, { 3, 5 } }) do
        local part = {}
        for i = 1, #values do
          local row = math.floor((i - 1) / width)
          part[i] = row >= rows[1] and row < rows[2] and values[i] or 0
        end
        dy:write(part)
        for i, g in ipairs(word(lib.fsam_embedding_backward, batch)) do
          want[i] = (want[i] or 0) + g * g
        end
      end
      dy:write(values)
      assert.near(want, word(lib.fsam_embedding_backward_squares, batch), 1e-5 * largest(want))
    end)

    it("are zeros, or what was there, of a batch without rows", function()
      local x, dy = s:tensor("bf16", { 0, 3 }), s:tensor("bf16", { 0, 2 })
      local dw, db = s:tensor("f32", { 2, 3 }, 7), s:tensor("f32", { 2 }, 7)
      dw.filled, db.filled = 1, 1
      check(lib.fsam_linear_backward_squares(dw, db, dy, x, s:batch({ 0 }), 0))
      assert.same({ 7, 7, 7, 7, 7, 7, 7, 7 }, { dw:read()[1], dw:read()[2], dw:read()[3],
        dw:read()[4], dw:read()[5], dw:read()[6], db:read()[1], db:read()[2] })
      dw.filled, db.filled = 0, 0
      check(lib.fsam_linear_backward_squares(dw, db, dy, x, s:batch({ 0 }), 0))
      assert.same({ 0, 0, 0, 0, 0, 0 }, dw:read())
      assert.same({ 0, 0 }, db:read())
    end)

    it("name what does not fit", function()
      local x, dy = s:tensor("f32", { 3, 2 }, 0, "x"), s:tensor("f32", { 3, 1 }, 0, "dy")
      local dw = s:tensor("f32", { 2, 2 }, 0, "dw")
      assert.equal("linear_backward_squares: dw (dw) is [2, 2] f32, expected [1, 2] f32",
        s:refused(lib.fsam_linear_backward_squares(dw, nil, dy, x, s:batch({ 2, 1 }), 0)))
      assert.equal("linear_backward_squares: dy (dy) is [3, 1] f32, expected [2, -1] float "
        .. "(-1: any)",
        s:refused(lib.fsam_linear_backward_squares(nil, nil, dy, nil, s:batch({ 2, 1 }), 1)))
    end)
  end)
end

return cases
