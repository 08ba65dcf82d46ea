--- Vector programs for program_cuda_spec.lua whose sizes are special only to CUDA kernels: many
-- blocks and spans of blocks, many reductions in one sweep, functions over all kinds of numbers,
-- parameters that end anywhere within a chunk.
local support = require("spec.lua.vector.support")
local where = require("fsam.vector").where

local M = {}

local function filled(compute, specs, names, value)
  local P, v = support.model(compute, specs), {}
  for i, name in ipairs(names) do
    v[name] = P:vector(name)
    support.fill(P, v[name], function(n) return value(n, i) end)
  end
  return P, v
end

-- More blocks than a warp has lanes, in few and in many parameters, each reduction in each group.
function M.many_blocks()
  local specs = { { name = "first", kind = "matrix", layer = 1, shape = { 41, 4096 } },
    { name = "second", kind = "matrix", layer = 0, shape = { 50001 } } }
  for i = 1, 40 do
    specs[#specs + 1] = { name = "bias" .. i, kind = "bias", layer = i % 3, shape = { 61 * i } }
  end
  local P, v = filled("bf16", specs, { "x", "y" }, support.finite)
  local x, y, all = v.x, v.y, {}
  for _, group in ipairs({ "all", "tensor", "layer" }) do
    local gx = group == "all" and x or x:per(group)
    for _, name in ipairs({ "sum", "max_abs", "min", "max", "norm" }) do
      all[#all + 1] = gx[name](gx):request()
    end
    all[#all + 1] = gx:dot(y):request()
  end
  for _, row in ipairs(all) do
    row:read()
  end
  y:set(x / x:per("layer"):norm() + P:normal({ seed = 3, step = 4 }) * y:per("tensor"):max())
  P.c:set(y, { rounding = "stochastic", seed = 5, step = 4294967299 })
  P:commit()
end

-- Parameters of more blocks than are added at once, of as many and of fewer.
function M.spans()
  local _, v = filled("f32", { { name = "table", kind = "embedding", shape = { 65, 4096 } },
    { name = "frozen", kind = "matrix", layer = 0, shape = { 5000 }, frozen = true },
    { name = "weight", kind = "matrix", layer = 0, shape = { 64, 4096 } },
    { name = "bias", kind = "bias", layer = 0, shape = { 9001 } } }, { "x" }, support.finite)
  local x, all = v.x, {}
  for _, one in ipairs({ x, x:per("tensor"), x:per("layer") }) do
    all[#all + 1] = one:dot(x):request()
    all[#all + 1] = one:min():request()
  end
  for _, row in ipairs(all) do
    row:read()
  end
end

-- More reductions than a block has groups of lanes, over more vectors than fit beside each other.
function M.many_reductions()
  local names = { "a", "b", "c", "d", "e", "f", "g", "h" }
  local _, v = filled("f32", nil, names, support.finite)
  local all = {}
  for i, one in ipairs(names) do
    for k = i, #names, 2 do
      all[#all + 1] = v[one]:dot(v[names[k]]):request()
    end
    all[#all + 1] = (v[one] * v[names[1]]):max_abs():request()
  end
  for _, scalar in ipairs(all) do
    scalar:read()
  end
end

-- Functions over numbers of all sizes.
function M.functions()
  local P, v = filled("f32", nil, { "x", "z" }, function(n, salt)
    return n % 3 == 0 and support.number(n, salt)
      or support.f32((n % 2 == 0 and -1 or 1) * 1.03 ^ (n % 6000 - 3000 + salt))
  end)
  local x, z = v.x, v.z
  local to = P:vector("to")
  for _, make in ipairs({
    function() return x:exp() end,
    function() return (x:abs():min(200) * x:sign()):exp() end,
    function() return x:log() end,
    function() return x:abs():log() end,
    function() return x ^ z end,
    function() return x:abs() ^ z:clamp(-3, 3) end,
    function() return x ^ -7 end,
    function() return x:abs() ^ 0.37 end,
    function() return x ^ z:abs():max() end,
    function() return where(x:gt(z), x:sqrt(), z:abs():sqrt()) end,
    function() return x:min(z):max(x * z) end,
    function() return x:floor() + (-z):floor() end,
    function() return x / (z:sum() * 0) end,
    function() return x / z:per("tensor"):max_abs() end,
  }) do
    to:set(make())
    P:commit()
  end
  local s = z:per("tensor"):norm()
  for _, row in ipairs({ s:exp(), s:log(), s ^ 3, s ^ -0.5, s ^ 0.3, s / (s - s), s:sign(), -s,
    s:floor(), s:min(1), s:max(1), where(s:gt(1), s, 0.5) }) do
    row:read()
  end
end

return M
