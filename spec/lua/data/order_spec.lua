--- Batch order: MT19937 as NumPy draws from it, and fairseq's cutting, shuffling and grouping.

local helper = require("spec.helper")
local json = require("fsam.base.json")
local mt19937 = require("fsam.data.mt19937")
local order = require("fsam.data.order")

local COLA_TRAIN = "../shared/data/cola/train.tsv"

local function message_of(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return tostring(err)
end

describe("RandomState", function()
  -- numpy.random.RandomState(seed).permutation(10)
  it("permutes as NumPy does", function()
    assert.same({ 2, 8, 4, 9, 1, 6, 7, 3, 0, 5 }, mt19937.new(0):permutation(10))
    assert.same({ 2, 9, 6, 4, 0, 3, 1, 7, 8, 5 }, mt19937.new(1):permutation(10))
  end)

  -- The reference implementation's first output for init_genrand(5489), and the 10,000th, which
  -- the C++ standard fixes for std::mt19937.
  it("draws the generator's published words", function()
    local random = mt19937.new(5489)
    assert.equal(3499211612, random:uint32())
    for _ = 2, 9999 do
      random:uint32()
    end
    assert.equal(4123659995, random:uint32())
  end)

  -- numpy.random.RandomState(4294967295).randint(0, 2**32, 3, dtype=numpy.uint32)
  it("accepts the largest seed", function()
    local random = mt19937.new(4294967295)
    assert.same({ 419326371, 479346978, 3918654476 },
      { random:uint32(), random:uint32(), random:uint32() })
  end)

  it("draws every value of an interval and none beyond it", function()
    local random = mt19937.new(3)
    local seen = {}
    for _ = 1, 500 do
      local value = random:interval(5)
      seen[value] = (seen[value] or 0) + 1
    end
    for value = 0, 5 do
      assert.is_true(seen[value] > 50)
      seen[value] = nil
    end
    assert.is_nil(next(seen))
    assert.equal(0, random:interval(0))
  end)

  it("refuses seeds that are not 32-bit integers", function()
    for _, seed in ipairs({ -1, 1.5, 2 ^ 32, "one" }) do
      assert.matches("expected an integer from 0 to 4294967295", message_of(mt19937.new, seed), 1,
        true)
    end
  end)
end)

describe("order.indices", function()
  it("is the inverse of NumPy's permutation, counted from 1", function()
    assert.same({ 5, 7, 1, 6, 4, 10, 3, 8, 9, 2 }, order.indices(10, 1))
  end)
end)

describe("order.batch_by_size", function()
  local function cut(lengths, options)
    local indices = {}
    for i = 1, #lengths do
      indices[i] = i
    end
    return order.batch_by_size(indices, lengths, options)
  end

  it("cuts as fairseq's own code does", function()
    local cases = json.decode(helper.read_file("spec/golden/batch_order.json"), "batch_order.json")
    for _, case in ipairs(cases) do
      local lengths, tokens, sentences, multiple, expected = unpack(case)
      local indices, sizes, at = {}, {}, 0
      for i = 1, #lengths do
        indices[i] = i
      end
      for i, batch in ipairs(order.batch_by_size(indices, lengths, { multiple = multiple,
          max_tokens = tokens > 0 and tokens or nil,
          max_sentences = sentences > 0 and sentences or nil })) do
        sizes[i] = #batch
        for _, index in ipairs(batch) do
          at = at + 1
          assert.equal(at, index)
        end
      end
      assert.same(expected, sizes)
    end
  end)

  it("closes a batch at max_sentences and leaves the last short", function()
    assert.same({ { 1, 2 }, { 3, 4 }, { 5 } }, cut({ 3, 3, 3, 3, 3 }, { max_sentences = 2 }))
  end)

  it("counts tokens as sentences times the longest", function()
    -- 2 × 4 = 8 fits; with the 5 it would be 3 × 5 = 15; 5 and 1 are 2 × 5 = 10.
    assert.same({ { 1, 2 }, { 3, 4 }, { 5 } }, cut({ 4, 2, 5, 1, 1 }, { max_tokens = 10 }))
  end)

  it("follows the given order", function()
    assert.same({ { 3, 1 }, { 2 } },
      order.batch_by_size({ 3, 1, 2 }, { 1, 9, 1 }, { max_tokens = 10 }))
  end)

  it("cuts at multiples, and the rest opens the next batch", function()
    assert.same({ { 1, 2 }, { 3, 4 }, { 5 } },
      cut({ 2, 2, 2, 2, 2 }, { max_sentences = 3, multiple = 2 }))
    -- The ninth would not make a multiple: it is a batch of its own.
    assert.same({ { 1, 2, 3, 4 }, { 5, 6, 7, 8 }, { 9 } },
      cut({ 1, 1, 1, 1, 1, 1, 1, 1, 1 }, { max_tokens = 7, multiple = 4 }))
  end)

  it("makes a batch of the rest alone when the next sample does not fit it", function()
    -- At the last sample 1–4 are ready and 5–6 the rest; 3 × 8 > 10, so it joins neither.
    assert.same({ { 1, 2, 3, 4 }, { 5, 6 }, { 7 } },
      cut({ 1, 1, 1, 1, 1, 1, 8 }, { max_tokens = 10, multiple = 4 }))
  end)

  it("refuses a sample that cannot fit and limits that are not positive integers", function()
    assert.equal("sample 2 has 11 tokens, more than --max-tokens 10",
      message_of(cut, { 1, 11 }, { max_tokens = 10 }))
    assert.equal("batch_by_size: max_sentences must be a positive integer, got 0",
      message_of(cut, { 1 }, { max_sentences = 0 }))
  end)
end)

describe("order.batches", function()
  it("leaves too long training samples out and says which", function()
    local batches, skipped = order.batches({ 5, 50, 5, 60 },
      { seed = 1, max_sentences = 8, max_positions = 49 })
    assert.equal(1, #batches)
    table.sort(batches[1])
    table.sort(skipped)
    assert.same({ 1, 3 }, batches[1])
    assert.same({ 2, 4 }, skipped)
  end)

  it("refuses too long samples of any other split", function()
    local said = "dev sample 2 has 50 tokens, more than the limit of 49 (1 such samples); raise "
    assert.equal(said .. "--max-tokens, or shorten them",
      message_of(order.batches, { 5, 50 }, { seed = 1, max_tokens = 49, split = "dev" }))
    assert.equal(said .. "--max-positions as far as the model takes more, or shorten them",
      message_of(order.batches, { 5, 50 }, { seed = 1, max_tokens = 99, max_positions = 49,
        split = "dev" }))
  end)

  it("refuses to train on nothing, or without a limit", function()
    assert.matches("no train sample is left: all 2 are longer", message_of(order.batches, { 5, 6 },
      { seed = 1, max_tokens = 4 }), 1, true)
    assert.matches("give --batch-size, --max-tokens or both",
      message_of(order.batches, { 5 }, { seed = 1 }), 1, true)
  end)

  it("uses every sample once and differs between seeds", function()
    local lengths = {}
    for i = 1, 100 do
      lengths[i] = i % 7 + 1
    end
    local options = { seed = 4, max_sentences = 9, max_tokens = 40 }
    local batches = order.batches(lengths, options)
    local seen = {}
    for _, batch in ipairs(batches) do
      for _, sample in ipairs(batch) do
        assert.is_nil(seen[sample])
        seen[sample] = true
      end
    end
    assert.equal(100, #seen)
    options.seed = 5
    assert.not_same(batches, (order.batches(lengths, options)))
  end)
end)

describe("order.epoch and order.grouped", function()
  local frozen = { { 1 }, { 2 }, { 3 }, { 4 }, { 5 }, { 6 }, { 7 }, { 8 }, { 9 }, { 10 } }

  it("shuffles the frozen batches by seed + epoch and leaves the list alone", function()
    local expected = {}
    for i, value in ipairs(mt19937.new(3):permutation(10)) do
      expected[i] = { value + 1 }
    end
    assert.same(expected, order.epoch(frozen, 1, 2))
    assert.same(expected, order.epoch(frozen, 2, 1))
    assert.same({ 4 }, frozen[4])
  end)

  it("groups micro-batches, the last group short", function()
    assert.same({ { { 1 }, { 2 } }, { { 3 } } },
      order.grouped({ { 1 }, { 2 }, { 3 } }, 2))
  end)
end)

describe("CoLA with seed 1 and 32 sentences", function()
  -- Rows and batch numbers from NumPy with fairseq's rule, counted from 0.
  it("gives fairseq's batches", function()
    local file = io.open(COLA_TRAIN, "rb")
    if not file then
      pending("no " .. COLA_TRAIN)
      return
    end
    local lengths = {}
    for _ in file:lines() do
      lengths[#lengths + 1] = 12
    end
    file:close()
    local batches = order.batches(lengths, { seed = 1, max_sentences = 32 })
    assert.equal(268, #batches)
    local first = batches[1]
    assert.same({ 6817, 4482, 7328, 3977, 2500 },
      { first[1] - 1, first[2] - 1, first[3] - 1, first[4] - 1, first[5] - 1 })
    local number = {}
    for i, batch in ipairs(batches) do
      number[batch] = i - 1
    end
    local epoch = {}
    for i, batch in ipairs(order.epoch(batches, 1, 1)) do
      epoch[i] = i <= 8 and number[batch] or nil
    end
    assert.same({ 114, 65, 177, 152, 182, 122, 252, 30 }, epoch)
  end)
end)
