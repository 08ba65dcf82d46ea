--- Each kernel of a layer at RoBERTa-large's sizes, one at a time: microseconds, bytes that it must
-- move and floating-point operations. Called by bench/gpu/run, part `kernels`.
--
--     fsam-lua bench/gpu/kernels.lua out=FILE part=kernels [device=cpu check=1]
--
-- Calls go round a number of copies of their tensors that no cache holds, so that each finds its
-- input in memory; within a pass much of it is in the cache still. No dropout.
package.path = (arg[0]:match("^(.*)/[^/]*$") or ".") .. "/?.lua;" .. package.path
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local devices = require("fsam.base.device")
local measure = require("measure")
local ffi, lib, check = C.ffi, C.lib, C.check

local s = measure.settings()
local wait = measure.waiter(s.device)
local arena = devices.arena(s.device, "kernels")
local H, F, HEADS, V, POSITIONS = 1024, 4096, 16, 50265, 514
local BF16, COLD = 2, 256e6 -- bytes; the tensors of one case take at least COLD, or 64 copies
if s.check then
  H, F, HEADS, V, COLD = 64, 128, 2, 1000, 0
end
local LABELS = { cola = "32 sentences", ["8x512"] = "8 × 512", ["32x512"] = "32 × 512" }

local random = measure.random(s.device)

local function new(dtype, ...)
  return random(arena, dtype, ...)
end

local function out(dtype, ...) -- a result
  return Tensor.new(arena, dtype, { ... }, "out", true)
end

-- make() gives a call with tensors of its own.
local function case(name, shape, work, make)
  lib.fsam_arena_reset(arena)
  local calls = { make() }
  local size = tonumber(lib.fsam_arena_live(arena))
  for i = 2, math.max(1, math.min(64, math.ceil(COLD / size))) do
    calls[i] = make()
  end
  measure.report(s, { kind = "kernel", kernel = name, shape = shape, bytes = work.bytes,
    flops = work.flops, precision = work.precision or "bf16",
    seconds = measure.time(calls, wait, s.check and 1e-4 or 0.02) })
end

-- -- ceilings -------------------------------------------------------------------------------------

local function ceilings()
  lib.fsam_arena_reset(arena)
  local n = s.check and 1e5 or 2 ^ 28
  local a, b = new("f32", n), out("f32", n)
  local time = measure.time({ function() b:copy(a) end }, wait, 0.02)
  measure.report(s, { kind = "ceiling", what = "copy", how = "fsam_tensor_copy, f32",
    rate = 8 * n / time })
  lib.fsam_arena_reset(arena)
  n = s.check and 64 or 8192
  local x, w, y = new("bf16", n, n), new("bf16", n, n), out("bf16", n, n)
  time = measure.time({ function() check(lib.fsam_linear_forward(y, x, w, nil)) end }, wait, 0.05)
  measure.report(s, { kind = "ceiling", what = "matmul", how = n .. "³ bf16, fsam_linear_forward",
    rate = 2 * n ^ 3 / time })
end

-- -- products -------------------------------------------------------------------------------------

local function product(rows, k, n, dtype, tuned)
  local size = dtype == "f32" and 4 or BF16
  local shape = ("%d × %d × %d"):format(rows, k, n)
  local function work(wsize)
    return { flops = 2 * rows * k * n, precision = dtype,
      bytes = size * (rows * k + rows * n) + wsize * k * n }
  end
  case("linear forward" .. tuned, shape, work(size), function()
    local x, w, y = new(dtype, rows, k), new(dtype, n, k), out(dtype, rows, n)
    return function() check(lib.fsam_linear_forward(y, x, w, nil)) end
  end)
  case("linear to the input" .. tuned, shape, work(size), function()
    local dx, w, dy = out(dtype, rows, k), new(dtype, n, k), new(dtype, rows, n)
    return function() check(lib.fsam_linear_backward_input(dx, dy, w)) end
  end)
  case("linear to the weight" .. tuned, shape, work(4), function()
    local dw, x, dy = out("f32", n, k), new(dtype, rows, k), new(dtype, rows, n)
    return function() check(lib.fsam_linear_backward_weight(dw, nil, dy, x)) end
  end)
