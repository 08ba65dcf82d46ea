-- Packed self-attention against softmax(q k^T / sqrt(d)) v written out.
local C = require("fsam.C")
local runner = require("spec.kernels.runner")

--- One sample's head: rows first … first + n - 1 of qkv[T,3H], columns of `head`.
local function head_form(v, case, y, lse, b, first, n, head)
  local H, d = case.heads * case.d, case.d
  local scale = 1 / math.sqrt(d)
  local function at(row, third)
    return (first + row) * 3 * H + third * H + head * d
  end
  for i = 0, n - 1 do
    local p, top, sum = {}, -math.huge, 0
    for j = 0, n - 1 do
      local dot, q, k = 0, at(i, 0), at(j, 1)
      for c = 1, d do
        dot = dot + v.qkv[q + c] * v.qkv[k + c]
      end
      p[j] = dot * scale
      top = math.max(top, p[j])
    end
    for j = 0, n - 1 do
      p[j] = math.exp(p[j] - top)
      sum = sum + p[j]
    end
    lse[(first + i) * case.heads + head + 1] = top + math.log(sum)
    local out = (first + i) * H + head * d
    for j = 0, n - 1 do
      local weight, value = p[j] / sum * case.keep(b, i, j, head), at(j, 2)
      for c = 1, d do
        y[out + c] = y[out + c] + weight * v.qkv[value + c]
      end
    end
  end
end

local function closed_form(v, case)
  local y, lse, first = {}, {}, 0
  for i = 1, #v.qkv / 3 do
    y[i] = 0
  end
  for i = 1, #y / case.d do
    lse[i] = 0
  end
  for b, n in ipairs(case.lengths) do
    for head = 0, case.heads - 1 do
      head_form(v, case, y, lse, b - 1, first, n, head)
    end
    first = first + n
  end
  return { y = y, lse = lse }
end

local function make(name, heads, d, lengths, fields)
  local case = { name = name, heads = heads, d = d, lengths = lengths, expect = closed_form }
  for key, value in pairs(fields or {}) do
    case[key] = value
  end
  local rows = runner.rows(case)
  case.inputs = { { "qkv", "act", { rows, 3 * heads * d } } }
  case.outputs = { { "y", "act", { rows, heads * d } }, { "lse", "f32", { rows, heads } } }
  case.gradients = { { "qkv", "act" } }
  if case.p then
    -- For the bits that forward keeps; as many as the longest sample may ask for.
    local columns = 2 * heads * math.ceil(math.max(unpack(lengths)) / 64)
    case.inputs[2] = { "kept", "i32", { rows, columns }, function() return 0 end }
    case.dropout = C.ffi.new("fsam_dropout", { p = case.p, site = 70 })
    case.pass = { seed = 9, step = 1 }
  end
  local kept = {}
  function case.keep(b, i, j, head)
    if not case.p then
      return 1
    end
    local key = ((b * 64 + head) * 4096 + i) * 4096 + j
    kept[key] = kept[key]
      or runner.keep(case, b, i, head * 65536 + math.floor(j / 8), j % 8)
    return kept[key]
  end
  local function bits(t, batch)
    return C.lib.fsam_attention_kept(t.qkv, heads, batch, case.dropout) > 0 and t.kept or nil
  end
  function case.forward(t, batch)
    return C.lib.fsam_attention_forward(t.y, t.lse, bits(t, batch), t.qkv, heads, batch,
      case.dropout)
  end
  function case.backward(t, batch)
    return C.lib.fsam_attention_backward(t.dqkv, t.dy, t.y, t.lse, bits(t, batch), t.qkv, heads,
      batch, case.dropout)
  end
  return case
end

local cases = {
  make("without dropout", 2, 8, { 3, 1, 0, 9 }),
  make("with dropout", 2, 16, { 5, 1, 17 }, { p = 0.2 }),
  make("with a tail", 2, 16, { 5, 1, 17 }, { p = 0.2, tail = 3 }),
  make("with heads of 12 columns", 3, 12, { 6, 2 }, { p = 0.1, tail = 1 }),
  make("with heads of 72 columns", 1, 72, { 4, 5 }),
  make("with more queries than a block", 2, 8, { 70, 2, 33 }, { p = 0.1, tail = 2 }),
  make("of sentences, heads as wide as a tile", 2, 32, { 32, 7, 16 }, { p = 0.1, tail = 2 }),
  make("with more queries than a block, heads as wide as a tile", 1, 64, { 70, 33 }, { p = 0.1 }),
}

runner.define("attention", cases, function()
  it("stays finite where scores are large", function()
    local case = make("", 1, 8, { 12 })
    case.inputs[1][4] = function(i)
      return (i % 5 - 2) * 1e4
    end
    for _, value in ipairs(runner.forward(case).y) do
      assert.is_true(math.abs(value) <= 2e4)
    end
  end)

  it("names heads that do not divide the width", function()
    local case = make("", 2, 8, { 3 })
    function case.forward(t, batch)
      return C.lib.fsam_attention_forward(t.y, t.lse, nil, t.qkv, 5, batch, nil)
    end
    case.outputs[2][3] = { 3, 5 }
    local ok, message = pcall(runner.forward, case)
    assert.is_false(ok)
    assert.equal("attention_forward: qkv (qkv) has 48 columns for 5 heads, expected 3 · heads · "
      .. "a multiple of 4", tostring(message))
  end)

  it("refuses a sample longer than the batch says", function()
    local case = make("", 1, 8, { 3, 6 })
    local forward = case.forward
    function case.forward(t, batch)
      batch.longest = 5
      return forward(t, batch)
    end
    local ok, message = pcall(runner.forward, case)
    assert.is_false(ok)
    assert.equal("attention_forward: sample 1 has rows 3 to 8, expected from 3 on, at most 5, "
      .. "within 9", tostring(message))
  end)
end)
cases.make = make
return cases
