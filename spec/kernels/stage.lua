--- One case of a kernel spec made real: its tensors between guard words, its batch, and the values
-- in them. Leaves to others: the checks, and what a case is (runner.lua).
local bit = require("bit")
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local GUARD = 64 -- elements before and after each buffer
local CANARY = { f32 = -7.25e30, bf16 = -1e30, i32 = -559038737 }

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

--- A flat table of values for a tensor: `source` itself, or by calling it, or random ones.
function M.values(name, shape, source)
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
-- @tparam table case its dropout and pass
-- @tparam number b sample of the runner's batch
-- @tparam number row second last word of the counter
-- @tparam number block last word of the counter
-- @tparam number k element within the block, from 0
function M.keep(case, b, row, block, k)
  local words, d, pass = ffi.new("uint32_t[4]"), case.dropout, case.pass
  lib.fsam_philox(words, d.site + (pass.draw or 0) * 2 ^ 29, M.ordinal(b), row, block, pass.seed,
    pass.step)
  local bits = math.floor(words[math.floor(k / 2)] / (k % 2 == 0 and 1 or 65536)) % 65536
  local threshold = math.floor(65536 * d.p + 0.5)
  return bits < threshold and 0 or 65536 / (65536 - threshold)
end

--- Rows of a case's batch, tail included.
function M.rows(case)
  local rows = case.tail or 0
  for _, length in ipairs(case.lengths) do
    rows = rows + length
  end
  return rows
end

--- The dropout factors of the elements of a case's rows [T,width], from 1; nil in the tail, where
-- nothing drops.
function M.keep_rows(case, width)
  local keep = {}
  for b, length in ipairs(case.lengths) do
    for r = 0, length - 1 do
      for c = 0, width - 1 do
        keep[#keep + 1] = M.keep(case, b - 1, r, math.floor(c / 8), c % 8)
      end
    end
  end
  return keep
end

-- -- a case made real: tensors with guards, a batch -----------------------------------------------

local Stage = {}
Stage.__index = Stage

--- The tensor t.NAME between guard words, holding `values`.
function Stage:add(name, dtype, shape, values)
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

--- True; or false and the name of a buffer whose guard words were written.
function Stage:guards_hold()
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

--- An fsam_pass { seed, step, draw, scale } as four int32.
function M.pass_words(pass)
  local words = ffi.cast("int32_t *", ffi.new("fsam_pass[1]", { pass }))
  return { words[0], words[1], words[2], words[3] }
end

--- The batch of case.lengths and case.tail, in the pass case.pass (fields of fsam_pass) or none.
function Stage:add_batch(case)
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
  self:add("ordinals", "i32", { count }, M.values("", { count }, function(b)
    return M.ordinal(b - 1)
  end))
  self.batch = ffi.new("fsam_batch", { tokens = #samples, samples = count, longest = longest })
  for _, field in ipairs({ "starts", "sample", "ordinals", "ids", "positions", "token_types" }) do
    self.batch[field] = self.t[field] and self.t[field].data
  end
  if case.pass then
    self:add("pass", "i32", { 4 }, M.pass_words(case.pass))
    self.batch.pass = ffi.cast("const fsam_pass *", self.t.pass.data)
  end
end

--- The ordinal that the runner's batches give to sample b.
function M.ordinal(b)
  return 3 * b + 2
end

--- A case in one activation type: arena, inputs, outputs (NaN until written), batch.
-- @tparam table case
-- @tparam string act "f32" or "bf16"
-- @tparam[opt] function open opens the device into out[0] (default: the CPU)
function M.new(case, act, open)
  local self = setmetatable({ case = case, act = act, t = {}, guards = {} }, Stage)
  self.device, self.slot = ffi.new("fsam_device *[1]"), ffi.new("fsam_arena *[1]")
  if open then
    open(self.device)
  else
    check(lib.fsam_device_open(self.device, "cpu"))
  end
  check(lib.fsam_arena_new(self.slot, self.device[0], "spec"))
  self.arena = self.slot[0]
  self.v = {}
  for _, input in ipairs(case.inputs) do
    local name, dtype, shape, source = unpack(input)
    self:add(name, dtype, shape, M.values(name, shape, source))
    self.v[name] = self.t[name]:read() -- after rounding, where they are bf16
  end
  for _, output in ipairs(case.outputs or {}) do
    local name, dtype, shape = unpack(output)
    self:add(name, dtype, shape, M.values(name, shape, function()
      return dtype == "i32" and 77 or 0 / 0
    end))
  end
  self:add_batch(case)
  return self
end

--- Frees everything.
function Stage:close()
  lib.fsam_arena_free(self.arena)
  lib.fsam_device_close(self.device[0])
end

--- Shape and type of an input or output.
function Stage:shape(name)
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
function Stage:live(shape)
  local tail = self.case.tail or 0
  if tail == 0 or #shape < 2 or shape[1] ~= self.batch.tokens then
    return elements(shape)
  end
  return elements(shape) / shape[1] * (shape[1] - tail)
end

--- Makes the gradients: incoming ones are random (zero in the tail, as every op leaves them); those
-- that backward writes are NaN (filled = 0) or random (filled = 1).
function Stage:add_gradients(filled)
  for _, name in ipairs(self.case.seeds or { "y" }) do
    local shape, dtype = self:shape(name)
    local values, live = M.values("d" .. name, shape), self:live(shape)
    for i = live + 1, #values do
      values[i] = 0
    end
    self:add("d" .. name, dtype, shape, values)
    self.v["d" .. name] = self.t["d" .. name]:read()
  end
  for _, gradient in ipairs(self.case.gradients) do
    local name, dtype = unpack(gradient)
    local shape = self:shape(name)
    self:add("d" .. name, dtype, shape, M.values("old" .. name, shape, filled == 0 and function()
      return 0 / 0
    end or nil))
    self.t["d" .. name].filled = filled
  end
end

--- Forward, and backward where the case has one.
function Stage:run(threads)
  check(lib.fsam_threads_set(threads))
  check(self.case.forward(self.t, self.batch, self.case))
  if self.case.backward then
    check(self.case.backward(self.t, self.batch, self.case))
  end
  check(lib.fsam_threads_set(0))
end

--- A number made of every byte that a run wrote.
-- @tparam number hash of what came before
function Stage:digest(hash)
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

return M