end

local function products(tuned)
  for _, rows in ipairs(s.check and { 32 } or { 384, 4096, 16384 }) do
    for _, kn in ipairs({ { H, 3 * H }, { H, H }, { H, F }, { F, H } }) do
      product(rows, kn[1], kn[2], "bf16", tuned)
    end
    if rows < 16384 then
      product(rows, H, F, "f32", tuned)
    end
  end
end

-- -- the rest of a layer --------------------------------------------------------------------------

-- A device's batch of these lengths, and the number of its rows.
local function batch(lengths)
  local host, b = measure.pack(lengths, 1, V), ffi.new("fsam_batch")
  local function put(name, count)
    b[name] = Tensor.new(arena, "i32", { count }, name):write(host[name]).data
  end
  for _, name in ipairs({ "ids", "positions", "token_types", "sample" }) do
    put(name, host.tokens)
  end
  put("starts", host.samples + 1)
  put("ordinals", host.samples)
  local pass = ffi.new("fsam_pass[1]", { { scale = 1 / host.count } })
  local words = Tensor.new(arena, "i32", { 4 }, "pass"):write(ffi.cast("int32_t *", pass))
  b.pass = ffi.cast("const fsam_pass *", words.data)
  b.tokens, b.samples, b.longest = host.tokens, host.samples, host.longest
  return b, host.tokens
end

local function attention(label, lengths, rows, tokens, squares)
  local function forward(b)
    local qkv, y, lse = new("bf16", rows, 3 * H), out("bf16", rows, H), out("f32", rows, HEADS)
    return qkv, y, lse, function()
      check(lib.fsam_attention_forward(y, lse, nil, qkv, HEADS, b, nil))
    end
  end
  case("attention forward", label, { flops = 4 * squares * H, bytes = 4 * H * BF16 * tokens },
    function()
      return (select(4, forward((batch(lengths)))))
    end)
  case("attention backward", label, { flops = 10 * squares * H, bytes = 8 * H * BF16 * tokens },
    function()
      local b = batch(lengths)
      local qkv, y, lse, call = forward(b)
      call()
      local dqkv, dy = out("bf16", rows, 3 * H), new("bf16", rows, H)
      return function()
        check(lib.fsam_attention_backward(dqkv, dy, y, lse, nil, qkv, HEADS, b, nil))
      end
    end)
end

local function layernorm(label, lengths, rows, tokens)
  local work = { bytes = 4 * H * BF16 * tokens }
  case("layernorm forward", label, work, function()
    local b, gamma, beta, bias = batch(lengths), new("f32", H), new("f32", H), new("f32", H)
    local x, before = new("bf16", rows, H), new("bf16", rows, H)
    local y, z, stats = out("bf16", rows, H), out("bf16", rows, H), out("f32", rows, 2)
    return function()
      check(lib.fsam_layernorm_forward(y, z, stats, x, bias, before, gamma, beta, 1e-5, b, nil))
    end
  end)
  case("layernorm backward", label, work, function()
    local b, gamma = (batch(lengths)), new("f32", H)
    local dy, z, stats = new("bf16", rows, H), new("bf16", rows, H), new("f32", rows, 2)
    local dx, dresidual = out("bf16", rows, H), out("bf16", rows, H)
    local db, dgamma, dbeta = out("f32", H), out("f32", H), out("f32", H)
    return function()
      check(lib.fsam_layernorm_backward(dx, dresidual, db, dgamma, dbeta, dy, z, stats, gamma, b,
        nil))
    end
  end)
end

