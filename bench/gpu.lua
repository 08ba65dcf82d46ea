--- What a GPU does: the matrix products of a layer by their rate, with the library's own algorithms
-- and with those that timing chooses; then steps of adam, sam and fisher-sam on sentences as long
-- as CoLA's and on long ones. Random weights. Prints tables of Markdown; times are medians.
--
--     fsam-lua bench/gpu.lua [DEVICE = cuda] [ARCH = roberta_large] [PRECISION = bf16] [STEPS = 20]
local fsam = require("fsam")
local C = require("fsam.C")
local Tensor = require("fsam.tensor")
local batches = require("fsam.data.batch")
local ffi, lib, check = C.ffi, C.lib, C.check

local device = fsam.device.open(arg[1] or "cuda")
local arch, precision, steps = arg[2] or "roberta_large", arg[3] or "bf16", tonumber(arg[4] or 20)

print(fsam.device.describe(device))

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

-- Seconds of one call of `fn`, of `count` queued together; `last` is read, which waits for all.
local function time(count, fn, last)
  local host = ffi.new("float[?]", last:count())
  local times = {}
  fn()
  for i = 1, 5 do
    check(lib.fsam_tensor_read(last, host, last:count()))
    local began = lib.fsam_clock()
    for _ = 1, count do
      fn()
    end
    check(lib.fsam_tensor_read(last, host, last:count()))
    times[i] = (lib.fsam_clock() - began) / count
  end
  return median(times)
end

-- -- products -------------------------------------------------------------------------------------

-- Microseconds of forward, backward to the input and to the weight at T rows.
local function products(rows, k, n, dtype)
  local arena = fsam.device.arena(device, "products")
  local function new(type, ...)
    return Tensor.new(arena, type, { ... }, "t", true)
  end
  local x, w, y = new(dtype, rows, k), new(dtype, n, k), new(dtype, rows, n)
  local dx, dw, one = new(dtype, rows, k), new("f32", n, k), new("f32", 1)
  local calls = {
    function() check(lib.fsam_linear_forward(y, x, w, nil)) end,
    function() check(lib.fsam_linear_backward_input(dx, y, w)) end,
    function() check(lib.fsam_linear_backward_weight(dw, nil, y, x)) end,
  }
  local list = {}
  for i, call in ipairs(calls) do
    list[i] = time(50, call, one)
  end
  return list
end

local function products_table()
  local width = arch == "tiny" and 64 or 1024
  print("\n| rows | K | N | type | forward TFLOP/s | input | weight | tuned | input | weight |\n"
    .. "|--|--|--|--|--|--|--|--|--|--|")
  local shapes = {}
  for _, rows in ipairs({ 384, 4096 }) do
    for _, kn in ipairs({ { width, 3 * width }, { width, width }, { width, 4 * width },
      { 4 * width, width } }) do
      for _, dtype in ipairs({ "bf16", "f32" }) do
        shapes[#shapes + 1] = { rows, kn[1], kn[2], dtype }
      end
    end
  end
  local plain = {}
  for i, s in ipairs(shapes) do
    plain[i] = products(unpack(s))
  end
  check(lib.fsam_tuning_begin(device, nil))
  for i, s in ipairs(shapes) do
    local cells = { s[1], s[2], s[3], s[4] }
    for _, times in ipairs({ plain[i], products(unpack(s)) }) do
      for _, t in ipairs(times) do
        cells[#cells + 1] = ("%.1f"):format(2 * s[1] * s[2] * s[3] / t / 1e12)
      end
    end
    print("| " .. table.concat(cells, " | ") .. " |")
  end
end

-- -- steps ----------------------------------------------------------------------------------------

-- Tokens of 32 sentences: between 5 and 24, 11.4 on average, as in CoLA.
local SENTENCES = { 9, 12, 7, 14, 10, 8, 17, 11, 6, 13, 9, 24, 10, 8, 12, 15, 7, 11, 9, 19, 10, 13,
  5, 12, 8, 16, 11, 9, 14, 10, 7, 19 }
local LONG = { 512, 512, 512, 512, 512, 512, 512, 512 }

local function pack(model, lengths, step)
  local list = {}
  for i, length in ipairs(lengths) do
    local ids = {}
    for k = 1, length do
      ids[k] = 5 + (step * 613 + i * 7919 + k * 104729) % 1000
    end
    list[i] = { ids = ids, label = i % 2 }
  end
  return batches.pack(list, { pad_id = model.pad_id, position_offset = model.position_offset })
end

local function steps_table()
  local model = fsam.models.new({ arch = arch, device = device, seed = 1, labels = { "a", "b" },
    precision = precision, pad_id = 1, vocab_size = arch == "tiny" and 2000 or nil })
  local pass = fsam.pass.new({ model = model, seed = 1 })
  local longest = model.config.max_position_embeddings - (model.position_offset or 0)
  print(("\n%s, %s\n\n| step | tokens | ms | tokens/s |\n|--|--|--|--|"):format(tostring(model),
    precision))
  for _, kind in ipairs({ "adam", "sam", "fisher-sam" }) do
    local optimizer = fsam.optim.build({ params = model.params, seed = 1,
      optimizer = kind == "adam" and "adam" or "sam", sam_type = kind ~= "adam" and kind or nil,
      options = { rho = 0.05, weight_decay = 0.01, fisher = "batch" } })
    for _, lengths in ipairs({ SENTENCES, LONG }) do
      local times, batch = {}, nil
      for step = 0, lengths[1] <= longest and steps + 2 or -1 do
        batch = pack(model, lengths, step)
        local began = lib.fsam_clock()
        local info = optimizer:step({ step = step, lr = 1e-5, samples = #lengths,
          evaluate = pass:bind({ step = step, batches = { batch }, training = true }) })
        assert(not info.skipped, info.skipped)
        if step > 2 then -- the first ones choose, compile and make a mask
          times[#times + 1] = lib.fsam_clock() - began
        end
      end
      if batch then
        local t = median(times)
        print(("| %s | %d | %.2f | %.0f |"):format(kind, batch.real_tokens, 1e3 * t,
          batch.real_tokens / t))
      end
    end
  end
  print("\n" .. tostring(fsam.memory()))
end

products_table()
steps_table()
