--- What the benchmarks of this folder share: their settings, timing on a device whose work is
-- queued, tensors of random values, and the lines of JSON in which everything is reported.
--
-- Times are of work queued together between two waits for the device, divided by how many; so what
-- a kernel takes below some microseconds is what launching it takes.
local C = require("fsam.C")
local Tensor = require("fsam.base.tensor")
local packing = require("fsam.data.packing")
local devices = require("fsam.base.device")
local json = require("fsam.base.json")
local ffi, lib, check = C.ffi, C.lib, C.check

local M = {}

local here = arg[0]:match("^(.*)/[^/]*$") or "."

--- The settings of a run, from `name=value` arguments: part, arch, shape, precision, turn, out (the
-- file to add lines to), tune, device; check=1: tiny, short, on the CPU.
function M.settings()
  local s = {}
  for _, word in ipairs(arg) do
    local name, value = word:match("^([%w_]+)=(.*)$")
    assert(name, "expected name=value, got " .. word)
    s[name] = value
  end
  s.check, s.turn = s.check == "1", tonumber(s.turn or 1)
  s.device = devices.open(s.device or (s.check and "cpu" or "cuda"))
  s.arch = s.arch or "roberta_large"
  return s
end

--- The model of the settings: random weights, two labels.
function M.model(s)
  local architectures = require("fsam.models.architectures")
  local changes = s.check and { num_hidden_layers = 2, hidden_size = 64, intermediate_size = 128,
    num_attention_heads = 2, vocab_size = 1000 } or {}
  changes.attention_probs_dropout_prob = tonumber(s.attention_dropout)
  local config = architectures.config(s.arch, changes)
  return require("fsam.models").new({ config = config, device = s.device, seed = 1,
    labels = { "a", "b" }, precision = s.precision or "bf16" })
end

--- Lengths of the samples of each batch of a shape: cola (lengths.json), 8x512, 32x512.
function M.lengths(s)
  if s.shape == "cola" then
    local file = assert(io.open(here .. "/lengths.json"))
    local list = json.decode(file:read("*a"), "lengths.json")
    file:close()
    return s.check and { list[1], list[2] } or list
  end
  local count, length = s.shape:match("^(%d+)x(%d+)$")
  local list = {}
  for i = 1, s.check and 2 or tonumber(count) do
    list[i] = s.check and 16 or tonumber(length)
  end
  return { list }
end

--- A host batch of samples of these lengths, with ids that depend on `seed`.
function M.pack(lengths, seed, vocabulary, first_ordinal)
  local list = {}
  for i, length in ipairs(lengths) do
    local ids = { 0 }
    for k = 2, length do
      ids[k] = 5 + (seed * 613 + i * 7919 + k * 104729) % (vocabulary - 5)
    end
    list[i] = { ids = ids, label = i % 2 }
  end
  return packing.pack(list, { pad_id = 1, position_offset = 2, first_ordinal = first_ordinal })
end

--- A function (arena, dtype, shape…) that makes tensors of normal numbers: copies of the same few
-- again and again, because making them is the host's work.
function M.random(device)
  local count, arena = 2 ^ 20, devices.arena(device, "source")
  local source = Tensor.new(arena, "f32", { count }, "source")
  check(lib.fsam_tensor_random(source, 1, 0, 1, 1, 0))
  return function(into, dtype, ...)
    assert(arena, "the source's memory lives as long as this function")
    local t = Tensor.new(into, dtype, { ... }, "t")
    for first = 0, t:count() - 1, count do
      local n = math.min(count, t:count() - first)
      t:view({ n }, first):copy(source:view({ n }))
    end
    return t
  end
end

--- The function that waits for everything queued on a device.
function M.waiter(device)
  local arena, host = devices.arena(device, "wait"), ffi.new("float[1]")
  local one = Tensor.new(arena, "f32", { 1 }, "wait", true)
  return function()
    assert(arena, "the memory read lives as long as this function")
    check(lib.fsam_tensor_read(one, host, 1))
  end
end

--- The value at share q of a sorted list.
function M.quantile(list, q)
  return list[math.max(1, math.ceil(q * #list))]
end

--- { median, q1, q3, count } of a list of numbers, which becomes sorted.
function M.summary(list)
  table.sort(list)
  return { median = M.quantile(list, 0.5), q1 = M.quantile(list, 0.25),
    q3 = M.quantile(list, 0.75), count = #list }
end

--- Seconds of one call of functions that are called in turn: the median of five queues, each of
-- about `enough` seconds.
function M.time(calls, wait, enough)
  local function queue(count)
    wait()
    local began = lib.fsam_clock()
    for i = 1, count do
      calls[i % #calls + 1]()
    end
    wait()
    return (lib.fsam_clock() - began) / count
  end
  queue(#calls)
  local count = math.max(3, math.min(2000, math.ceil(enough / queue(#calls))))
  local times = {}
  for i = 1, 5 do
    times[i] = queue(count)
  end
  return M.summary(times).median
end

--- Adds a line to the file of results, at once: a run that is ended loses only what it is at.
function M.report(s, line)
  line.part, line.side, line.turn = s.part, "ours", s.turn
  local file = assert(io.open(assert(s.out, "out=FILE is needed"), "a"))
  file:write(json.encode(line, { order = { "part", "side", "turn", "kind" } }), "\n")
  file:close()
end

--- Says what the device is.
function M.machine(s)
  M.report(s, { kind = "machine", text = devices.describe(s.device) })
end

return M
