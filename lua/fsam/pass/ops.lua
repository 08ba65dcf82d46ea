--- The ops of a model. Each runs its forward kernel at once and records its backward on the tape.
-- engine/fsam.h says exactly what each computes. Shapes: T packed tokens, B samples, H width, C
-- classes; T may be B, after first_rows. A parameter is a view (fsam.pass.views): `value` is the
-- tensor that kernels read. The tape gives its gradient, and nil when the parameter is frozen or
-- skipped in this pass. On a tape of squares the kernels that write parameters' gradients have
-- another form, fsam_NAME_squares.
local C = require("fsam.C")
local lib, check = C.lib, C.check

local M = {}

local function value(parameter)
  return parameter and parameter.value or nil
end

-- dweight[N,K] and dbias[N] of a linear map, where they are wanted.
local function weight_backward(tape, weight, bias, dy, x)
  local dw, db = tape:weight_grad(weight, true, true), tape:weight_grad(bias, true, true)
  if not (dw or db) then
    return
  elseif tape.squares then
    check(lib.fsam_linear_backward_squares(dw, db, dy, x, tape.batch, tape:is_per_sample(x)))
    return
  end
  tape:part(weight, bias)
  local rc = lib.fsam_linear_backward_weight(dw, db, dy, x)
  if rc == 0 and dw then
    tape:square(weight)
  end
  tape:meet()
  check(rc)
end

--- y[T,N] = x[T,K] weight[N,K]ᵀ + bias[N].  bias may be nil.
function M.linear(tape, x, weight, bias, name)
  local w = weight.value
  local y = tape:tensor(x:type(), { tonumber(x.shape[0]), tonumber(w.shape[0]) }, name)
  check(lib.fsam_linear_forward(y, x, w, value(bias)))
  tape:per_sample(y, x)
  tape:record(y, tape:wants(x) or tape:trains(weight, bias), function(dy)
    weight_backward(tape, weight, bias, dy, x)
    local dx = tape:grad(x)
    if dx then
      check(lib.fsam_linear_backward_input(dx, dy, w))
    end
  end)
  return y
end

-- dx = Σ over the group's members of their columns of dy times their weight.
local function group_backward_input(tape, dy, x, group)
  local dx = tape:grad(x)
  if not dx then
    return
  end
  if group.weight then
    check(lib.fsam_linear_backward_input(dx, dy, group.weight.value))
    return
  end
  local first = 0
  for _, member in ipairs(group.members) do
    local n = tonumber(member.weight.value.shape[0])
    check(lib.fsam_linear_backward_input(dx, dy:columns(first, n), member.weight.value))
    dx.filled = 1
    first = first + n
  end
end

--- Several linear maps of the same x[T,K], their outputs side by side: y[T, ΣN]. When the group's
-- parameters lie one after another this is one product, else one per member; the same holds for the
-- weight gradients, unless a member is frozen.
-- @tparam table group fsam.pass.views
function M.linear_group(tape, x, group, name)
  local tokens, width = tonumber(x.shape[0]), group.width
  local y = tape:tensor(x:type(), { tokens, width }, name)
  if group.weight then
    check(lib.fsam_linear_forward(y, x, group.weight.value, value(group.bias)))
  else
    local first = 0
    for _, member in ipairs(group.members) do
      local n = tonumber(member.weight.value.shape[0])
      local part = y:columns(first, n)
      check(lib.fsam_linear_forward(part, x, member.weight.value, value(member.bias)))
      first = first + n
    end
  end
  local trains = false
  for _, member in ipairs(group.members) do
    trains = tape:trains(member.weight, member.bias) or trains
  end
  tape:per_sample(y, x)
  tape:record(y, tape:wants(x) or trains, function(dy)
    if group.one_gradient then
      weight_backward(tape, group.weight, group.bias, dy, x)
    else
      local first = 0
      for _, member in ipairs(group.members) do
        local n = tonumber(member.weight.value.shape[0])
        weight_backward(tape, member.weight, member.bias, dy:columns(first, n), x)
        first = first + n
      end
    end
    group_backward_input(tape, dy, x, group)
  end)
  return y