local function gelu(label, rows, tokens)
  case("gelu forward", label, { bytes = 2 * F * BF16 * tokens }, function()
    local x, bias, y = new("bf16", rows, F), new("f32", F), out("bf16", rows, F)
    return function() check(lib.fsam_activation_forward(y, x, bias, lib.FSAM_GELU_ERF)) end
  end)
  case("gelu backward", label, { bytes = 3 * F * BF16 * tokens }, function()
    local x, bias, dy = new("bf16", rows, F), new("f32", F), new("bf16", rows, F)
    local dx, db = out("bf16", rows, F), out("f32", F)
    return function()
      check(lib.fsam_activation_backward(dx, db, dy, x, bias, lib.FSAM_GELU_ERF))
    end
  end)
end

local function embedding(label, lengths, rows, tokens)
  case("embedding forward", label, { bytes = 4 * H * BF16 * tokens }, function()
    local b, word, position = batch(lengths), new("bf16", V, H), new("bf16", POSITIONS, H)
    local token_type, gamma, beta = new("bf16", 1, H), new("f32", H), new("f32", H)
    local y, z, stats = out("bf16", rows, H), out("bf16", rows, H), out("f32", rows, 2)
    return function()
      check(lib.fsam_embedding_forward(y, z, stats, word, position, token_type, gamma, beta,
        1e-5, b, nil))
    end
  end)
  local tables = 4 * H * (V + POSITIONS + 1)
  case("embedding backward", label, { bytes = tables + 2 * H * BF16 * tokens }, function()
    local b, dy, z, stats = batch(lengths), new("bf16", rows, H), new("bf16", rows, H),
      new("f32", rows, 2)
    local gamma, dgamma, dbeta = new("f32", H), out("f32", H), out("f32", H)
    local word, position, token_type = out("f32", V, H), out("f32", POSITIONS, H), out("f32", 1, H)
    return function()
      check(lib.fsam_embedding_backward(word, position, token_type, dgamma, dbeta, dy, z, stats,
        gamma, b, nil))
    end
  end)
end

-- Of single samples' gradients; beside it stands "linear to the weight" of as many rows.
local function squares_of(label, lengths, rows, tokens)
  for _, kn in ipairs({ { H, F }, { F, H } }) do
    local k, n = kn[1], kn[2]
    case(("squares to the weight, %d × %d"):format(k, n), label, { flops = 2 * tokens * k * n,
      bytes = BF16 * tokens * (k + n) + 4 * k * n }, function()
      local b, dy, x = batch(lengths), new("bf16", rows, n), new("bf16", rows, k)
      local dw = out("f32", n, k)
      return function() check(lib.fsam_linear_backward_squares(dw, nil, dy, x, b, 0)) end
    end)
  end
end

local function cross_entropy(lengths)
  case("cross-entropy", #lengths .. " × 2", { bytes = 5 * 4 * #lengths }, function()
    local b = batch(lengths)
    local losses, dlogits = out("f32", b.samples), out("f32", b.samples, 2)
    local logits, labels = new("f32", b.samples, 2), out("i32", b.samples)
    return function()
      check(lib.fsam_cross_entropy(losses, dlogits, logits, labels, b))
    end
  end)
end

measure.machine(s)
ceilings()
for _, shape in ipairs(s.check and { "cola" } or { "cola", "8x512", "32x512" }) do
  local lengths = measure.lengths({ shape = shape, check = s.check })[1]
  local rows, tokens, squares = select(2, batch(lengths)), 0, 0
  for _, length in ipairs(lengths) do
    tokens, squares = tokens + length, squares + length ^ 2
  end
  attention(LABELS[shape], lengths, rows, tokens, squares)
  layernorm(LABELS[shape], lengths, rows, tokens)
  gelu(LABELS[shape], rows, tokens)
  embedding(LABELS[shape], lengths, rows, tokens)
  squares_of(LABELS[shape], lengths, rows, tokens)
end
cross_entropy(measure.lengths({ shape = "cola" })[1])
products("")
check(lib.fsam_tuning_begin(s.device, nil))
products(", tuned")
