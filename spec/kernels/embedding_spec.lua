-- The sum of three table rows, normalised and dropped; and the gradients of the tables.
local C = require("fsam.C")
local runner = require("spec.kernels.runner")

local EPS = 1e-5
local VOCABULARY, POSITIONS, TOKEN_TYPES = 11, 9, 2

local function closed_form(v, case)
  local H, y, z, stats = case.width, {}, {}, {}
  for r = 1, #v.ids do
    local at, sum, squares = (r - 1) * H, 0, 0
    for c = 1, H do
      z[at + c] = v.word[v.ids[r] * H + c] + v.position[v.positions[r] * H + c]
        + (v.token_type and v.token_type[v.token_types[r] * H + c] or 0)
      sum = sum + z[at + c]
    end
    local mean = sum / H
    for c = 1, H do
      squares = squares + (z[at + c] - mean) ^ 2
    end
    local scale = 1 / math.sqrt(squares / H + EPS)
    for c = 1, H do
      y[at + c] = ((z[at + c] - mean) * scale * v.gamma[c] + v.beta[c])
        * (case.keep and case.keep[at + c] or 1)
    end
    stats[2 * r - 1], stats[2 * r] = mean, scale
  end
  return { y = y, z = z, stats = stats }
end

local function make(name, width, fields)
  local case = {
    name = name,
    width = width,
    lengths = { 3, 0, 7, 2 },
    expect = closed_form,
    gradients = { { "word", "f32" }, { "position", "f32" }, { "gamma", "f32" }, { "beta", "f32" } },
  }
  for key, value in pairs(fields) do
    case[key] = value
  end
  local rows = runner.rows(case)
  local live = rows - (case.tail or 0)
  local function indices(limit)
    local random, values = runner.random("indices" .. limit), {}
    for i = 1, rows do
      -- The tail names rows too, and must not add to their gradients.
      values[i] = i > live and 1 or math.floor((random() + 1) / 2 * limit)
    end
    return values
  end
  case.inputs = {
    { "word", "act", { VOCABULARY, width } }, { "position", "act", { POSITIONS, width } },
    { "gamma", "f32", { width } }, { "beta", "f32", { width } },
    { "ids", "i32", { rows }, indices(VOCABULARY) },
    { "positions", "i32", { rows }, indices(POSITIONS) },
  }
  if case.token_type then
    table.insert(case.inputs, { "token_type", "act", { TOKEN_TYPES, width } })
    table.insert(case.inputs, { "token_types", "i32", { rows }, indices(TOKEN_TYPES) })
    table.insert(case.gradients, { "token_type", "f32" })
  end
  case.outputs = { { "y", "act", { rows, width } }, { "z", "act", { rows, width } },
    { "stats", "f32", { rows, 2 } } }
  if case.p then
    case.dropout = C.ffi.new("fsam_dropout", { p = case.p, site = 1 })
    case.pass = { seed = 8, step = 2 }
    case.keep = runner.keep_rows(case, width)
  end
  function case.forward(t, batch)
    return C.lib.fsam_embedding_forward(t.y, t.z, t.stats, t.word, t.position, t.token_type,
      t.gamma, t.beta, EPS, batch, case.dropout)
  end
  function case.backward(t, batch)
    return C.lib.fsam_embedding_backward(t.dword, t.dposition, t.dtoken_type, t.dgamma,
      t.dbeta, t.dy, t.z, t.stats, t.gamma, batch, case.dropout)
  end
  return case
end

local cases = {
  make("without token_types and dropout", 16, {}),
  make("with token_types and dropout", 40, { token_type = true, p = 0.1 }),
  make("with a tail", 40, { token_type = true, p = 0.1, tail = 4 }),
  make("in rows of odd length", 13, { token_type = true, tail = 1 }),
  make("over several threads", 260, { token_type = true, p = 0.1, lengths = { 20, 14 }, tail = 2 }),
}

runner.define("embedding", cases, function()
  it("names an index beyond its table", function()
    for _, wrong in ipairs({ VOCABULARY, -1 }) do
      local case = make("", 16, {})
      case.inputs[5][4] = function(i)
        return i == 3 and wrong or 0
      end
      local ok, message = pcall(runner.forward, case)
      assert.is_false(ok)
      assert.equal(("embedding_forward: ids[2] is %d, expected 0 to 10 (table word)"):format(wrong),
        tostring(message))
    end
  end)
end)
cases.make = make
return cases