end

-- The forms of `activation`; gelu_tanh is GELU's tanh form.
local FORMS = { gelu = lib.FSAM_GELU_ERF, gelu_tanh = lib.FSAM_GELU_TANH, relu = lib.FSAM_RELU,
  silu = lib.FSAM_SILU, tanh = lib.FSAM_TANH }

-- The squares of a bias whose gradient sums dx. `dx` may hold another use's gradient of x; then
-- dx is computed again, alone.
local function bias_squares(tape, bias, dx, dy, x, code)
  local db = tape:weight_grad(bias, true)
  if not db then
    return
  elseif dx.filled == 1 then
    dx = tape:tensor(x:type(), x:dims(), "gradient")
    check(lib.fsam_activation_backward(dx, nil, dy, x, value(bias), code))
  end
  check(lib.fsam_linear_backward_squares(nil, db, dx, nil, tape.batch, tape:is_per_sample(x)))
end

--- y[T,F] = f(x[T,F] + bias[F]).
-- @tparam string form "gelu", "gelu_tanh", "relu", "silu" or "tanh"
function M.activation(tape, x, bias, form, name)
  local code = FORMS[form]
  local y = tape:tensor(x:type(), x:dims(), name)
  check(lib.fsam_activation_forward(y, x, value(bias), code))
  tape:per_sample(y, x)
  tape:record(y, tape:wants(x) or tape:trains(bias), function(dy)
    -- The bias's gradient sums dx, which the kernel makes even where nothing below wants it.
    local dx = tape:grad(x) or tape:tensor(x:type(), x:dims(), "gradient")
    local db = not tape.squares and tape:weight_grad(bias) or nil
    check(lib.fsam_activation_backward(dx, db, dy, x, value(bias), code))
    if tape.squares then
      bias_squares(tape, bias, dx, dy, x, code)
    end
  end)
  return y
end

--- y[B,H] = tanh(x[B,H]).
function M.tanh(tape, x, name)
  local y = tape:tensor(x:type(), x:dims(), name)
  check(lib.fsam_tanh_forward(y, x))
  tape:per_sample(y, x)
  tape:record(y, tape:wants(x), function(dy)
    check(lib.fsam_tanh_backward(tape:grad(x), dy, y))
  end)
  return y
end

--- y[T,H] = layernorm(residual[T,H] + dropout(x[T,H] + bias[H])).
-- @tparam table norm gamma[H], beta[H]: parameters; eps
function M.residual_layernorm(tape, x, bias, residual, norm, dropout, name)
  local y, z = tape:tensor(x:type(), x:dims(), name), tape:tensor(x:type(), x:dims(), name .. " z")
  local stats = tape:tensor("f32", { tonumber(x.shape[0]), 2 }, name .. " stats")
  local gamma, beta, batch = norm.gamma, norm.beta, tape:batch_of(x)
  check(lib.fsam_layernorm_forward(y, z, stats, x, value(bias), residual, gamma.value, beta.value,
    norm.eps, batch, dropout))
  tape:per_sample(y, x)
  local wanted = tape:wants(x) or tape:wants(residual) or tape:trains(bias, gamma, beta)
  tape:record(y, wanted, function(dy)
    local backward = tape.squares and lib.fsam_layernorm_backward_squares
      or lib.fsam_layernorm_backward
    check(backward(tape:grad(x), tape:grad(residual), tape:weight_grad(bias, true),
      tape:weight_grad(gamma, true), tape:weight_grad(beta, true), dy, z, stats, gamma.value,
      batch, dropout))
  end)
  return y
end

--- y[T,H] = dropout(layernorm(word[id] + position[pos] + token_type[type])) of the batch's tokens.
-- @tparam table tables word, position, token_type (or nil): parameters [rows,H]
function M.embedding(tape, tables, norm, dropout, name)
  local word, position, token_type = tables.word, tables.position, tables.token_type
  local shape = { tonumber(tape.batch.tokens), tonumber(word.value.shape[1]) }
  local dtype = word.value:type()
  local y, z = tape:tensor(dtype, shape, name), tape:tensor(dtype, shape, name .. " z")
  local stats = tape:tensor("f32", { shape[1], 2 }, name .. " stats")
  local gamma, beta = norm.gamma, norm.beta
  check(lib.fsam_embedding_forward(y, z, stats, word.value, position.value, value(token_type),
    gamma.value, beta.value, norm.eps, tape.batch, dropout))
  tape:clears(word)
  tape:record(y, tape:trains(word, position, token_type, gamma, beta), function(dy)
    local backward = tape.squares and lib.fsam_embedding_backward_squares
      or lib.fsam_embedding_backward
    check(backward(tape:weight_grad(word, true), tape:weight_grad(position, true),
      tape:weight_grad(token_type, true), tape:weight_grad(gamma, true),
      tape:weight_grad(beta, true), dy, z, stats, gamma.value, tape.batch, dropout))
  end)
  return y
end

--- Self-attention within each sample: qkv[T,3H], queries, keys and values side by side → [T,H].
function M.attention(tape, qkv, heads, dropout, name)
  local tokens, width = tonumber(qkv.shape[0]), tonumber(qkv.shape[1]) / 3
  local out = tape:tensor(qkv:type(), { tokens, width }, name)
  local lse = tape:tensor("f32", { tokens, heads }, name .. " lse")
  local wanted = tape:wants(qkv)
  if dropout then
    dropout.rng = tape.attention_rng or lib.FSAM_RNG_OWN
  end
  local columns = wanted and lib.fsam_attention_kept(qkv, heads, tape.batch, dropout) or 0
  local kept = columns > 0 and tape:tensor("i32", { tokens, columns }, name .. " kept") or nil
  check(lib.fsam_attention_forward(out, lse, kept, qkv, heads, tape.batch, dropout))
  tape:record(out, wanted, function(dout)
    check(lib.fsam_attention_backward(tape:grad(qkv), dout, out, lse, kept, qkv, heads, tape.batch,
      dropout))
  end)
  return out
end

-- The first row of every sample, in a type.
local function pick_rows(tape, x, dtype, name)
  local y = tape:tensor(dtype, { tonumber(tape.batch.samples), tonumber(x.shape[1]) }, name)
  local batch = tape:batch_of(x)
  check(lib.fsam_gather_forward(y, x, batch))
  tape:per_sample(y, true)
  tape:record(y, tape:wants(x), function(dy)
    check(lib.fsam_gather_backward(tape:grad(x), dy, batch))
  end)
  return y
end

--- The first row of every sample: x[T,H] → [B,H] in f32, for a head.
function M.gather(tape, x, name)
  return pick_rows(tape, x, "f32", name)
end

--- The first row of every sample: x[T,H] → [B,H] in x's own type. What a layer does with these rows
-- alone is what it would do with them among the others, dropout included.
function M.first_rows(tape, x, name)
  return pick_rows(tape, x, x:type(), name)
end

--- Dropout on x[B,H], one row per sample. Returns x itself when there is no dropout.
function M.dropout(tape, x, dropout, name)
  if not dropout then
    return x
  end
  local y = tape:tensor(x:type(), x:dims(), name)
  check(lib.fsam_dropout_apply(y, x, tape.batch, dropout))
  tape:per_sample(y, x)
  tape:record(y, tape:wants(x), function(dy)
    check(lib.fsam_dropout_apply(tape:grad(x), dy, tape.batch, dropout))
  end)
  return y
end

--- Per-sample losses of logits[B,C] against labels, written to losses[B]. Seeds the backward with
-- the gradient of their sum, times the pass's scale.
-- @tparam table loss fsam.pass.losses
-- @tparam ?table settings of training, or nil
function M.loss(tape, loss, losses, logits, labels, settings)
  local dlogits = tape:wants(logits) and tape:tensor("f32", logits:dims(), "logits gradient") or nil
  check(loss.compute(losses, dlogits, logits, labels, tape.batch, settings))
  if dlogits then
    tape:seed(logits, dlogits)
  end
end

return M
